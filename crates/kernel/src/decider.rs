//! The contract of a domain: decide is a function, evolve is total.

use core::fmt;

use exchequer_types::{ActorId, CommandId, Identity, Json, TenantId, Timestamp, minted_id};

use crate::outcome::FieldFault;

/// A domain's rules. Both functions depend on their arguments alone, so that a
/// decision taken twice gives the same events.
pub trait Decider {
    type State: Default + Clone;
    type Command;
    type Event;
    type Rejection: Reason;

    /// What follows from `command` in `state`, or the business "no".
    fn decide(
        state: &Self::State,
        command: &Self::Command,
        ctx: &Ctx,
    ) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// The state after `event`. Never fails and never judges.
    fn evolve(state: &mut Self::State, event: &Self::Event, at: Timestamp);
}

/// A business "no": enumerated, with a stable code.
pub trait Reason: fmt::Debug {
    /// Upper snake case; never changes.
    fn code(&self) -> &'static str;
    /// The request's field at fault, when one is.
    fn field(&self) -> Option<&'static str> {
        None
    }
    /// For people: what is wrong and what to do.
    fn message(&self) -> String;
    /// All fields at fault, when there is more to say than [`Reason::field`] does.
    fn faults(&self) -> Vec<FieldFault> {
        Vec::new()
    }
}

/// How the audit log tells of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What was done, as `<resource>.<past participle>`.
    pub action: &'static str,
    pub resource_type: &'static str,
    pub resource_id: String,
    /// The resource; null when it was not there.
    pub before: Json,
    pub after: Json,
}

/// What a decision may know beside state and command, all of it taken from the
/// log's records.
#[derive(Clone, Debug)]
pub struct Ctx {
    /// The commit's time, or the due time of the timer that is decided.
    pub now: Timestamp,
    /// The log's time, also where the tenant lives in its own.
    pub recorded_at: Timestamp,
    /// What the caller's side said of time; kept, never decided with.
    pub claimed_at: Timestamp,
    /// The stream's tenant.
    pub tenant: TenantId,
    pub actor: ActorId,
    /// The tenant that `actor` belongs to, where the gateway knows it. None: whoever acts is
    /// called so in every tenant, as persons of an outside issuer are.
    pub home: Option<TenantId>,
    pub command_id: CommandId,
    pub identity: Identity,
}

impl Ctx {
    /// The `index`-th id that this decision makes: `prefix` and 26 characters.
    pub fn mint(&self, prefix: &str, index: u32) -> String {
        minted_id(prefix, self.identity, self.recorded_at, index)
    }
}
