//! Batches, masks of updates, filters, and faults that stay inside, over a real port.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use exchequer_engine::Settings;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::entitlements::v1 as pbe;
use exchequer_proto::flags::v1 as pb;
use exchequer_proto::flags::v1::flag_service_client::FlagServiceClient;
use exchequer_proto::tenants::v1 as pbt;
use prost::Message as _;
use prost_types::FieldMask;
use serde_json::json;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::every::methods::{all, requests, with};
use crate::every::wire;
use crate::failing_store::{FailingStore, Mode, SECRET};
use crate::world::{Reply, World, named, refused, seeing, write};

fn text(text: &str) -> String {
    text.to_owned()
}

fn definition(name: &str) -> pb::Definition {
    let variant = |key: &str, value| {
        let value = pb::Value { kind: Some(pb::value::Kind::Boolean(value)) };
        pb::Variant { key: text(key), value: Some(value) }
    };
    pb::Definition {
        name: text(name),
        description: text("first"),
        tags: vec![text("beta")],
        kind: pb::Kind::Boolean.into(),
        variants: vec![variant("on", true), variant("off", false)],
        default_variant: text("on"),
        off_variant: text("off"),
    }
}

fn flag(key: &str) -> pb::CreateFlagRequest {
    pb::CreateFlagRequest {
        key: text(key),
        definition: Some(definition(key)),
        ..pb::CreateFlagRequest::default()
    }
}

fn flags(requests: Vec<pb::CreateFlagRequest>, id: &str) -> pb::BatchCreateFlagsRequest {
    let (tenant, project) = (text("acme"), text("web"));
    pb::BatchCreateFlagsRequest { tenant, project, requests, write: Some(write(id)) }
}

async fn shop() -> (World, FlagServiceClient<Channel>) {
    let mut world = World::start().await;
    world.tenant("acme").await;
    let mut client = FlagServiceClient::new(world.channel.clone());
    let project = pb::CreateProjectRequest {
        tenant: text("acme"),
        key: text("web"),
        name: text("Web"),
        ..pb::CreateProjectRequest::default()
    };
    client.create_project(project).await.unwrap();
    (world, client)
}

/// `ok`, or the reason of each.
fn told(results: &[pb::FlagResult]) -> Vec<String> {
    use pb::flag_result::Result as R;
    let one = |it: &pb::FlagResult| match it.result.as_ref().unwrap() {
        R::Flag(flag) => format!("{} {}", flag.key, flag.version),
        R::Error(error) => {
            let whole = tonic_types::pb::Status {
                code: error.code,
                message: error.message.clone(),
                details: error.details.clone(),
            };
            let bytes = whole.encode_to_vec().into();
            let status = Status::with_details(Code::from(error.code), &error.message, bytes);
            assert!(status.get_details_request_info().is_some());
            let (reason, fields) = named(&status);
            format!("{reason} {}", fields.join(","))
        }
    };
    results.iter().map(one).collect()
}

// REQ: EDG-05, KER-03
#[tokio::test(flavor = "multi_thread")]
async fn each_item_of_a_batch_stands_by_itself() {
    let (world, mut client) = shop().await;
    let mut foreign = flag("d");
    foreign.tenant = text("platform");
    let mut wrong = flag("e");
    wrong.definition.as_mut().unwrap().off_variant = text("gone");
    let items = vec![flag("a"), flag("a"), flag("NO"), foreign, wrong, flag("f")];
    let first = client.batch_create_flags(flags(items.clone(), "import-1")).await.unwrap();
    let first = Reply::of(first);
    assert_eq!(first.command_id, "import-1");
    let expected = [
        "a 1",
        "FLAG_EXISTS key",
        "ID_INVALID key",
        "BATCH_ITEM_INVALID tenant",
        "FLAG_VARIANT_UNKNOWN definition.off_variant",
        "f 1",
    ];
    let mut found = told(&first.message.results);
    // Items of one batch are decided side by side: either of the two may come first.
    found[..2].sort_by_key(|it| it.starts_with("FLAG"));
    assert_eq!(found, expected);
    let records = world.records();
    let again = client.batch_create_flags(flags(items, "import-1")).await.unwrap();
    let mut repeated = told(&again.into_inner().results);
    repeated[..2].sort_by_key(|it| it.starts_with("FLAG"));
    assert_eq!(repeated, found, "a batch that is sent again is answered as the first time");
    assert!(world.records() > records, "the repetition is recorded, and does nothing");
    let list = pb::ListFlagsRequest {
        tenant: text("acme"),
        project: text("web"),
        ..pb::ListFlagsRequest::default()
    };
    let listed = client.list_flags(seeing(list, &first.token)).await.unwrap().into_inner();
    let keys: Vec<&str> = listed.flags.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(keys, ["a", "f"]);
    let none =
        refused(client.batch_create_flags(flags(Vec::new(), "none")).await, "BATCH_SIZE_INVALID");
    assert_eq!(named(&none).1, ["requests"]);
    let many = vec![flag("x"); 101];
    refused(client.batch_create_flags(flags(many, "many")).await, "BATCH_SIZE_INVALID");
    let mut versioned = flags(vec![flag("g")], "v");
    versioned.write = Some(WriteOptions { expected_version: Some(1), ..write("v") });
    let status = refused(client.batch_create_flags(versioned).await, "VALUE_INVALID");
    assert_eq!(named(&status).1, ["write.expected_version"]);
}

// REQ: EDG-05
#[tokio::test(flavor = "multi_thread")]
async fn tenants_and_grants_come_in_batches_too() {
    let mut world = World::start().await;
    let tenant = |id: &str| pbt::CreateTenantRequest {
        id: text(id),
        name: text(id),
        ..pbt::CreateTenantRequest::default()
    };
    let ids: Vec<String> = (0..40).map(|it| format!("t-{it}")).collect();
    let batch = pbt::BatchCreateTenantsRequest {
        requests: ids.iter().map(|it| tenant(it)).collect(),
        ..pbt::BatchCreateTenantsRequest::default()
    };
    let created = world.tenants.batch_create_tenants(batch).await.unwrap().into_inner();
    let found: Vec<String> = created
        .results
        .into_iter()
        .map(|it| match it.result.unwrap() {
            pbt::tenant_result::Result::Tenant(tenant) => tenant.id,
            pbt::tenant_result::Result::Error(error) => error.message,
        })
        .collect();
    assert_eq!(found, ids);
    world.sells("platform", &["sso"]).await;
    let grant = |feature: &str| pbe::GrantEntitlementRequest {
        feature: text(feature),
        amount: Some(pbe::Amount { kind: pbe::AmountKind::On.into(), units: 0 }),
        kind: pbe::GrantKind::Manual.into(),
        reason: text("import"),
        ..pbe::GrantEntitlementRequest::default()
    };
    let batch = pbe::BatchGrantEntitlementsRequest {
        tenant: text("t-7"),
        requests: vec![grant("sso"), grant("NO")],
        write: Some(WriteOptions { validate_only: true, ..WriteOptions::default() }),
    };
    let results = world.entitlements.batch_grant_entitlements(batch).await.unwrap().into_inner();
    assert!(
        matches!(&results.results[0].result, Some(pbe::grant_result::Result::Grant(it)) if it.feature == "sso")
    );
    assert!(
        matches!(&results.results[1].result, Some(pbe::grant_result::Result::Error(it)) if it.code == 3)
    );
    let list = pbe::ListGrantsRequest { tenant: text("t-7"), ..<_>::default() };
    let left = world.entitlements.list_grants(list).await.unwrap().into_inner();
    assert!(left.grants.is_empty(), "it was only validated");
}

// REQ: EDG-05
#[tokio::test(flavor = "multi_thread")]
async fn an_update_sets_the_fields_of_its_mask() {
    let (_world, mut client) = shop().await;
    client.batch_create_flags(flags(vec![flag("a")], "one")).await.unwrap();
    let update = |paths: &[&str]| pb::UpdateFlagRequest {
        tenant: text("acme"),
        project: text("web"),
        key: text("a"),
        definition: Some(pb::Definition { description: text("second"), ..<_>::default() }),
        update_mask: Some(FieldMask { paths: paths.iter().map(|it| text(it)).collect() }),
        write: None,
    };
    let updated = client.update_flag(update(&["description"])).await.unwrap().into_inner();
    let expected = pb::Definition { description: text("second"), ..definition("a") };
    assert_eq!(updated.definition, Some(expected));
    let status =
        refused(client.update_flag(update(&["tags", "kind", "x"])).await, "FIELD_MASK_INVALID");
    assert_eq!(named(&status).1, ["update_mask.paths[1]", "update_mask.paths[2]"]);
    // Without a mask all of it is set, and nothing of it is there.
    let mut whole = update(&[]);
    whole.update_mask = None;
    let status = client.update_flag(whole).await.unwrap_err();
    let fields = named(&status).1;
    assert!(fields.iter().all(|it| it.starts_with("definition.")), "{fields:?}");
}

// REQ: EDG-05
#[tokio::test(flavor = "multi_thread")]
async fn filters_choose_among_what_a_list_has() {
    let (_world, mut client) = shop().await;
    let mut other = flag("b");
    other.definition.as_mut().unwrap().tags = Vec::new();
    let made = client.batch_create_flags(flags(vec![flag("a"), other, flag("c")], "x")).await;
    let token = Reply::of(made.unwrap()).token;
    for (filter, expected) in [
        ("definition.tags:beta", vec!["a", "c"]),
        ("NOT definition.tags:*", vec!["b"]),
        ("definition.kind = BOOLEAN AND key > a", vec!["b", "c"]),
        ("version = 2 OR definition.name = \"c\"", vec!["c"]),
        ("created_at > \"2001-01-01T00:00:00Z\"", vec!["a", "b", "c"]),
    ] {
        let (mut found, mut page_token) = (Vec::new(), String::new());
        loop {
            let list = pb::ListFlagsRequest {
                tenant: text("acme"),
                project: text("web"),
                filter: text(filter),
                page_size: 1,
                page_token,
                read_mask: Some(FieldMask { paths: vec![text("key")] }),
                ..pb::ListFlagsRequest::default()
            };
            let page = client.list_flags(seeing(list, &token)).await.unwrap().into_inner();
            found.extend(page.flags.iter().map(|it| it.key.clone()));
            assert!(page.flags.iter().all(|it| it.definition.is_none()));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(found, expected, "{filter}");
    }
}

// REQ: EDG-02
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_inside_is_not_told_outside() {
    let mode = Arc::new(AtomicU8::new(Mode::Well as u8));
    let switch = Arc::clone(&mode);
    let world = World::start_as(Settings::default(), |mut platform, stopping| {
        let inner = Arc::clone(&platform.ports.store);
        platform.ports.store = Arc::new(FailingStore::new(inner, switch));
        exchequer_api::routes(platform, stopping).unwrap()
    })
    .await;
    let mut failed = [0; 4];
    for how in [Mode::Lasting, Mode::Retryable, Mode::Panic] {
        mode.store(how as u8, Ordering::Relaxed);
        for method in all() {
            let mut request = requests()[&method.name].clone();
            if method.writes() {
                request = with(&request, "write", json!({"validateOnly": true}));
            }
            let (bytes, metadata) = (method.encode(&request), MetadataMap::new());
            let path = method.path();
            let answer = wire::call(&world.channel, &path, metadata, bytes, method.rule.streams);
            let answer = answer.await;
            let said = format!("{answer:?}");
            assert!(!said.contains(SECRET) && !said.contains("sst"), "{}: {said}", method.name);
            let Err(status) = answer else { continue };
            assert!(!String::from_utf8_lossy(status.details()).contains("sst"), "{}", method.name);
            assert!(status.get_details_request_info().is_some(), "{}: {status:?}", method.name);
            let code = named(&status).0;
            if code == "INTERNAL" || code == "VIEW_UNAVAILABLE" {
                failed[how as usize] += 1;
                let is_retried = status.get_details_retry_info().is_some();
                assert_eq!(is_retried, code == "VIEW_UNAVAILABLE", "{}", method.name);
            }
        }
    }
    // Those that read a view at all.
    assert!(failed[1..].iter().all(|it| *it > 10), "{failed:?}");
}
