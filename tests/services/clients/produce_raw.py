"""Writes records to a partition: produce_raw.py TOPIC PARTITION HEX [HEX ...]."""

import os
import sys

from confluent_kafka import Producer

topic, partition, *values = sys.argv[1:]
producer = Producer({"bootstrap.servers": os.environ["BOOTSTRAP"], "enable.idempotence": True})
for value in values:
    producer.produce(topic, value=bytes.fromhex(value), partition=int(partition))
if producer.flush(30):
    raise SystemExit("not delivered")
