"""Figures that were corrected, backfilled and matched afterwards: the server's own, its
offline verifier's, and those that this program computes by the page, are the same."""

import json
import subprocess
import time
import urllib.request
from datetime import datetime, timedelta, timezone

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

import protos
import server as servers
import usage_verifier
from server import Server

meters_pb2 = protos.load("exchequer.usage.v1.meters_pb2")
usage_pb2 = protos.load("exchequer.usage.v1.usage_pb2")
definition_pb2 = protos.load("exchequer.usage.v1.definition_pb2")
_meters_grpc = protos.load("exchequer.usage.v1.meters_pb2_grpc")
_usage_grpc = protos.load("exchequer.usage.v1.usage_pb2_grpc")

TENANT = "acme"
SECONDS_MAX = 60
AGGREGATIONS = ["COUNT", "SUM", "MIN", "MAX", "AVERAGE", "LAST", "UNIQUE_COUNT"]
MODELS = ["small", "large"]


def rules(name, kind="tokens.used"):
    group = definition_pb2.MeterGroupBy(name="model", path="$.model")
    value = "" if name == "COUNT" else "$.tokens"
    aggregation = definition_pb2.Aggregation.Value(f"AGGREGATION_{name}")
    return definition_pb2.MeterRules(
        event_type=kind, aggregation=aggregation, value=value, group_by=[group], unit="tokens"
    )


def key(name):
    return name.lower().replace("_", "-")


def event(id, tokens, model="small", kind="tokens.used", minutes=0):
    at = datetime.now(timezone.utc) - timedelta(minutes=minutes)
    attributes = {"specversion": "1.0", "source": "/py", "type": kind, "tenant": TENANT}
    data = {"tokens": tokens, "model": model}
    return {**attributes, "id": id, "time": at.isoformat(), "subject": "user-1", "data": data}


def send(server, events):
    headers = {
        "content-type": "application/cloudevents-batch+json",
        "authorization": f"Bearer {server.token}",
    }
    url = f"http://{server.address}/v1/events"
    body = json.dumps(events).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as reply:
        verdicts = json.load(reply)["verdicts"]
        assert all(it["status"] == "ACCEPTED" for it in verdicts), verdicts
        return reply.headers["x-exchequer-usage-consistency"]


def until(what):
    deadline = time.monotonic() + SECONDS_MAX
    while not what():
        assert time.monotonic() < deadline
    return True


class Client:
    def __init__(self, server):
        self.server = server
        self.meters = _meters_grpc.MeterServiceStub(server.channel)
        self.corrections = _meters_grpc.CorrectionServiceStub(server.channel)
        self.usage = _usage_grpc.UsageServiceStub(server.channel)

    def create(self, key, rules):
        request = meters_pb2.CreateMeterRequest(tenant="platform", key=key, rules=rules)
        return self.server.call(self.meters, "CreateMeter", request)

    def void(self, event):
        request = meters_pb2.VoidEventRequest(
            tenant=TENANT, source="/py", event=event, reason="wrong"
        )
        return self.server.call(self.corrections, "VoidEvent", request)

    def amend(self, event, tokens):
        data = json.dumps({"tokens": tokens, "model": "small"})
        request = meters_pb2.AmendEventRequest(
            tenant=TENANT, source="/py", event=event, data=data, reason="wrong"
        )
        return self.server.call(self.corrections, "AmendEvent", request)

    def figures(self, meter):
        now = int(time.time()) // 3600 * 3600
        request = usage_pb2.QueryUsageRequest(
            tenant=TENANT,
            meter=meter,
            to=Timestamp(seconds=now + 7200),
            grain=usage_pb2.USAGE_GRAIN_WHOLE,
            group_by=["model"],
        )
        getattr(request, "from").seconds = now - 86400
        windows = self.server.call(self.usage, "QueryUsage", request).windows
        figures = windows[0].figures if windows else []
        return {it.values[0]: it.quantity for it in figures}

    def backfills(self):
        request = meters_pb2.ListMeterBackfillsRequest(tenant="platform")
        return self.server.call(self.meters, "ListMeterBackfills", request).backfills


def verified(data, meter):
    """Groups of a meter, by this program and by the server's."""
    report = usage_verifier.verify(data, (TENANT, meter, 0, usage_verifier.usage.LAST))
    assert report["bad"] is None, report["bad"]
    own = report["figure"].get("1", {}).get("groups", {})
    own = {name: figure for name, figure in own.items() if figure not in (None, "0")}
    day = datetime.now(timezone.utc)
    period = f"{day - timedelta(days=2):%Y-%m-%dT00:00:00Z}/{day + timedelta(days=2):%Y-%m-%dT00:00:00Z}"
    command = [servers.program(), "verify", "usage", "--data", str(data), "--json"]
    command += ["--tenant", TENANT, "--meter", meter, "--period", period]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX)
    assert done.returncode == 0, done.stdout + done.stderr
    versions = json.loads(done.stdout)["figure"]["versions"]
    theirs = {it["group"][0]: it["figure"] for it in versions[0]["groups"]} if versions else {}
    theirs = {name: figure for name, figure in theirs.items() if figure not in (None, "0")}
    assert own == theirs, meter
    return own


# REQ: USE-08, USE-16, KER-12
def test_corrected_figures_are_the_same_by_three_ways(tmp_path):
    data = tmp_path / "data"
    with Server(data) as server:
        server.create_tenant(id=TENANT, name=TENANT)
        client = Client(server)
        for name in AGGREGATIONS:
            client.create(key(name), rules(name))
        events = [event(f"e-{n}", n + 0.5, MODELS[n % 2], minutes=n) for n in range(40)]
        send(server, events + events[:10])
        send(server, [event(f"o-{n}", n, kind="other") for n in range(5)])
        with pytest.raises(grpc.RpcError) as refused:
            client.void("nobody")
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND
        for correction in ("e-0", "e-39", "e-20"):
            client.void(correction)
        client.amend("e-1", 100)
        client.amend("e-1", 7)
        # What no meter has counted finds one, and another is counted afterwards.
        client.create("other", rules("SUM", "other"))
        client.create("again", rules("SUM"))
        since = Timestamp(seconds=int(time.time()) - 86400)
        request = meters_pb2.BackfillMeterRequest(tenant="platform", key="again", **{"from": since})
        server.call(client.meters, "BackfillMeter", request)
        done = meters_pb2.METER_BACKFILL_STATE_DONE
        # A partition counts from when it has begun.
        until(lambda: [it.state for it in client.backfills() if it.records_total >= 40] == [done])
        told = client.backfills()[0]
        assert told.records_done == told.records_total and told.HasField("ended_at")
        assert until(lambda: client.figures("other") == {"small": "10"})
        client.void("e-5")
        names = [key(name) for name in AGGREGATIONS] + ["other", "again"]
        assert until(lambda: client.figures("count") == {"small": "19", "large": "17"})
        assert until(lambda: client.figures("again") == client.figures("sum"))
        assert until(lambda: all(client.figures(it) == verified(data, it) for it in names))
