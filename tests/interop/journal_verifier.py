"""Verifies an embedded journal, by docs/reference/journal-format.md and the protos alone.

    python journal_verifier.py DIR [--json]

DIR is a data folder or a backup's. Exit code 0: nothing is wrong. 1: something is, and file
and byte of the first bad record are printed. 2: there is no journal to verify.
"""

import argparse
import json
import sys

import chain
import files


def verify(data):
    """The report on a journal, as it is printed with --json."""
    report = {"partitions": [], "audit": None, "torn_bytes": 0, "bad": None}
    try:
        journal = files.Journal(data)
    except files.Damage as damage:
        report["bad"] = _bad(damage.file, damage.byte, damage.reason)
        return report
    heads = [chain.Head() for _ in range(journal.partitions)]
    counts = [{"commits": 0, "ignored": {}, "breaks": 0} for _ in heads]
    audit = chain.AuditChains()
    bad = []
    try:
        for record in journal.records():
            reason = _judge(record, heads[record.partition], counts[record.partition], audit)
            if reason:
                place = (record.partition, record.offset)
                bad.append(_bad(record.file, record.byte, reason, *place))
    except files.Damage as damage:
        bad.append(_bad(damage.file, damage.byte, damage.reason))
    for partition, (head, count) in enumerate(zip(heads, counts)):
        facts = {"records": head.offset, "seq": head.seq, "head": head.hash.hex()}
        report["partitions"].append(
            {"partition": partition, "epoch": head.epoch, **facts, **count}
        )
    report["audit"] = {"tenants": len(audit.ends), "entries": audit.entries}
    report["torn_bytes"] = journal.torn.bytes if journal.torn else 0
    report["bad"] = bad[0] if bad else None
    return report


def _judge(record, head, count, audit):
    """Folds a record. What is wrong with it; None when nothing is."""
    body = chain.read(record.partition, record.data)
    result, reason = head.fold(body, chain.record_hash(record.data))
    if result == chain.BREAK:
        count["breaks"] += 1
        return f"break: {reason}"
    if result == chain.IGNORABLE:
        count["ignored"][reason] = count["ignored"].get(reason, 0) + 1
        return None
    if chain.is_claim(body):
        return None
    count["commits"] += 1
    for entry in body.audit:
        fault = audit.follow(record.partition, entry.tenant, entry.seq, entry.leaf)
        if fault:
            return fault
    return None


def _bad(file, byte, reason, partition=None, offset=None):
    where = {"file": str(file), "byte": byte, "partition": partition, "offset": offset}
    return {**where, "reason": reason}


def show(report):
    print("partition     records     commits         seq  epoch  head")
    for it in report["partitions"]:
        counts = f"{it['partition']:>9} {it['records']:>11} {it['commits']:>11}"
        print(f"{counts} {it['seq']:>11} {it['epoch']:>6}  {it['head']}")
        for reason, count in it["ignored"].items():
            print(f"          {count} ignored: {reason}")
        if it["breaks"]:
            print(f"          {it['breaks']} breaks")
    if report["audit"]:
        print("{entries} audit entries of {tenants} tenants".format(**report["audit"]))
    if report["torn_bytes"]:
        print(f"{report['torn_bytes']} bytes at the end are a torn tail")
    bad = report["bad"]
    if bad is None:
        print("nothing is wrong")
        return
    place = ""
    if bad["partition"] is not None:
        place = f" (partition {bad['partition']}, offset {bad['offset']})"
    print(f"BAD: {bad['file']} at byte {bad['byte']}{place}: {bad['reason']}")


def main():
    parser = argparse.ArgumentParser(description="Verifies an embedded journal.")
    parser.add_argument("data", help="the data folder, or a backup's")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    try:
        report = verify(arguments.data)
    except (files.NoJournal, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        show(report)
    return 1 if report["bad"] else 0


if __name__ == "__main__":
    sys.exit(main())
