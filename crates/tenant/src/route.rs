//! Which domain decides a command, and what the others follow it with.

use exchequer_domain_audit as audit;
use exchequer_domain_tenants as tenants;
use exchequer_kernel::{Ctx, Decider as _, Rejection};
use exchequer_types::Fact;

use crate::{Command, Event, Reference, Stream};

/// Why a command was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Rejected(Rejection),
    /// What it needs from elsewhere has not come to this partition yet.
    NotAdopted {
        what: String,
    },
}

/// Asks the command's domain.
pub(crate) fn route(
    stream: &Stream,
    command: &Command,
    reference: &Reference,
    ctx: &Ctx,
) -> Result<Vec<Event>, Refusal> {
    match command {
        Command::Wake | Command::Lookup { .. } => Ok(Vec::new()),
        Command::Release { reason } => match &stream.parked {
            Some(_) => Ok(vec![Event::Released { reason: reason.clone() }]),
            None => Err(Refusal::Rejected(Rejection {
                code: "TENANT_NOT_PARKED".to_owned(),
                field: Some("tenant".to_owned()),
                message: "the tenant is not parked".to_owned(),
            })),
        },
        Command::Create { parent, name, settings } => {
            let profile = reference.get(parent).ok_or_else(|| Refusal::NotAdopted {
                what: format!("provider {parent} is not known here: it does not exist, is no provider yet, or became one a moment ago"),
            })?;
            let create = tenants::Create {
                parent: profile.clone(),
                name: name.clone(),
                settings: settings.clone(),
            };
            decide_tenants(stream, &tenants::Command::Create(create), ctx)
        }
        Command::Tenants(command) => decide_tenants(stream, command, ctx),
        Command::Audit(command) => {
            if stream.tenants.tenant.is_none() {
                return Err(Refusal::Rejected(Rejection::from(&tenants::Rejection::NotFound)));
            }
            let decided = audit::Audit::decide(&audit::State, command, ctx);
            let events = decided.map_err(|no| Refusal::Rejected(Rejection::from(&no)))?;
            Ok(events.into_iter().map(Event::Audit).collect())
        }
    }
}

fn decide_tenants(
    stream: &Stream,
    command: &tenants::Command,
    ctx: &Ctx,
) -> Result<Vec<Event>, Refusal> {
    let decided = tenants::Tenants::decide(&stream.tenants, command, ctx);
    let events = decided.map_err(|no| Refusal::Rejected(Rejection::from(&no)))?;
    let mut out = Vec::with_capacity(events.len());
    for event in events {
        let facts = tenants::facts(&event);
        out.push(Event::Tenants(event));
        out.extend(facts.iter().filter_map(|fact| follow(stream, fact)));
    }
    Ok(out)
}

/// What the stream's timers make of a fact. Domains to come are asked here, in
/// a fixed order.
fn follow(stream: &Stream, fact: &Fact) -> Option<Event> {
    match fact {
        Fact::TimerSet { id, due } => Some(Event::TimerSet { id: id.clone(), due: *due }),
        Fact::TimerCleared { id, fired } => {
            let due = stream.timers.due_of(id)?;
            Some(Event::TimerCleared { id: id.clone(), due, fired: *fired })
        }
        Fact::ProviderChanged { .. } => None,
    }
}

/// The command that a due timer stands for.
pub(crate) fn timer_command(timer: &str) -> Command {
    Command::Tenants(tenants::Command::FireClosing(tenants::FireClosing {
        timer: timer.to_owned(),
    }))
}

/// Version of what the command is addressed to: what `expected_version` means.
pub(crate) fn version(stream: &Stream, command: &Command) -> u64 {
    match command {
        Command::Audit(_) => stream.audit.seq,
        _ => stream.tenants.tenant.as_ref().map_or(0, |tenant| tenant.version),
    }
}
