//! One command, decided: due timers before it, each at its due instant, then
//! the command itself. All or nothing, whatever goes wrong.

use std::panic::{AssertUnwindSafe, catch_unwind};

use exchequer_kernel::invariant::{self, Broken};
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_kernel::{Ctx, Rejection, Status};
use exchequer_types::{ActorId, CommandId, Identity, Json, StreamId, TenantId, Timestamp};

use crate::audit::Facts;
use crate::route::{Refusal, route, timer_command, version};
use crate::{Command, Event, Leaf, Reference, Reply, Stream};

/// Events that one command may make, its due timers included.
const EVENTS_MAX: usize = 4096;
/// Issuer and actor of what timers decide.
const TIMER: &str = "timer";

/// A command with what its envelope says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub stream: StreamId,
    pub issuer: String,
    pub id: CommandId,
    pub actor: ActorId,
    pub claimed_at: Timestamp,
    pub expected_version: Option<u64>,
    pub validate_only: bool,
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
    catch_unwind(AssertUnwindSafe(|| Step::new(stream, request, reference).run(now)))
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
    let mut step = Step::new(stream, request, &reference);
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
            resource_type: "tenant",
            resource_id: tenant.as_str(),
            before: Json::Null,
            after: Json::Null,
            context: Json::object([("reason", Json::text(poison.reason.as_str()))]),
            claimed: request.claimed_at,
        };
        step.leaves.push(step.stream.audit.append(tenant, &request.issuer, &ctx, facts));
    }
    step.refused(Status::Poisoned, poisoned())
}

struct Step<'a> {
    request: &'a Request,
    reference: &'a Reference,
    stream: Stream,
    events: Vec<Decided>,
    leaves: Vec<Leaf>,
}

impl<'a> Step<'a> {
    fn new(stream: &Stream, request: &'a Request, reference: &'a Reference) -> Self {
        Self { request, reference, stream: stream.clone(), events: Vec::new(), leaves: Vec::new() }
    }

    fn run(mut self, now: Timestamp) -> Result<Decision, Poison> {
        if self.stream.parked.is_some() && !self.is_release() {
            return Ok(self.refused(Status::Parked, parked()));
        }
        let timers_first = !mutation::active(Mutation::TimersFirst) || self.is_wake();
        if self.stream.parked.is_none() && timers_first {
            self.decide_due(now)?;
        }
        let current = version(&self.stream, &self.request.command);
        if let Some(expected) = self.request.expected_version
            && expected != current
        {
            return Ok(self.refused(Status::VersionConflict, version_conflict(expected, current)));
        }
        let ctx = self.ctx(
            now,
            &self.request.id,
            Identity::of(
                &self.request.stream.to_string(),
                &self.request.issuer,
                self.request.id.as_str(),
            ),
            &self.request.actor,
        );
        let before = self.stream.clone();
        assert!(!mutation::is_poisoned(self.request.id.as_str()), "a bug that was put there");
        match route(&self.stream, &self.request.command, self.reference, &ctx) {
            Ok(events) => {
                self.apply(events, now, None)?;
                let leaves_before = self.stream.audit.seq;
                self.audit(&before, &self.request.command, &self.request.issuer, &ctx);
                Ok(self.accepted(leaves_before))
            }
            Err(Refusal::Rejected(no)) => Ok(self.refused(Status::Rejected, no)),
            Err(Refusal::NotAdopted { what }) => {
                let no = rejection("PROVIDER_NOT_ADOPTED", Some("parent"), what);
                Ok(self.refused(Status::NotAdopted, no))
            }
        }
    }

    /// Decides every timer due at or before `now`, in due order, at its due instant.
    fn decide_due(&mut self, now: Timestamp) -> Result<(), Poison> {
        while let Some((due, timer)) = self.stream.timers.first_due(now) {
            let timer = timer.to_owned();
            let id = CommandId::parse(timer.as_str())
                .map_err(|_| Poison { reason: format!("timer id {timer:?} is malformed") })?;
            let actor = ActorId::parse(TIMER).map_err(|_| Poison { reason: String::new() })?;
            let identity = Identity::of(&self.request.stream.to_string(), TIMER, &timer);
            // Nobody else's word for when it happened: it is due when it is due.
            let ctx = Ctx { claimed_at: due, ..self.ctx(due, &id, identity, &actor) };
            let command = timer_command(&timer);
            let before = self.stream.clone();
            let decided = route(&self.stream, &command, self.reference, &ctx);
            let is_wanted = decided.is_ok();
            // A timer that its domain does not want any more is cleared all the same.
            let events = decided.unwrap_or_else(|_| {
                vec![Event::TimerCleared { id: timer.clone(), due, fired: false }]
            });
            self.apply(events, due, Some(&timer))?;
            if is_wanted {
                self.audit(&before, &command, TIMER, &ctx);
            }
            let pending = self.stream.timers.first_due(now).map(|(_, id)| id);
            invariant::timer_is_gone(pending, &timer)?;
        }
        Ok(())
    }

    fn apply(
        &mut self,
        events: Vec<Event>,
        at: Timestamp,
        timer: Option<&str>,
    ) -> Result<(), Poison> {
        invariant::events_fit(self.events.len() + events.len(), EVENTS_MAX)?;
        for event in events {
            self.stream.evolve(&event, at);
            let version = self.stream.version;
            self.events.push(Decided { event, version, at, timer: timer.map(str::to_owned) });
        }
        Ok(())
    }

    fn audit(&mut self, before: &Stream, command: &Command, issuer: &str, ctx: &Ctx) {
        let Some(tenant) = self.request.stream.tenant() else { return };
        let tenant = tenant.clone();
        if let Command::Audit(exchequer_domain_audit::Command::Append(append)) = command {
            for draft in &append.entries {
                let facts = Facts::of_draft(draft, ctx);
                self.leaves.push(self.stream.audit.append(&tenant, issuer, ctx, facts));
            }
            return;
        }
        if before.version == self.stream.version {
            return;
        }
        let shown = |stream: &Stream| {
            stream
                .tenants
                .tenant
                .as_ref()
                .map_or(Json::Null, exchequer_domain_tenants::Tenant::to_json)
        };
        let context = match command {
            Command::Release { reason } => Json::object([("reason", Json::text(reason.as_str()))]),
            _ => Json::Null,
        };
        let facts = Facts {
            action: command.action(),
            actor: ctx.actor.as_str(),
            resource_type: "tenant",
            resource_id: tenant.as_str(),
            before: shown(before),
            after: shown(&self.stream),
            context,
            claimed: ctx.claimed_at,
        };
        self.leaves.push(self.stream.audit.append(&tenant, issuer, ctx, facts));
    }

    fn accepted(self, leaves_before: u64) -> Decision {
        let reply = match &self.request.command {
            Command::Wake | Command::Lookup { .. } | Command::Release { .. } => Reply::Nothing,
            Command::Audit(_) => Reply::Appended {
                first_seq: leaves_before + 1,
                count: u32::try_from(self.stream.audit.seq - leaves_before).unwrap_or(u32::MAX),
            },
            Command::Create { .. } | Command::Tenants(_) => match &self.stream.tenants.tenant {
                Some(tenant) => Reply::Tenant(Box::new(tenant.clone())),
                None => Reply::Nothing,
            },
        };
        let version = version(&self.stream, &self.request.command);
        self.ended(Status::Accepted, None, version, reply)
    }

    /// The command changes nothing; what timers decided before it stands.
    fn refused(self, status: Status, rejection: Rejection) -> Decision {
        let version = version(&self.stream, &self.request.command);
        self.ended(status, Some(rejection), version, Reply::Nothing)
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
            claimed_at: self.request.claimed_at,
            tenant: self.request.stream.tenant().cloned().unwrap_or_else(TenantId::platform),
            actor: actor.clone(),
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
    Rejection { code: code.to_owned(), field: field.map(str::to_owned), message }
}

fn poisoned() -> Rejection {
    let message = "an internal error: the tenant is parked until an operator releases it";
    rejection("COMMAND_POISONED", None, message.to_owned())
}

fn parked() -> Rejection {
    let message = "the tenant is parked after an internal error: an operator must release it";
    rejection("TENANT_PARKED", None, message.to_owned())
}

fn version_conflict(expected: u64, current: u64) -> Rejection {
    let message = format!(
        "expected version {expected}, the current one is {current}: read it and decide again"
    );
    rejection("VERSION_CONFLICT", Some("write.expected_version"), message)
}
