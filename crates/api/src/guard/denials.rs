//! Refusals, and reads of what is sensitive or by a tenant above, counted by who, what and
//! why, and written into the audit log of the tenant once a second, with where the last of
//! them came from. Nobody waits for it. What was counted and not written when the process
//! dies is lost.

use core::time::Duration;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use exchequer_domain_access::codes::PERSON_ERASED;
use exchequer_domain_audit::{Append, Draft, ENTRIES_MAX};
use exchequer_engine::{Platform, Submission};
use exchequer_kernel::Status;
use exchequer_runtime::{OnEnd, TaskError, TaskKind};
use exchequer_tenant::Command;
use exchequer_types::{ActorId, CommandId, Issuer, StreamId, TenantId, Timestamp};

use super::caller::Origin;
use super::rules::Rule;
use crate::edge::hex;
use crate::personal::{ORIGIN, encode_origin};

const KIND: TaskKind = TaskKind { name: "access-audit", on_end: OnEnd::Fine };
const ISSUER: &str = "gateway";
const EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);
/// Kinds of refusals counted between two writes; further ones are only logged.
const COUNTS_MAX: usize = 4_096;
/// Entries that no tenant's log has taken yet; the oldest go first.
const UNWRITTEN_MAX: usize = 256;
/// A command of them; its entries have at most a few hundred bytes each.
const BATCH_MAX: usize = if ENTRIES_MAX < 200 { ENTRIES_MAX } else { 200 };

/// What the audit log says of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Noted {
    Denied,
    Read,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    log: TenantId,
    noted: Noted,
    actor: ActorId,
    path: &'static str,
    permission: &'static str,
    rule: &'static str,
}

/// The counts since they were last taken out.
#[derive(Debug, Default)]
pub(crate) struct Denials {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    by_key: HashMap<Key, Count>,
    uncounted: u64,
}

#[derive(Clone, Debug)]
struct Count {
    calls: u64,
    /// Of the last one.
    origin: Origin,
}

/// What became of a command.
enum Written {
    /// The log has taken it, or never will.
    Done,
    /// To be tried again.
    NotYet,
    /// Somebody whom it tells of was erased meanwhile: what is encrypted in it is refused.
    Erased,
}

/// A command that is to be accepted.
#[derive(Clone, Debug)]
struct Unwritten {
    id: String,
    log: TenantId,
    entries: Vec<Draft>,
}

impl Denials {
    /// Counts a call by `actor`, from `origin`, in the log of `log`.
    pub(crate) fn count(
        &self,
        log: &TenantId,
        noted: Noted,
        (actor, origin): (&ActorId, Origin),
        rule: &Rule,
        why: &'static str,
    ) {
        let (path, permission) = (rule.method.path, rule.need.as_str());
        let key =
            Key { log: log.clone(), noted, actor: actor.clone(), path, permission, rule: why };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.by_key.len() >= COUNTS_MAX && !counts.by_key.contains_key(&key) {
            counts.uncounted += 1;
        } else {
            let fresh = || Count { calls: 0, origin: origin.clone() };
            let count = counts.by_key.entry(key).or_insert_with(fresh);
            count.calls += 1;
            count.origin = origin;
        }
    }

    /// Everything counted since the last time, as entries by log.
    fn take(&self, at: Timestamp) -> BTreeMap<TenantId, Vec<(Draft, Origin)>> {
        let counts =
            core::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        if counts.uncounted > 0 {
            tracing::warn!(
                count = counts.uncounted,
                "refusals of too many kinds at once are not audited"
            );
        }
        let mut by_key: Vec<_> = counts.by_key.into_iter().collect();
        by_key.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let mut entries: BTreeMap<TenantId, Vec<_>> = BTreeMap::new();
        for (key, Count { calls, origin }) in by_key {
            entries.entry(key.log.clone()).or_default().push((entry(key, calls, at), origin));
        }
        entries
    }

    /// Writes the counts once a second until the process ends.
    pub(crate) fn start(self: Arc<Self>, platform: &Platform) {
        let runtime = Arc::clone(&platform.ports.runtime);
        runtime.spawn(KIND, Box::pin(self.write_on(platform.clone())));
    }

    async fn write_on(self: Arc<Self>, platform: Platform) -> Result<(), TaskError> {
        let runtime = Arc::clone(&platform.ports.runtime);
        let mut unwritten: Vec<Unwritten> = Vec::new();
        loop {
            runtime.sleep(EVERY).await;
            for (log, entries) in self.take(runtime.now()) {
                for counted in entries.chunks(BATCH_MAX) {
                    let entries = with_origins(&platform, &log, counted).await;
                    unwritten.push(Unwritten {
                        id: hex(&runtime.nonce()),
                        log: log.clone(),
                        entries,
                    });
                }
            }
            if unwritten.len() > UNWRITTEN_MAX {
                let lost = unwritten.len() - UNWRITTEN_MAX;
                tracing::warn!(commands = lost, "refusals are not audited: no log takes them");
                unwritten.drain(..lost);
            }
            let mut rest = Vec::new();
            for mut batch in unwritten {
                match write(&platform, &batch).await? {
                    Written::Done => {}
                    Written::NotYet => rest.push(batch),
                    Written::Erased => {
                        batch.id = hex(&runtime.nonce());
                        batch.entries.iter_mut().for_each(|it| it.origin = None);
                        rest.push(batch);
                    }
                }
            }
            unwritten = rest;
        }
    }
}

/// The entries, with where each came from, encrypted under the key of who called. Without a
/// key store an entry says no more than who did what.
async fn with_origins(
    platform: &Platform,
    log: &TenantId,
    counted: &[(Draft, Origin)],
) -> Vec<Draft> {
    let mut entries = Vec::with_capacity(counted.len());
    for (entry, origin) in counted {
        let mut entry = entry.clone();
        if let Some(vault) = &platform.vault {
            let clear = encode_origin(origin);
            match vault.protect_bytes(log, &entry.actor, ORIGIN, &clear).await {
                Ok(protected) => entry.origin = Some(protected),
                Err(error) => tracing::warn!(%error, "where a refused call came from is not kept"),
            }
        }
        entries.push(entry);
    }
    entries
}

/// Written again, it is the same command.
async fn write(platform: &Platform, batch: &Unwritten) -> Result<Written, TaskError> {
    let failed = |error: exchequer_types::IdError| TaskError(error.to_string());
    let submission = Submission::new(
        StreamId::Tenant(batch.log.clone()),
        Issuer::parse(ISSUER).map_err(failed)?,
        CommandId::parse(batch.id.as_str()).map_err(failed)?,
        ActorId::parse(ISSUER).map_err(failed)?,
        Command::Audit(exchequer_domain_audit::Command::Append(Append {
            entries: batch.entries.clone(),
        })),
    );
    match platform.gateway.submit(submission, PATIENCE).await {
        Ok(answer) if answer.status() == Some(Status::Accepted) => Ok(Written::Done),
        Ok(answer) if answer.outcome.code == PERSON_ERASED => Ok(Written::Erased),
        Ok(answer) => {
            let (tenant, code) = (batch.log.as_str(), answer.outcome.code.as_str());
            tracing::warn!(tenant, code, "refusals are not audited");
            Ok(Written::Done)
        }
        Err(error) => {
            tracing::warn!(tenant = batch.log.as_str(), %error, "refusals are not audited yet");
            Ok(Written::NotYet)
        }
    }
}

fn entry(key: Key, count: u64, at: Timestamp) -> Draft {
    let action = match key.noted {
        Noted::Denied => "access.denied",
        Noted::Read => "access.read",
    };
    // In the order of its keys, and without anything to escape: words of ours.
    let context =
        format!(r#"{{"count":{count},"permission":"{}","rule":"{}"}}"#, key.permission, key.rule);
    Draft {
        action: action.to_owned(),
        actor: key.actor.into_string(),
        resource_type: "method".to_owned(),
        resource_id: key.path.trim_start_matches('/').to_owned(),
        context,
        occurred_at: Some(at),
        ..Draft::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::rules::{Found, Rules};

    fn rule() -> Rule {
        let rules = Rules::compile().unwrap();
        match rules.of("/exchequer.tenants.v1.TenantService/GetTenant") {
            Found::Rule(rule) => *rule,
            _ => panic!("no rule"),
        }
    }

    fn origin() -> Origin {
        Origin { address: [192, 0, 2, 1].into(), agent: String::new() }
    }

    fn named(name: &str) -> (TenantId, ActorId) {
        (TenantId::parse("acme").unwrap(), ActorId::parse(name).unwrap())
    }

    // REQ: IAM-09
    #[test]
    fn refusals_of_one_kind_are_one_entry() {
        let denials = Denials::default();
        for name in ["ann", "bob", "ann", "ann"] {
            let (log, actor) = named(name);
            denials.count(&log, Noted::Denied, (&actor, origin()), &rule(), "NO_GRANT");
        }
        let taken = denials.take(Timestamp::MIN);
        let said: Vec<_> = taken
            .values()
            .flatten()
            .map(|it| (it.0.actor.as_str(), it.0.context.as_str()))
            .collect();
        let context =
            |count| format!(r#"{{"count":{count},"permission":"tenants.read","rule":"NO_GRANT"}}"#);
        assert_eq!(said, [("ann", context(3).as_str()), ("bob", context(1).as_str())]);
        let entries = taken.into_values().flatten().map(|it| it.0);
        let command = Append { entries: entries.collect() };
        assert_eq!(command.entries[0].resource_id, "exchequer.tenants.v1.TenantService/GetTenant");
        assert!(denials.take(Timestamp::MIN).is_empty());
    }

    #[test]
    fn a_flood_of_kinds_is_bounded() {
        let denials = Denials::default();
        for index in 0..COUNTS_MAX + 10 {
            let (log, actor) = named(&format!("a{index}"));
            denials.count(&log, Noted::Denied, (&actor, origin()), &rule(), "NO_GRANT");
        }
        assert_eq!(denials.counts.lock().unwrap().uncounted, 10);
        assert_eq!(denials.take(Timestamp::MIN).values().map(Vec::len).sum::<usize>(), COUNTS_MAX);
    }
}
