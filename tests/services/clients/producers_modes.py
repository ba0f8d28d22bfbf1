"""Writes the 200 events of the guide in the mode in which it does not: in binary mode with
confluent-kafka, in structured mode with kafka-python. Then one record that is no event."""

import json
import os

from confluent_kafka import Producer
from kafka import KafkaProducer

ATTRIBUTES = {
    "specversion": "1.0",
    "source": "/inference/eu-1",
    "type": "tokens.used",
    "tenant": "acme",
    "subject": "user-17",
}
DATA = {"model": "large", "tokens": 2}
IDS = [f"req-{number}" for number in range(200)]
STRUCTURED = [("content-type", b"application/cloudevents+json")]

confluent = Producer({
    "bootstrap.servers": os.environ["BOOTSTRAP"],
    "enable.idempotence": True,
    "partitioner": "murmur2_random",
})
for event_id in IDS:
    named = {f"ce_{name}": value for name, value in {**ATTRIBUTES, "id": event_id}.items()}
    headers = {"content-type": "application/json", **named}
    confluent.produce("usage", key=f"acme/{event_id}", value=json.dumps(DATA), headers=headers)
if confluent.flush(30):
    raise SystemExit("not delivered")

python = KafkaProducer(
    bootstrap_servers=os.environ["BOOTSTRAP"], acks="all", enable_idempotence=True
)
sent = []
for event_id in IDS:
    event = json.dumps({**ATTRIBUTES, "id": event_id, "data": DATA}).encode()
    key = f"acme/{event_id}".encode()
    sent.append(python.send("usage", key=key, value=event, headers=STRUCTURED))
sent.append(python.send("usage", key=b"nothing", value=b"{", headers=STRUCTURED))
for record in sent:
    record.get(timeout=30)
python.close()
