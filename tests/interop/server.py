"""The server's program, as a process. Its output is read all the time; every wait ends."""

import json
import os
import queue
import re
import subprocess
import threading
import time

import grpc

import protos

BINARY_VARIABLE = "EXCHEQUER_BIN"
READY_SECONDS_MAX = 60
CALL_SECONDS_MAX = 30
ADDRESS = re.compile(r"\s*address\s+(\S+:[0-9]+)\s*$")
TOKEN = re.compile(r"\s*token\s+(exq_svc_[0-9A-Za-z]+)\s*$")
# The greeting's last call.
END = re.compile(r"\s*curl http://\S+/readyz\s*$")

tenants = protos.load("exchequer.tenants.v1.tenants_pb2")
audit = protos.load("exchequer.audit.v1.audit_pb2")
_tenants_grpc = protos.load("exchequer.tenants.v1.tenants_pb2_grpc")
_audit_grpc = protos.load("exchequer.audit.v1.audit_pb2_grpc")


def program():
    named = os.environ.get(BINARY_VARIABLE)
    if not named:
        raise RuntimeError(f"{BINARY_VARIABLE} must name the server's program")
    return named


class Server:
    """A server that is ready. Killed at the end of the block."""

    # What the first start on a folder has shown, this once, by folder.
    _tokens = {}

    def __init__(self, data, **settings):
        environment = {**os.environ, **settings}
        command = [program(), "run", "--data", str(data), "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.channel = None
        self.address = None
        self.output = []
        self._data = str(data)
        self._addresses = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            self._connect()
        except BaseException:
            self.kill()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    @property
    def token(self):
        """The owner's, of the first start on the folder."""
        return self._tokens[self._data]

    def call(self, stub, method, request):
        """The reply, after the server has found it durable."""
        metadata = [("authorization", f"Bearer {self.token}")]
        unary = getattr(stub, method)
        return unary(request, timeout=CALL_SECONDS_MAX, metadata=metadata)

    def create_tenant(self, **fields):
        request = tenants.CreateTenantRequest(**fields)
        return self.call(self.tenants, "CreateTenant", request)

    def rename_tenant(self, **fields):
        request = tenants.RenameTenantRequest(**fields)
        return self.call(self.tenants, "RenameTenant", request)

    def append(self, **fields):
        request = audit.AppendEntryRequest(**fields)
        return self.call(self.audit, "AppendEntry", request)

    def append_batch(self, **fields):
        request = audit.BatchAppendEntriesRequest(**fields)
        return self.call(self.audit, "BatchAppendEntries", request)

    def entries(self, tenant):
        """All audit entries of a tenant, newest first, page by page."""
        request, found = audit.ListEntriesRequest(tenant=tenant, page_size=50), []
        while True:
            page = self.call(self.audit, "ListEntries", request)
            found.extend(page.entries)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    def wait_for_entries(self, tenant, count):
        """The tenant's entries, once the view has folded so many."""
        deadline = time.monotonic() + CALL_SECONDS_MAX
        while True:
            found = self.entries(tenant)
            if len(found) >= count:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} of {count} entries of {tenant} are listed")

    def kill(self):
        """SIGKILL: no last word, no flush."""
        if self.channel is not None:
            self.channel.close()
        self.process.kill()
        self.process.wait(timeout=READY_SECONDS_MAX)
        self._reader.join(timeout=READY_SECONDS_MAX)
        self.process.stdout.close()

    def _connect(self):
        try:
            address = self._addresses.get(timeout=READY_SECONDS_MAX)
        except queue.Empty:
            address = None
        if address is None:
            raise RuntimeError("the server is not ready; it says:\n" + "".join(self.output))
        self.address = address
        self.channel = grpc.insecure_channel(address)
        grpc.channel_ready_future(self.channel).result(timeout=READY_SECONDS_MAX)
        self.tenants = _tenants_grpc.TenantServiceStub(self.channel)
        self.audit = _audit_grpc.AuditServiceStub(self.channel)

    def _read(self):
        address = None
        for line in self.process.stdout:
            self.output.append(line)
            if found := ADDRESS.match(line):
                address = found[1]
            elif found := TOKEN.match(line):
                self._tokens[self._data] = found[1]
            elif END.match(line):
                self._addresses.put(address)
        # The end of the output: whoever waits for the address need not wait any longer.
        self._addresses.put(None)


def verify(data, *options):
    """Exit code and report of the server's own verifier."""
    command = [program(), "verify", "journal", "--data", str(data), "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=READY_SECONDS_MAX)
    if done.returncode not in (0, 1) or not done.stdout:
        raise RuntimeError(done.stderr)
    return done.returncode, json.loads(done.stdout)
