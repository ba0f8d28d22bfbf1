//! `exchequer.access.v1.CredentialService`. Secrets are made here, shown once, and kept as
//! hashes alone; their uses come from rows that are written behind.

use std::sync::Arc;

use exchequer_access::{Permission, Principal, Scope};
use exchequer_codec::{credential_message, scope_from_proto};
use exchequer_domain_access::{self as domain, CredentialKind, Giving, Rejection, Secret};
use exchequer_projection_access::{Snapshot, uses_of};
use exchequer_proto::access::v1 as pb;
use exchequer_proto::access::v1::credential_service_server::CredentialService;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_tenant::Command;
use exchequer_types::{Hash, Slug, StreamId, TenantId};
use prost::Message as _;
use tonic::{Request, Response, Status, async_trait};

use crate::access_fields::{actor, admits_itself, networks, rename};
use crate::access_queries::refused;
use crate::authn::token::{entropy, mint};
use crate::authn::{Minted, TokenKind};
use crate::call::Call;
use crate::check::{Check, unchecked};
use crate::edge::{Asked, Edge};
use crate::guard::{About, Caller, Judge, Sieve};
use crate::lists::{List, list_options};
use crate::mask::Mask;
use crate::messages::instant;
use crate::status::{self, ENUM_UNKNOWN, FIELD_MISSING, ID_INVALID, VALUE_INVALID};

#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) edge: Edge,
    pub(crate) judge: Judge,
}

type Reply<T> = Result<Response<T>, Status>;

#[async_trait]
impl CredentialService for Credentials {
    async fn create_credential(
        &self,
        request: Request<pb::CreateCredentialRequest>,
    ) -> Reply<pb::CreateCredentialResponse> {
        self.edge.serve(request, async |call, it| self.create(call, it).await).await
    }

    async fn get_credential(
        &self,
        request: Request<pb::GetCredentialRequest>,
    ) -> Reply<pb::Credential> {
        self.edge.serve(request, async |call, it| self.get(call, it).await).await
    }

    async fn list_credentials(
        &self,
        request: Request<pb::ListCredentialsRequest>,
    ) -> Reply<pb::ListCredentialsResponse> {
        self.edge.serve(request, async |call, it| self.list(call, it).await).await
    }

    async fn update_credential(
        &self,
        request: Request<pb::UpdateCredentialRequest>,
    ) -> Reply<pb::Credential> {
        self.edge.serve(request, async |call, it| self.update(call, it).await).await
    }

    async fn rotate_credential(
        &self,
        request: Request<pb::RotateCredentialRequest>,
    ) -> Reply<pb::RotateCredentialResponse> {
        self.edge.serve(request, async |call, it| self.rotate(call, it).await).await
    }

    async fn revoke_credential(
        &self,
        request: Request<pb::RevokeCredentialRequest>,
    ) -> Reply<pb::Credential> {
        let (mut call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let named = Named::read(&mut check, it.tenant, it.id, it.project, it.environment);
        let command =
            domain::Command::RevokeCredential(domain::RevokeCredential { id: named.id.clone() });
        let result = self.change(&mut call, check, &named, it.write, command).await;
        call.reply(result)
    }
}

/// A credential as a request names it.
struct Named {
    tenant: TenantId,
    id: String,
    /// Of the SDK keys that the caller's right may be limited to.
    environment: Option<(Slug, Option<Slug>)>,
}

impl Named {
    fn read(
        check: &mut Check,
        tenant: String,
        id: String,
        project: String,
        environment: String,
    ) -> Self {
        let tenant = check.tenant("tenant", tenant);
        let environment = place(check, project, environment);
        Self { tenant, id, environment }
    }

    /// The credential is one of the environment that was named.
    fn holds(&self, credential: &domain::Credential) -> bool {
        is_in(self.environment.as_ref(), credential)
    }
}

impl Credentials {
    async fn create(
        &self,
        call: &mut Call,
        mut it: pb::CreateCredentialRequest,
    ) -> Result<pb::CreateCredentialResponse, Status> {
        // The same request is the same command, although its secret is another one.
        let write = it.write.take();
        let digest = it.encode_to_vec();
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let kind = kind(&mut check, it.kind, it.owner, it.project, it.environment);
        let grants = givings(&mut check, it.grants);
        let expires_at = check.timestamp("expires_at", it.expires_at);
        let addresses = networks(&mut check, "networks", &it.networks);
        let write = check.write(write);
        check.done()?;
        let kind = kind.ok_or_else(unchecked)?;
        let minted = minted(token_kind(&kind))?;
        let command = domain::Command::CreateCredential(domain::CreateCredential {
            kind,
            name: it.name,
            secret: secret(&minted),
            grants,
            expires_at,
            addresses,
            requests_per_minute: Some(it.requests_per_minute).filter(|limit| *limit > 0),
        });
        let asked = asked(&tenant, command, write);
        let reply: pb::Credential =
            self.edge.submit_digested(call, asked, Some(digest.into())).await?;
        let secret = self.shown_once(call, &tenant, &reply.id, minted).await?;
        let credential = Some(self.used(&tenant, reply).await?);
        Ok(pb::CreateCredentialResponse { credential, secret })
    }

    async fn get(
        &self,
        call: &mut Call,
        it: pb::GetCredentialRequest,
    ) -> Result<pb::Credential, Status> {
        let mut check = Check::default();
        let named = Named::read(&mut check, it.tenant, it.id, it.project, it.environment);
        let mask = Mask::read::<pb::Credential>(&mut check, "read_mask", it.read_mask);
        check.done()?;
        let snapshot = self.edge.access(call, &named.tenant).await?;
        let found = find(&snapshot, &named)?;
        call.is_at(snapshot.state.version);
        let message = credential_message(found, snapshot.state.version);
        mask.apply(self.used(&named.tenant, message).await?)
    }

    async fn list(
        &self,
        call: &mut Call,
        it: pb::ListCredentialsRequest,
    ) -> Result<pb::ListCredentialsResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let of = format!(
            "{} {} {:?} {:?} {:?}",
            it.include_ended, it.kind, it.project, it.environment, it.owner
        );
        let owner = (!it.owner.is_empty()).then(|| actor(&mut check, "owner", it.owner));
        if pb::CredentialKind::try_from(it.kind).is_err() {
            check.refuse(ENUM_UNKNOWN, "kind", "must be SERVICE, PERSONAL, SERVER or CLIENT");
        }
        let environment = place(&mut check, it.project, it.environment);
        let options = list_options!(it);
        let list: List<pb::Credential, String> =
            check.list("ListCredentials", &[tenant.as_str(), &of], options, |text| {
                Some(text.to_owned())
            });
        check.done()?;
        let snapshot = self.edge.access(call, &tenant).await?;
        let version = snapshot.state.version;
        let about = About {
            project: environment.as_ref().map(|it| it.0.as_str()),
            environment: environment.as_ref().and_then(|it| it.1.as_ref()).map(Slug::as_str),
            ..About::of_tenant(&tenant)
        };
        let caller = call.caller.as_ref();
        let sieve = self.judge.sieve(caller, Permission::CredentialsRead, &about).await?;
        let all = snapshot.state.credentials.values();
        let all = all.filter(|it| is_shown(&sieve, caller, &it.kind));
        let behind = all.filter(|it| list.place.as_ref().is_none_or(|at| it.id > *at));
        let wanted = behind
            .filter(|found| it.include_ended || found.ended.is_none())
            .filter(|found| is_in(environment.as_ref(), found))
            .filter(|it| owner.as_ref().is_none_or(|owner| it.kind.owner() == owner.as_ref()))
            .map(|found| credential_message(found, version))
            .filter(|found| it.kind == 0 || found.kind == it.kind)
            .filter(|found| list.wants(|| found.clone()));
        let mut page: Vec<pb::Credential> = wanted.take(list.limit + 1).collect();
        let is_end = page.len() <= list.limit;
        page.truncate(list.limit);
        let next = page.last().filter(|_| !is_end).map(|it| it.id.clone());
        let credentials = list.items(self.all_used(&tenant, page).await?)?;
        Ok(pb::ListCredentialsResponse { credentials, next_page_token: list.token(next) })
    }

    async fn update(
        &self,
        call: &mut Call,
        it: pb::UpdateCredentialRequest,
    ) -> Result<pb::Credential, Status> {
        let mut check = Check::default();
        let named = Named::read(&mut check, it.tenant, it.id, it.project, it.environment);
        let addresses = it.networks.map(|it| networks(&mut check, "networks", &it.networks));
        if let (Some(list), Some(caller)) = (&addresses, &call.caller)
            && caller.credential().is_some_and(|own| own.id == named.id)
        {
            admits_itself(&mut check, list, caller);
        }
        let expires_at = check.timestamp("expires_at", it.expires_at);
        let limit = it.requests_per_minute;
        let command = domain::Command::UpdateCredential(domain::UpdateCredential {
            id: named.id.clone(),
            name: it.name,
            expires_at,
            addresses,
            requests_per_minute: limit.map(|limit| Some(limit).filter(|limit| *limit > 0)),
        });
        self.change(call, check, &named, it.write, command).await
    }

    async fn rotate(
        &self,
        call: &mut Call,
        mut it: pb::RotateCredentialRequest,
    ) -> Result<pb::RotateCredentialResponse, Status> {
        let write = it.write.take();
        let digest = it.encode_to_vec();
        let mut check = Check::default();
        let named = Named::read(&mut check, it.tenant, it.id, it.project, it.environment);
        let write = check.write(write);
        check.done()?;
        let snapshot = self.edge.access(call, &named.tenant).await?;
        let minted = minted(token_kind(&find(&snapshot, &named)?.kind))?;
        let command = domain::Command::RotateCredential(domain::RotateCredential {
            id: named.id.clone(),
            secret: secret(&minted),
            overlap_seconds: it.overlap_seconds,
        });
        let asked = asked(&named.tenant, command, write);
        let reply: pb::Credential =
            self.edge.submit_digested(call, asked, Some(digest.into())).await?;
        let secret = self.shown_once(call, &named.tenant, &reply.id, minted).await?;
        let credential = Some(self.used(&named.tenant, reply).await?);
        Ok(pb::RotateCredentialResponse { credential, secret })
    }

    async fn change(
        &self,
        call: &mut Call,
        mut check: Check,
        named: &Named,
        write: Option<WriteOptions>,
        command: domain::Command,
    ) -> Result<pb::Credential, Status> {
        let write = check.write(write);
        check.done()?;
        if named.environment.is_some() {
            let snapshot = self.edge.access(call, &named.tenant).await?;
            find(&snapshot, named)?;
        }
        let reply = self.edge.submit(call, asked(&named.tenant, command, write)).await?;
        self.used(&named.tenant, reply).await
    }

    /// The secret, when it is the credential's now. After a repetition, or when nothing was
    /// to be changed, it is not.
    async fn shown_once(
        &self,
        call: &mut Call,
        tenant: &TenantId,
        id: &str,
        minted: Minted,
    ) -> Result<String, Status> {
        let snapshot = self.edge.access(call, tenant).await?;
        let found = snapshot.state.credentials.get(id);
        let is_its = found.is_some_and(|it| it.secret.hash == Hash(minted.hash.0));
        Ok(if is_its { minted.text } else { String::new() })
    }

    async fn used(
        &self,
        tenant: &TenantId,
        credential: pb::Credential,
    ) -> Result<pb::Credential, Status> {
        let mut one = self.all_used(tenant, vec![credential]).await?;
        one.pop().ok_or_else(unchecked)
    }

    /// With how each was used, and how its secret looks.
    async fn all_used(
        &self,
        tenant: &TenantId,
        mut credentials: Vec<pb::Credential>,
    ) -> Result<Vec<pb::Credential>, Status> {
        let ids: Vec<&str> = credentials.iter().map(|it| it.id.as_str()).collect();
        let store = self.edge.platform.ports.store.as_ref();
        let uses = uses_of(store, tenant, &ids).await;
        let uses = uses.map_err(|fault| status::of_fault(&fault))?;
        for it in &mut credentials {
            if let Some(uses) = uses.get(&it.id) {
                it.last_used_at = Some(instant(uses.last_used_at));
                it.request_count = uses.requests;
            }
            it.hint = format!("{}...{}", prefix(it.kind()), it.hint);
        }
        Ok(credentials)
    }
}

fn find<'a>(
    snapshot: &'a Arc<Snapshot>,
    named: &Named,
) -> Result<&'a Arc<domain::Credential>, Status> {
    let found = snapshot.state.credentials.get(&named.id).filter(|it| named.holds(it));
    found.ok_or_else(|| refused(&Rejection::CredentialNotFound { field: "id" }))
}

fn asked(tenant: &TenantId, command: domain::Command, write: crate::check::Write) -> Asked {
    let stream = StreamId::Tenant(tenant.clone());
    Asked { stream, command: Command::Access(command), write, rename }
}

/// The project, and one of its environments, that keys are of. None: any.
fn place(check: &mut Check, project: String, environment: String) -> Option<(Slug, Option<Slug>)> {
    if project.is_empty() {
        if !environment.is_empty() {
            check.refuse(FIELD_MISSING, "project", "must be given with an environment");
        }
        return None;
    }
    let project = check.slug("project", project)?;
    let environment = match environment {
        none if none.is_empty() => None,
        given => Some(check.slug("environment", given)?),
    };
    Some((project, environment))
}

/// A key of an environment is there for whoever may read those of it, a personal token for
/// its owner, everything for whoever may read all credentials.
fn is_shown(sieve: &Sieve, caller: Option<&Caller>, kind: &CredentialKind) -> bool {
    let own = || {
        let caller = caller.filter(|_| matches!(sieve, Sieve::Part { .. }));
        let owner = kind.owner().cloned().map(Principal::Member);
        owner.is_some() && caller.map(|it| &it.principal) == owner.as_ref()
    };
    let place = kind.environment();
    let (project, environment) = (place.map(|it| it.0.as_str()), place.map(|it| it.1.as_str()));
    sieve.shows(project, environment, None) || own()
}

fn is_in(place: Option<&(Slug, Option<Slug>)>, credential: &domain::Credential) -> bool {
    let Some((project, environment)) = place else { return true };
    credential
        .kind
        .environment()
        .is_some_and(|(own, its)| own == project && environment.as_ref().is_none_or(|it| it == its))
}

fn kind(
    check: &mut Check,
    kind: i32,
    owner: String,
    project: String,
    environment: String,
) -> Option<CredentialKind> {
    use pb::CredentialKind as K;
    let told = "must be SERVICE, PERSONAL, SERVER or CLIENT";
    let kind = K::try_from(kind).unwrap_or(K::Unspecified);
    if !owner.is_empty() && kind != K::Personal {
        check.refuse(VALUE_INVALID, "owner", "must be empty: only a personal token has one");
    }
    let is_key = matches!(kind, K::Server | K::Client);
    if !is_key && (!project.is_empty() || !environment.is_empty()) {
        check.refuse(VALUE_INVALID, "project", "must be empty: only an SDK key has one");
        return None;
    }
    match kind {
        K::Unspecified => {
            check.refuse(ENUM_UNKNOWN, "kind", told);
            None
        }
        K::Service => Some(CredentialKind::Service),
        K::Personal => actor(check, "owner", owner).map(|owner| CredentialKind::Personal { owner }),
        K::Server | K::Client => {
            let project = check.slug("project", project);
            let environment = check.slug("environment", environment);
            let (project, environment) = project.zip(environment)?;
            Some(match kind {
                K::Server => CredentialKind::ServerSdk { project, environment },
                _ => CredentialKind::ClientSdk { project, environment },
            })
        }
    }
}

fn givings(check: &mut Check, grants: Vec<pb::RoleGrant>) -> Vec<Giving> {
    let most = domain::PRINCIPAL_GRANTS_MAX;
    if grants.len() > most {
        check.refuse(VALUE_INVALID, "grants", format!("must be at most {most}"));
    }
    let grants = grants.into_iter().take(most).enumerate();
    let givings = grants.filter_map(|(index, it)| {
        let role = check.slug(&format!("grants[{index}].role"), it.role)?;
        let scope = scope_from_proto(it.scope).unwrap_or_else(|_| {
            let text = "must name keys, and their project when it names an environment or a flag";
            check.refuse(ID_INVALID, &format!("grants[{index}].scope"), text);
            Scope::tenant()
        });
        Some(Giving { role, scope })
    });
    givings.collect()
}

fn minted(kind: TokenKind) -> Result<Minted, Status> {
    let entropy = entropy().map_err(|error| status::internal("token", &error.to_string()))?;
    Ok(mint(kind, &entropy))
}

fn secret(minted: &Minted) -> Secret {
    Secret { hash: Hash(minted.hash.0), hint: minted.hint.clone() }
}

fn token_kind(kind: &CredentialKind) -> TokenKind {
    match kind {
        CredentialKind::Service => TokenKind::Service,
        CredentialKind::Personal { .. } => TokenKind::Personal,
        CredentialKind::ServerSdk { .. } => TokenKind::ServerKey,
        CredentialKind::ClientSdk { .. } => TokenKind::ClientKey,
    }
}

/// How secrets of a kind begin.
fn prefix(kind: pb::CredentialKind) -> String {
    let kind = match kind {
        pb::CredentialKind::Personal => TokenKind::Personal,
        pb::CredentialKind::Server => TokenKind::ServerKey,
        pb::CredentialKind::Client => TokenKind::ClientKey,
        _ => TokenKind::Service,
    };
    format!("exq_{}_", kind.as_str())
}
