//! One command, decided: due timers before it, each at its due instant, then
//! the command itself. All or nothing, whatever goes wrong.

use std::panic::{AssertUnwindSafe, catch_unwind};

use exchequer_domain_access::codes::PERSON_ERASED;
use exchequer_kernel::invariant::{self, Broken};
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_kernel::{Ctx, Rejection, Status};
use exchequer_types::{
    ActorId, CommandId, Identity, Json, Protected, StreamId, TenantId, Timestamp,
};

use crate::audit::Facts;
use crate::resolve::{Refusal, look_up_planned, resolve, timer_command};
use crate::route::{Routed, reply, route, shown, version};
use crate::{Command, Event, Leaf, Reference, Reply, Stream};

/// Events that one command may make, its due timers included.
const EVENTS_MAX: usize = 4096;
/// Due timers that one command decides at most; the rest waits for the next one.
const TIMERS_MAX: usize = 64;
/// Bytes of audit entries with which no further timer is decided by the same command:
/// events are of the same order, and all of it must fit one commit.
const DUE_BYTES_MAX: usize = 192 * 1024;
/// Issuer and actor of what timers decide.
const TIMER: &str = "timer";

/// A command with what its envelope says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub stream: StreamId,
    pub issuer: String,
    pub id: CommandId,
    pub actor: ActorId,
    /// The tenant that `actor` belongs to, where the gateway knows it.
    pub home: Option<TenantId>,
    pub claimed_at: Timestamp,
    pub expected_version: Option<u64>,
    pub validate_only: bool,
    /// Where the call came from, encrypted under the actor's key.
    pub origin: Option<Protected>,
    pub command: Command,
}

impl Request {
    /// The command's identity.
    pub fn identity(&self) -> Identity {
        Identity::of(&self.stream.to_string(), &self.issuer, self.id.as_str())
    }
}

/// What a command came to.
#[derive(Debug)]
pub struct Decision {
    pub status: Status,
    /// For every status that is no success: why.
    pub rejection: Option<Rejection>,
    /// Of the addressed resource, after the command.
    pub version: u64,
    pub reply: Reply,
    pub events: Vec<Decided>,
    pub leaves: Vec<Leaf>,
    /// The stream after it.
    pub stream: Stream,
}

/// An event and its circumstances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    pub event: Event,
    /// Of the stream, after the event.
    pub version: u64,
    pub at: Timestamp,
    /// The due timer that caused it.
    pub timer: Option<String>,
}

/// Deciding broke an invariant or panicked: a bug. The stream is to be parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison {
    pub reason: String,
}

impl From<Broken> for Poison {
    fn from(broken: Broken) -> Self {
        Self { reason: broken.to_string() }
    }
}

/// Decides `request` at `now`. `stream` itself is never changed; a panic in a
/// domain is caught and becomes [`Poison`].
pub fn step(
    stream: &Stream,
    request: &Request,
    reference: &Reference,
    now: Timestamp,
) -> Result<Decision, Poison> {
    catch_unwind(AssertUnwindSafe(|| Step::new(stream, request, reference, now).run()))
        .unwrap_or_else(|panic| Err(Poison { reason: panic_text(panic.as_ref()) }))
}

fn panic_text(panic: &(dyn core::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.unwrap_or_default())
}

/// What follows from a poisoned command: the stream is parked, and its audit log
/// says so. Decides nothing, and so cannot fail itself.
pub fn park(stream: &Stream, request: &Request, poison: &Poison, now: Timestamp) -> Decision {
    let reference = Reference::default();
    let mut step = Step::new(stream, request, &reference, now);
    let event = Event::Parked { reason: poison.reason.clone() };
    step.stream.evolve(&event, now);
    let version = step.stream.version;
    step.events.push(Decided { event, version, at: now, timer: None });
    if let Some(tenant) = request.stream.tenant() {
        let identity = request.identity();
        let ctx = step.ctx(now, &request.id, identity, &request.actor);
        let facts = Facts {
            action: "tenant.parked",
            actor: request.actor.as_str(),
            appended_by: None,
            resource_type: "tenant",
            resource_id: tenant.as_str(),
            before: Json::Null,
            after: Json::Null,
            context: Json::object([("reason", Json::text(poison.reason.as_str()))]),
            personal: Json::Null,
            origin: request.origin.as_ref(),
            claimed: request.claimed_at,
        };
        step.leaves.push(step.stream.audit.append(tenant, &request.issuer, &ctx, facts));
    }
    step.refused(Status::Poisoned, poisoned())
}

/// What became of the timers that are due.
enum Due {
    Decided,
    /// More are due than one command may decide.
    More,
}

struct Step<'a> {
    /// The stream as it was.
    before: &'a Stream,
    /// The log's time.
    recorded_at: Timestamp,
    request: &'a Request,
    reference: &'a Reference,
    stream: Stream,
    events: Vec<Decided>,
    leaves: Vec<Leaf>,
}

impl<'a> Step<'a> {
    fn new(
        before: &'a Stream,
        request: &'a Request,
        reference: &'a Reference,
        recorded_at: Timestamp,
    ) -> Self {
        let (stream, events, leaves) = (before.clone(), Vec::new(), Vec::new());
        Self { before, recorded_at, request, reference, stream, events, leaves }
    }

    fn run(mut self) -> Result<Decision, Poison> {
        if self.stream.parked.is_some() && !self.is_release() {
            return Ok(self.refused(Status::Parked, parked()));
        }
        let now = self.time(self.recorded_at);
        let is_advance = self.stream.own_time().is_some_and(|clock| clock != now);
        let timers_first = !mutation::active(Mutation::TimersFirst) || self.is_wake();
        if self.stream.parked.is_none() && timers_first {
            match self.decide_due(now)? {
                Due::Decided => {}
                Due::More if is_advance => return Ok(self.step_too_large()),
                Due::More if self.is_wake() => {}
                Due::More => return Ok(self.refused(Status::TooLarge, timers_behind())),
            }
        }
        // What a moved clock changes on the way, its caller cannot have read.
        let read = if is_advance { self.before } else { &self.stream };
        let current = version(read, &self.request.command);
        if let Some(expected) = self.request.expected_version
            && expected != current
        {
            let conflict = version_conflict(expected, current);
            return Ok(self.undone(is_advance).refused(Status::VersionConflict, conflict));
        }
        let ctx = self.ctx(now, &self.request.id, self.request.identity(), &self.request.actor);
        assert!(!mutation::is_poisoned(self.request.id.as_str()), "a bug that was put there");
        match self.decide(&ctx) {
            Ok((command, routed)) => {
                let (before, leaves_before) = (self.stream.clone(), self.stream.audit.seq);
                let events_before = self.events.len();
                self.apply(routed, now, None)?;
                self.audit(&before, &command, &self.request.issuer, &ctx);
                Ok(self.accepted(&before, &command, events_before, leaves_before))
            }
            Err(refusal) => {
                let (status, no) = match refusal {
                    Refusal::Rejected(no) => (Status::Rejected, no),
                    Refusal::NotAdopted(no) => (Status::NotAdopted, no),
                };
                Ok(self.undone(is_advance).refused(status, no))
            }
        }
    }

    /// A sandbox whose clock does not move has not reached what was due on the way.
    fn undone(self, is_advance: bool) -> Self {
        if !is_advance {
            return self;
        }
        Self::new(self.before, self.request, self.reference, self.recorded_at)
    }

    /// The time to decide at: for a sandbox that of its own clock, or where the command
    /// moves that clock to.
    fn time(&self, now: Timestamp) -> Timestamp {
        let command = match &self.request.command {
            Command::Tenants(command) => Some(command),
            _ => None,
        };
        exchequer_domain_tenants::own_time(&self.stream.tenants, command).unwrap_or(now)
    }

    fn decide(&self, ctx: &Ctx) -> Result<(Command, Routed), Refusal> {
        self.check_keys()?;
        let command = resolve(&self.stream, &self.request.command, self.reference)?;
        let mut routed = route(&self.stream, &command, self.reference, ctx)?;
        if matches!(*command, Command::Subscriptions(_)) {
            self.look_up_planned(&mut routed, ctx.now)?;
        }
        Ok((command.into_owned(), routed))
    }

    /// What is encrypted under the key of somebody who was erased since is not taken: not
    /// in an entry, and not as where the call came from.
    fn check_keys(&self) -> Result<(), Refusal> {
        let erased = &self.stream.access.erased;
        let is_erased = |it: &Protected| erased.contains(&it.key);
        let in_entries = match &self.request.command {
            Command::Audit(exchequer_domain_audit::Command::Append(append)) => append
                .entries
                .iter()
                .position(|it| it.personal.values().chain(&it.origin).any(is_erased)),
            _ => None,
        };
        if in_entries.is_none() && !self.request.origin.as_ref().is_some_and(is_erased) {
            return Ok(());
        }
        let message = "somebody whom it tells of was erased while it was under way: send it \
                       again under a new command id, if it is still wanted";
        let field = in_entries.map(|index| format!("entries[{index}].personal"));
        Err(Refusal::Rejected(rejection(PERSON_ERASED, field.as_deref(), message.to_owned())))
    }

    /// What is planned follows what happened before it. Why one of the changes could not take
    /// place, if one could not.
    fn look_up_planned(&self, routed: &mut Routed, now: Timestamp) -> Result<(), Refusal> {
        let (events, result) = look_up_planned(&self.stream, &routed.stream, self.reference);
        for event in events {
            let event = Event::Subscriptions(event);
            routed.stream.evolve(&event, now);
            routed.events.push((event, routed.stream.version));
        }
        result
    }

    /// Decides timers due at or before `until`, in due order, at their due instant.
    /// As many as one command may decide.
    fn decide_due(&mut self, until: Timestamp) -> Result<Due, Poison> {
        for _ in 0..TIMERS_MAX {
            if self.leaves.iter().map(|leaf| leaf.json.len()).sum::<usize>() > DUE_BYTES_MAX {
                break;
            }
            let Some((due, timer)) = self.stream.timers.first_due(until) else { break };
            let timer = timer.to_owned();
            let at = if mutation::active(Mutation::DueInstant) { until } else { due };
            self.decide_timer(at, &timer)?;
            let pending = self.stream.timers.first_due(until).map(|(_, id)| id);
            invariant::timer_is_gone(pending, &timer)?;
        }
        let has_more = self.stream.timers.first_due(until).is_some();
        Ok(if has_more { Due::More } else { Due::Decided })
    }

    fn decide_timer(&mut self, due: Timestamp, timer: &str) -> Result<(), Poison> {
        let id = CommandId::parse(timer)
            .map_err(|_| Poison { reason: format!("timer id {timer:?} is malformed") })?;
        let actor = ActorId::parse(TIMER).map_err(|_| Poison { reason: String::new() })?;
        let identity = Identity::of(&self.request.stream.to_string(), TIMER, timer);
        // Nobody else's word for when it happened: it is due when it is due.
        let ctx = Ctx { claimed_at: due, ..self.ctx(due, &id, identity, &actor) };
        let command = timer_command(&self.stream, timer, self.reference);
        let before = self.stream.clone();
        match route(&self.stream, &command, self.reference, &ctx) {
            Ok(mut routed) => {
                if matches!(command, Command::Subscriptions(_)) {
                    // What cannot take place is told of when it is due, and not before.
                    let _ = self.look_up_planned(&mut routed, due);
                }
                self.apply(routed, due, Some(timer))?;
                self.audit(&before, &command, TIMER, &ctx);
            }
            // A timer that its domain does not want any more is cleared all the same.
            Err(refusal) if is_not_wanted(&refusal) => {
                let mut stream = before;
                let cleared = Event::TimerCleared { id: timer.to_owned(), due, fired: false };
                stream.evolve(&cleared, due);
                let version = stream.version;
                self.apply(Routed { events: vec![(cleared, version)], stream }, due, Some(timer))?;
            }
            Err(Refusal::Rejected(no) | Refusal::NotAdopted(no)) => {
                let reason = format!("timer {timer}: {}: {}", no.code, no.message);
                return Err(Poison { reason });
            }
        }
        Ok(())
    }

    fn apply(&mut self, routed: Routed, at: Timestamp, timer: Option<&str>) -> Result<(), Poison> {
        let Routed { events, stream } = routed;
        invariant::events_fit(self.events.len() + events.len(), EVENTS_MAX)?;
        self.stream = stream;
        self.events.extend(events.into_iter().map(|(event, version)| Decided {
            event,
            version,
            at,
            timer: timer.map(str::to_owned),
        }));
        Ok(())
    }

    fn audit(&mut self, before: &Stream, command: &Command, issuer: &str, ctx: &Ctx) {
        let Some(tenant) = self.request.stream.tenant() else { return };
        let tenant = tenant.clone();
        // A timer comes from nowhere.
        let origin = self.request.origin.as_ref().filter(|_| issuer != TIMER);
        if let Command::Audit(exchequer_domain_audit::Command::Append(append)) = command {
            for draft in &append.entries {
                let facts = Facts::of_draft(draft, ctx, origin);
                self.leaves.push(self.stream.audit.append(&tenant, issuer, ctx, facts));
            }
            return;
        }
        if before.version == self.stream.version {
            return;
        }
        let Some(shown) = shown(before, &self.stream, command) else { return };
        debug_assert!(
            exchequer_domain_audit::is_reserved(shown.action),
            "{}: applications could write it too",
            shown.action
        );
        let context = match command {
            Command::Release { reason } => Json::object([("reason", Json::text(reason.as_str()))]),
            _ => Json::Null,
        };
        let facts = Facts {
            action: shown.action,
            actor: ctx.actor.as_str(),
            appended_by: None,
            resource_type: shown.resource_type,
            resource_id: &shown.resource_id,
            before: shown.before,
            after: shown.after,
            context,
            personal: Json::Null,
            origin,
            claimed: ctx.claimed_at,
        };
        self.leaves.push(self.stream.audit.append(&tenant, issuer, ctx, facts));
    }

    fn accepted(
        self,
        before: &Stream,
        command: &Command,
        events_before: usize,
        leaves_before: u64,
    ) -> Decision {
        let reply = if matches!(command, Command::Audit(_)) {
            Reply::Appended {
                first_seq: leaves_before + 1,
                count: u32::try_from(self.stream.audit.seq - leaves_before).unwrap_or(u32::MAX),
            }
        } else {
            let events = self.events.get(events_before..).unwrap_or_default();
            reply(before, &self.stream, command, events)
        };
        let version = version(&self.stream, command);
        self.ended(Status::Accepted, None, version, reply)
    }

    /// The command changes nothing; what timers decided before it stands.
    fn refused(self, status: Status, rejection: Rejection) -> Decision {
        let version = version(&self.stream, &self.request.command);
        self.ended(status, Some(rejection), version, Reply::Nothing)
    }

    /// A sandbox's clock is to pass more than one commit can hold: nothing is done.
    fn step_too_large(self) -> Decision {
        let reached = self.stream.timers.first_due(Timestamp::MAX).map(|(due, _)| due);
        let reached = reached.map(|due| due.to_string()).unwrap_or_default();
        let message = format!(
            "too much falls due until then for one step: advance to before {reached} first"
        );
        let no = rejection("CLOCK_STEP_TOO_LARGE", Some("to"), message);
        self.undone(true).refused(Status::Rejected, no)
    }

    fn ended(
        self,
        status: Status,
        rejection: Option<Rejection>,
        version: u64,
        reply: Reply,
    ) -> Decision {
        Decision {
            status,
            rejection,
            version,
            reply,
            events: self.events,
            leaves: self.leaves,
            stream: self.stream,
        }
    }

    fn ctx(&self, now: Timestamp, id: &CommandId, identity: Identity, actor: &ActorId) -> Ctx {
        Ctx {
            now,
            recorded_at: self.recorded_at,
            claimed_at: self.request.claimed_at,
            tenant: self.request.stream.tenant().cloned().unwrap_or_else(TenantId::platform),
            actor: actor.clone(),
            home: self.request.home.clone(),
            command_id: id.clone(),
            identity,
        }
    }

    fn is_release(&self) -> bool {
        matches!(self.request.command, Command::Release { .. })
    }

    fn is_wake(&self) -> bool {
        matches!(self.request.command, Command::Wake)
    }
}

fn rejection(code: &str, field: Option<&str>, message: String) -> Rejection {
    let field = field.map(str::to_owned);
    Rejection { code: code.to_owned(), field, message, ..Rejection::default() }
}

fn poisoned() -> Rejection {
    let message = "an internal error: the tenant is parked until an operator releases it";
    rejection("COMMAND_POISONED", None, message.to_owned())
}

fn parked() -> Rejection {
    let message = "the tenant is parked after an internal error: an operator must release it";
    rejection("TENANT_PARKED", None, message.to_owned())
}

/// Does the domain say that nothing is to be done for the timer? Any other refusal
/// would lose what is due.
fn is_not_wanted(refusal: &Refusal) -> bool {
    const CODES: [&str; 4] =
        ["CLOSING_NOT_SCHEDULED", "GRANT_NOT_FOUND", "TENANT_CLOSED", "TIMER_NOT_PENDING"];
    matches!(refusal, Refusal::Rejected(no) if CODES.contains(&no.code.as_str()))
}

fn timers_behind() -> Rejection {
    let message = "much is due for this tenant and is being decided: retry in a moment";
    rejection("TIMERS_BEHIND", None, message.to_owned())
}

fn version_conflict(expected: u64, current: u64) -> Rejection {
    let message = format!(
        "expected version {expected}, the current one is {current}: read it and decide again"
    );
    rejection("VERSION_CONFLICT", Some("write.expected_version"), message)
}
