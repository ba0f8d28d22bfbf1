//! Percentages of soft limits that meters measure, from the event as it is sent to the quota
//! that says it was reached: once in each window, in the time that the tenant lives in.

use core::time::Duration;

use exchequer_catalog_file::parse;
use exchequer_codec::document_to_proto;
use exchequer_proto::audit::v1 as pba;
use exchequer_proto::catalog::v1 as pbc;
use exchequer_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use exchequer_proto::quotas::v1 as pb;
use exchequer_proto::quotas::v1::quota_service_client::QuotaServiceClient;
use exchequer_proto::subscriptions::v1 as pbs;
use exchequer_proto::subscriptions::v1::subscription_service_client::SubscriptionServiceClient;
use exchequer_proto::tenants::v1 as pbt;
use exchequer_proto::usage::v1 as pbu;
use exchequer_proto::usage::v1::meter_service_client::MeterServiceClient;
use exchequer_types::Timestamp;
use tonic::transport::Channel;

use crate::ingest::client::{BATCH, post};
use crate::world::World;

const SHOP: &str = r"
name: Shop
currencies: [USD]

meters:
  - { id: questions, name: Questions, unit: questions }

features:
  - { id: asked, name: Asked, kind: limit, per: day, meter: questions, thresholds: [50, 100, 250] }

plans:
  - id: team
    name: Team
    features:
      asked: { allowance: 4, beyond: bill }
    prices:
      - id: monthly
        cycle: month
        currencies: { USD: { flat: 25.00 } }
";

const DAY: i64 = 86_400;
const MICROS: i64 = 1_000_000;
/// A wait that is longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn text(text: &str) -> String {
    text.to_owned()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::saturating_from_micros(seconds * MICROS)
}

struct Shop {
    world: World,
    quotas: QuotaServiceClient<Channel>,
    /// The sandbox's clock at first, in seconds: three days ago.
    begun: i64,
    sent: usize,
}

impl Shop {
    async fn open() -> Self {
        let mut world = World::start().await;
        let rules = pbu::MeterRules {
            event_type: text("question"),
            aggregation: pbu::Aggregation::Count.into(),
            unit: text("questions"),
            ..Default::default()
        };
        let (tenant, key) = (text("platform"), text("questions"));
        let create = pbu::CreateMeterRequest { tenant, key, rules: Some(rules), write: None };
        MeterServiceClient::new(world.channel.clone()).create_meter(create).await.unwrap();
        let mut catalogs = CatalogServiceClient::new(world.channel.clone());
        let document = Some(document_to_proto(&parse(SHOP).unwrap()));
        let (tenant, catalog, write) = (text("platform"), text("shop"), None);
        catalogs
            .save_draft(pbc::SaveDraftRequest { tenant, catalog, document, write })
            .await
            .unwrap();
        let (tenant, catalog) = (text("platform"), text("shop"));
        let publish = pbc::PublishCatalogRequest { tenant, catalog, ..Default::default() };
        catalogs.publish_catalog(publish).await.unwrap();
        let now = world.platform.ports.runtime.now().micros() / MICROS;
        let begun = now - 3 * DAY;
        let create = pbt::CreateTenantRequest {
            id: text("acme"),
            name: text("Acme"),
            test_clock: Some(exchequer_codec::instant(at(begun))),
            ..Default::default()
        };
        world.tenants.create_tenant(create).await.unwrap();
        let subscribe = pbs::CreateSubscriptionRequest {
            tenant: text("acme"),
            catalog: text("shop"),
            plan: text("team"),
            price: text("monthly"),
            currency: text("USD"),
            seats: 1,
            ..Default::default()
        };
        SubscriptionServiceClient::new(world.channel.clone())
            .create_subscription(subscribe)
            .await
            .unwrap();
        let quotas = QuotaServiceClient::new(world.channel.clone());
        Self { world, quotas, begun, sent: 0 }
    }

    /// So many questions, some seconds after the beginning.
    async fn ask(&mut self, count: usize, second: i64) {
        let time = at(self.begun + second);
        let events: Vec<String> = (self.sent..self.sent + count)
            .map(|id| {
                format!(
                    r#"{{"specversion":"1.0","id":"{id}","source":"/t","type":"question","tenant":"acme","time":"{time}","data":{{}}}}"#
                )
            })
            .collect();
        self.sent += count;
        let replied = post(self.world.address, &[BATCH], format!("[{}]", events.join(","))).await;
        assert!(replied.verdicts().iter().all(|it| it == "ACCEPTED"));
    }

    async fn quota(&mut self) -> pb::Quota {
        let get = pb::GetQuotaRequest {
            tenant: text("acme"),
            feature: text("asked"),
            ..Default::default()
        };
        self.quotas.get_quota(get).await.unwrap().into_inner()
    }

    /// Waits until these percentages have been reached in the present window.
    async fn reaches(&mut self, percents: &[u32]) {
        let runtime = self.world.platform.ports.runtime.clone();
        let begun = runtime.now();
        loop {
            let quota = self.quota().await;
            if quota.reached == percents {
                return;
            }
            assert!(runtime.now().since(begun) < PATIENCE, "{quota:?}, not {percents:?}");
            runtime.sleep(Duration::from_millis(20)).await;
        }
    }

    /// How often somebody was told, by the audit log.
    async fn told(&mut self) -> usize {
        let list = pba::ListEntriesRequest {
            tenant: text("acme"),
            page_size: 1_000,
            ..Default::default()
        };
        let entries = self.world.audit.list_entries(list).await.unwrap().into_inner().entries;
        entries.iter().filter(|it| it.action == "quota.threshold-reached").count()
    }
}

// REQ: USE-06
#[tokio::test(flavor = "multi_thread")]
async fn each_percentage_is_told_of_once_a_window_in_the_tenants_own_time() {
    let mut shop = Shop::open().await;
    shop.ask(1, 10).await;
    shop.ask(1, 20).await;
    shop.reaches(&[50]).await;
    assert_eq!(shop.quota().await.measured, "2");
    shop.ask(9, 30).await;
    shop.reaches(&[50, 100, 250]).await;
    shop.ask(9, 40).await;
    // Tomorrow's event comes ahead of its window: of this one it tells nothing, and in that
    // one it counts.
    shop.ask(4, DAY + 10).await;
    let to = Some(exchequer_codec::instant(at(shop.begun + DAY)));
    let advance = pbt::AdvanceClockRequest { id: text("acme"), to, write: None };
    shop.world.tenants.advance_clock(advance).await.unwrap();
    shop.reaches(&[50, 100]).await;
    assert_eq!(shop.quota().await.measured, "4");
    assert_eq!(shop.told().await, 5, "three of one day, two of the next");
}
