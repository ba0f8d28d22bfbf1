"""Copies the audit topic to another one, as somebody would who wants to change it.

    audit_forge.py BOOTSTRAP FROM TO SHAPE

Of the tenant t-0 the tenth entry is left out (gap), names another one before it (prev), comes
again as another one (other), has a header that is not its own (header) or none (missing); or
every record stands there twice (twice).
"""

import hashlib
import json
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

TENANT, SEQ = "t-0", "10"


def changed(record, **fields):
    """The record with other fields in the entry, and headers that agree with it."""
    entry = {**json.loads(record.value), **fields}
    value = json.dumps(entry).encode()
    headers = dict(record.headers)
    headers["leaf"] = hashlib.sha256(value).hexdigest().encode()
    headers["prev"] = entry["prev"].encode()
    return value, list(headers.items())


def forged(record, shape):
    same = (record.value, record.headers)
    headers = dict(record.headers)
    if shape == "twice":
        return [same, same]
    if (headers["tenant"], headers["seq"]) != (TENANT.encode(), SEQ.encode()):
        return [same]
    other_headers = {**headers, "seq": b"11"}
    del headers["prev"]
    return {
        "gap": [],
        "prev": [changed(record, prev="7" * 64)],
        "other": [same, changed(record, forged=True)],
        "header": [(record.value, list(other_headers.items()))],
        "missing": [(record.value, list(headers.items()))],
    }[shape]


bootstrap, source, target, shape = sys.argv[1:]
consumer = KafkaConsumer(
    bootstrap_servers=bootstrap, enable_auto_commit=False, consumer_timeout_ms=20_000
)
numbers = sorted(consumer.partitions_for_topic(source))
admin = KafkaAdminClient(bootstrap_servers=bootstrap)
admin.create_topics([NewTopic(name=target, num_partitions=len(numbers), replication_factor=1)])
partitions = [TopicPartition(source, number) for number in numbers]
consumer.assign(partitions)
consumer.seek_to_beginning(*partitions)
ends = consumer.end_offsets(partitions)
left = {it for it in partitions if ends[it] > 0}
producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
while left:
    record = next(consumer)
    for value, headers in forged(record, shape):
        producer.send(
            target, key=record.key, value=value, headers=headers, partition=record.partition
        )
    place = TopicPartition(source, record.partition)
    if record.offset + 1 >= ends[place]:
        left.discard(place)
producer.flush(30)
