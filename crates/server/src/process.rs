//! One process from start to end: ports bound, journal and views opened, the
//! platform started, served, and stopped in order.

use core::time::Duration;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::middleware::from_fn;
use exchequer_api::{AccessLog, Observe};
use exchequer_consumer_adoption::Adoption;
use exchequer_consumer_corrections::Corrections;
use exchequer_engine::{
    Commanding, Correcting, EngineError, Forwarder, LiveKind, Parts, Platform, Ports, React, View,
    ViewOf, live_of,
};
use exchequer_journal::{MemoryInput, MemoryInputLimits};
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
use exchequer_readstore_local as readstore;
use exchequer_runtime::{OnEnd, Runtime as _, TaskKind, TokioRuntime};
use exchequer_types::TenantId;
use exchequer_vault_local::LocalKeys;
use readstore::LocalReadStore;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::config::{Config, ConfigError};
use crate::logs::{Logs, LogsError, check_level};
use crate::serve::Ending;
use crate::telemetry::{TraceError, Traces};
use crate::{access, bootstrap, greeting, http, keys, persons, serve, telemetry, tls};

/// Requests at once on one connection.
const STREAMS_MAX: u32 = 1_024;
/// Connections that nobody has accepted yet.
const LISTEN_BACKLOG_MAX: u32 = 1_024;
const KEEPALIVE: Duration = Duration::from_secs(60);
/// The greeting waits this long for the platform to be ready.
const READY_MAX: Duration = Duration::from_secs(30);
const READY_POLL: Duration = Duration::from_millis(5);
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

const UPKEEP: TaskKind = TaskKind { name: "metrics", on_end: OnEnd::Fine };

/// Why a process did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot create {}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Key(#[from] keys::KeyError),
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    #[error(transparent)]
    Persons(#[from] persons::PersonsError),
    #[error(transparent)]
    Logs(#[from] LogsError),
    #[error(transparent)]
    Views(#[from] readstore::OpenError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Api(#[from] exchequer_api::ReflectionError),
    #[error("metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    #[error(transparent)]
    Traces(#[from] TraceError),
    #[error("serving failed")]
    Serve(#[from] tonic::transport::Error),
    #[error("log lines cannot be written")]
    Lines(#[source] io::Error),
    #[error("signals cannot be received")]
    Signals(#[source] io::Error),
    #[error("a part of the process that it can't go on without has ended: the log says why")]
    Stopped,
}

/// What was opened and is to be closed.
struct Opened {
    platform: Platform,
    deployment_key: [u8; 32],
    logs: Logs,
    store: Arc<LocalReadStore>,
    persons: Arc<LocalKeys>,
    runtime: TokioRuntime,
    traces: Option<Arc<Traces>>,
}

/// A port with room for many callers who come at the same instant.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart need not wait until the connections of the run before are forgotten.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(LISTEN_BACKLOG_MAX)
}

/// Runs until a signal, or until the process can't go on.
pub async fn run(config: Config) -> Result<(), RunError> {
    let lines = telemetry::start_logs(&config.telemetry).map_err(RunError::Lines)?;
    let ended = serve_as(config).await;
    lines.flush();
    ended
}

async fn serve_as(config: Config) -> Result<(), RunError> {
    let metrics = telemetry::start_metrics()?;
    let listener = listen(config.place.listen)
        .map_err(|source| RunError::Listen { address: config.place.listen, source })?;
    let address = listener.local_addr().unwrap_or(config.place.listen);
    let tls = config.tls.files().map(tls::Live::open).transpose()?;
    let opened = open(&config).await?;
    if let Some(tls) = &tls {
        tls::watch(tls, &opened.platform.ports.runtime);
    }
    let upkeep = (metrics.clone(), opened.runtime.clone());
    opened.runtime.spawn(
        UPKEEP,
        Box::pin(async move {
            loop {
                upkeep.1.sleep(UPKEEP_INTERVAL).await;
                upkeep.0.run_upkeep();
            }
        }),
    );
    let stopping = watch::Sender::new(false);
    let pages = http::Pages { platform: opened.platform.clone(), metrics };
    let router = guarded(&config, &opened, stopping.subscribe())?;
    let router = observe(&config, &opened.runtime).around(router).merge(http::router(pages));
    let router = router.layer(from_fn(http::bound_headers));
    let mut stop = stopping.subscribe();
    let served = Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(http::HEADERS_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .add_routes(Routes::from(router))
        .serve_with_incoming_shutdown(tls::incoming(listener, tls), async move {
            // The sender lives as long as the process.
            let _ = stop.wait_for(|stop| *stop).await;
        });
    let announce = async {
        if wait_until_ready(&opened.platform).await {
            let presented = if config.access.enabled {
                bootstrap::first_owner(&opened.platform).await
            } else {
                greeting::Presented::Nothing
            };
            let data = &config.place.data;
            let text = greeting::text(&opened.platform, address, data, &presented).await;
            // Nobody may be reading.
            let _ = io::stdout().write_all(text.as_bytes());
            let _ = io::stdout().flush();
            tracing::info!(%address, data = %config.place.data.display(), "ready");
        }
        core::future::pending::<()>().await;
    };
    let ending = Ending {
        platform: &opened.platform,
        runtime: &opened.runtime,
        stopping: &stopping,
        shutdown: &config.shutdown,
    };
    let ended = serve::until_asked(served, announce, ending).await;
    close(opened).await;
    ended
}

/// The services, behind access control unless it is turned off.
fn guarded(
    config: &Config,
    opened: &Opened,
    stopping: watch::Receiver<bool>,
) -> Result<axum::Router, RunError> {
    let platform = opened.platform.clone();
    Ok(match access::open(config, &opened.deployment_key, &platform) {
        Some(access) => exchequer_api::guarded_routes(platform, stopping, access)?,
        None => exchequer_api::routes(platform, stopping)?,
    })
}

/// What is to be seen of calls.
fn observe(config: &Config, runtime: &TokioRuntime) -> Observe {
    let log = match config.telemetry.access_log.as_str() {
        "off" => AccessLog::Off,
        "failures" => AccessLog::Failures,
        _ => AccessLog::All,
    };
    let log_addresses = config.telemetry.log_addresses;
    let proxies = config.access.proxies();
    Observe { runtime: Arc::new(runtime.clone()), log, log_addresses, proxies }
}

async fn open(config: &Config) -> Result<Opened, RunError> {
    check_level(&config.place.data)?;
    std::fs::create_dir_all(&config.place.data)
        .map_err(|source| RunError::Folder { path: config.place.data.clone(), source })?;
    let deployment_key = keys::load(&config.place.data, config.keys.deployment_file.as_deref())?;
    let logs = Logs::open(config)?;
    let store = Arc::new(open_views(config)?);
    let runtime = TokioRuntime::default();
    let traces = Traces::start(&config.telemetry)?;
    if let Some(traces) = &traces {
        runtime.trace_with(Arc::<Traces>::clone(traces));
    }
    let clock = runtime.clone();
    let partitions = config.journal.partitions;
    let inputs = MemoryInput::new(
        partitions,
        runtime.nonce(),
        MemoryInputLimits::default(),
        Arc::new(move || clock.now()),
    );
    let ports = Ports {
        journal: logs.journal(),
        inputs: Arc::new(inputs),
        store: Arc::<LocalReadStore>::clone(&store),
        runtime: Arc::new(runtime.clone()),
        key: SealKey::new(&deployment_key),
        settings: Arc::new(exchequer_engine::Settings {
            usage: config.usage.settings(),
            ..config.engine.settings(config.readiness.view_lag_commits_max)
        }),
        usage: Some(logs.usage_ports()),
    };
    let consumers: Vec<Arc<dyn React>> = vec![
        Arc::new(Commanding(Adoption { partitions })),
        Arc::new(Correcting(Corrections { partitions })),
        Arc::new(Forwarder { ports: ports.clone() }),
    ];
    let (vault, persons) = persons::open(config, &runtime, logs.records).await?;
    let platform = Platform::start(
        ports,
        Parts { views: views(), lives: lives(), consumers, definitions: None, membership: None },
    )
    .await?;
    let platform = platform.with_vault(vault).await?;
    Ok(Opened { platform, deployment_key, logs, store, persons, runtime, traces })
}

fn views() -> Vec<Arc<dyn View>> {
    vec![
        Arc::new(ViewOf { projection: tenants_view::TenantsView, tables: tenants_view::TABLES }),
        Arc::new(ViewOf { projection: access_view::AccessView, tables: access_view::TABLES }),
        Arc::new(ViewOf { projection: audit_view::AuditView, tables: audit_view::TABLES }),
        Arc::new(ViewOf { projection: timers_view::TimersView, tables: timers_view::TABLES }),
        Arc::new(ViewOf {
            projection: letters_view::DeadLettersView,
            tables: letters_view::TABLES,
        }),
        Arc::new(ViewOf { projection: catalogs_view::CatalogsView, tables: catalogs_view::TABLES }),
        Arc::new(ViewOf {
            projection: subscriptions_view::SubscriptionsView,
            tables: subscriptions_view::TABLES,
        }),
        Arc::new(ViewOf {
            projection: entitlements_view::EntitlementsView,
            tables: entitlements_view::TABLES,
        }),
        Arc::new(ViewOf { projection: flags_view::FlagsView, tables: flags_view::TABLES }),
        Arc::new(ViewOf { projection: meters_view::MetersView, tables: meters_view::TABLES }),
        Arc::new(ViewOf { projection: quotas_view::QuotasView, tables: quotas_view::TABLES }),
    ]
}

/// What every call, evaluation and check asks for, kept in memory.
fn lives() -> Vec<Arc<dyn LiveKind>> {
    vec![
        live_of(access_view::LiveAccess),
        live_of(entitlements_view::LiveEntitlements),
        live_of(flags_view::LiveFlags),
        live_of(meters_view::LiveMeters),
        live_of(meters_view::LiveTerms),
        live_of(quotas_view::LiveQuotas),
    ]
}

/// Views that a power loss has damaged are dropped: they are folded again.
fn open_views(config: &Config) -> Result<LocalReadStore, RunError> {
    let folder = config.place.data.join("views");
    let settings = readstore::Settings {
        cache_bytes_max: config.views.cache_bytes_max,
        ..readstore::Settings::default()
    };
    match LocalReadStore::open(&folder, &settings) {
        Err(error @ readstore::OpenError::Damaged { .. }) => {
            tracing::warn!(%error, "views are built anew");
            readstore::discard(&folder)
                .map_err(|source| RunError::Folder { path: folder.clone(), source })?;
            Ok(LocalReadStore::open(&folder, &settings)?)
        }
        opened => Ok(opened?),
    }
}

/// Every partition is decided here, and the root tenant can be seen.
async fn wait_until_ready(platform: &Platform) -> bool {
    let runtime = &platform.ports.runtime;
    let began = runtime.now();
    while runtime.now().since(began) < READY_MAX {
        if platform.is_ready() && root_is_seen(platform).await {
            return true;
        }
        runtime.sleep(READY_POLL).await;
    }
    tracing::warn!("not ready yet: see /readyz");
    false
}

async fn root_is_seen(platform: &Platform) -> bool {
    let Some(view) = platform.view("tenants") else { return false };
    let generation = view.active().number;
    let store = platform.ports.store.as_ref();
    let root = tenants_view::get(store, generation, &TenantId::platform()).await;
    matches!(root, Ok(Some(_)))
}

async fn close(opened: Opened) {
    let Opened { platform, logs, store, persons, runtime, traces, .. } = opened;
    runtime.shut_down();
    runtime.stopped().await;
    drop(platform);
    if let Err(error) = store.sync().await {
        tracing::warn!(%error, "views were not synced: the next start reads more of the journal");
    }
    logs.close();
    persons.close();
    if let Some(traces) = traces {
        traces.stop();
    }
    tracing::info!("stopped");
}
