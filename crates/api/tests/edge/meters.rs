//! Meters, event schemas and corrections over a real port: made, read, refused, and
//! brought to where events are counted.

use exchequer_codec::usage::decode_record;
use exchequer_metering::RecordBody;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::usage::v1 as pb;
use exchequer_proto::usage::v1::correction_service_client::CorrectionServiceClient;
use exchequer_proto::usage::v1::meter_service_client::MeterServiceClient;
use exchequer_types::{PartitionId, partition_of};
use prost_types::FieldMask;
use tonic::Code;
use tonic::transport::Channel;

use crate::ingest::client::{BATCH, post};
use crate::world::{Reply, World, named, refused, seeing, write};

const PARTITIONS: u32 = 3;

struct Shop {
    world: World,
    meters: MeterServiceClient<Channel>,
    corrections: CorrectionServiceClient<Channel>,
}

impl Shop {
    async fn open() -> Self {
        let world = World::start().await;
        let meters = MeterServiceClient::new(world.channel.clone());
        let corrections = CorrectionServiceClient::new(world.channel.clone());
        Self { world, meters, corrections }
    }

    async fn create(&mut self, key: &str, rules: pb::MeterRules) -> Reply<pb::Meter> {
        Reply::of(self.meters.create_meter(create(key, rules)).await.unwrap())
    }

    async fn get(&mut self, key: &str, rules_version: u32) -> pb::Meter {
        self.meters.get_meter(get(key, rules_version)).await.unwrap().into_inner()
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn rules() -> pb::MeterRules {
    let group = |name: &str| pb::MeterGroupBy { name: text(name), path: format!("$.{name}") };
    let region = |value: &str| pb::MeterFilterValue {
        value: Some(pb::meter_filter_value::Value::Text(text(value))),
    };
    let values = pb::MeterFilterValues { values: vec![region("test")] };
    pb::MeterRules {
        event_type: text("ai.request"),
        aggregation: pb::Aggregation::Sum.into(),
        value: text("$.usage.tokens"),
        group_by: vec![group("region"), group("model")],
        filters: vec![pb::MeterFilter {
            path: text("$.region"),
            test: Some(pb::meter_filter::Test::NoneOf(values)),
        }],
        unit: text("tokens"),
        groups_max: 0,
    }
}

fn create(key: &str, rules: pb::MeterRules) -> pb::CreateMeterRequest {
    let (tenant, key) = (text("platform"), text(key));
    pb::CreateMeterRequest { tenant, key, rules: Some(rules), write: None }
}

fn get(key: &str, rules_version: u32) -> pb::GetMeterRequest {
    let (tenant, key) = (text("platform"), text(key));
    pb::GetMeterRequest { tenant, key, rules_version, read_mask: None }
}

fn update(key: &str, rules: pb::MeterRules, fields: &[&str]) -> pb::UpdateMeterRequest {
    pb::UpdateMeterRequest {
        tenant: text("platform"),
        key: text(key),
        rules: Some(rules),
        update_mask: Some(FieldMask { paths: fields.iter().map(|it| text(it)).collect() }),
        write: None,
    }
}

fn put(kind: &str, schema: &str) -> pb::PutEventSchemaRequest {
    pb::PutEventSchemaRequest {
        tenant: text("platform"),
        r#type: text(kind),
        schema: text(schema),
        write: None,
    }
}

// REQ: USE-01
#[tokio::test]
async fn a_meter_is_made_changed_and_each_version_can_be_read() {
    let mut shop = Shop::open().await;
    let made = shop.create("tokens", rules()).await;
    assert_eq!((made.message.rules_version, made.message.version), (1, 1));
    let told = made.message.rules.clone().unwrap();
    let groups: Vec<_> = told.group_by.iter().map(|it| it.name.as_str()).collect();
    assert_eq!((groups, told.groups_max), (vec!["model", "region"], 10_000));
    assert_eq!(shop.get("tokens", 0).await, made.message);
    let other = pb::MeterRules { unit: text("k"), ..pb::MeterRules::default() };
    let changed = shop.meters.update_meter(update("tokens", other.clone(), &["unit"])).await;
    let changed = changed.unwrap().into_inner();
    assert_eq!((changed.rules_version, changed.version), (2, 2));
    assert_eq!(changed.rules, Some(pb::MeterRules { unit: text("k"), ..told.clone() }));
    let first = shop.get("tokens", 1).await;
    assert_eq!((first.rules_version, first.rules, first.version), (1, Some(told), 2));
    assert_eq!(first.rules_set_at, made.message.rules_set_at);
    assert_eq!(shop.get("tokens", 2).await, changed);
    refused(shop.meters.get_meter(get("tokens", 3)).await, "METER_NOT_FOUND");
    let again = shop.meters.update_meter(update("tokens", other, &["unit"])).await;
    let status = refused(again, "METER_UNCHANGED");
    assert_eq!(status.code(), Code::FailedPrecondition);
    let status = refused(shop.meters.get_meter(get("none", 0)).await, "METER_NOT_FOUND");
    assert_eq!((status.code(), named(&status).1), (Code::NotFound, vec![text("key")]));
}

// REQ: USE-01
#[tokio::test]
async fn wrong_rules_are_refused_by_field() {
    let mut shop = Shop::open().await;
    let damage: [(&str, &str, fn(&mut pb::MeterRules)); 7] = [
        ("ENUM_UNKNOWN", "rules.aggregation", |it| it.aggregation = 0),
        ("VALUE_INVALID", "rules.value", |it| it.value = text("tokens")),
        ("VALUE_INVALID", "rules.filters[0].path", |it| it.filters[0].path = text("$")),
        ("ID_INVALID", "rules.group_by[1].name", |it| it.group_by[1].name = text("A B")),
        ("METER_INVALID", "rules.value", |it| it.value = String::new()),
        ("METER_INVALID", "rules.unit", |it| it.unit = String::new()),
        ("METER_INVALID", "rules.groups_max", |it| it.groups_max = 100_001),
    ];
    for (code, field, damage) in damage {
        let mut wrong = rules();
        damage(&mut wrong);
        let status = refused(shop.meters.create_meter(create("bad", wrong)).await, code);
        assert_eq!((status.code(), named(&status).1), (Code::InvalidArgument, vec![text(field)]));
    }
    let missing = pb::CreateMeterRequest { rules: None, ..create("bad", rules()) };
    refused(shop.meters.create_meter(missing).await, "FIELD_MISSING");
    let mask = shop.meters.update_meter(update("bad", rules(), &["key"])).await;
    let status = refused(mask, "FIELD_MASK_INVALID");
    assert_eq!(named(&status).1, ["update_mask.paths[0]"]);
    let nobody = pb::CreateMeterRequest { tenant: text("nobody"), ..create("bad", rules()) };
    let status = refused(shop.meters.create_meter(nobody).await, "TENANT_NOT_FOUND");
    assert_eq!(named(&status).1, ["tenant"]);
    shop.world.tenant("acme").await;
    let customer = pb::CreateMeterRequest { tenant: text("acme"), ..create("bad", rules()) };
    refused(shop.meters.create_meter(customer).await, "TENANT_NOT_PROVIDER");
}

// REQ: USE-01, API-07
#[tokio::test]
async fn meters_are_listed_in_pages_by_filter_and_without_the_retired() {
    let mut shop = Shop::open().await;
    for key in ["a", "b", "c", "d"] {
        shop.create(key, rules()).await;
    }
    let tenant = || text("platform");
    let retire = pb::RetireMeterRequest { tenant: tenant(), key: text("b"), write: None };
    assert!(shop.meters.retire_meter(retire.clone()).await.unwrap().into_inner().retired);
    refused(shop.meters.retire_meter(retire).await, "METER_RETIRED");
    let mut token = String::new();
    let mut keys = Vec::new();
    for _ in 0..3 {
        let list = pb::ListMetersRequest {
            tenant: tenant(),
            page_size: 1,
            page_token: token,
            read_mask: Some(FieldMask { paths: vec![text("key")] }),
            ..pb::ListMetersRequest::default()
        };
        let page = shop.meters.list_meters(list).await.unwrap().into_inner();
        assert!(page.meters.iter().all(|it| it.rules.is_none()));
        keys.extend(page.meters.into_iter().map(|it| it.key));
        token = page.next_page_token;
    }
    assert_eq!((keys.join(","), token.as_str()), (text("a,c,d"), ""));
    let filtered = pb::ListMetersRequest {
        tenant: tenant(),
        include_retired: true,
        filter: text("retired = true AND rules.aggregation = SUM"),
        ..pb::ListMetersRequest::default()
    };
    let page = shop.meters.list_meters(filtered).await.unwrap().into_inner();
    assert_eq!(page.meters.len(), 1);
    assert_eq!(page.meters[0].key, "b");
}

// REQ: USE-02
#[tokio::test]
async fn a_schema_must_compile_and_each_version_can_be_read() {
    let mut shop = Shop::open().await;
    let status = shop.meters.put_event_schema(put("call", "{\"type\": 5}")).await;
    let status = refused(status, "SCHEMA_INVALID");
    assert_eq!((status.code(), named(&status).1), (Code::InvalidArgument, vec![text("schema")]));
    let first = shop.meters.put_event_schema(put("call", "{\"type\":\"object\"}")).await;
    let first = first.unwrap().into_inner();
    shop.meters.put_event_schema(put("call", "{}")).await.unwrap();
    let get = |schema_version| pb::GetEventSchemaRequest {
        tenant: text("platform"),
        r#type: text("call"),
        schema_version,
        read_mask: None,
    };
    let told = shop.meters.get_event_schema(get(1)).await.unwrap().into_inner();
    assert_eq!((told.schema, told.set_at, told.version), (first.schema, first.set_at, 2));
    let current = shop.meters.get_event_schema(get(0)).await.unwrap().into_inner();
    assert_eq!(current.schema.unwrap().version, 2);
    refused(shop.meters.get_event_schema(get(3)).await, "EVENT_SCHEMA_NOT_FOUND");
    let tenant = text("platform");
    let retire = pb::RetireEventSchemaRequest { tenant, r#type: text("call"), write: None };
    assert!(shop.meters.retire_event_schema(retire).await.unwrap().into_inner().retired);
    let tenant = text("platform");
    let list = pb::ListEventSchemasRequest { tenant, ..pb::ListEventSchemasRequest::default() };
    let page = shop.meters.list_event_schemas(list.clone()).await.unwrap().into_inner();
    assert!(page.schemas.is_empty());
    let all = pb::ListEventSchemasRequest { include_retired: true, ..list };
    let page = shop.meters.list_event_schemas(all).await.unwrap().into_inner();
    assert_eq!(page.schemas.len(), 1);
}

// REQ: USE-08
#[tokio::test]
async fn a_backfill_is_asked_for_and_shown() {
    let mut shop = Shop::open().await;
    shop.create("tokens", rules()).await;
    let backfill = |seconds| pb::BackfillMeterRequest {
        tenant: text("platform"),
        key: text("tokens"),
        from: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        write: None,
    };
    let meter = shop.meters.backfill_meter(backfill(9)).await.unwrap().into_inner();
    assert!(meter.backfills[0].id.starts_with("bfl_") && meter.backfills[0].until.is_none());
    refused(shop.meters.backfill_meter(backfill(9)).await, "BACKFILL_NOT_EARLIER");
    let meter = shop.meters.backfill_meter(backfill(5)).await.unwrap().into_inner();
    assert_eq!(meter.backfills[1].until, meter.backfills[0].from);
    assert_eq!(shop.get("tokens", 0).await, meter);
    let none = pb::BackfillMeterRequest { from: None, ..backfill(1) };
    refused(shop.meters.backfill_meter(none).await, "FIELD_MISSING");
    let ahead = shop.meters.backfill_meter(backfill(4_000_000_000)).await;
    assert_eq!(refused(ahead, "BACKFILL_IN_THE_FUTURE").code(), Code::InvalidArgument);
}

// REQ: USE-16
#[tokio::test]
async fn a_correction_comes_to_the_partition_of_its_event_once() {
    let mut shop = Shop::open().await;
    shop.world.tenant("acme").await;
    shop.create("tokens", rules()).await;
    let event = |id: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/gateway","type":"ai.request","tenant":"acme","data":{{"usage":{{"tokens":9}},"region":"eu","model":"m"}}}}"#
        )
    };
    let events = format!("[{},{}]", event("e-1"), event("e-2"));
    post(shop.world.address, &[BATCH], events).await;
    let void = |id: &str| pb::VoidEventRequest {
        tenant: text("acme"),
        source: text("/gateway"),
        event: text("e-1"),
        reason: text("sent by a test"),
        write: Some(write(id)),
    };
    let told = shop.corrections.void_event(void("v-1")).await.unwrap().into_inner();
    assert!(told.voided && told.id.starts_with("cor_"));
    let again = shop.corrections.void_event(void("v-1")).await.unwrap().into_inner();
    assert_eq!(again, told);
    refused(shop.corrections.void_event(void("v-2")).await, "EVENT_VOIDED");
    let amend = |data: &str| pb::AmendEventRequest {
        tenant: text("acme"),
        source: text("/gateway"),
        event: text("e-2"),
        data: text(data),
        reason: text("too high"),
        write: None,
    };
    let status = refused(shop.corrections.amend_event(amend("{")).await, "EVENT_DATA_INVALID");
    assert_eq!((status.code(), named(&status).1), (Code::InvalidArgument, vec![text("data")]));
    let amended = shop.corrections.amend_event(amend("{\"tokens\":5}")).await.unwrap();
    let amended = amended.into_inner();
    for (event, told) in [("e-1", told), ("e-2", amended)] {
        let partition = partition_of(format!("acme/{event}").as_bytes(), PARTITIONS);
        let found = corrections(&shop.world, partition, event).await;
        let ids: Vec<_> = found.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(ids, [told.id.as_str()]);
        assert_eq!(found[0].reason, told.reason);
    }
}

/// The corrections of `event` on the usage log, when there is one.
async fn corrections(world: &World, partition: PartitionId, event: &str) -> Vec<pb::Correction> {
    use prost::Message as _;
    loop {
        let records = world.usage.inner.records(partition);
        let found = records.iter().filter_map(|record| {
            let decoded = decode_record(record, Some(&world.platform.ports.key));
            assert!(decoded.is_authentic || !matches!(decoded.body, RecordBody::Correction(_)));
            match pb::UsageRecord::decode(record.clone()).unwrap().body? {
                pb::usage_record::Body::Correction(it) if it.event == event => Some(it),
                _ => None,
            }
        });
        let found: Vec<_> = found.collect();
        if !found.is_empty() {
            return found;
        }
        world.platform.ports.runtime.sleep(std::time::Duration::from_millis(1)).await;
    }
}

// REQ: API-03
#[tokio::test]
async fn what_was_written_is_read_and_old_versions_are_refused() {
    let mut shop = Shop::open().await;
    let made = shop.create("tokens", rules()).await;
    let seen = shop.meters.get_meter(seeing(get("tokens", 0), &made.token)).await.unwrap();
    assert_eq!(seen.metadata().get("etag").map(|it| it.to_str().unwrap()), Some("\"1\""));
    let stale = pb::UpdateMeterRequest {
        write: Some(WriteOptions { expected_version: Some(9), ..WriteOptions::default() }),
        ..update("tokens", pb::MeterRules { unit: text("k"), ..rules() }, &["unit"])
    };
    refused(shop.meters.update_meter(stale).await, "VERSION_CONFLICT");
}
