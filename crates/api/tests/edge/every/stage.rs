//! A guarded server with a tenant `acme` that has one of everything, a tenant `rival` that
//! has nothing of it, and credentials of both. Names of what belongs to `acme` have
//! [`MARK`] in them, which no answer to `rival` may have.

use exchequer_api::authn::deployment_proof;
use serde_json::{Value, json};
use tonic::metadata::MetadataMap;
use tonic::{Response, Status};
use tonic_types::StatusExt as _;

use super::methods::{Method, method, replaced};
use super::wire;
use crate::guard::{Guarded, KEY};
use crate::world::World;

/// In all that `acme` has said.
pub(crate) const MARK: &str = "Zq7";
/// As long as `acme`, and not there.
pub(crate) const NOBODY: &str = "nobo";

pub(crate) struct Stage {
    guarded: Guarded,
    /// What `requests.json` calls by `$names`.
    names: Vec<(String, String)>,
    /// Secret of the owner of `rival`.
    pub(crate) rival: String,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let guarded = Guarded::start().await;
        let mut stage = Self { guarded, names: Vec::new(), rival: String::new() };
        for (method, request) in begin().into_iter().chain(begin_to_count()) {
            stage.make(method, request).await;
        }
        stage.publish().await;
        for (method, request) in go_on() {
            stage.make(method, request).await;
        }
        stage.rival = stage.owner_of("rival").await;
        stage
    }

    pub(crate) fn world(&self) -> &World {
        &self.guarded.world
    }

    /// The deployment's own proof.
    pub(crate) fn proof(&self) -> String {
        deployment_proof(&KEY, self.world().platform.ports.runtime.now())
    }

    /// The request with the ids that this stage has.
    pub(crate) fn request(&self, request: &Value) -> Value {
        let names: Vec<(&str, &str)> =
            self.names.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        replaced(request, &names)
    }

    /// Everything that `acme` has, by its id.
    pub(crate) fn ids(&self) -> Vec<String> {
        let known = ["acme", "web", "prod", "checkout", "own", "u-ann", "core", "reader"];
        let known = known.into_iter().map(str::to_owned);
        known.chain(self.names.iter().map(|(_, id)| id.clone())).collect()
    }

    pub(crate) async fn call(
        &self,
        token: &str,
        method: &Method,
        request: &Value,
    ) -> Result<Response<Vec<u8>>, Status> {
        self.call_with(token, &[], method, request).await
    }

    pub(crate) async fn call_with(
        &self,
        token: &str,
        metadata: &[(&'static str, &str)],
        method: &Method,
        request: &Value,
    ) -> Result<Response<Vec<u8>>, Status> {
        let mut all = MetadataMap::new();
        if !token.is_empty() {
            all.insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        for (name, value) in metadata {
            all.insert(*name, value.parse().unwrap());
        }
        let bytes = method.encode(request);
        let (channel, path) = (&self.world().channel, method.path());
        wire::call(channel, &path, all, bytes, method.rule.streams).await
    }

    /// A new service token of `tenant` with a role that has `permissions`.
    pub(crate) async fn token(&mut self, tenant: &str, role: &str, permissions: &[&str]) -> String {
        let role_request = json!({
            "tenant": tenant, "key": role, "name": role, "permissions": permissions,
        });
        self.ask("CreateRole", role_request).await;
        self.token_of(tenant, role).await
    }

    pub(crate) async fn owner_of(&mut self, tenant: &str) -> String {
        self.token_of(tenant, "owner").await
    }

    async fn token_of(&mut self, tenant: &str, role: &str) -> String {
        let request = json!({
            "tenant": tenant, "kind": "CREDENTIAL_KIND_SERVICE", "name": role,
            "grants": [{"role": role}], "requestsPerMinute": 1_000_000,
        });
        let made = self.ask("CreateCredential", request).await;
        made["secret"].as_str().unwrap().to_owned()
    }

    /// As the deployment.
    pub(crate) async fn ask(&self, name: &str, request: Value) -> Value {
        let method = method(name);
        let request = self.request(&request);
        let answer = self.call(&self.proof(), &method, &request).await;
        let answer = answer.unwrap_or_else(|status| panic!("{name} {request}: {status:?}"));
        method.decode(answer.get_ref())
    }

    /// [`Self::ask`]; the id that was made, at the place behind `@`, gets the name before it.
    async fn make(&mut self, named: &'static str, request: Value) {
        let Some((name, method)) = named.split_once('=') else {
            self.ask(named, request).await;
            return;
        };
        let (name, place) = name.split_once('@').unwrap();
        let made = self.ask(method, request).await;
        let id = made.pointer(place).and_then(Value::as_str);
        let id = id.unwrap_or_else(|| panic!("{method} made no id: {made}")).to_owned();
        self.names.push((format!("${name}"), id));
    }

    /// The sample catalog, sold by the platform and by `acme`.
    async fn publish(&self) {
        use prost::Message as _;
        let sample = exchequer_catalog_file::SAMPLES.iter().find(|it| it.name == "saas").unwrap();
        let document = exchequer_catalog_file::parse(sample.text).unwrap();
        let document = exchequer_codec::document_to_proto(&document);
        let bytes = document.encode_to_vec();
        let save = method("SaveDraft");
        let kind = save.input.get_field_by_name("document").unwrap().kind();
        let message = prost_reflect::DynamicMessage::decode(
            kind.as_message().unwrap().clone(),
            bytes.as_slice(),
        );
        let document = serde_json::to_value(message.unwrap()).unwrap();
        for (tenant, catalog) in [("platform", "default"), ("acme", "own")] {
            let request = json!({"tenant": tenant, "catalog": catalog, "document": document});
            self.ask("SaveDraft", request).await;
            let request = json!({"tenant": tenant, "catalog": catalog});
            self.ask("PublishCatalog", request).await;
        }
    }
}

/// The reason of a refusal.
pub(crate) fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|it| it.reason).unwrap_or_default()
}

/// What exists before anything is sold.
fn begin() -> Vec<(&'static str, Value)> {
    let name = |what: &str| format!("{MARK} {what}");
    let boolean = |key: &str, value: bool| json!({"key": key, "value": {"boolean": value}});
    vec![
        ("CreateTenant", json!({"id": "acme", "name": name("tenant")})),
        ("CreateTenant", json!({"id": "rival", "name": "Rival"})),
        ("PromoteTenant", json!({"id": "acme"})),
        (
            "CreateTenant",
            json!({"id": "child", "parent": "acme", "name": name("child"), "testClock": "2026-01-01T00:00:00Z"}),
        ),
        (
            "UpdateSettings",
            json!({"id": "acme", "set": [{"key": "support.email", "value": name("setting")}]}),
        ),
        ("CreateProject", json!({"tenant": "acme", "key": "web", "name": name("project")})),
        (
            "CreateEnvironment",
            json!({"tenant": "acme", "project": "web", "key": "prod", "name": name("environment")}),
        ),
        (
            "CreateFlag",
            json!({
                "tenant": "acme", "project": "web", "key": "checkout",
                "definition": {
                    "name": name("flag"), "kind": "KIND_BOOLEAN",
                    "variants": [boolean("on", true), boolean("off", false)],
                    "defaultVariant": "on", "offVariant": "off",
                },
            }),
        ),
        ("AddMember", json!({"tenant": "acme", "id": "u-ann", "name": name("member")})),
        (
            "CreateTeam",
            json!({"tenant": "acme", "key": "core", "name": name("team"), "members": ["u-ann"]}),
        ),
        (
            "CreateRole",
            json!({"tenant": "acme", "key": "reader", "name": name("role"), "permissions": ["flags.read"]}),
        ),
        (
            "role_grant@/id=GrantRole",
            json!({"tenant": "acme", "principal": {"member": "u-ann"}, "role": "reader"}),
        ),
        (
            "credential@/credential/id=CreateCredential",
            json!({
                "tenant": "acme", "kind": "CREDENTIAL_KIND_SERVICE", "name": name("credential"),
                "grants": [{"role": "reader"}],
            }),
        ),
    ]
}

/// What is counted, and told.
fn begin_to_count() -> Vec<(&'static str, Value)> {
    let name = |what: &str| format!("{MARK} {what}");
    vec![
        (
            "CreateMeter",
            json!({
                "tenant": "acme", "key": "tokens",
                "rules": {
                    "eventType": name("event"), "aggregation": "AGGREGATION_SUM",
                    "value": "$.tokens", "unit": name("unit"),
                },
            }),
        ),
        (
            "PutEventSchema",
            json!({
                "tenant": "acme", "type": "request",
                "schema": format!("{{\"title\": \"{MARK}\"}}"),
            }),
        ),
        (
            "AppendEntry",
            json!({
                "tenant": "acme",
                "entry": {"action": "invoice.paid", "actor": "u-1", "resource": {"type": "invoice", "id": name("entry")}},
            }),
        ),
    ]
}

/// What needs a catalog.
fn go_on() -> Vec<(&'static str, Value)> {
    vec![
        (
            "subscription@/subscription/id=CreateSubscription",
            json!({
                "tenant": "acme", "catalog": "default", "plan": "pro", "price": "monthly",
                "currency": "USD", "seats": "3",
            }),
        ),
        (
            "change@/subscription/schedule/0/id=ChangeSubscription",
            json!({
                "tenant": "acme", "change": {"plan": "starter"}, "when": {"periodEnd": {}},
            }),
        ),
        (
            "Reserve",
            json!({"tenant": "acme", "reservation": "r-used", "feature": "storage", "amount": "2"}),
        ),
        ("Finalise", json!({"tenant": "acme", "reservation": "r-used"})),
        (
            "Reserve",
            json!({"tenant": "acme", "reservation": "r-open", "feature": "storage", "ttl": "3600s"}),
        ),
        (
            "grant@/id=GrantEntitlement",
            json!({
                "tenant": "acme", "feature": "sso", "amount": {"kind": "AMOUNT_KIND_ON"},
                "kind": "GRANT_KIND_MANUAL", "reason": format!("{MARK} grant"),
            }),
        ),
        (
            "SaveDraft",
            json!({"tenant": "acme", "catalog": "draft", "document": {"name": format!("{MARK} catalog"), "plans": [{"id": "free", "name": "Free"}]}}),
        ),
    ]
}
