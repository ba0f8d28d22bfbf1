//! The guard over a real port: who is let in, who is told what, and what the audit log
//! says of those who were not.

mod contents;
mod credentials;
mod grants;
mod limits;
mod lists;
mod own_tokens;
mod relations;
mod scopes;
mod streams;
mod told;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use axum::extract::Request as HttpRequest;
use axum::middleware::map_request;
use exchequer_access::{AddressRange, Principal, Scope};
use exchequer_api::authn::token::mint;
use exchequer_api::authn::{
    Authenticator, Issuers, Peer, PlatformDirectory, ProofKey, TokenKind, Trust, deployment_proof,
};
use exchequer_api::guard::Access;
use exchequer_api::limits::{Defaults, Limits, PlatformLimits};
use exchequer_domain_access as domain;
use exchequer_engine::{Settings, Submission};
use exchequer_kernel::Status as Decided;
use exchequer_tenant::Command;
use exchequer_types::{ActorId, CommandId, Hash, Issuer, Slug, StreamId, TenantId, Timestamp};
use tonic::{Request, Status};

use crate::world::World;

pub(crate) const KEY: [u8; 32] = [3; 32];
/// Requests a minute that nothing in these tests reaches by accident.
const PLENTY: u32 = 100_000;

/// A running server that asks who calls.
pub(crate) struct Guarded {
    pub(crate) world: World,
    used: AtomicU8,
}

impl Guarded {
    pub(crate) async fn start() -> Self {
        Self::start_with(Defaults { requests_per_minute: PLENTY, burst: None }).await
    }

    pub(crate) async fn start_with(defaults: Defaults) -> Self {
        let world = World::start_as(Settings::default(), |platform, stopping| {
            let runtime = Arc::clone(&platform.ports.runtime);
            let directory = Arc::new(PlatformDirectory { platform: platform.clone() });
            let trust = Trust {
                proof: Some(ProofKey::new(&KEY)),
                issuers: Issuers::new(Vec::new(), Arc::clone(&runtime)),
                certificates: false,
                // So that a test calls from wherever it says.
                proxies: vec![AddressRange::parse("127.0.0.0/8").unwrap()],
            };
            let authenticator =
                Arc::new(Authenticator::new(directory, trust, Arc::clone(&runtime)));
            let plans = Arc::new(PlatformLimits::new(platform.clone()));
            let limits = Limits::new(defaults, plans, runtime);
            let access = Access { authenticator, limits };
            let router = exchequer_api::guarded_routes(platform, stopping, access).unwrap();
            router.layer(map_request(|mut request: HttpRequest| async {
                let address = IpAddr::from([127, 0, 0, 1]);
                request.extensions_mut().insert(Peer { address, certificate: None });
                request
            }))
        })
        .await;
        Self { world, used: AtomicU8::new(1) }
    }

    /// A tenant below `parent`.
    pub(crate) async fn tenant(&self, parent: &str, id: &str) {
        let parent = TenantId::parse(parent).unwrap();
        let create = exchequer_tenant::Create {
            parent: parent.clone(),
            name: id.to_owned(),
            settings: std::collections::BTreeMap::default(),
            test_clock: None,
        };
        // A provider must have been adopted by the new tenant's partition.
        for attempt in 0..200 {
            let command = Command::Create(create.clone());
            match self.submit(id, &format!("create-{id}-{attempt}"), command).await {
                Ok(()) => return,
                Err(code) if code == "PROVIDER_NOT_ADOPTED" => self.wait(10).await,
                Err(code) => panic!("{id}: {code}"),
            }
        }
        panic!("{id} was never created");
    }

    pub(crate) async fn promote(&self, id: &str) {
        let promote = exchequer_domain_tenants::Command::Promote(exchequer_domain_tenants::Promote);
        self.submit(id, &format!("promote-{id}"), Command::Tenants(promote)).await.unwrap();
    }

    /// A member of `tenant` with these roles, and a personal token of theirs.
    pub(crate) async fn member(&self, tenant: &str, name: &str, roles: &[(&str, Scope)]) -> String {
        let member = ActorId::parse(name).unwrap();
        let add = domain::AddMember { member: member.clone(), name: None, email: None };
        self.access(tenant, domain::Command::AddMember(add)).await;
        for (role, scope) in roles {
            self.grant(tenant, Principal::Member(member.clone()), role, scope.clone()).await;
        }
        let kind = domain::CredentialKind::Personal { owner: member };
        self.credential(tenant, kind, TokenKind::Personal, |_| {}).await
    }

    pub(crate) async fn grant(&self, tenant: &str, principal: Principal, role: &str, scope: Scope) {
        let role = Slug::parse(role).unwrap();
        let grant = domain::GrantRole { principal, role, scope, expires_at: None };
        self.access(tenant, domain::Command::GrantRole(grant)).await;
    }

    /// A service token of `tenant` with these roles.
    pub(crate) async fn service(&self, tenant: &str, roles: &[(&str, Scope)]) -> String {
        let grants = roles.iter().map(|(role, scope)| domain::Giving {
            role: Slug::parse(*role).unwrap(),
            scope: scope.clone(),
        });
        let grants: Vec<_> = grants.collect();
        let kind = domain::CredentialKind::Service;
        self.credential(tenant, kind, TokenKind::Service, |it| it.grants = grants).await
    }

    pub(crate) async fn credential(
        &self,
        tenant: &str,
        kind: domain::CredentialKind,
        written: TokenKind,
        adjust: impl FnOnce(&mut domain::CreateCredential),
    ) -> String {
        let minted = mint(written, &[self.used.fetch_add(1, Ordering::SeqCst); 32]);
        let secret = domain::Secret { hash: Hash(minted.hash.0), hint: minted.hint.clone() };
        let in_an_hour = self.now().saturating_add(Duration::from_secs(3_600));
        let is_personal = matches!(kind, domain::CredentialKind::Personal { .. });
        let mut create = domain::CreateCredential {
            kind,
            name: "test".to_owned(),
            secret,
            grants: Vec::new(),
            expires_at: is_personal.then_some(in_an_hour),
            addresses: Vec::new(),
            requests_per_minute: None,
        };
        adjust(&mut create);
        self.access(tenant, domain::Command::CreateCredential(create)).await;
        minted.text
    }

    /// A command on a tenant's access control, as the deployment.
    pub(crate) async fn access(&self, tenant: &str, command: domain::Command) {
        let id = format!("access-{}", self.used.fetch_add(1, Ordering::SeqCst));
        self.submit(tenant, &id, Command::Access(command)).await.unwrap();
    }

    pub(crate) async fn submit(
        &self,
        tenant: &str,
        id: &str,
        command: Command,
    ) -> Result<(), String> {
        let submission = Submission::new(
            StreamId::Tenant(TenantId::parse(tenant).unwrap()),
            Issuer::parse("test").unwrap(),
            CommandId::parse(id).unwrap(),
            ActorId::parse("deployment").unwrap(),
            command,
        );
        let answer = self.world.platform.gateway.submit(submission, Duration::from_secs(10)).await;
        let answer = answer.unwrap();
        if answer.status() != Some(Decided::Accepted) {
            return Err(answer.outcome.code);
        }
        // What the test asks next sees it, whichever view is asked.
        let platform = &self.world.platform;
        for view in platform.views.iter() {
            let token = answer.token();
            view.at_least(&platform.ports, &token, Duration::from_secs(10)).await.unwrap();
        }
        Ok(())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.world.platform.ports.runtime.now()
    }

    /// The deployment's own proof.
    pub(crate) fn proof(&self) -> String {
        deployment_proof(&KEY, self.now())
    }

    pub(crate) async fn wait(&self, millis: u64) {
        self.world.platform.ports.runtime.sleep(Duration::from_millis(millis)).await;
    }
}

/// A request with a credential.
pub(crate) fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// The same from another address.
pub(crate) fn from<T>(address: &str, mut request: Request<T>) -> Request<T> {
    request.metadata_mut().insert("x-forwarded-for", address.parse().unwrap());
    request
}

/// A word of an error's metadata.
pub(crate) fn said(status: &Status, name: &str) -> String {
    use tonic_types::StatusExt as _;
    let info = status.get_details_error_info().unwrap();
    info.metadata.get(name).cloned().unwrap_or_default()
}

pub(crate) fn whole() -> Scope {
    Scope::tenant()
}

pub(crate) fn project(key: &str) -> Scope {
    Scope::project(Slug::parse(key).unwrap())
}
