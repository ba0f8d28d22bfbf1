//! Staff of customers: members come and go, teams and roles with them, and tokens are
//! made, rotated and revoked. Who acts is sometimes a member or a token, which then gives
//! no more than it has.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use exchequer_access::{AddressRange, Permission, Principal, Scope};
use exchequer_domain_access::{self as access, Command as A, CredentialKind, Giving, Secret};
use exchequer_engine::{Answer, Platform, Submission};
use exchequer_projection_access::{LiveAccess, Snapshot};
use exchequer_tenant::Command;
use exchequer_types::{ActorId, Hash, KeyId, Offset, Protected, Slug, TenantId, Timestamp};
use futures::future::select;
use tokio::sync::oneshot;

use super::documents::slug;
use super::gateway::{PATIENCE, Wanted};
use super::kernel::name;
use super::shop::pick_own;
use super::{People, word};
use crate::exec::lock;
use crate::procs::Role;
use crate::rng::Rng;

const MEMBERS: [&str; 6] = ["ann", "ben", "cid", "dan", "eve", "fay"];
const TEAMS: [&str; 4] = ["web", "app", "ops", "all"];
const ROLES: [&str; 3] = ["helper", "payer", "boss"];
const BUILT_IN: [&str; 5] = ["owner", "owner", "admin", "developer", "viewer"];

/// What a gateway judges a tenant's callers by.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) tenant: TenantId,
    /// Everything of the tenant's partition below it had been seen.
    pub(crate) offset: Offset,
    pub(crate) snapshot: Arc<Snapshot>,
    /// By the gateway's clock.
    pub(crate) now: Timestamp,
}

impl People {
    /// Somebody's day who looks after the staff of one customer and another.
    pub(crate) async fn personnel(self, mut rng: Rng) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        for _ in 0..self.world.plan.commands_per_personnel {
            let pause = rng.within(1, 1_000) * rng.within(1, 1_000);
            self.world.sim.sleep(pause).await;
            let tenant = self.any_customer(&mut rng);
            if self.version(&tenant, "tenant").is_none() {
                // Whoever shops there opens it first.
                continue;
            }
            let command = Command::Access(self.staffing(&tenant, &mut rng));
            let mut submission = self.conditioned(&tenant, command, &mut rng);
            self.act(&tenant, &mut submission, &mut rng);
            let answer = self.ask(submission.clone()).await;
            if rng.chance(600) {
                self.look_at_staff(&tenant, answer.as_ref(), &mut rng).await;
            }
            if rng.chance(30) {
                let again = self.again(submission, &mut rng);
                self.ask(again).await;
            }
        }
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    /// Looks at what a gateway judges callers by, at `answer`'s place or later.
    async fn look_at_staff(&self, tenant: &TenantId, answer: Option<&Answer>, rng: &mut Rng) {
        let Some((proc, platform)) = self.procs.platform(&[Role::Views]) else { return };
        let (people, tenant) = (self.clone(), tenant.clone());
        let wanted = self.wanted(answer, proc, rng);
        let (done, is_done) = oneshot::channel();
        self.world.sim.spawn_on(proc, async move {
            people.looked(&platform, tenant, wanted).await;
            // Whoever asked may be gone.
            let _ = done.send(());
        });
        let _ = select(is_done, Box::pin(self.world.sim.sleep(8_000_000))).await;
    }

    async fn looked(self, platform: &Platform, tenant: TenantId, wanted: Wanted) {
        let Some(live) = platform.live::<LiveAccess>() else { return };
        let seen = live.get(&tenant, &wanted.token, PATIENCE).await;
        self.world.sim.note(|| match &seen {
            Ok(seen) => format!("look at the staff of {tenant}, below {}", seen.offset),
            Err(error) => format!("no look at the staff of {tenant}: {error}"),
        });
        let Ok(seen) = seen else { return };
        if wanted.is_missed(seen.partition, seen.offset) {
            self.world.violation(format!("SIM-14 {tenant}: {seen:?} sees less than was told"));
        }
        let now = platform.ports.runtime.now();
        let (snapshot, offset) = (seen.snapshot, seen.offset);
        lock(&self.world.looks).push(Look { tenant, offset, snapshot, now });
    }

    /// Mostly somebody from above acts, now and then a member or a token.
    fn act(&self, tenant: &TenantId, submission: &mut Submission, rng: &mut Rng) {
        let actor = match rng.below(10) {
            0..6 => return,
            6..9 => rng.word(&MEMBERS).to_owned(),
            _ => format!("{}{}", access::KEY_ACTOR_PREFIX, self.credential(tenant, rng)),
        };
        submission.actor = word(ActorId::parse(actor));
    }

    fn staffing(&self, tenant: &TenantId, rng: &mut Rng) -> A {
        match rng.below(100) {
            0..14 => {
                let member = member(rng);
                let (name, email) = (protected(&member, rng), protected(&member, rng));
                A::AddMember(access::AddMember { member, name, email })
            }
            14..20 => A::RemoveMember(access::RemoveMember { member: member(rng) }),
            20..23 => {
                let member = member(rng);
                let name = Some(protected(&member, rng));
                A::UpdateMember(access::UpdateMember { member, name, email: None })
            }
            23..26 => {
                let subject = member(rng);
                let keys = (0..rng.below(3)).map(|_| key(&subject, rng)).collect();
                A::ErasePerson(access::ErasePerson { subject, keys })
            }
            26..40 => of_team(rng),
            40..50 => of_role(rng),
            50..66 => A::GrantRole(access::GrantRole {
                principal: self.principal(tenant, rng),
                role: role(rng),
                scope: Scope::tenant(),
                expires_at: rng.chance(300).then(|| self.soon(rng)),
            }),
            66..73 => {
                let id = pick_own(&lock(&self.known).role_grants, tenant, rng);
                A::RevokeRole(access::RevokeRole { id })
            }
            73..76 => A::SetAddresses(access::SetAddresses { addresses: addresses(rng) }),
            _ => self.of_credential(tenant, rng),
        }
    }

    fn of_credential(&self, tenant: &TenantId, rng: &mut Rng) -> A {
        let id = |rng: &mut Rng| self.credential(tenant, rng);
        match rng.below(100) {
            0..40 => {
                let kind = match rng.below(4) {
                    0 => CredentialKind::Personal { owner: member(rng) },
                    _ => CredentialKind::Service,
                };
                let is_service = kind == CredentialKind::Service;
                let count = if is_service { rng.below(3) } else { 0 };
                let giving = |_| Giving { role: role(rng), scope: Scope::tenant() };
                let grants = (0..count).map(giving).collect();
                A::CreateCredential(access::CreateCredential {
                    kind,
                    name: name(rng),
                    secret: secret(rng),
                    grants,
                    expires_at: rng.chance(500).then(|| self.soon(rng)),
                    addresses: addresses(rng),
                    requests_per_minute: rng.chance(300).then(|| rng.below(900) as u32),
                })
            }
            40..65 => A::RotateCredential(access::RotateCredential {
                id: id(rng),
                secret: secret(rng),
                overlap_seconds: *rng.pick(&[0, 1, 20, 3_600, 604_800, 604_801]),
            }),
            65..80 => A::UpdateCredential(access::UpdateCredential {
                id: id(rng),
                name: rng.chance(300).then(|| name(rng)),
                expires_at: rng.chance(500).then(|| self.soon(rng)),
                addresses: rng.chance(300).then(|| addresses(rng)),
                requests_per_minute: None,
            }),
            _ => A::RevokeCredential(access::RevokeCredential { id: id(rng) }),
        }
    }

    fn principal(&self, tenant: &TenantId, rng: &mut Rng) -> Principal {
        match rng.below(10) {
            0..5 => Principal::Member(member(rng)),
            5..8 => Principal::Team(team(rng)),
            _ => Principal::Credential(self.credential(tenant, rng)),
        }
    }

    fn credential(&self, tenant: &TenantId, rng: &mut Rng) -> String {
        pick_own(&lock(&self.known).credentials, tenant, rng)
    }

    /// In real time, by which access is judged in sandboxes too.
    fn soon(&self, rng: &mut Rng) -> Timestamp {
        let now = self.world.sim.now();
        match rng.below(10) {
            0 => now.saturating_sub(Duration::from_secs(rng.below(100))),
            1..6 => now.saturating_add(Duration::from_micros(rng.within(1, 40_000_000))),
            _ => now.saturating_add(Duration::from_secs(rng.below(40 * 86_400))),
        }
    }
}

fn of_team(rng: &mut Rng) -> A {
    let some =
        |rng: &mut Rng| -> BTreeSet<ActorId> { (0..rng.below(3)).map(|_| member(rng)).collect() };
    let teams =
        |rng: &mut Rng| -> BTreeSet<Slug> { (0..rng.below(2)).map(|_| team(rng)).collect() };
    match rng.below(10) {
        0..4 => A::CreateTeam(access::CreateTeam {
            team: team(rng),
            name: name(rng),
            members: some(rng),
            teams: teams(rng),
        }),
        4..9 => A::UpdateTeam(access::UpdateTeam {
            team: team(rng),
            name: rng.chance(200).then(|| name(rng)),
            add_members: some(rng),
            remove_members: some(rng),
            add_teams: teams(rng),
            remove_teams: teams(rng),
        }),
        _ => A::DeleteTeam(access::DeleteTeam { team: team(rng) }),
    }
}

fn of_role(rng: &mut Rng) -> A {
    let role = slug(rng.word(&ROLES));
    match rng.below(10) {
        0..5 => A::CreateRole(access::CreateRole {
            role,
            name: name(rng),
            permissions: permissions(rng),
        }),
        5..8 => A::UpdateRole(access::UpdateRole {
            role,
            name: None,
            add_permissions: permissions(rng),
            remove_permissions: permissions(rng),
        }),
        _ => A::DeleteRole(access::DeleteRole { role }),
    }
}

fn member(rng: &mut Rng) -> ActorId {
    word(ActorId::parse(rng.word(&MEMBERS)))
}

fn team(rng: &mut Rng) -> Slug {
    slug(rng.word(&TEAMS))
}

fn role(rng: &mut Rng) -> Slug {
    slug(if rng.chance(750) { rng.word(&BUILT_IN) } else { rng.word(&ROLES) })
}

fn permissions(rng: &mut Rng) -> BTreeSet<Permission> {
    (0..rng.below(4)).map(|_| *rng.pick(Permission::ALL)).collect()
}

fn addresses(rng: &mut Rng) -> Vec<AddressRange> {
    let all = ["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"];
    let some = all.iter().filter(|_| rng.chance(200));
    some.map(|it| word(AddressRange::parse(it))).collect()
}

/// One of a few keys of a person, who has no other's.
fn key(member: &ActorId, rng: &mut Rng) -> KeyId {
    let number = MEMBERS.iter().position(|it| *it == member.as_str()).unwrap_or(0);
    KeyId([(number * 8) as u8 + rng.below(8) as u8; 16])
}

fn protected(member: &ActorId, rng: &mut Rng) -> Option<Protected> {
    rng.chance(500).then(|| Protected { key: key(member, rng), text: name(rng).into_bytes() })
}

/// As gateways make them: never twice the same.
fn secret(rng: &mut Rng) -> Secret {
    let text = format!("secret {}", rng.below(u64::MAX));
    Secret { hash: Hash::blake3(text.as_bytes()), hint: "sim".to_owned() }
}
