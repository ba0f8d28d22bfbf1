"""Records of usage, their fates, and what they add (sections 2 to 7 of the usage page)."""

import json
import re
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal, InvalidOperation, localcontext

from blake3 import blake3
from google.protobuf.message import DecodeError

import commands
import later
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
GROUP_BYTES_MAX = 128
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
    if not isinstance(value, str) or len(value.encode()) > GROUP_BYTES_MAX:
        raise Misfit("cannot be grouped by")
    return value


@dataclass(frozen=True)
class Added:
    """What an event adds to a meter; `sign` is -1 when that is taken back."""

    tenant: str
    meter: object
    time: int
    value: object
    groups: tuple
    place: tuple
    period: tuple = None
    sign: int = 1


@dataclass
class Partition:
    """Judges the records of a partition as its seals say. `log` has them by offset."""

    number: int
    partitions: int
    key: bytes = None
    log: dict = field(default_factory=dict)
    definitions: later.Definitions = field(default_factory=later.Definitions)
    revisions: later.Revisions = field(default_factory=later.Revisions)
    taken: dict = field(default_factory=dict)
    corrections: dict = field(default_factory=dict)
    ends: list = field(default_factory=list)

    def adopt(self, adopted, seal=1, at=0, through=0):
        """Takes over what a seal names. What is wrong with it; None when nothing is."""
        kind = adopted.WhichOneof("what")
        if kind is None or blake3(getattr(adopted, kind)).digest() != adopted.content:
            return "takes over what is not whole"
        if kind == "tenant":
            it = log_pb2.AdoptedTenant.FromString(adopted.tenant)
            self.revisions.begin_tenant(self.definitions, seal, at, through, it)
            self.definitions.adopt_tenant(seal, at, it)
        else:
            it = log_pb2.AdoptedMeters.FromString(adopted.meters)
            self.revisions.begin_meters(self.definitions, seal, at, it)
            self.definitions.adopt_meters(seal, at, it)
        return None

    def fate(self, data, offset=0, is_alone=True):
        """The next record's fate, and what it adds."""
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
            return self._correct(record, offset) if is_alone else (INVALID, [])
        return self._event(record, event, offset)

    def _event(self, record, event, offset):
        try:
            digest = body_digest(event)
        except Misfit:
            return INVALID, []
        name = identity(event.tenant, event.source, event.id)
        first = self.taken.get(name)
        if first and record.received_at - first[1] <= WINDOW:
            return (DUPLICATE if first[0] == digest else CONFLICTING), []
        view = self.definitions.view(event.tenant)
        fate, added = self._judge(view, event, event.data, record, offset)
        if fate in (COUNTED, LATE, UNMATCHED):
            self.taken[name] = (digest, record.received_at, offset)
        if fate == UNMATCHED:
            self.revisions.note_unmatched(event.tenant, offset)
        return fate, added

    def _judge(self, view, event, text, record, offset):
        received = received_of(record)
        time = time_of(event, received)
        tenant, meters = view or (None, None)
        terms = meters.terms if meters else later.DEFAULT_TERMS
        if time - received > terms.ahead_s_max * 10**6:
            return INVALID, []
        if received - time > terms.behind_s_max * 10**6:
            return INVALID, []
        if meters is None:
            return UNMATCHED, []
        schema = next((it for it in meters.schemas if it.type == event.type), None)
        if schema is not None and not keeps_to(schema.schema, text):
            return INVALID, []
        own = [it for it in meters.meters if it.rules.event_type == event.type]
        try:
            data = parse(text) if own else None
        except Misfit:
            return INVALID, []
        added, unusable = [], False
        for meter in own:
            try:
                measured = measure(meter, data)
            except Misfit:
                unusable = True
                continue
            if measured:
                place = (self.number, offset)
                period = tenant.period(time)
                added.append(Added(event.tenant, meter, time, *measured, place, period))
        if added:
            return (LATE if received - time > terms.lateness_s * 10**6 else COUNTED), added
        return (INVALID if unusable else UNMATCHED), []

    def _standing(self, event, text, record, offset, before=later.NEVER):
        """What an event comes to by all that was taken over before the seal `before`."""
        first = None
        for seal, view in self.definitions.views_since(event.tenant, offset):
            if seal >= before:
                break
            fate, added = self._judge(view, event, text, record, offset)
            if fate in (COUNTED, LATE) or (seal == 0 and fate != UNMATCHED):
                return fate, added
            first = first or (fate, added)
        return first or self._judge(None, event, text, record, offset)

    def _stand(self, event, text, record, offset):
        """All that it adds by the seals up to now."""
        before = self.revisions.ahead(("unmatched", event.tenant), offset)
        before = later.NEVER if before is None else before
        fate, added = self._standing(event, text, record, offset, before)
        provider = self.definitions.provider_of(event.tenant)
        for seal, order in list(self.definitions.orders.get(provider, {}).values()):
            # A backfill looks at what came before its version did, and at nothing later.
            to = self.definitions.since.get((provider, order.meter, order.version))
            is_in = to is None or offset < to
            if is_in and not self.revisions.is_backfill_ahead(order.id, offset):
                start = getattr(order, "from")
                until = order.until if order.HasField("until") else None
                what = (order.meter, order.version, start, until, seal)
                added = added + self._backfilled(what, event, text, record, offset)
        return fate, self._in_period(added, event, record, offset)

    def _in_period(self, added, event, record, offset):
        seal = self.revisions.ahead(("periods", event.tenant), offset)
        seal = later.NEVER if seal is None else seal
        time = time_of(event, received_of(record))
        period = self.definitions.period_before(event.tenant, offset, time, seal)
        return [replace(it, period=period) for it in added]

    def _backfilled(self, what, event, text, record, offset):
        meter, version, start, until, seal = what
        fate, added = self._standing(event, text, record, offset)
        time = time_of(event, received_of(record))

        def is_meant(it):
            return (it.meter.key, it.meter.version) == (meter, version)

        is_in_range = start <= time and (until is None or time < until)
        if any(map(is_meant, added)) or not is_in_range or fate == INVALID:
            return []
        view = self.definitions.view(event.tenant, lambda of, _: of <= seal)
        if view is None:
            return []
        return [it for it in self._judge(view, event, text, record, offset)[1] if is_meant(it)]

    def _left(self, name, before):
        """Data that the last correction gave the event: (voided, data or None)."""
        earlier = [at for at in self.corrections.get(name, []) if at < before]
        if not earlier:
            return False, None
        correction = read(self.log[earlier[-1]]).correction
        if correction.WhichOneof("what") == "void":
            return True, None
        return False, correction.amend.data

    def _correct(self, record, offset):
        it = record.correction
        name = identity(it.tenant, it.source, it.event)
        first = self.taken.get(name)
        if not first or record.received_at - first[1] > WINDOW:
            return INVALID, []
        is_void = it.WhichOneof("what") == "void"
        voided, data = self._left(name, offset)
        if voided:
            return (DUPLICATE if is_void else INVALID), []
        if not self.definitions.remembers(it.tenant, first[2]):
            return INVALID, []
        original = read(self.log[first[2]])
        event = original.event
        before = event.data if data is None else data
        was, added = self._stand(event, before, original, first[2])
        added = [replace(one, sign=-1) for one in added]
        if not is_void:
            try:
                normal_form(it.amend.data)
            except Misfit:
                return INVALID, []
            now, more = self._stand(event, it.amend.data, original, first[2])
            if now != was and not {now, was} <= {COUNTED, LATE}:
                return INVALID, []
            added += more
        self.corrections.setdefault(name, []).append(offset)
        return COUNTED, added

    def sealed(self, to, through):
        """A seal covers the records below `to`, and is as late as `through`."""
        self.ends.append((to, through))

    def _reach(self, at):
        """Up to where all was received before `at`."""
        return max((to for to, through in self.ends if through < at), default=0)

    def revise(self, seal, through):
        """What differs between a revision and its records, None when nothing does; and what
        it adds."""
        said, queue = seal.revision, self.revisions.queue
        start = getattr(said, "from")
        kind = later.why(said)
        if not queue or queue[0].why != kind or queue[0].seal != said.begun:
            return "revises otherwise than the seals before it have begun", []
        front = queue[0]
        may_skip = front.received_from is not None or front.next == 0
        if start < front.next or (start > front.next and not may_skip):
            return f"revises from record {start} on, and the one before came to {front.next}", []
        if said.to > max(front.to, start) or said.last != (said.to >= front.to):
            return f"revises up to record {said.to}, of {front.to}", []
        if front.received_from is not None:
            for offset in range(max(front.next, self._reach(front.received_from)), start):
                if offset in self.log and self._revised(front, offset, through):
                    return f"passes over record {offset}, which it is about", []
        root, counted, left, added = Root(), 0, False, []
        for offset in range(start, said.to):
            if offset not in self.log:
                return f"is about record {offset}, which is not there", []
            more = self._revised(front, offset, through)
            counted += bool(more)
            left |= more == [] and kind[0] == "unmatched"
            root.add(self.log[offset], 1 if more else 0)
            added += more or []
        if counted != said.counted:
            return f"says that {said.counted} records count afterwards, and {counted} do", []
        if root.digest() != said.root:
            return "has another root of what counts afterwards", []
        self.revisions.advance(said.to, left)
        return None, added

    def _revised(self, revision, offset, through):
        """What a record adds by a revision; None when it is not one that it is about."""
        record = read(self.log[offset])
        if record is None or record.WhichOneof("body") != "event":
            return None
        event, kind = record.event, revision.why[0]
        if kind == "backfill":
            is_meant = self.definitions.provider_of(event.tenant) == revision.why[1]
        else:
            is_meant = event.tenant == revision.why[1]
        if kind == "periods":
            is_meant = is_meant and time_of(event, received_of(record)) >= revision.why[2]
        if not is_meant or not self.definitions.remembers(event.tenant, offset):
            return None
        name = identity(event.tenant, event.source, event.id)
        if through - record.received_at > WINDOW or self.taken.get(name, (0, 0, -1))[2] != offset:
            return None
        voided, data = self._left(name, later.NEVER)
        if voided:
            return None
        text = event.data if data is None else data
        if kind == "periods":
            return self._moved(revision, event, text, record, offset)
        if kind == "backfill":
            what = (*revision.why[3:], revision.seal)
            added = self._backfilled(what, event, text, record, offset)
        else:
            before = self._standing(event, text, record, offset, revision.seal)[0]
            view = self.definitions.view(event.tenant, lambda of, _: of <= revision.seal)
            added = []
            if before not in (COUNTED, LATE) and view:
                added = self._judge(view, event, text, record, offset)[1]
        return self._in_period(added, event, record, offset)

    def _moved(self, revision, event, text, record, offset):
        added = self._stand(event, text, record, offset)[1]
        time = time_of(event, received_of(record))
        at = (event.tenant, offset, time)
        before = self.definitions.period_before(*at, revision.seal)
        after = self.definitions.period_before(*at, revision.seal + 1)
        if (before and before[0]) == (after and after[0]):
            return []
        # Figures of a stretch of time do not change by it.
        return [replace(it, period=after, sign=0) for it in added]


def received_of(record):
    sent_on = record.HasField("forwarded")
    return record.forwarded.received_at if sent_on else record.received_at


def time_of(event, received):
    return event.time if event.HasField("time") else received


def keeps_to(schema, text):
    """Does the data keep to a JSON Schema?"""
    from jsonschema import Draft202012Validator, validators

    schema = json.loads(schema)
    kind = validators.validator_for(schema, default=Draft202012Validator)
    return kind(schema).is_valid(json.loads(text))


class Root:
    """Over hash and fate of each record of a range."""

    def __init__(self):
        self.hasher = blake3(derive_key_context=ROOT_CONTEXT)

    def add(self, data, fate):
        self.hasher.update(blake3(data).digest() + bytes([fate]))

    def digest(self):
        return self.hasher.digest()
