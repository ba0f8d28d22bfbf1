"""What a partition has taken over, and what changes after an event has its fate: section 7
of the usage page."""

from dataclasses import dataclass, field

import protos

log_pb2 = protos.load("exchequer.usage.v1.log_pb2")

VERSIONS_MAX = 1024
EARLIER_MAX = 64
UNMATCHED_TENANTS_MAX = 10_000
ANY = ""
NEVER = 2**64 - 1
DEFAULT_TERMS = log_pb2.UsageTerms(ahead_s_max=3600, behind_s_max=3_024_000, lateness_s=3600)


class Versions:
    """What was in force, from which record on, and by which seal."""

    def __init__(self):
        self.kept, self.has_forgotten = [], False

    def push(self, seal, start, it):
        self.kept.append((seal, start, it))
        if len(self.kept) > VERSIONS_MAX:
            self.kept.pop(0)
            self.has_forgotten = True

    def last(self, is_in=lambda seal, start: True):
        found = None
        for seal, start, it in self.kept:
            if not is_in(seal, start):
                break
            found = it
        return found

    def remembers(self, offset):
        return not self.has_forgotten or self.kept[0][1] <= offset


@dataclass
class Tenant:
    provider: str
    periods: list
    earlier: list = field(default_factory=list)

    def period(self, time):
        for periods in (self.periods, self.earlier):
            begun = [it for it in periods if it[0] <= time]
            if begun:
                return begun[-1] if time < begun[-1][1] else None
        return None

    def start(self, time):
        period = self.period(time)
        return period[0] if period else None


def tenant_of(message, before):
    """The tenant as it is once `message` is taken over."""
    periods = [(it.start, it.end) for it in message.periods]
    first = periods[0][0] if periods else 2**63
    known = before.earlier + before.periods if before else []
    earlier = [it for it in known if it[0] < first][-EARLIER_MAX:]
    return Tenant(message.provider if message.known else None, periods, earlier)


def moved_since(before, after):
    """The first time that lies in periods which begin elsewhere."""
    every = before.periods + before.earlier + after.periods + after.earlier
    times = sorted(at for period in every for at in period)
    return next((at for at in times if before.start(at) != after.start(at)), None)


class Definitions:
    """All that the seals of a partition have named."""

    def __init__(self):
        self.tenants, self.meters = {}, {}
        self.since, self.orders = {}, {}

    def adopt_tenant(self, seal, start, message):
        versions = self.tenants.setdefault(message.tenant, Versions())
        versions.push(seal, start, tenant_of(message, versions.last()))

    def adopt_meters(self, seal, start, message):
        for meter in message.meters:
            self.since.setdefault((message.provider, meter.key, meter.version), start)
        known = self.orders.setdefault(message.provider, {})
        for order in message.backfills:
            known.setdefault(order.id, (seal, order))
        self.meters.setdefault(message.provider, Versions()).push(seal, start, message)

    def tenant(self, tenant):
        versions = self.tenants.get(tenant)
        return versions.last() if versions else None

    def provider_of(self, tenant):
        known = self.tenant(tenant)
        return known.provider if known else None

    def in_force(self, provider):
        versions = self.meters.get(provider)
        return versions.last() if versions else None

    def view(self, tenant, is_in=lambda seal, start: True):
        """(tenant, meters of its provider); None when nothing is known of it."""
        versions = self.tenants.get(tenant)
        known = versions.last(is_in) if versions else None
        if known is None:
            return None
        meters = self.meters.get(known.provider)
        return known, meters.last(is_in) if meters else None

    def views_since(self, tenant, offset):
        """All views of an event, with the seal that each begins with."""
        tenants = self.tenants.get(tenant)
        if not tenants:
            return []
        seals = {seal for seal, start, _ in tenants.kept if start > offset}
        for provider in {it.provider for _, _, it in tenants.kept}:
            kept = self.meters[provider].kept if provider in self.meters else []
            seals |= {seal for seal, start, _ in kept if start > offset}
        views = [(0, self.view(tenant, lambda seal, start: start <= offset))]
        for at in sorted(seals):
            views.append(
                (at, self.view(tenant, lambda seal, start, at=at: start <= offset or seal <= at))
            )
        return [(seal, view) for seal, view in views if view]

    def remembers(self, tenant, offset):
        tenants = self.tenants.get(tenant)
        if not tenants:
            return True
        providers = {it.provider for _, _, it in tenants.kept if it.provider in self.meters}
        return tenants.remembers(offset) and all(
            self.meters[it].remembers(offset) for it in providers
        )

    def period_before(self, tenant, offset, time, seal):
        versions = self.tenants.get(tenant)
        it = versions and versions.last(lambda of, start: start <= offset or of < seal)
        return it.period(time) if it else None


@dataclass
class Revision:
    why: tuple
    seal: int
    next: int
    to: int
    received_from: int = None


def why(revision):
    """What a seal's revision is about."""
    kind = revision.WhichOneof("kind")
    it = getattr(revision, kind)
    if kind == "unmatched":
        return (kind, it.tenant)
    if kind == "periods":
        return (kind, it.tenant, it.since)
    until = it.until if it.HasField("until") else None
    return (kind, it.provider, it.id, it.meter, it.version, it.since, until)


class Revisions:
    """What has to be looked at again, in its order."""

    def __init__(self):
        self.queue, self.unmatched, self.left = [], {}, False

    def note_unmatched(self, tenant, offset):
        if tenant not in self.unmatched and len(self.unmatched) >= UNMATCHED_TENANTS_MAX:
            tenant = ANY
        start = self.unmatched.get(tenant, (offset, 0))[0]
        self.unmatched[tenant] = (start, offset + 1)

    def begin_tenant(self, definitions, seal, at, through, message):
        if message.known:
            self._begin_unmatched(seal, at, message.tenant)
        before = definitions.tenant(message.tenant)
        since = moved_since(before, tenant_of(message, before)) if before else None
        if since is None:
            return
        provider = message.provider if message.known else None
        meters = definitions.in_force(provider)
        terms = meters.terms if meters else DEFAULT_TERMS
        received_from = max(since - terms.ahead_s_max * 10**6, 0)
        if received_from <= through and at > 0:
            kind = ("periods", message.tenant, since)
            self.queue.append(Revision(kind, seal, 0, at, received_from))

    def begin_meters(self, definitions, seal, at, message):
        for tenant in sorted(self.unmatched):
            if definitions.provider_of(tenant) == message.provider:
                self._begin_unmatched(seal, at, tenant)
        known = definitions.orders.get(message.provider, {})
        for order in message.backfills:
            if order.id in known:
                continue
            name = (message.provider, order.meter, order.version)
            until = order.until if order.HasField("until") else None
            start = getattr(order, "from")
            kind = ("backfill", message.provider, order.id, order.meter, order.version, start, until)
            self.queue.append(Revision(kind, seal, 0, definitions.since.get(name, at)))

    def _begin_unmatched(self, seal, at, tenant):
        ranges = [self.unmatched[it] for it in (tenant, ANY) if it in self.unmatched]
        if not ranges:
            return
        start, end = min(it[0] for it in ranges), min(max(it[1] for it in ranges), at)
        kind = ("unmatched", tenant)
        is_known = any(it.why == kind and it.seal == seal for it in self.queue)
        if start < end and not is_known:
            self.queue.append(Revision(kind, seal, start, end))

    def advance(self, to, left):
        front = self.queue[0]
        front.next, front.received_from = to, None
        self.left |= left
        if to < front.to:
            return
        self.queue.pop(0)
        left, self.left = self.left, False
        if front.why[0] == "unmatched" and not left:
            if self.unmatched.get(front.why[1], (0, NEVER))[1] <= front.to:
                del self.unmatched[front.why[1]]

    def ahead(self, kind, offset):
        """The seal that began the first such revision that has not come to the record."""
        for it in self.queue:
            if it.why[: len(kind)] == kind and it.next <= offset < it.to:
                return it.seal
        return None

    def is_backfill_ahead(self, order_id, offset):
        return any(
            it.why[0] == "backfill" and it.why[2] == order_id and offset >= it.next
            for it in self.queue
        )
