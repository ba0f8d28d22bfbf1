"""Writes records to `usage` that are wrong in several ways, and two that only stand on
another partition than their own. Prints how many are wrong."""

import json
import os
import time

from kafka import KafkaProducer
from kafka.partitioner.default import murmur2

PARTITIONS = 3
STRUCTURED = [("content-type", b"application/cloudevents+json")]


class NotText(str):
    """A name of a header that is not in UTF-8."""

    def encode(self, *_):
        return b"\xff\xfe"


def event(event_id, **changed):
    whole = {
        "specversion": "1.0",
        "id": event_id,
        "source": "/inference/eu-1",
        "type": "tokens.used",
        "tenant": "acme",
        "subject": "user-17",
        "data": {"model": "large", "tokens": 2},
        **changed,
    }
    return {name: value for name, value in whole.items() if value is not None}


def encoded(value):
    return json.dumps(value).encode()


def binary(whole):
    named = [(f"ce_{name}", it.encode()) for name, it in whole.items() if name != "data"]
    return [("content-type", b"application/json"), *named]


def partition_of(event_id):
    return (murmur2(f"acme/{event_id}".encode()) & 0x7FFFFFFF) % PARTITIONS


producer = KafkaProducer(bootstrap_servers=os.environ["BOOTSTRAP"], acks="all")
sent = []


def send(value, headers, **where):
    sent.append(producer.send("usage", value=value, headers=headers, **where))


for name in ("astray-1", "astray-2"):
    send(encoded(event(name)), STRUCTURED, partition=(partition_of(name) + 1) % PARTITIONS)

long_ago = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 36 * 86_400))
wrong = [
    # Named and known, so that its tenant sees it; these four are mended.
    (encoded(event("forgot-1", type=None)), STRUCTURED),
    (encoded(event("forgot-2", type=None)), STRUCTURED),
    (encoded(event("forgot-3", type=None)), STRUCTURED),
    (encoded(event("forgot-4")["data"]), binary(event("forgot-4", type=None))),
    # Named and known as well.
    (encoded(event("data", data=None))[:-1] + b', "data": nothing}', STRUCTURED),
    # An event, and too old.
    (encoded(event("old", time=long_ago)), STRUCTURED),
    (encoded(event("tenant", tenant="Not A Tenant")), STRUCTURED),
    (b"hello", []),
    (b"{", STRUCTURED),
    (encoded([event("batch")]), [("content-type", b"application/cloudevents-batch+json")]),
    (encoded(event("name")), [(NotText("odd"), b"1"), *STRUCTURED]),
    (None, []),
    (b"\x08\x96\x01", []),
]
for value, headers in wrong:
    send(value, headers, key=b"k")
for record in sent:
    record.get(timeout=30)
producer.close()
print(len(wrong))
