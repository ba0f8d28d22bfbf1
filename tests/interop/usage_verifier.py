"""Verifies usage and its seals, by docs/reference/usage-format.md and the protos alone.

    python usage_verifier.py DIR [--tenant T --meter M --start MICROS --end MICROS]

DIR is a data folder or a backup's. Exit code 0: nothing is wrong. 1: something is, and the
first bad seal or record is named. 2: there is no usage to verify.
"""

import argparse
import json
import sys
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path

from google.protobuf.message import DecodeError

import chain
import files
import usage

definition_pb2, log_pb2 = usage.definition_pb2, usage.log_pb2


def read_seal(partition, data):
    """The claim or seal in a record's bytes; None when it is unreadable."""
    try:
        record = log_pb2.SealRecord.FromString(data)
    except DecodeError:
        return None
    kind = record.WhichOneof("body")
    if record.partition != partition or kind is None:
        return None
    body = getattr(record, kind)
    if len(body.owner) != 16:
        return None
    if kind == "seal":
        whole = len(body.prev) == 32 and len(body.claim) in (0, 32) and len(body.root) == 32
        if not whole or _from(body) > body.to or not _revises_rightly(body):
            return None
    return body


def _from(message):
    return getattr(message, "from")


def _revises_rightly(seal):
    if not seal.HasField("revision"):
        return True
    it = seal.revision
    ranges = _from(seal) == seal.to and _from(it) <= it.to <= seal.to
    return ranges and it.WhichOneof("kind") is not None and len(it.root) == 32


def verify(data, asked=None):
    """The report on the usage in `data`; `asked` is (tenant, meter, start, end)."""
    bad, figure = [], {}
    sealed = {"sealed": 0, "unsealed": 0, "fates": {}}
    log, seals_log = files.Journal(data, "usage"), files.Journal(data, "seals")
    key_file = Path(data) / "keys" / "deployment.key"
    key = usage.mac_key(key_file.read_bytes()) if key_file.exists() else None
    heads = [chain.Head() for _ in range(log.partitions)]
    accepted = [[] for _ in heads]
    records = [[] for _ in heads]
    try:
        for record in seals_log.records():
            _fold(record, heads[record.partition], accepted[record.partition], bad)
        for record in log.records():
            records[record.partition].append(record)
    except files.Damage as damage:
        bad.append(_bad(damage.file, damage.byte, damage.reason))
    for number, seals in enumerate(accepted):
        by_offset = {record.offset: record.data for record in records[number]}
        partition = usage.Partition(number, log.partitions, key, by_offset)
        _follow(partition, seals, records[number], sealed, (asked, figure), bad)
    heads = [
        {"partition": number, "seq": head.seq, "head": head.hash.hex()}
        for number, head in enumerate(heads)
    ]
    return {"partitions": heads, **sealed, "figure": shown(figure), "bad": bad[0] if bad else None}


def _fold(record, head, accepted, bad):
    body = read_seal(record.partition, record.data)
    result, reason = head.fold(body, chain.record_hash(record.data))
    if result == chain.BREAK:
        place = (record.partition, record.offset)
        bad.append(_bad(record.file, record.byte, f"break: {reason}", *place))
    elif result == chain.ACCEPTED and not chain.is_claim(body):
        accepted.append((body, record))


def _follow(partition, seals, records, sealed, figure, bad):
    """Judges the records of a partition as its seals say."""
    at, through = 0, 0
    for seal, record in seals:
        reason = _compare(partition, seal, records[at : seal.to], (at, through), sealed, figure)
        if reason:
            where = (record.partition, record.offset)
            bad.append(_bad(record.file, record.byte, f"seal {seal.seq} {reason}", *where))
            break
        at, through = seal.to, seal.through
        partition.sealed(at, through)
    sealed["sealed"] += at
    sealed["unsealed"] += len(records) - at


def _compare(partition, seal, records, expected, sealed, figure):
    """What differs between a seal and its records; None when nothing does."""
    at, through = expected
    if _from(seal) != at:
        return f"begins at record {_from(seal)}, and the one before ends at {at}"
    if seal.through < through:
        return "goes back in time"
    for adopted in seal.adopted:
        reason = partition.adopt(adopted, seal.seq, at, through)
        if reason:
            return reason
    asked, sums = figure
    if seal.HasField("revision"):
        reason, added = partition.revise(seal, through)
        if reason or seal.counts or seal.root != usage.Root().digest():
            return reason or "covers records, and revises others"
        if asked:
            add_up(asked, sums, added)
        return None
    if len(records) != seal.to - at:
        return f"covers records up to {seal.to}, and there are {at + len(records)}"
    root, counts, added = usage.Root(), {}, []
    for record in records:
        fate, adds = partition.fate(record.data, record.offset, len(records) == 1)
        counts[fate] = counts.get(fate, 0) + 1
        root.add(record.data, fate)
        added += adds
    said = [(it.fate, it.count) for it in seal.counts]
    if said != sorted(counts.items()):
        return f"says {said}, and its records come to {sorted(counts.items())}"
    if root.digest() != seal.root:
        return "has another root than its records"
    received = [it.received_at for it in map(usage.read, (it.data for it in records)) if it]
    if max(received, default=0) > seal.through:
        return "says that its records came before they did"
    for fate, count in counts.items():
        name = usage.FATES[fate].lower()
        sealed["fates"][name] = sealed["fates"].get(name, 0) + count
    if asked:
        add_up(asked, sums, added)
    return None


def add_up(asked, sums, added):
    """Adds what belongs to the figure that is asked for, by version, groups and event."""
    for it in added:
        if (it.tenant, it.meter.key) != asked[:2] or not asked[2] <= it.time < asked[3]:
            continue
        kind, by_group = sums.setdefault(it.meter.version, (it.meter.rules.aggregation, {}))
        events = by_group.setdefault(it.groups, {})
        if it.sign > 0:
            events[it.place] = (it.time, it.value)
        elif it.sign < 0:
            events.pop(it.place, None)


def compute(kind, events):
    """The figure of all events: place to time and value. None where none has a value."""
    values = [value for _, value in events.values()]
    name = definition_pb2.Aggregation.Name(kind).removeprefix("AGGREGATION_")
    with localcontext(usage.EXACT):
        if name == "COUNT":
            return Decimal(len(values))
        if name == "UNIQUE_COUNT":
            return Decimal(len({(type(it).__name__, it) for it in values}))
        if name == "SUM":
            return sum(values, Decimal(0))
        if not values:
            return None
        if name == "AVERAGE":
            mean = sum(values, Decimal(0)) / len(values)
            return mean.quantize(Decimal("1e-12"), rounding=ROUND_HALF_UP)
        if name == "LAST":
            return max((time, place, value) for place, (time, value) in events.items())[2]
        return min(values) if name == "MIN" else max(values)


def shown(figure):
    def text(kind, events):
        found = compute(kind, events)
        return None if found is None else usage.shortest(found)

    def whole(groups):
        return {place: it for events in groups.values() for place, it in events.items()}

    return {
        str(version): {
            "figure": text(kind, whole(groups)),
            "groups": {"/".join(names): text(kind, it) for names, it in groups.items()},
        }
        for version, (kind, groups) in figure.items()
    }


def _bad(file, byte, reason, partition=None, offset=None):
    where = {"file": str(file), "byte": byte, "partition": partition, "offset": offset}
    return {**where, "reason": reason}


def main():
    parser = argparse.ArgumentParser(description="Verifies usage and its seals.")
    parser.add_argument("data", help="the data folder, or a backup's")
    parser.add_argument("--tenant")
    parser.add_argument("--meter")
    parser.add_argument("--start", type=int, default=0, help="microseconds")
    parser.add_argument("--end", type=int, default=usage.LAST, help="microseconds, excluded")
    arguments = parser.parse_args()
    asked = (arguments.tenant, arguments.meter, arguments.start, arguments.end)
    try:
        report = verify(arguments.data, asked)
    except (files.NoJournal, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(report, indent=2))
    return 1 if report["bad"] else 0


if __name__ == "__main__":
    sys.exit(main())
