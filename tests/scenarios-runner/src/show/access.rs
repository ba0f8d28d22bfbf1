//! Who belongs to a tenant and what each may do, as the gateways judge by it.

use core::fmt::Write as _;
use std::sync::Arc;

use exchequer_access::{Look, Permission, Principal, Scope};
use exchequer_domain_access::{self as access, Credential, Grant, State};
use exchequer_projection_access::LiveAccess;
use exchequer_types::{Hash, TenantId, Timestamp};

use super::text::{none, sheet, table};
use crate::world::World;

/// A tenant's access control as its gateways judge by it, which must be what follows from
/// the journal.
pub(super) fn judged(world: &World, tenant: &TenantId) -> Result<State, String> {
    let folded = world.access(tenant);
    let live = world.live::<LiveAccess>(tenant.clone())?;
    let wanted = State { former: Arc::default(), erased: Arc::default(), ..folded.clone() };
    if live.snapshot.state != wanted {
        return Err(format!("in memory: {:?}, in the journal: {wanted:?}", live.snapshot));
    }
    Ok(folded)
}

/// Everybody with what they have.
pub(super) fn all(state: &State, now: Timestamp) -> String {
    let mut out = String::new();
    let mut part = |name: &str, shown: String| {
        if shown != "none\n" {
            let _ = write!(out, "{name}\n{shown}");
        }
    };
    let has = |principal: &Principal| {
        let grants: Vec<String> = state.grants_of(principal).map(given).collect();
        if grants.is_empty() { none() } else { grants.join(", ") }
    };
    let members = state.members.values();
    let members = members.map(|it| vec![it.id.to_string(), has(&Principal::Member(it.id.clone()))]);
    part("MEMBERS", table(&["id", "roles"], members));
    let teams = state.teams.values().map(|it| {
        let inner = it.teams.iter().map(|key| format!("team {key}"));
        let people: Vec<String> = it.members.iter().map(ToString::to_string).chain(inner).collect();
        vec![it.key.to_string(), people.join(", "), has(&Principal::Team(it.key.clone()))]
    });
    part("TEAMS", table(&["id", "in it", "roles"], teams));
    let roles = state.roles.values().map(|it| {
        let words: Vec<&str> = it.permissions.iter().map(|it| it.as_str()).collect();
        vec![it.key.to_string(), words.join(", ")]
    });
    part("ROLES", table(&["id", "permissions"], roles));
    let credentials = state.credentials.values().map(|it| {
        let acts_as = match it.principal() {
            Principal::Member(owner) => format!("as {owner}"),
            principal => has(&principal),
        };
        vec![it.name.clone(), it.kind.word().to_owned(), status(it, now), acts_as]
    });
    let mut credentials: Vec<Vec<String>> = credentials.collect();
    credentials.sort();
    let heads = ["name", "kind", "accepted", "roles"];
    part("CREDENTIALS", table(&heads, credentials.into_iter()));
    let addresses: Vec<String> = state.addresses.iter().map(ToString::to_string).collect();
    if !addresses.is_empty() {
        let _ = writeln!(out, "CALLED FROM\n{}", addresses.join(", "));
    }
    if out.is_empty() { "nobody\n".to_owned() } else { out }
}

/// May `who` do it, and what decides?
pub(super) fn may(
    state: &State,
    who: &Principal,
    permission: Permission,
    place: (&Scope, bool),
    now: Timestamp,
) -> String {
    let policy = access::policy(state);
    let mut target = place.0.target();
    target.production = place.1;
    let verdict = policy.decide(who, permission, &target, now);
    let looks = policy.explain(who, permission, &target, now);
    let decided = looks.iter().find(|it| Some(it.grant.id.as_str()) == verdict.rule.grant());
    let rule = verdict.rule.code().to_lowercase().replace('_', " ");
    let by = decided.map_or_else(String::new, |it| format!(": {}", looked(state, it)));
    sheet(&[
        ("allowed", if verdict.allowed { "yes" } else { "no" }.to_owned()),
        ("decided by", format!("{rule}{by}")),
    ])
}

/// Which credential would a secret with this hash be accepted as?
pub(super) fn accepted(state: &State, hash: &Hash, now: Timestamp) -> String {
    let is_its = |it: &&Credential| {
        it.secret.hash == *hash || it.previous.as_ref().is_some_and(|it| it.secret.hash == *hash)
    };
    let credential = state.credentials.values().map(AsRef::as_ref).find(is_its);
    match credential {
        Some(credential) if credential.accepts(hash, now) => {
            let overlaps = credential.secret.hash != *hash;
            let until = if overlaps {
                credential.previous.as_ref().map(|it| it.until.at)
            } else {
                credential.expiry.as_ref().map(|it| it.at)
            };
            let until = until.map_or_else(String::new, |at| format!(", until {at}"));
            format!("accepted as {}{until}\n", credential.name)
        }
        Some(credential) => {
            format!("refused: {} {}\n", credential.name, status(credential, now))
        }
        None => "refused: nobody's\n".to_owned(),
    }
}

fn looked(state: &State, it: &Look<'_>) -> String {
    let through = it.team.map_or_else(String::new, |team| format!(" of team {team}"));
    let given = state.grants.get(&it.grant.id).map_or_else(none, |grant| given(grant));
    format!("{given}{through}")
}

fn given(grant: &Grant) -> String {
    let until = grant.expires_at().map_or_else(String::new, |at| format!(" until {at}"));
    if grant.scope.is_tenant() {
        return format!("{}{until}", grant.role);
    }
    format!("{} ({}){until}", grant.role, grant.scope)
}

fn status(it: &Credential, now: Timestamp) -> String {
    match (&it.ended, &it.expiry) {
        (Some(ended), _) => format!("ended {} by {}", ended.at, ended.by.word()),
        (None, Some(expiry)) if expiry.at <= now => format!("expired {}", expiry.at),
        (None, Some(expiry)) => format!("until {}", expiry.at),
        (None, None) => "yes".to_owned(),
    }
}
