"""Records of usage, their fates, and what they add (sections 2 to 6 of the usage page)."""

import json
import re
from dataclasses import dataclass, field
from decimal import Context, Decimal, InvalidOperation, localcontext

from blake3 import blake3
from google.protobuf.message import DecodeError

import commands
import protos

log_pb2 = protos.load("exchequer.usage.v1.log_pb2")
definition_pb2 = protos.load("exchequer.usage.v1.definition_pb2")

COUNTED, LATE, DUPLICATE, CONFLICTING = 1, 2, 3, 4
UNMATCHED, INVALID, FORWARDED = 5, 6, 7
FATES = {number: name.removeprefix("FATE_") for name, number in log_pb2.Fate.items()}
MAC_CONTEXT = "exchequer 2026-11 usage record mac v1"
IDENTITY_CONTEXT = "exchequer usage event identity v1"
BODY_CONTEXT = "exchequer usage event body v1"
ROOT_CONTEXT = "exchequer usage seal root v1"
LAST = 253_402_300_799_999_999
WINDOW = 35 * 24 * 3600 * 1_000_000
DEPTH_MAX = 32
TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
STEP = re.compile(r"""\.([\w-]+)|\['([^']*)'\]|\["([^"]*)"\]|\[(\d+)\]""")
EXACT = Context(prec=200)


class Misfit(Exception):
    """What cannot be read or used."""


@dataclass(frozen=True)
class Number:
    text: str


class Members(dict):
    """An object; `twice` are the names that stand twice."""

    twice = frozenset()


def parse(data):
    """JSON, with numbers as they are written."""

    def pairs(items):
        members = Members(items)
        names = [name for name, _ in items]
        members.twice = frozenset(name for name in names if names.count(name) > 1)
        return members

    def refuse(text):
        raise Misfit(text)

    try:
        value = json.loads(
            data, object_pairs_hook=pairs, parse_int=Number, parse_float=Number, parse_constant=refuse
        )
        json.dumps(value, default=str, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Misfit(str(error)) from None
    return value


def normal_form(data):
    return _normal(parse(data), DEPTH_MAX)


def _normal(value, depth):
    if isinstance(value, (dict, list)) and depth == 0:
        raise Misfit("too deep")
    if isinstance(value, Members):
        if value.twice:
            raise Misfit("a member stands twice")
        names = sorted(value, key=str.encode)
        return "{" + ",".join(f"{_text(n)}:{_normal(value[n], depth - 1)}" for n in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_normal(it, depth - 1) for it in value) + "]"
    if isinstance(value, Number):
        return _normal_number(value.text)
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(value):
    return json.dumps(value, ensure_ascii=False)


def _normal_number(text):
    sign, text = ("-", text[1:]) if text.startswith("-") else ("", text)
    digits, _, exponent = re.sub("[E]", "e", text).partition("e")
    whole, _, part = digits.partition(".")
    exponent = int(exponent or 0)
    if not -(2**63) <= exponent < 2**63:
        raise Misfit("the exponent is too large")
    significant = (whole + part).lstrip("0")
    if not significant.rstrip("0"):
        return "0"
    zeros = len(significant) - len(significant.rstrip("0"))
    return f"{sign}{significant.rstrip('0')}e{exponent - len(part) + zeros}"


def _hashed(context, parts):
    hasher = blake3(derive_key_context=context)
    for part in parts:
        hasher.update(len(part.encode()).to_bytes(8, "little") + part.encode())
    return hasher.digest()


def identity(tenant, source, event_id):
    return _hashed(IDENTITY_CONTEXT, [tenant, source, event_id])[:16]


def body_digest(event):
    time = str(event.time) if event.HasField("time") else ""
    parts = [event.type, event.schema, event.subject, time, normal_form(event.data)]
    return _hashed(BODY_CONTEXT, parts)[:8]


def mac_key(deployment_key):
    return blake3(deployment_key, derive_key_context=MAC_CONTEXT).digest()


def read(data):
    """The record; None when it is unreadable."""
    try:
        record = log_pb2.UsageRecord.FromString(data)
    except DecodeError:
        return None
    body = record.WhichOneof("body")
    times = [record.received_at, record.forwarded.received_at, record.event.time]
    if body in (None, "raw") or not all(0 <= time <= LAST for time in times):
        return None
    if body == "correction" and record.correction.WhichOneof("what") is None:
        return None
    return record


def is_authentic(data, key):
    if key is None:
        return True
    if len(data) < 34 or data[-34:-32] != b"\x3a\x20":
        return False
    return blake3(data[:-34], key=key).digest() == data[-32:]


def quantity(text):
    """A number as an exact decimal."""
    if len(text) > 64:
        raise Misfit("is too long")
    try:
        with localcontext(EXACT):
            value = Decimal(text)
            units = value.scaleb(12)
            fits = units == units.to_integral_value() and abs(units) < 2**127
    except InvalidOperation:
        fits = False
    if not fits:
        raise Misfit("is no quantity")
    return value


def shortest(value):
    with localcontext(EXACT):
        text = format(value.normalize(), "f")
    return "0" if Decimal(text) == 0 else text


def find(value, path):
    """What stands at a path: (there, value)."""
    for match in STEP.finditer(path[1:]):
        name = next((it for it in match.groups()[:3] if it is not None), None)
        if name is not None:
            if not isinstance(value, Members) or name not in value:
                return False, None
            value = value[name]
        else:
            index = int(match[4])
            if not isinstance(value, list) or index >= len(value):
                return False, None
            value = value[index]
    return True, value


def _is_equal(value, scalar):
    kind = scalar.WhichOneof("value")
    if kind == "text":
        return isinstance(value, str) and value == scalar.text
    if kind == "truth":
        return isinstance(value, bool) and value == scalar.truth
    return isinstance(value, Number) and _compared(value, scalar.number, lambda a, b: a == b)


def _compared(value, bound, holds):
    try:
        return isinstance(value, Number) and holds(quantity(value.text), quantity(bound))
    except Misfit:
        return False


def holds(test, data):
    there, value = find(data, test.path)
    kind = test.WhichOneof("test")
    if kind == "exists":
        return there == test.exists
    if not there:
        return False
    if kind == "one_of":
        return any(_is_equal(value, it) for it in test.one_of.values)
    if kind == "none_of":
        scalar = isinstance(value, (str, bool, Number))
        return scalar and not any(_is_equal(value, it) for it in test.none_of.values)
    compare = {
        "less": lambda a, b: a < b,
        "at_most": lambda a, b: a <= b,
        "greater": lambda a, b: a > b,
        "at_least": lambda a, b: a >= b,
    }
    return _compared(value, getattr(test, kind), compare[kind])


def measure(meter, data):
    """(value, groups) of what a meter counts; None when it passes over the event."""
    rules = meter.rules
    if not all(holds(test, data) for test in rules.filters):
        return None
    value = Decimal(1)
    if rules.aggregation != definition_pb2.AGGREGATION_COUNT:
        there, found = find(data, rules.value)
        unique = rules.aggregation == definition_pb2.AGGREGATION_UNIQUE_COUNT
        if not there or not isinstance(found, (Number, str, bool) if unique else Number):
            raise Misfit(rules.value)
        value = quantity(found.text) if isinstance(found, Number) else found
    return value, tuple(_group(find(data, it.path)[1]) for it in rules.group_by)


def _group(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Number):
        return shortest(quantity(value.text))
    if not isinstance(value, str) or len(value.encode()) > 256:
        raise Misfit("cannot be grouped by")
    return value


@dataclass
class Partition:
    """Judges the records of a partition as its seals say."""

    number: int
    partitions: int
    key: bytes = None
    tenants: dict = field(default_factory=dict)
    meters: dict = field(default_factory=dict)
    taken: dict = field(default_factory=dict)

    def adopt(self, adopted):
        """Takes over what a seal names. What is wrong with it; None when nothing is."""
        kind = adopted.WhichOneof("what")
        if kind is None or blake3(getattr(adopted, kind)).digest() != adopted.content:
            return "takes over what is not whole"
        if kind == "tenant":
            tenant = log_pb2.AdoptedTenant.FromString(adopted.tenant)
            self.tenants[tenant.tenant] = tenant.provider if tenant.known else None
        else:
            meters = log_pb2.AdoptedMeters.FromString(adopted.meters)
            self.meters[meters.provider] = meters
        return None

    def fate(self, data):
        """The next record's fate, and what it adds: (tenant, meter, time, value, groups)."""
        record = read(data)
        if record is None:
            return INVALID, []
        body = record.WhichOneof("body")
        sent_on = record.HasField("forwarded")
        if (sent_on or body != "event") and not is_authentic(data, self.key):
            return INVALID, []
        if body == "refused":
            return INVALID, []
        event = record.event if body == "event" else record.correction
        event_id = event.id if body == "event" else event.event
        if body == "event" and not (TENANT.fullmatch(event.tenant) and event_id and event.source):
            return INVALID, []
        if commands.partition_of(f"{event.tenant}/{event_id}", self.partitions) != self.number:
            return (INVALID if sent_on else FORWARDED), []
        if body == "correction":
            raise NotImplementedError("corrections are not followed by this program")
        return self._event(record, event, sent_on)

    def _event(self, record, event, sent_on):
        try:
            digest = body_digest(event)
        except Misfit:
            return INVALID, []
        name = identity(event.tenant, event.source, event.id)
        first = self.taken.get(name)
        if first and record.received_at - first[1] <= WINDOW:
            return (DUPLICATE if first[0] == digest else CONFLICTING), []
        received = record.forwarded.received_at if sent_on else record.received_at
        fate, added = self._judge(event, received)
        if fate in (COUNTED, LATE, UNMATCHED):
            self.taken[name] = (digest, record.received_at)
        return fate, added

    def _judge(self, event, received):
        time = event.time if event.HasField("time") else received
        meters = self.meters.get(self.tenants.get(event.tenant))
        terms = meters.terms if meters else log_pb2.UsageTerms(
            ahead_s_max=3600, behind_s_max=3_024_000, lateness_s=3600
        )
        if time - received > terms.ahead_s_max * 10**6:
            return INVALID, []
        if received - time > terms.behind_s_max * 10**6:
            return INVALID, []
        if meters is None:
            return UNMATCHED, []
        data = parse(event.data)
        added, unusable = [], False
        for meter in meters.meters:
            if meter.rules.event_type != event.type:
                continue
            try:
                measured = measure(meter, data)
            except Misfit:
                unusable = True
                continue
            if measured:
                added.append((event.tenant, meter, time, *measured))
        if added:
            return (LATE if received - time > terms.lateness_s * 10**6 else COUNTED), added
        return (INVALID if unusable else UNMATCHED), []


class Root:
    """Over hash and fate of each record of a range."""

    def __init__(self):
        self.hasher = blake3(derive_key_context=ROOT_CONTEXT)

    def add(self, data, fate):
        self.hasher.update(blake3(data).digest() + bytes([fate]))

    def digest(self):
        return self.hasher.digest()
