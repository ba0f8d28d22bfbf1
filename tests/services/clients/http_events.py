"""Sends events of use by HTTP, in one batch: http_events.py ADDRESS TOKEN FIRST END."""

import json
import sys
import urllib.request

address, token, first, end = sys.argv[1:]
events = [
    {
        "specversion": "1.0",
        "id": f"req-{number}",
        "source": "/inference/eu-1",
        "type": "tokens.used",
        "tenant": "acme",
        "subject": "user-17",
        "data": {"model": "large", "tokens": 2},
    }
    for number in range(int(first), int(end))
]
request = urllib.request.Request(
    f"http://{address}/v1/events",
    data=json.dumps(events).encode(),
    headers={
        "authorization": f"Bearer {token}",
        "content-type": "application/cloudevents-batch+json",
    },
)
with urllib.request.urlopen(request, timeout=60) as response:
    print(response.status)
