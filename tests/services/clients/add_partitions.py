"""Adds partitions to a topic, as nobody should.

add_partitions.py TOPIC COUNT: it has so many then.
"""

import os
import sys

from confluent_kafka.admin import AdminClient, NewPartitions

topic, count = sys.argv[1], int(sys.argv[2])
admin = AdminClient({"bootstrap.servers": os.environ["BOOTSTRAP"]})
for name, done in admin.create_partitions([NewPartitions(topic, count)]).items():
    done.result()
    print(name, count)
