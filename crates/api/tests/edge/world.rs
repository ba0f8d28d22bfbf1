//! The whole platform on in-memory ports behind a real port, and its clients.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use exchequer_consumer_adoption::Adoption;
use exchequer_consumer_corrections::Corrections;
use exchequer_engine::{
    Commanding, Correcting, Forwarder, LiveKind, Parts, Platform, Ports, React, Settings,
    UsagePorts, View, ViewOf, live_of,
};
use exchequer_journal::{MemoryInput, MemoryInputLimits, MemoryJournal};
use exchequer_kernel::SealKey;
use exchequer_projection_access as access_view;
use exchequer_projection_audit as audit_view;
use exchequer_projection_catalogs as catalogs_view;
use exchequer_projection_dead_letters as letters_view;
use exchequer_projection_entitlements as entitlements_view;
use exchequer_projection_flags as flags_view;
use exchequer_projection_meters as meters_view;
use exchequer_projection_quotas as quotas_view;
use exchequer_projection_subscriptions as subscriptions_view;
use exchequer_projection_tenants as tenants_view;
use exchequer_projection_timers as timers_view;
use exchequer_proto::audit::v1 as pba;
use exchequer_proto::audit::v1::audit_service_client::AuditServiceClient;
use exchequer_proto::catalog::v1 as pbc;
use exchequer_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::entitlements::v1::entitlement_service_client::EntitlementServiceClient;
use exchequer_proto::system::v1::system_service_client::SystemServiceClient;
use exchequer_proto::tenants::v1 as pb;
use exchequer_proto::tenants::v1::tenant_service_client::TenantServiceClient;
use exchequer_readstore::MemoryStore;
use exchequer_runtime::{OnEnd, Runtime as _, TaskError, TaskKind, TokioRuntime};
use exchequer_vault::{Key, MasterKeys, MemoryKeys, SeededEntropy, Vault};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

use crate::ingest::Log;

const PARTITIONS: u32 = 3;

/// A running server.
pub(crate) struct World {
    pub(crate) platform: Platform,
    pub(crate) journal: Arc<MemoryJournal>,
    /// What events of use are written to.
    pub(crate) usage: Arc<Log>,
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) address: SocketAddr,
    pub(crate) tenants: TenantServiceClient<Channel>,
    pub(crate) audit: AuditServiceClient<Channel>,
    pub(crate) system: SystemServiceClient<Channel>,
    pub(crate) entitlements: EntitlementServiceClient<Channel>,
    pub(crate) channel: Channel,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(Settings::default()).await
    }

    pub(crate) async fn start_with(settings: Settings) -> Self {
        Self::start_as(settings, |platform, stopping| {
            exchequer_api::routes(platform, stopping).unwrap()
        })
        .await
    }

    /// With the services as `serve` puts them together.
    pub(crate) async fn start_as(
        settings: Settings,
        serve: impl FnOnce(Platform, watch::Receiver<bool>) -> axum::Router,
    ) -> Self {
        let journal = Arc::new(MemoryJournal::new(PARTITIONS));
        let runtime = TokioRuntime::default();
        let usage = Arc::new(Log::new(PARTITIONS));
        let platform = platform(&journal, &usage, &runtime, settings).await;
        let stopping = watch::Sender::new(false);
        let router = serve(platform.clone(), stopping.subscribe());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = Server::builder()
            .accept_http1(true)
            .add_routes(Routes::from(router))
            .serve_with_incoming(TcpIncoming::from(listener));
        let kind = TaskKind { name: "serve", on_end: OnEnd::Fine };
        let task = async move { served.await.map_err(|error| TaskError(error.to_string())) };
        runtime.spawn(kind, Box::pin(task));
        let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let world = Self {
            platform,
            journal,
            usage,
            stopping,
            address,
            tenants: TenantServiceClient::new(channel.clone()),
            audit: AuditServiceClient::new(channel.clone()),
            system: SystemServiceClient::new(channel.clone()),
            entitlements: EntitlementServiceClient::new(channel.clone()),
            channel,
        };
        world.rest().await;
        world
    }

    /// Waits until nothing is written by itself any more: each partition has its
    /// claim and has adopted the root, which was created in one of them.
    async fn rest(&self) {
        while self.records() < 2 * PARTITIONS as usize + 1 {
            self.platform.ports.runtime.sleep(Duration::from_millis(1)).await;
        }
    }

    /// Creates a tenant below the root.
    pub(crate) async fn tenant(&mut self, id: &str) -> Reply<pb::Tenant> {
        let request = pb::CreateTenantRequest {
            id: id.to_owned(),
            name: "Acme".to_owned(),
            write: Some(write(&format!("create-{id}"))),
            ..pb::CreateTenantRequest::default()
        };
        Reply::of(self.tenants.create_tenant(request).await.unwrap())
    }

    /// A catalog of `provider` with these features, counted ones, and a plan without any.
    pub(crate) async fn sells(&self, provider: &str, features: &[&str]) -> String {
        let mut catalogs = CatalogServiceClient::new(self.channel.clone());
        let (tenant, catalog) = (provider.to_owned(), "features".to_owned());
        let feature = |id: &&str| pbc::Feature {
            id: (*id).to_owned(),
            name: (*id).to_owned(),
            kind: pbc::FeatureKind::Limit.into(),
            ..<_>::default()
        };
        let plan = pbc::Plan { id: "none".to_owned(), name: "None".to_owned(), ..<_>::default() };
        let document = pbc::Document {
            name: "Features".to_owned(),
            features: features.iter().map(feature).collect(),
            plans: vec![plan],
            ..<_>::default()
        };
        let (document, write) = (Some(document), None);
        let save = pbc::SaveDraftRequest { tenant, catalog, document, write };
        catalogs.save_draft(save).await.unwrap();
        let (tenant, catalog) = (provider.to_owned(), "features".to_owned());
        let publish = pbc::PublishCatalogRequest { tenant, catalog, ..<_>::default() };
        Reply::of(catalogs.publish_catalog(publish).await.unwrap()).token
    }

    /// Appends an entry of `action`.
    pub(crate) async fn append(
        &mut self,
        tenant: &str,
        action: &str,
    ) -> Reply<pba::AppendEntryResponse> {
        let request = pba::AppendEntryRequest {
            tenant: tenant.to_owned(),
            entry: Some(entry(action)),
            write: None,
        };
        Reply::of(self.audit.append_entry(request).await.unwrap())
    }

    /// Records of all partitions.
    pub(crate) fn records(&self) -> usize {
        (0..PARTITIONS).map(|it| self.journal.records(exchequer_types::PartitionId(it)).len()).sum()
    }
}

/// A reply with what its metadata says.
#[derive(Debug)]
pub(crate) struct Reply<T> {
    pub(crate) message: T,
    pub command_id: String,
    pub(crate) token: String,
}

impl<T> Reply<T> {
    pub(crate) fn of(response: tonic::Response<T>) -> Self {
        let (metadata, message, _) = response.into_parts();
        Self {
            message,
            command_id: text(&metadata, "x-exchequer-command-id"),
            token: text(&metadata, "x-exchequer-consistency"),
        }
    }
}

/// A metadata value, empty when absent.
pub(crate) fn text(metadata: &MetadataMap, name: &str) -> String {
    metadata.get(name).map(|it| it.to_str().unwrap().to_owned()).unwrap_or_default()
}

pub(crate) fn write(id: &str) -> WriteOptions {
    WriteOptions { command_id: id.to_owned(), ..WriteOptions::default() }
}

pub(crate) fn entry(action: &str) -> pba::NewEntry {
    pba::NewEntry {
        action: action.to_owned(),
        actor: "u-1".to_owned(),
        resource: Some(pba::Resource { r#type: "invoice".to_owned(), id: "1".to_owned() }),
        ..pba::NewEntry::default()
    }
}

/// A request that must see what `token` names.
pub(crate) fn seeing<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-exchequer-consistency", token.parse().unwrap());
    request
}

/// The stable code and the fields that an error names. Each error has a page.
pub(crate) fn named(status: &Status) -> (String, Vec<String>) {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no details: {status:?}"));
    assert_eq!(info.domain, "exchequer");
    let page = format!("{}/../../docs/errors/{}.md", env!("CARGO_MANIFEST_DIR"), info.reason);
    assert!(std::path::Path::new(&page).is_file(), "{page}");
    let violations = status.get_details_bad_request().map(|it| it.field_violations);
    let mut fields: Vec<_> =
        violations.unwrap_or_default().into_iter().map(|it| it.field).collect();
    if fields.is_empty() {
        fields.extend(info.metadata.get("field").cloned());
    }
    (info.reason, fields)
}

/// Fails unless the call was refused with this code.
pub(crate) fn refused<T: std::fmt::Debug>(
    result: Result<tonic::Response<T>, Status>,
    code: &str,
) -> Status {
    let status = result.unwrap_err();
    assert_eq!(named(&status).0, code, "{status:?}");
    status
}

/// Keys for what is said of persons, in memory.
fn vault(runtime: &TokioRuntime) -> Vault {
    let entropy = Arc::new(SeededEntropy::new(7));
    let master =
        MasterKeys::new(BTreeMap::from([(1, Key::new([9; 32]))]), entropy.clone()).unwrap();
    let clock = runtime.clone();
    let now = Arc::new(move || clock.now());
    Vault::new(Arc::new(MemoryKeys::default()), Arc::new(master), entropy, now)
}

async fn platform(
    journal: &Arc<MemoryJournal>,
    usage: &Arc<Log>,
    runtime: &TokioRuntime,
    settings: Settings,
) -> Platform {
    let clock = runtime.clone();
    let now = Arc::new(move || clock.now());
    let inputs = MemoryInput::new(PARTITIONS, [1; 16], MemoryInputLimits::default(), now);
    let ports = Ports {
        journal: Arc::<MemoryJournal>::clone(journal),
        inputs: Arc::new(inputs),
        store: Arc::new(MemoryStore::new(true)),
        runtime: Arc::new(runtime.clone()),
        key: SealKey::new(&[3; 32]),
        settings: Arc::new(settings),
        usage: Some(UsagePorts {
            log: Arc::<Log>::clone(usage),
            seals: Arc::new(MemoryJournal::new(PARTITIONS)),
        }),
    };
    let views: Vec<Arc<dyn View>> = vec![
        Arc::new(ViewOf { projection: tenants_view::TenantsView, tables: tenants_view::TABLES }),
        Arc::new(ViewOf { projection: access_view::AccessView, tables: access_view::TABLES }),
        Arc::new(ViewOf { projection: audit_view::AuditView, tables: audit_view::TABLES }),
        Arc::new(ViewOf { projection: timers_view::TimersView, tables: timers_view::TABLES }),
        Arc::new(ViewOf { projection: catalogs_view::CatalogsView, tables: catalogs_view::TABLES }),
        Arc::new(ViewOf {
            projection: subscriptions_view::SubscriptionsView,
            tables: subscriptions_view::TABLES,
        }),
        Arc::new(ViewOf {
            projection: letters_view::DeadLettersView,
            tables: letters_view::TABLES,
        }),
        Arc::new(ViewOf {
            projection: entitlements_view::EntitlementsView,
            tables: entitlements_view::TABLES,
        }),
        Arc::new(ViewOf { projection: flags_view::FlagsView, tables: flags_view::TABLES }),
        Arc::new(ViewOf { projection: meters_view::MetersView, tables: meters_view::TABLES }),
        Arc::new(ViewOf { projection: quotas_view::QuotasView, tables: quotas_view::TABLES }),
    ];
    let lives: Vec<Arc<dyn LiveKind>> = vec![
        live_of(access_view::LiveAccess),
        live_of(entitlements_view::LiveEntitlements),
        live_of(flags_view::LiveFlags),
        live_of(meters_view::LiveMeters),
        live_of(meters_view::LiveTerms),
        live_of(quotas_view::LiveQuotas),
    ];
    let consumers: Vec<Arc<dyn React>> = vec![
        Arc::new(Commanding(Adoption { partitions: PARTITIONS })),
        Arc::new(Correcting(Corrections { partitions: PARTITIONS })),
        Arc::new(Forwarder { ports: ports.clone() }),
    ];
    let vault = vault(runtime);
    let platform = Platform::start(ports, Parts { views, lives, consumers, ..Parts::default() })
        .await
        .unwrap();
    let platform = platform.with_vault(vault).await.unwrap();
    while !platform.is_ready() {
        platform.ports.runtime.sleep(Duration::from_millis(1)).await;
    }
    platform
}
