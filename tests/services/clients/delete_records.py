"""Deletes records of a topic, as its retention would.

delete_records.py TOPIC OFFSET...: of each partition everything below its offset.
"""

import os
import sys

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

topic, offsets = sys.argv[1], [int(word) for word in sys.argv[2:]]
admin = AdminClient({"bootstrap.servers": os.environ["BOOTSTRAP"]})
below = [TopicPartition(topic, partition, offset) for partition, offset in enumerate(offsets)]
for partition, done in admin.delete_records(below, request_timeout=30).items():
    print(partition.partition, done.result().low_watermark)
