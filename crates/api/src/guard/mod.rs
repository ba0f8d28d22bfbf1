//! The one layer that decides on every call: who calls, whether their rate allows it, and
//! whether they may. What it lets through carries its [`Caller`]; what it refuses has
//! cost nobody anything else. Streams end when their caller may not read on.

mod body;
mod caller;
mod content;
mod denials;
pub(crate) mod ending;
mod fields;
mod items;
mod judge;
mod production;
mod rules;
mod sieve;
mod streams;

use core::time::Duration;
use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use exchequer_engine::Platform;
use exchequer_proto::AuditClass;
use exchequer_runtime::Runtime;
use exchequer_types::{CommandId, TenantId, Timestamp};
use tokio::sync::watch;
use tonic::Status;

pub(crate) use caller::{AGENT_CHARS_MAX, Origin};
pub use caller::{Caller, CredentialInfo, Proof, Who};
pub(crate) use content::SeenVersion;
pub(crate) use items::Items;
pub(crate) use judge::{About, Asker, Denied, Grounds, Judge};
pub(crate) use production::{PlatformFlags, Production};
pub use rules::RuleError;
pub(crate) use rules::{Need, OPEN};
pub(crate) use sieve::Sieve;

use crate::authn::{
    Authenticator, NotAuthenticated, NotRecognised, Peer, Recognised, Whose, codes,
};
use crate::call::COMMAND_ID;
use crate::hashed::hashed;
use crate::limits::{Asking, Exceeded, Limits, Taken};
use crate::malformed;
use crate::observe::Note;
use crate::status::{self, ID_INVALID, METHOD_UNKNOWN, PERMISSION_DENIED, Refusal};
use denials::{Denials, Noted};
use rules::{Found, Rule, Rules};
use streams::{Open, Streams};

/// A stream is looked at again after this long: its end may take no longer than a second.
const LOOK_AGAIN: Duration = Duration::from_millis(400);

/// Of `write.command_id`, in every request that has it.
const COMMAND_ID_PATH: [u32; 2] = [15, 1];

const LIMIT: &str = "x-ratelimit-limit";
const REMAINING: &str = "x-ratelimit-remaining";
const RESET: &str = "x-ratelimit-reset";

/// What the guard is made of, beside the platform.
#[derive(Debug)]
pub struct Access {
    pub authenticator: Arc<Authenticator>,
    pub limits: Limits,
}

/// Decides on calls.
#[derive(Debug)]
pub struct Guard {
    rules: Rules,
    access: Access,
    judge: Judge,
    denials: Arc<Denials>,
    streams: Arc<Streams>,
    runtime: Arc<dyn Runtime>,
    stopping: watch::Receiver<bool>,
}

/// A call that may go on.
struct Admitted {
    request: Request,
    taken: Option<Taken>,
    /// Of a stream: what is asked again and again.
    watched: Option<Watched>,
}

/// What a stream's caller may, as it asked.
struct Watched {
    caller: Caller,
    rule: Rule,
    message: Bytes,
    /// Counts the stream while it lasts.
    _open: Open,
}

/// A call that may not, with what its caller is told of its rate.
struct Refused {
    refusal: Status,
    taken: Option<Taken>,
}

impl Guard {
    /// A guard of `platform`. It writes refusals into audit logs until the process ends;
    /// streams are left to themselves once `stopping` says true.
    pub fn new(
        platform: &Platform,
        access: Access,
        stopping: watch::Receiver<bool>,
    ) -> Result<Self, RuleError> {
        let runtime = Arc::clone(&platform.ports.runtime);
        let judge = Judge::of(platform);
        let denials = Arc::new(Denials::default());
        Arc::clone(&denials).start(platform);
        let (rules, streams) = (Rules::compile()?, Arc::default());
        Ok(Self { rules, access, judge, denials, streams, runtime, stopping })
    }

    /// Decides on one call without its body: the whole work of the guard, for whoever has
    /// read the request already.
    pub async fn check(
        &self,
        path: &str,
        headers: &HeaderMap,
        peer: &Peer,
        message: &[u8],
    ) -> Result<Caller, Status> {
        let Found::Rule(rule) = self.rules.of(path) else {
            return Err(Refusal::new(METHOD_UNKNOWN, "no such method").status());
        };
        let now = self.runtime.now();
        let known = self.access.authenticator.recognise(headers, peer, now).await;
        let known = known.map_err(|refused| self.not_recognised(rule, refused))?;
        self.take_at(&known.caller, now).await.map_err(|refused| refused.refusal)?;
        if !rule.method.items {
            self.authorise(asker(&known, now), rule, message, None).await?;
        }
        Ok(known.caller)
    }

    /// Who calls, whether their rate allows it, and whether they may.
    async fn admit(
        self: &Arc<Self>,
        rule: &Rule,
        parts: Parts,
        body: Body,
    ) -> Result<Admitted, Refused> {
        let now = self.runtime.now();
        let known = self.authenticate(rule, &parts, now).await.map_err(Refused::from)?;
        let caller = &known.caller;
        if let Some(note) = parts.extensions.get::<Arc<Note>>() {
            note.set_actor(caller.actor.as_str());
            if let Some(credential) = caller.credential() {
                note.set_credential(&credential.id);
            }
        }
        let taken = self.take_at(caller, now).await?;
        let refused = |refusal| Refused { refusal, taken };
        let open = self.open(caller, rule).map_err(refused)?;
        let watch = |message: &Bytes, open| {
            let (caller, rule, message) = (caller.clone(), *rule, message.clone());
            Watched { caller, rule, message, _open: open }
        };
        if rule.method.items {
            let watched = open.map(|open| watch(&Bytes::new(), open));
            let mut request = Request::from_parts(parts, body);
            request.extensions_mut().insert(Items { guard: Arc::clone(self), rule: *rule });
            request.extensions_mut().insert(known.caller);
            return Ok(Admitted { request, taken, watched });
        }
        let (message, body) = body::first_message(body).await.map_err(refused)?;
        let asker = asker(&known, now);
        let allowed = self.authorise(asker, rule, &message, parts.extensions.get()).await;
        let seen = allowed.map_err(|refusal| refused(with_command_id(rule, &message, refusal)))?;
        let watched = open.map(|open| watch(&message, open));
        let mut request = Request::from_parts(parts, body);
        request.extensions_mut().insert(known.caller);
        if let Some(version) = seen {
            request.extensions_mut().insert(SeenVersion(version));
        }
        Ok(Admitted { request, taken, watched })
    }

    async fn authenticate(
        &self,
        rule: &Rule,
        parts: &Parts,
        now: Timestamp,
    ) -> Result<Recognised, Status> {
        let peer = parts.extensions.get::<Peer>();
        let peer = peer.ok_or_else(|| status::internal("guard", "a request without its peer"))?;
        let known = self.access.authenticator.recognise(&parts.headers, peer, now).await;
        known.map_err(|refused| self.not_recognised(rule, refused))
    }

    /// Told to the caller; and to the tenant whose credential it was.
    fn not_recognised(&self, rule: &Rule, refused: NotRecognised) -> Status {
        let NotRecognised { why, whose } = refused;
        if let Some(whose) = whose {
            let Whose { tenant, actor, origin } = *whose;
            self.denials.count(&tenant, Noted::Denied, (&actor, origin), rule, why.code());
        }
        Refusal::from(why).status()
    }

    /// One more stream, when the method's reply is one.
    fn open(&self, caller: &Caller, rule: &Rule) -> Result<Option<Open>, Status> {
        if !rule.method.streams {
            return Ok(None);
        }
        let of_actor = || hashed((caller.home.as_str(), caller.actor.as_str()));
        let whose = caller.credential().map_or_else(of_actor, |it| it.keys.credential());
        self.streams.open(whose).map(Some)
    }

    async fn take(&self, caller: &Caller) -> Result<Option<Taken>, Refused> {
        self.take_at(caller, self.runtime.now()).await
    }

    async fn take_at(&self, caller: &Caller, now: Timestamp) -> Result<Option<Taken>, Refused> {
        let unlimited = self.judge.is_unlimited(caller, now).await;
        if unlimited.map_err(|_| Refused::from(unavailable().status()))? {
            return Ok(None);
        }
        let credential = caller.credential();
        let asking = Asking {
            tenant: &caller.home,
            credential: credential.map_or(caller.actor.as_str(), |it| it.id.as_str()),
            requests_per_minute: credential.and_then(|it| it.requests_per_minute),
            keys: credential.map(|it| it.keys),
        };
        self.access.limits.take_at(asking, now).await.map(Some).map_err(|exceeded| {
            let Exceeded { limit, reset, .. } = exceeded;
            let taken = Some(Taken { limit, remaining: 0, reset });
            Refused { refusal: Refusal::from(exceeded).status(), taken }
        })
    }

    /// The rule against what the request names, and says where the rule leaves it to that.
    /// The version in which the caller may change what it names; None for any.
    async fn authorise(
        &self,
        asker: Asker<'_>,
        rule: &Rule,
        message: &[u8],
        note: Option<&Arc<Note>>,
    ) -> Result<Option<u64>, Status> {
        let caller = asker.caller;
        let method = rule.method;
        let paths = [method.tenant, method.project, method.environment, method.flag];
        let found = fields::find(message, paths);
        let [tenant, project, environment, flag] = found.map_err(|_| body::malformed())?;
        let tenant = match tenant {
            Some(text) if text == caller.home.as_str() => Cow::Borrowed(&caller.home),
            // The permission is needed at the platform, or the platform is meant.
            None if method.tenant.is_empty() || method.platform_by_default => {
                Cow::Owned(TenantId::platform())
            }
            text => Cow::Owned(TenantId::parse(text.unwrap_or_default()).map_err(|error| {
                Refusal::new(ID_INVALID, error.to_string()).field(method.tenant_field).status()
            })?),
        };
        let tenant = tenant.as_ref();
        if let Some(note) = note {
            note.set_tenant(tenant.as_str());
        }
        let about = About { tenant, project, environment, flag };
        match self.judge.judge_content(asker, rule, &about, message).await {
            Ok(allowed) => {
                self.note_read(caller, rule, tenant, allowed.grounds);
                Ok(allowed.version)
            }
            Err((need, denied)) => {
                Err(self.refuse(caller, &Rule { need, ..*rule }, tenant, denied))
            }
        }
    }

    /// Who reads what is sensitive, and who reads from above, stands in the tenant's log.
    fn note_read(&self, caller: &Caller, rule: &Rule, tenant: &TenantId, grounds: Grounds) {
        let why = match (rule.method.audit, grounds) {
            (AuditClass::Read | AuditClass::SensitiveRead, Grounds::Above(code)) => code,
            (AuditClass::SensitiveRead, Grounds::Own) => "GRANTED",
            _ => return,
        };
        let who = (&caller.actor, caller.origin());
        self.denials.count(tenant, Noted::Read, who, rule, why);
    }

    /// Told to the caller, and to the audit log: of the tenant when the caller belongs to
    /// it, else of the caller's own.
    fn refuse(&self, caller: &Caller, rule: &Rule, tenant: &TenantId, denied: Denied) -> Status {
        let (log, why, refusal) = match denied {
            // That there is a platform is no secret.
            Denied::Hidden if rule.method.tenant.is_empty() && !rule.method.items => {
                let why = "NOT_MEMBER";
                (&caller.home, why, permission_denied(rule, why, None))
            }
            Denied::Unavailable => return unavailable().status(),
            Denied::Hidden => {
                let field = if rule.method.items { "tenant" } else { rule.method.tenant_field };
                let refusal = status::tenant_not_found(field);
                (&caller.home, "NOT_MEMBER", refusal)
            }
            Denied::Address => {
                let refusal = Refusal::from(NotAuthenticated::AddressNotAllowed).status();
                (tenant, codes::ADDRESS_NOT_ALLOWED, refusal)
            }
            Denied::Lacks { rule: why, grant } => {
                (tenant, why, permission_denied(rule, why, grant))
            }
        };
        self.denials.count(log, Noted::Denied, (&caller.actor, caller.origin()), rule, why);
        refusal
    }

    /// Resolves when the stream's caller may not read on.
    async fn until_over(self: Arc<Self>, watched: Watched) -> Status {
        let Watched { caller, rule, message, _open } = watched;
        let mut stopping = self.stopping.clone();
        loop {
            tokio::select! {
                // The stream itself says that the server stops.
                () = stopped(&mut stopping) => return core::future::pending().await,
                () = self.runtime.sleep(LOOK_AGAIN) => {}
            }
            match self.access.authenticator.still_holds(&caller).await {
                // What cannot be told now ends nothing.
                Ok(()) | Err(NotAuthenticated::Unavailable) => {}
                Err(error) => return Refusal::from(error).status(),
            }
            if let Err(refused) = self.still_allowed(&caller, &rule, &message).await {
                return refused;
            }
        }
    }

    async fn still_allowed(
        &self,
        caller: &Caller,
        rule: &Rule,
        message: &[u8],
    ) -> Result<(), Status> {
        let method = rule.method;
        // The service asks for each item, as long as the stream goes on.
        if method.items {
            return Ok(());
        }
        let paths = [method.tenant, method.project, method.environment, method.flag];
        let Ok([tenant, project, environment, flag]) = fields::find(message, paths) else {
            return Ok(());
        };
        let tenant = tenant.map_or_else(|| Ok(TenantId::platform()), TenantId::parse);
        let Ok(tenant) = tenant else { return Ok(()) };
        let about = About { tenant: &tenant, project, environment, flag };
        match self.judge.judge(caller, rule.need, &about).await {
            Ok(()) | Err(Denied::Unavailable) => Ok(()),
            Err(denied) => Err(self.refuse(caller, rule, &tenant, denied)),
        }
    }
}

/// What `answer` answers to whom it may, around all services.
pub(crate) async fn guard<F>(
    guard: &Arc<Guard>,
    request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    let rule = match guard.rules.of(request.uri().path()) {
        Found::Open => return answer(request).await,
        Found::Nothing => return malformed::unknown(request).await,
        Found::Rule(rule) => *rule,
    };
    let (parts, body) = request.into_parts();
    match guard.admit(&rule, parts, body).await {
        Ok(Admitted { request, taken, watched }) => {
            let mut response = answer(request).await;
            tell(response.headers_mut(), taken);
            match watched {
                Some(watched) => {
                    let end = Box::pin(Arc::clone(guard).until_over(watched));
                    response.map(|body| Body::new(ending::Ending::new(body, end)))
                }
                None => response,
            }
        }
        Err(Refused { refusal, taken }) => {
            let mut response = refusal.into_http();
            tell(response.headers_mut(), taken);
            response
        }
    }
}

fn asker(known: &Recognised, now: Timestamp) -> Asker<'_> {
    let home = known.home.as_ref().map(|(snapshot, place)| (snapshot.as_ref(), *place));
    Asker { caller: &known.caller, home, now }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    drop(stopping.wait_for(|stopping| *stopping).await);
}

/// A refused write tells its id, as one does that is decided.
fn with_command_id(rule: &Rule, message: &[u8], mut refusal: Status) -> Status {
    let paths: [&[u32]; 4] = [&COMMAND_ID_PATH, &[], &[], &[]];
    if rule.method.audit == AuditClass::Write
        && let Ok([Some(id), ..]) = fields::find(message, paths)
        && let Some(value) = CommandId::parse(id).ok().and_then(|_| id.parse().ok())
    {
        refusal.metadata_mut().insert(COMMAND_ID, value);
    }
    refusal
}

/// What the caller's rate allows.
fn tell(headers: &mut HeaderMap, taken: Option<Taken>) {
    let Some(Taken { limit, remaining, reset }) = taken else { return };
    headers.insert(LIMIT, limit.into());
    headers.insert(REMAINING, remaining.into());
    headers.insert(RESET, (reset + Duration::from_millis(999)).as_secs().into());
}

fn permission_denied(rule: &Rule, why: &'static str, grant: Option<String>) -> Status {
    let permission = rule.need.as_str();
    let message = format!("the permission {permission} is missing: {}", said(why));
    let refusal =
        Refusal::new(PERMISSION_DENIED, message).with("permission", permission).with("rule", why);
    match grant {
        Some(grant) => refusal.with("grant", grant).status(),
        None => refusal.status(),
    }
}

/// What would help, in words.
fn said(rule: &str) -> &'static str {
    match rule {
        "NOT_MEMBER" => "it is needed at the platform, to which the caller does not belong",
        "PROVIDER_ONLY" => "it belongs to the tenant's provider",
        "EXPIRED" => "the grant that gave it has expired",
        "OUT_OF_SCOPE" => "a grant gives it elsewhere, not for everything that this call is about",
        "OUTSIDE_PRODUCTION" => "a grant gives it outside production alone",
        "BEYOND_TOKEN" => {
            "a token makes none that lasts longer, comes from elsewhere or is used more often"
        }
        "ABOVE_INCOMPLETE" => "acting in a tenant below takes it beside tenants.act_as",
        _ => "no grant gives it; an admin of the tenant can grant a role that does",
    }
}

fn unavailable() -> Refusal {
    Refusal::from(NotAuthenticated::Unavailable)
}

impl From<Status> for Refused {
    fn from(refusal: Status) -> Self {
        Self { refusal, taken: None }
    }
}
