"""Reads the audit topic to its present end and checks it by docs/reference/audit-topic.md.

    audit_consumer.py BOOTSTRAP TOPIC

Prints one line of JSON: entries and repetitions by tenant. Ends with 1, and says what is
wrong, at the first record that does not fit.
"""

import hashlib
import json
import sys
from dataclasses import dataclass, field

from kafka import KafkaConsumer, TopicPartition

ZEROS = "0" * 64
WAIT_MS_MAX = 20_000


class Alarm(Exception):
    """The topic does not hold what was decided."""


@dataclass
class Tenant:
    """What is remembered of a tenant: the hash of each entry, in order."""

    leaves: list = field(default_factory=list)
    repeated: int = 0


def text(record, name):
    found = [value for it, value in record.headers if it == name]
    if len(found) != 1:
        raise Alarm(f"{len(found)} headers {name}")
    return found[0].decode()


def take(tenants, record):
    name, seq = text(record, "tenant"), int(text(record, "seq"))
    leaf, prev = text(record, "leaf"), text(record, "prev")
    if (record.key or b"").decode() != name:
        raise Alarm(f"the key is {record.key!r} and the tenant {name}")
    if hashlib.sha256(record.value).hexdigest() != leaf:
        raise Alarm(f"entry {seq} of {name} was changed")
    entry = json.loads(record.value)
    if (entry["tenant"], entry["seq"], entry["prev"]) != (name, seq, prev):
        raise Alarm(f"entry {seq} of {name} has other headers")
    tenant = tenants.setdefault(name, Tenant())
    if 1 <= seq <= len(tenant.leaves):
        if tenant.leaves[seq - 1] != leaf:
            raise Alarm(f"entry {seq} of {name} came again and is another one")
        tenant.repeated += 1
        return
    if seq != len(tenant.leaves) + 1:
        raise Alarm(f"entry {seq} of {name} came after entry {len(tenant.leaves)}")
    if prev != (tenant.leaves[-1] if tenant.leaves else ZEROS):
        raise Alarm(f"entry {seq} of {name} does not follow the one before")
    tenant.leaves.append(leaf)


def consume(bootstrap, topic):
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        consumer_timeout_ms=WAIT_MS_MAX,
    )
    numbers = consumer.partitions_for_topic(topic)
    partitions = [TopicPartition(topic, number) for number in sorted(numbers or ())]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    ends = consumer.end_offsets(partitions)
    left = {it for it in partitions if ends[it] > 0}
    tenants = {}
    while left:
        record = next(consumer)
        try:
            take(tenants, record)
        except Alarm as alarm:
            raise Alarm(f"partition {record.partition}, offset {record.offset}: {alarm}") from None
        place = TopicPartition(topic, record.partition)
        if record.offset + 1 >= ends[place]:
            left.discard(place)
    consumer.close()
    return tenants


def main():
    bootstrap, topic = sys.argv[1:]
    try:
        tenants = consume(bootstrap, topic)
    except Alarm as alarm:
        print(f"alarm: {alarm}", file=sys.stderr)
        return 1
    except StopIteration:
        print(f"alarm: nothing came within {WAIT_MS_MAX} ms", file=sys.stderr)
        return 1
    counts = {name: [len(it.leaves), it.repeated] for name, it in sorted(tenants.items())}
    print(json.dumps(counts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
