"""Records, the fold, and the chains of audit entries (sections 3, 4 and 8 of the page)."""

import hashlib
import json
from dataclasses import dataclass

from blake3 import blake3
from google.protobuf.message import DecodeError

import protos

journal_pb2 = protos.load("exchequer.journal.v1.journal_pb2")
log_pb2 = protos.load("exchequer.usage.v1.log_pb2")

ZERO = bytes(32)
ACCEPTED, IGNORABLE, BREAK = "accepted", "ignorable", "break"


def read(partition, data):
    """The claim or commit in a record's bytes; None when it is unreadable."""
    try:
        record = journal_pb2.Record.FromString(data)
    except DecodeError:
        return None
    if record.partition != partition:
        return None
    kind = record.WhichOneof("body")
    if kind is None:
        return None
    body = getattr(record, kind)
    if len(body.owner) != 16:
        return None
    if kind == "commit":
        lengths = len(body.prev) == 32 and len(body.claim) in (0, 32)
        if not lengths or len(body.inputs) != len(body.outcomes):
            return None
    return body


def is_claim(body):
    return isinstance(body, (journal_pb2.Claim, log_pb2.SealClaim))


@dataclass
class Head:
    """What the fold remembers."""

    offset: int = 0
    seq: int = 0
    hash: bytes = ZERO
    commit_offset: int = 0
    epoch: int = 0
    owner: bytes = None
    claim: bytes = None
    fresh: bool = False
    broken: bool = False

    def fold(self, body, digest):
        """Judges the next record: its result, and the reason when it is not accepted."""
        result, reason = self._judge(body, digest)
        if result == ACCEPTED and is_claim(body):
            self.epoch, self.owner, self.claim = body.epoch, body.owner, digest
            self.fresh, self.broken = True, False
        elif result == ACCEPTED:
            self.seq, self.hash, self.commit_offset = body.seq, digest, self.offset
            self.fresh = False
        elif result == BREAK:
            self.broken = self.claim is not None
        self.offset += 1
        return result, reason

    def _judge(self, body, digest):
        if body is None:
            return (IGNORABLE, "after_break") if self.broken else (BREAK, "unreadable")
        if is_claim(body):
            return self._judge_claim(body.epoch)
        return self._judge_commit(body, digest)

    def _judge_claim(self, epoch):
        if epoch == self.epoch + 1:
            return ACCEPTED, None
        if epoch <= self.epoch:
            return IGNORABLE, "losing_claim"
        return (IGNORABLE, "after_break") if self.broken else (BREAK, "unclaimed_epoch")

    def _judge_commit(self, commit, digest):
        if commit.epoch < self.epoch:
            return IGNORABLE, "older_epoch"
        if self.claim is None:
            return BREAK, "unclaimed_epoch"
        if self.broken:
            return IGNORABLE, "after_break"
        if commit.epoch > self.epoch:
            return BREAK, "unclaimed_epoch"
        if commit.owner != self.owner:
            return BREAK, "foreign_owner"
        if digest == self.hash:
            return IGNORABLE, "repetition"
        if commit.seq != self.seq + 1:
            return BREAK, "seq"
        if commit.prev != self.hash:
            return BREAK, "prev"
        if commit.claim != (self.claim if self.fresh else b""):
            return BREAK, "claim_hash"
        return ACCEPTED, None


def record_hash(data):
    return blake3(data).digest()


class AuditChains:
    """The end of each tenant's chain of audit entries."""

    def __init__(self):
        self.ends = {}
        self.entries = 0

    def follow(self, partition, tenant, seq, leaf):
        """What is wrong with the tenant's next entry; None when nothing is."""
        at = f"audit entry {seq} of {tenant}"
        place, last, prev = self.ends.get(tenant, (partition, 0, ZERO))
        try:
            entry = json.loads(leaf)
            stated = (entry["tenant"], entry["seq"], entry["prev"])
        except (ValueError, TypeError, KeyError):
            return f"{at} is no entry"
        if place != partition:
            return f"{at} is on another partition than the one before"
        if seq != last + 1 or stated[:2] != (tenant, seq):
            return f"{at} does not follow entry {last}"
        if stated[2] != prev.hex():
            return f"{at} does not name the hash of the one before"
        self.ends[tenant] = (partition, seq, hashlib.sha256(leaf).digest())
        self.entries += 1
        return None
