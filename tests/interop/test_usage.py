"""Events of use, sent by CloudEvents libraries as they are."""

import gzip
import json
import os
import subprocess
import urllib.error
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from server import Server

NODE_MODULES_VARIABLE = "EXCHEQUER_NODE_MODULES"
JS = Path(__file__).parent / "js" / "send.cjs"
SECONDS_MAX = 60
TENANT = "acme"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("data")) as server:
        server.create_tenant(id=TENANT, name=TENANT)
        yield server


def post(server, headers, body):
    """Status and JSON of the reply."""
    headers = {**headers, "authorization": f"Bearer {server.token}"}
    url = f"http://{server.address}/v1/events"
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS_MAX) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def event(id, data, **attributes):
    attributes = {
        "id": id,
        "source": "/python",
        "type": "tokens.used",
        "time": datetime.now(timezone.utc),
        "subject": "user-1",
        "tenant": TENANT,
        **attributes,
    }
    return CloudEvent({name: it for name, it in attributes.items() if it is not None}, data)


def statuses(reply):
    return [it["status"] for it in reply["verdicts"]]


def reason(reply):
    info = next(it for it in reply["details"] if it["@type"].endswith(".ErrorInfo"))
    return info["reason"], info["metadata"].get("field")


# REQ: USE-02
def test_the_python_library_is_understood(server):
    structured = to_structured_event(event("py-structured", {"model": "large", "tokens": 1.5}))
    status, reply = post(server, structured.headers, structured.body)
    assert (status, statuses(reply)) == (200, ["ACCEPTED"]), reply
    binary = to_binary_event(event("py-binary", {"model": "größer", "tokens": 2}, subject="Zoë 1%"))
    headers = {"content-type": "application/json", **binary.headers}
    status, reply = post(server, headers, binary.body)
    assert (status, statuses(reply)) == (200, ["ACCEPTED"]), reply
    # A batch is a list of events in the same JSON.
    events = [to_structured_event(event(f"py-batch-{at}", {"tokens": at})) for at in range(100)]
    body = b"[" + b",".join(it.body for it in events) + b"]"
    headers = {"content-type": "application/cloudevents-batch+json"}
    status, reply = post(server, headers, body)
    assert (status, statuses(reply)) == (200, ["ACCEPTED"] * 100), reply
    packed = {**headers, "content-encoding": "gzip"}
    assert post(server, packed, gzip.compress(body))[1]["accepted"] == 100
    assert [it["id"] for it in reply["verdicts"]] == [f"py-batch-{at}" for at in range(100)]


# REQ: USE-02
def test_what_the_python_library_sends_wrongly_is_named(server):
    cases = [
        (event("1", {"n": 1}, tenant=None), "EVENT_ATTRIBUTE_MISSING", "tenant"),
        (event("2", {"n": 1}, tenant="Acme Ltd"), "EVENT_ATTRIBUTE_INVALID", "tenant"),
        (event("3", {"n": 1}, tenant="ghost"), "TENANT_NOT_FOUND", "tenant"),
        (event("4", {"n": float("nan")}), "EVENT_DATA_INVALID", "data"),
        (event("5", b"\x00\x01", datacontenttype="image/png"), "EVENT_DATA_INVALID", None),
        (event("x" * 300, {"n": 1}), "EVENT_ATTRIBUTE_INVALID", "id"),
        (event("7", {"n": "x" * 70_000}), "EVENT_TOO_LARGE", None),
    ]
    for wrong, code, field in cases:
        message = to_structured_event(wrong)
        status, reply = post(server, message.headers, message.body)
        assert status in (400, 404), reply
        assert reason(reply)[0] == code, reply
        if field:
            assert reason(reply)[1] == field, reply
    good = to_structured_event(event("8", {"n": 1}))
    request = urllib.request.Request(f"http://{server.address}/v1/events", good.body, good.headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=SECONDS_MAX)
    assert refused.value.code == 401


# REQ: USE-02
def test_the_javascript_library_is_understood(server):
    modules = os.environ.get(NODE_MODULES_VARIABLE)
    assert modules, f"{NODE_MODULES_VARIABLE} must name the folder of the library"
    url = f"http://{server.address}/v1/events"
    done = subprocess.run(
        ["node", str(JS), url, server.token, TENANT],
        env={**os.environ, "NODE_PATH": modules},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    assert done.returncode == 0, done.stderr
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    assert [it["status"] for it in replies] == [200] * 4, done.stdout
    ids = [verdict["id"] for it in replies for verdict in it["body"]["verdicts"]]
    expected = ["js-structured", "js-binary", *(f"js-batch-{at}" for at in (1, 2, 3)), "js-emitted"]
    assert ids == expected
    assert all(it["body"]["refused"] == 0 for it in replies)
