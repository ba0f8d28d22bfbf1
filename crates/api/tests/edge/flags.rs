//! Flags over a real port: managed, evaluated, refused.

use std::collections::BTreeMap;

use exchequer_proto::entitlements::v1 as pbe;
use exchequer_proto::flags::v1 as pb;
use exchequer_proto::flags::v1::evaluation_service_client::EvaluationServiceClient;
use exchequer_proto::flags::v1::flag_service_client::FlagServiceClient;
use exchequer_proto::tenants::v1 as pbt;
use prost_types::value::Kind;
use tonic::transport::Channel;

use crate::world::{Reply, World, named, refused, seeing, write};

/// A server with project `web` of the root, environments `prod` and `test`, the flag
/// `checkout`, and the customer `acme`.
struct Shop {
    world: World,
    flags: FlagServiceClient<Channel>,
    evaluation: EvaluationServiceClient<Channel>,
}

impl Shop {
    async fn open() -> Self {
        let mut world = World::start().await;
        world.tenant("acme").await;
        let mut flags = FlagServiceClient::new(world.channel.clone());
        let evaluation = EvaluationServiceClient::new(world.channel.clone());
        flags.create_project(create_project("web")).await.unwrap();
        for key in ["prod", "test"] {
            flags.create_environment(create_environment(key)).await.unwrap();
        }
        flags.create_flag(create_flag("checkout", definition())).await.unwrap();
        Self { world, flags, evaluation }
    }

    async fn evaluate(&mut self, user: &str, attributes: &[(&str, Kind)]) -> pb::EvaluateResponse {
        let request = evaluate("checkout", context(user, attributes));
        self.evaluation.evaluate(request).await.unwrap().into_inner()
    }

    async fn answer(&mut self, user: &str, attributes: &[(&str, Kind)]) -> (String, pb::Reason) {
        let it = self.evaluate(user, attributes).await.evaluation.unwrap();
        (it.variant.clone(), it.reason())
    }

    async fn target(&mut self, targeting: pb::Targeting) -> pb::Flag {
        let request = set_targeting(targeting);
        self.flags.set_targeting(request).await.unwrap().into_inner()
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn create_project(key: &str) -> pb::CreateProjectRequest {
    pb::CreateProjectRequest {
        tenant: text("platform"),
        key: text(key),
        name: text("Web"),
        write: Some(write(&format!("create-project-{key}"))),
    }
}

fn create_environment(key: &str) -> pb::CreateEnvironmentRequest {
    pb::CreateEnvironmentRequest {
        tenant: text("platform"),
        project: text("web"),
        key: text(key),
        name: key.to_uppercase(),
        ..pb::CreateEnvironmentRequest::default()
    }
}

fn boolean(key: &str, value: bool) -> pb::Variant {
    let value = pb::Value { kind: Some(pb::value::Kind::Boolean(value)) };
    pb::Variant { key: text(key), value: Some(value) }
}

fn definition() -> pb::Definition {
    pb::Definition {
        name: text("Checkout"),
        kind: pb::Kind::Boolean.into(),
        variants: vec![boolean("on", true), boolean("off", false)],
        default_variant: text("on"),
        off_variant: text("off"),
        ..pb::Definition::default()
    }
}

fn create_flag(key: &str, definition: pb::Definition) -> pb::CreateFlagRequest {
    pb::CreateFlagRequest {
        tenant: text("platform"),
        project: text("web"),
        key: text(key),
        definition: Some(definition),
        write: None,
    }
}

fn set_targeting(targeting: pb::Targeting) -> pb::SetTargetingRequest {
    pb::SetTargetingRequest {
        tenant: text("platform"),
        project: text("web"),
        key: text("checkout"),
        environment: text("prod"),
        targeting: Some(targeting),
        write: None,
    }
}

fn split(on: u32) -> pb::Outcome {
    let share =
        |variant: &str, weight| pb::Share { variant: text(variant), weight, slots: Vec::new() };
    let shares = vec![share("on", on), share("off", 100_000 - on)];
    let split = pb::Split { shares, ..pb::Split::default() };
    pb::Outcome { kind: Some(pb::outcome::Kind::Split(split)) }
}

fn condition(kind: pb::condition::Kind) -> pb::Condition {
    pb::Condition { kind: Some(kind) }
}

fn is_below(name: &str, number: &str) -> pb::Condition {
    let test = Some(pb::attribute_test::Test::Below(text(number)));
    condition(pb::condition::Kind::Attribute(pb::AttributeTest { name: text(name), test }))
}

fn on_when(condition: pb::Condition) -> pb::Targeting {
    let outcome = pb::Outcome { kind: Some(pb::outcome::Kind::Variant(text("on"))) };
    let fallthrough = pb::Outcome { kind: Some(pb::outcome::Kind::Variant(text("off"))) };
    let rule = pb::Rule { id: text("young"), condition: Some(condition), outcome: Some(outcome) };
    pb::Targeting {
        enabled: true,
        rules: vec![rule],
        fallthrough: Some(fallthrough),
        ..pb::Targeting::default()
    }
}

fn context(user: &str, attributes: &[(&str, Kind)]) -> pb::Context {
    let fields = attributes
        .iter()
        .map(|(name, kind)| (text(name), prost_types::Value { kind: Some(kind.clone()) }));
    let fields: BTreeMap<_, _> = fields.collect();
    pb::Context {
        targeting_key: text(user),
        tenant: String::new(),
        attributes: Some(prost_types::Struct { fields }),
    }
}

fn evaluate(flag: &str, context: pb::Context) -> pb::EvaluateRequest {
    pb::EvaluateRequest {
        tenant: text("platform"),
        project: text("web"),
        environment: text("prod"),
        flag: text(flag),
        context: Some(context),
        kind: 0,
    }
}

// REQ: FLG-01, FLG-04, FLG-12
#[tokio::test(flavor = "multi_thread")]
async fn the_next_evaluation_sees_every_change() {
    let mut shop = Shop::open().await;
    assert_eq!(shop.answer("u", &[]).await, (text("off"), pb::Reason::Disabled));
    shop.target(on_when(is_below("user.age", "18"))).await;
    let before = shop.evaluate("u", &[]).await.snapshots.unwrap().flags.unwrap();
    let age = |age| [("user.age", Kind::NumberValue(age))];
    for _ in 0..10 {
        assert_eq!(shop.answer("u", &age(17.9)).await, (text("on"), pb::Reason::TargetingMatch));
        assert_eq!(shop.answer("u", &age(18.0)).await, (text("off"), pb::Reason::Default));
        shop.target(on_when(is_below("user.age", "10"))).await;
        assert_eq!(shop.answer("u", &age(17.9)).await, (text("off"), pb::Reason::Default));
        shop.target(on_when(is_below("user.age", "18"))).await;
    }
    let after = shop.evaluate("u", &[]).await.snapshots.unwrap().flags.unwrap();
    assert_eq!(after.version, before.version + 20);
    assert!(after.position.unwrap().offset > before.position.unwrap().offset);
    let it = shop.evaluate("u", &age(1.0)).await.evaluation.unwrap();
    assert_eq!((it.rule.as_str(), it.target), ("young", None));
    assert_eq!(it.value.unwrap().kind, Some(pb::value::Kind::Boolean(true)));
}

// REQ: FLG-09
#[tokio::test(flavor = "multi_thread")]
async fn what_is_granted_opens_the_flag_in_the_next_evaluation() {
    let mut shop = Shop::open().await;
    shop.world.sells("platform", &["new-checkout"]).await;
    let gate = pb::Gate { features: vec![text("new-checkout")], plans: Vec::new() };
    let targeting = pb::Targeting { enabled: true, gate: Some(gate), ..pb::Targeting::default() };
    shop.target(targeting).await;
    let of_acme = || pb::Context { tenant: text("acme"), ..context("u", &[]) };
    let request = || evaluate("checkout", of_acme());
    let closed = shop.evaluation.evaluate(request()).await.unwrap().into_inner();
    let it = closed.evaluation.unwrap();
    assert_eq!((it.variant.as_str(), it.reason()), ("off", pb::Reason::PlanRestriction));
    let grant = pbe::GrantEntitlementRequest {
        tenant: text("acme"),
        feature: text("new-checkout"),
        amount: Some(pbe::Amount { kind: pbe::AmountKind::On.into(), units: 0 }),
        kind: pbe::GrantKind::Manual.into(),
        reason: text("as agreed"),
        ..pbe::GrantEntitlementRequest::default()
    };
    shop.world.entitlements.grant_entitlement(grant).await.unwrap();
    let open = shop.evaluation.evaluate(request()).await.unwrap().into_inner();
    let it = open.evaluation.unwrap();
    assert_eq!((it.variant.as_str(), it.reason()), ("on", pb::Reason::Static));
    let plan = |it: Option<pb::Snapshots>| it.unwrap().plan.unwrap();
    let (before, after) = (plan(closed.snapshots), plan(open.snapshots));
    assert_eq!((after.tenant.as_str(), after.plan.as_str()), ("acme", ""));
    assert!(after.version > before.version);
    // Without a customer nobody has a plan.
    assert_eq!(shop.answer("u", &[]).await.1, pb::Reason::PlanRestriction);
}

// REQ: FLG-09
#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_customer_of_the_provider_has_nothing_whatever_others_gave_it() {
    let mut shop = Shop::open().await;
    shop.world.sells("platform", &["new-checkout"]).await;
    let gate = pb::Gate { features: vec![text("new-checkout")], plans: Vec::new() };
    let targeting = pb::Targeting { enabled: true, gate: Some(gate), ..pb::Targeting::default() };
    shop.target(targeting).await;
    shop.world.tenant("reseller").await;
    let promote = pbt::PromoteTenantRequest { id: text("reseller"), write: None };
    shop.world.tenants.promote_tenant(promote).await.unwrap();
    let create = pbt::CreateTenantRequest {
        id: text("theirs"),
        parent: text("reseller"),
        name: text("Theirs"),
        ..pbt::CreateTenantRequest::default()
    };
    let created = shop.world.tenants.create_tenant(create).await.unwrap();
    let token = Reply::of(created).token;
    shop.world.sells("reseller", &["new-checkout"]).await;
    let grant = |tenant: &str| pbe::GrantEntitlementRequest {
        tenant: text(tenant),
        feature: text("new-checkout"),
        amount: Some(pbe::Amount { kind: pbe::AmountKind::On.into(), units: 0 }),
        kind: pbe::GrantKind::Manual.into(),
        reason: text("as agreed"),
        ..pbe::GrantEntitlementRequest::default()
    };
    for tenant in ["acme", "theirs", "platform"] {
        let grant = seeing(grant(tenant), &token);
        shop.world.entitlements.grant_entitlement(grant).await.unwrap();
    }
    let mut answers = Vec::new();
    for tenant in ["theirs", "platform", "nobody", "acme"] {
        let context = pb::Context { tenant: text(tenant), ..context("u", &[]) };
        let answer = shop.evaluation.evaluate(evaluate("checkout", context)).await;
        let answer = answer.unwrap().into_inner();
        let plan = answer.snapshots.unwrap().plan.unwrap();
        assert_eq!(plan.tenant, tenant);
        assert!(plan.position.is_some());
        let it = answer.evaluation.unwrap();
        answers.push((it.variant.clone(), it.reason(), plan.plan, plan.version));
    }
    let closed = (text("off"), pb::Reason::PlanRestriction, String::new(), 0);
    assert_eq!(answers[..3], [closed.clone(), closed.clone(), closed]);
    assert_eq!(answers[3], (text("on"), pb::Reason::Static, String::new(), 1));
}

// REQ: FLG-05
#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_grows_over_the_api() {
    let mut shop = Shop::open().await;
    let targeting =
        pb::Targeting { enabled: true, fallthrough: Some(split(10_000)), ..Default::default() };
    let set = shop.target(targeting).await;
    let split_of = |flag: &pb::Flag| {
        let targeting = flag.targeting[0].targeting.as_ref().unwrap();
        match targeting.fallthrough.as_ref().unwrap().kind.clone().unwrap() {
            pb::outcome::Kind::Split(split) => split,
            pb::outcome::Kind::Variant(it) => panic!("{it}"),
        }
    };
    let ranges = |flag: &pb::Flag| -> Vec<_> {
        split_of(flag).shares[0].slots.iter().map(|it| (it.start, it.end)).collect()
    };
    assert_eq!(ranges(&set), [(0, 10_000)]);
    assert!(split_of(&set).salt.ends_with(".checkout"));
    let mut ins = Vec::new();
    for user in 0..200 {
        let user = format!("user-{user}");
        if shop.answer(&user, &[]).await == (text("on"), pb::Reason::Split) {
            ins.push(user);
        }
    }
    let weight = |variant: &str, weight| pb::Weight { variant: text(variant), weight };
    let grow = |on: u32, off: u32| pb::GrowRolloutRequest {
        tenant: text("platform"),
        project: text("web"),
        key: text("checkout"),
        environment: text("prod"),
        weights: vec![weight("on", on), weight("off", off)],
        ..pb::GrowRolloutRequest::default()
    };
    let grown = shop.flags.grow_rollout(grow(50_000, 50_000)).await.unwrap().into_inner();
    assert_eq!(ranges(&grown), [(0, 10_000), (60_000, 100_000)]);
    for user in &ins {
        assert_eq!(shop.answer(user, &[]).await.0, "on", "{user}");
    }
    let status =
        refused(shop.flags.grow_rollout(grow(50_000, 60_000)).await, "FLAG_WEIGHTS_INVALID");
    assert_eq!(named(&status).1, ["weights"]);
    let partial = pb::GrowRolloutRequest { weights: vec![weight("on", 100_000)], ..grow(0, 0) };
    let status = refused(shop.flags.grow_rollout(partial).await, "FLAG_WEIGHTS_INVALID");
    assert!(status.message().contains("off is missing"), "{}", status.message());
    refused(shop.flags.grow_rollout(grow(50_000, 50_000)).await, "FLAG_UNCHANGED");
}

// REQ: FLG-01
#[tokio::test(flavor = "multi_thread")]
async fn a_flag_keeps_its_kind_over_the_api() {
    let mut shop = Shop::open().await;
    let update = |kind: pb::Kind| pb::UpdateFlagRequest {
        tenant: text("platform"),
        project: text("web"),
        key: text("checkout"),
        definition: Some(pb::Definition {
            kind: kind.into(),
            name: text("Another name"),
            ..definition()
        }),
        ..pb::UpdateFlagRequest::default()
    };
    let status = refused(shop.flags.update_flag(update(pb::Kind::String)).await, "FLAG_KIND_FIXED");
    assert_eq!(named(&status).1, ["definition.kind"]);
    let silent = shop.flags.update_flag(update(pb::Kind::Unspecified)).await.unwrap().into_inner();
    assert_eq!(silent.definition.unwrap().kind(), pb::Kind::Boolean);
}

// REQ: FLG-01
#[tokio::test(flavor = "multi_thread")]
async fn one_many_and_all_are_evaluated() {
    let mut shop = Shop::open().await;
    let strings = pb::Definition {
        kind: pb::Kind::String.into(),
        variants: vec![pb::Variant {
            key: text("red"),
            value: Some(pb::Value { kind: Some(pb::value::Kind::Text(text("#f00"))) }),
        }],
        default_variant: text("red"),
        off_variant: text("red"),
        ..definition()
    };
    shop.flags.create_flag(create_flag("colour", strings)).await.unwrap();
    let (tenant, project, environment) = (text("platform"), text("web"), text("prod"));
    let flags = ["colour", "gone", "checkout"].map(text).to_vec();
    let many = pb::BatchEvaluateRequest { tenant, project, environment, flags, context: None };
    let many = shop.evaluation.batch_evaluate(many).await.unwrap().into_inner();
    let told: Vec<_> = many.evaluations.iter().map(|it| (it.flag.as_str(), it.error())).collect();
    let none = pb::EvaluationError::Unspecified;
    let missing = pb::EvaluationError::FlagNotFound;
    assert_eq!(told, [("colour", none), ("gone", missing), ("checkout", none)]);
    assert_eq!(many.evaluations[1].value, None);
    let (tenant, project, environment) = (text("platform"), text("web"), text("prod"));
    let all = pb::EvaluateAllRequest { tenant, project, environment, context: None };
    let all = shop.evaluation.evaluate_all(all).await.unwrap().into_inner();
    let told: Vec<_> = all.evaluations.iter().map(|it| it.flag.as_str()).collect();
    assert_eq!(told, ["checkout", "colour"]);
    let typed = pb::EvaluateRequest {
        kind: pb::Kind::String.into(),
        ..evaluate("checkout", pb::Context::default())
    };
    let it = shop.evaluation.evaluate(typed).await.unwrap().into_inner().evaluation.unwrap();
    assert_eq!((it.reason(), it.error()), (pb::Reason::Error, pb::EvaluationError::TypeMismatch));
}

// REQ: FLG-01
#[tokio::test(flavor = "multi_thread")]
async fn projects_environments_and_flags_are_listed_page_by_page() {
    let mut shop = Shop::open().await;
    let more = shop.flags.create_flag(create_flag("basket", definition())).await.unwrap();
    let token = Reply::of(more).token;
    let list = |page_token: String| pb::ListFlagsRequest {
        tenant: text("platform"),
        project: text("web"),
        page_size: 1,
        page_token,
        archived: false,
        ..<_>::default()
    };
    let first = shop.flags.list_flags(seeing(list(String::new()), &token)).await.unwrap();
    let first = first.into_inner();
    assert_eq!(first.flags[0].key, "basket");
    let second = shop.flags.list_flags(list(first.next_page_token)).await.unwrap().into_inner();
    assert_eq!((second.flags[0].key.as_str(), second.next_page_token.as_str()), ("checkout", ""));
    let environments = pb::ListEnvironmentsRequest {
        tenant: text("platform"),
        project: text("web"),
        ..pb::ListEnvironmentsRequest::default()
    };
    let found = shop.flags.list_environments(environments).await.unwrap().into_inner();
    let versions: Vec<_> =
        found.environments.iter().map(|it| (it.key.as_str(), it.version)).collect();
    assert_eq!(versions, [("prod", 3), ("test", 3)]);
    let projects = pb::ListProjectsRequest { tenant: text("platform"), ..Default::default() };
    let projects = shop.flags.list_projects(projects).await.unwrap().into_inner();
    assert_eq!(projects.projects[0].key, "web");
    let archive = pb::ArchiveFlagRequest {
        tenant: text("platform"),
        project: text("web"),
        key: text("basket"),
        write: None,
    };
    let archived = Reply::of(shop.flags.archive_flag(archive).await.unwrap());
    let left = shop.flags.list_flags(seeing(list(String::new()), &archived.token)).await;
    assert_eq!(left.unwrap().into_inner().flags[0].key, "checkout");
    let it = evaluate("basket", pb::Context::default());
    let it = shop.evaluation.evaluate(it).await.unwrap().into_inner().evaluation.unwrap();
    assert_eq!(it.error(), pb::EvaluationError::FlagNotFound);
    let get = |key: &str| pb::GetFlagRequest {
        tenant: text("platform"),
        project: text("web"),
        key: text(key),
        ..<_>::default()
    };
    assert!(shop.flags.get_flag(get("basket")).await.unwrap().into_inner().archived);
    let status = refused(shop.flags.get_flag(get("no")).await, "FLAG_NOT_FOUND");
    assert_eq!(named(&status).1, ["key"]);
}

fn nested(depth: usize) -> pb::Condition {
    (1..depth).fold(is_below("a", "1"), |it, _| condition(pb::condition::Kind::Not(Box::new(it))))
}

// REQ: FLG-04
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_with_its_place_and_nothing_is_written() {
    let mut shop = Shop::open().await;
    let records = shop.world.records();
    let set = |condition| set_targeting(on_when(condition));
    let status =
        refused(shop.flags.set_targeting(set(nested(17))).await, "FLAG_CONDITION_TOO_DEEP");
    assert!(status.message().contains("rules[0].condition.not.not"), "{status:?}");
    refused(shop.flags.set_targeting(set(nested(60))).await, "FLAG_CONDITION_TOO_DEEP");
    let status = refused(shop.flags.set_targeting(set(nested(200))).await, "REQUEST_TOO_DEEP");
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert_eq!(named(&status).1, ["targeting.rules.condition"]);
    let status =
        refused(shop.flags.set_targeting(set(is_below("a", "NaN"))).await, "VALUE_INVALID");
    assert_eq!(named(&status).1, ["targeting.rules[0].condition.attribute.below"]);
    let mut nothing = set_targeting(pb::Targeting::default());
    nothing.targeting = None;
    refused(shop.flags.set_targeting(nothing).await, "FIELD_MISSING");
    let mut unknown = set(is_below("a", "1"));
    unknown.environment = text("no");
    let status = refused(shop.flags.set_targeting(unknown).await, "ENVIRONMENT_NOT_FOUND");
    assert_eq!(named(&status).1, ["environment"]);
    let mut kindless = definition();
    kindless.kind = 0;
    refused(shop.flags.create_flag(create_flag("new", kindless)).await, "ENUM_UNKNOWN");
    let mut wrong = definition();
    wrong.variants[0].value = Some(pb::Value { kind: Some(pb::value::Kind::Text(text("x"))) });
    let status =
        refused(shop.flags.create_flag(create_flag("new", wrong)).await, "FLAG_VALUE_INVALID");
    assert_eq!(named(&status).1, ["definition.variants[0].value"]);
    let status = refused(
        shop.flags
            .create_project(pb::CreateProjectRequest {
                write: Some(write("again")),
                ..create_project("web")
            })
            .await,
        "PROJECT_EXISTS",
    );
    assert_eq!(named(&status).1, ["key"]);
    let mut nobody = create_project("app");
    nobody.tenant = text("nobody");
    let status = refused(shop.flags.create_project(nobody).await, "TENANT_NOT_FOUND");
    assert_eq!(named(&status).1, ["tenant"]);
    // Refusals of commands are outcomes; none of them is an event.
    assert!(shop.world.records() > records);
    assert_eq!(shop.answer("u", &[]).await.1, pb::Reason::Disabled);
}

// REQ: FLG-04
#[tokio::test(flavor = "multi_thread")]
async fn a_context_that_is_none_is_refused() {
    let mut shop = Shop::open().await;
    let large = |bytes| [("a", Kind::StringValue("x".repeat(bytes)))];
    let ask = |attributes: &[(&str, Kind)]| evaluate("checkout", context("u", attributes));
    refused(shop.evaluation.evaluate(ask(&large(70_000))).await, "CONTEXT_TOO_LARGE");
    refused(shop.evaluation.evaluate(ask(&large(1_100_000))).await, "REQUEST_TOO_LARGE");
    let nan = [("user.age", Kind::NumberValue(f64::NAN))];
    let status = refused(shop.evaluation.evaluate(ask(&nan)).await, "CONTEXT_INVALID");
    assert_eq!(named(&status).1, ["context.attributes.user.age"]);
    let mut elsewhere = ask(&[]);
    elsewhere.project = text("no");
    refused(shop.evaluation.evaluate(elsewhere).await, "PROJECT_NOT_FOUND");
    let mut elsewhere = ask(&[]);
    elsewhere.environment = text("no");
    refused(shop.evaluation.evaluate(elsewhere).await, "ENVIRONMENT_NOT_FOUND");
    let (tenant, project, environment) = (text("platform"), text("web"), text("prod"));
    let flags = Vec::new();
    let none = pb::BatchEvaluateRequest { tenant, project, environment, flags, context: None };
    refused(shop.evaluation.batch_evaluate(none).await, "FLAGS_COUNT_INVALID");
}
