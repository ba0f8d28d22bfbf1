//! One process from start to end: ports bound, journal and views opened, the
//! platform started, served, and stopped in order.

use core::time::Duration;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use exchequer_api::authn::UseCounter;
use exchequer_api::{AccessLog, Observe};
use exchequer_consumer_adoption::Adoption;
use exchequer_consumer_corrections::Corrections;
use exchequer_engine::{
    Commanding, Correcting, EngineError, Forwarder, LiveKind, Parts, Platform, Ports, React, View,
    ViewOf, live_of,
};
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
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tonic::transport::Server;

use crate::backend::Backend;
use crate::config::{Config, ConfigError, Role, Roles};
use crate::logs::LogsError;
use crate::serve::Ending;
use crate::telemetry::{TraceError, Traces};
use crate::{access, bootstrap, greeting, http, keys, persons, serve, telemetry, tls};

/// Requests at once on one connection.
const STREAMS_MAX: u32 = 1_024;
/// Connections that nobody has accepted yet.
const LISTEN_BACKLOG_MAX: u32 = 1_024;
const KEEPALIVE: Duration = Duration::from_secs(60);
/// A log line says so when the platform is not ready after this long.
const READY_MAX: Duration = Duration::from_secs(30);
const READY_POLL: Duration = Duration::from_millis(5);
/// How long a process that ends waits for the store to take what it has counted.
const USES_MAX: Duration = Duration::from_secs(2);
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
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    Cluster(#[from] crate::backend::cluster::ClusterError),
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

/// As sysexits.h has it.
const EXIT_USAGE: u8 = 64;

impl RunError {
    /// What the process ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => EXIT_USAGE,
            #[cfg(feature = "cluster")]
            Self::Cluster(error) => error.exit_code(),
            _ => 1,
        }
    }
}

/// What was opened and is to be closed.
struct Opened {
    platform: Platform,
    backend: Backend,
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
    let ended = Box::pin(serve_as(config)).await;
    lines.flush();
    ended
}

async fn serve_as(mut config: Config) -> Result<(), RunError> {
    let metrics = telemetry::start_metrics()?;
    let listener = listen(config.place.listen)
        .map_err(|source| RunError::Listen { address: config.place.listen, source })?;
    let address = listener.local_addr().unwrap_or(config.place.listen);
    // By which others know this process.
    config.place.listen = address;
    let tls = config.tls.files().map(tls::Live::open).transpose()?;
    let opened = open(&config).await?;
    if let Some(tls) = &tls {
        tls::watch(tls, &opened.platform.ports.runtime);
    }
    keep_up(&opened, &metrics);
    let stopping = watch::Sender::new(false);
    let pages = http::Pages { platform: opened.platform.clone(), metrics };
    let (router, uses) = if config.roles.has(Role::Gateway) {
        guarded(&config, &opened, stopping.subscribe())?
    } else {
        (axum::Router::new(), None)
    };
    let router = router.merge(http::router(pages));
    let observed = observe(&config, &opened.runtime).around(router, http::too_large);
    let mut stop = stopping.subscribe();
    let served = Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(http::HEADERS_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .serve_with_incoming_shutdown(observed, tls::incoming(listener, tls), async move {
            // The sender lives as long as the process.
            let _ = stop.wait_for(|stop| *stop).await;
        });
    let announce = async {
        wait_until_ready(&opened.platform, &config.roles).await;
        let text = greet(&config, &opened.platform, address).await;
        // Nobody may be reading.
        let _ = io::stdout().write_all(text.as_bytes());
        let _ = io::stdout().flush();
        tracing::info!(%address, roles = %config.roles, "ready");
        core::future::pending::<()>().await;
    };
    let ending = Ending {
        platform: &opened.platform,
        runtime: &opened.runtime,
        stopping: &stopping,
        shutdown: &config.shutdown,
    };
    let ended = serve::until_asked(served, announce, ending).await;
    close(opened, uses).await;
    ended
}

/// Metrics that somebody has to look after.
fn keep_up(opened: &Opened, metrics: &PrometheusHandle) {
    let (metrics, runtime) = (metrics.clone(), opened.runtime.clone());
    let gauges = opened.backend.gauges.clone();
    let upkeep = async move {
        loop {
            runtime.sleep(UPKEEP_INTERVAL).await;
            if let Some(refresh) = &gauges {
                refresh();
            }
            metrics.run_upkeep();
        }
    };
    opened.runtime.spawn(UPKEEP, Box::pin(upkeep));
}

/// What whoever started the process wants to know, once it is ready.
async fn greet(config: &Config, platform: &Platform, address: SocketAddr) -> String {
    if !config.roles.has(Role::Gateway) {
        return greeting::of_roles(&config.roles, address);
    }
    let presented = if config.access.enabled {
        bootstrap::first_owner(platform).await
    } else {
        greeting::Presented::Nothing
    };
    greeting::text(platform, address, &greeting::Home::of(config), &presented).await
}

/// The services, behind access control unless it is turned off, and who counts the uses of
/// credentials.
fn guarded(
    config: &Config,
    opened: &Opened,
    stopping: watch::Receiver<bool>,
) -> Result<(axum::Router, Option<Arc<UseCounter>>), RunError> {
    let (platform, backend) = (opened.platform.clone(), &opened.backend);
    Ok(match access::open(config, backend, &platform) {
        Some(access) => {
            let uses = Arc::clone(access.authenticator.uses());
            (exchequer_api::guarded_routes(platform, stopping, access)?, Some(uses))
        }
        None => (exchequer_api::routes(platform, stopping)?, None),
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
    let runtime = TokioRuntime::default();
    let mut backend = Backend::open(config, &runtime).await?;
    let traces = Traces::start(&config.telemetry)?;
    if let Some(traces) = &traces {
        runtime.trace_with(Arc::<Traces>::clone(traces));
    }
    let ports = Ports {
        journal: Arc::clone(&backend.journal),
        inputs: Arc::clone(&backend.inputs),
        store: Arc::clone(&backend.store),
        runtime: Arc::new(runtime.clone()),
        key: SealKey::new(&backend.deployment_key),
        settings: Arc::new(exchequer_engine::Settings {
            usage: config.usage.settings(backend.membership.is_some()),
            ..config.engine.settings(config.readiness.view_lag_commits_max)
        }),
        usage: backend.usage.clone(),
    };
    let vault = backend.vault.take();
    let given = Parts {
        membership: backend.membership.clone(),
        process: backend.process.clone(),
        outlets: backend.outlets.clone(),
        ..parts(config, &ports)
    };
    let platform = Platform::start_as(engine_roles(&config.roles), ports, given).await?;
    let platform = match vault {
        Some(vault) => platform.with_vault(vault).await?,
        None => platform,
    };
    Ok(Opened { platform, backend, runtime, traces })
}

fn engine_roles(roles: &Roles) -> exchequer_engine::Roles {
    exchequer_engine::Roles {
        decides: roles.has(Role::Decider),
        bootstraps: roles.has(Role::Gateway),
        meters: roles.has(Role::Meter),
    }
}

/// Views, what is kept of them in memory, and processes: what the roles have to do with.
fn parts(config: &Config, ports: &Ports) -> Parts {
    let (roles, partitions) = (&config.roles, config.journal.partitions);
    let sees = [Role::Gateway, Role::Meter, Role::Projector].into_iter().any(|it| roles.has(it));
    let remembers = roles.has(Role::Gateway) || roles.has(Role::Meter);
    let consumers: Vec<Arc<dyn React>> = vec![
        Arc::new(Commanding(Adoption { partitions })),
        Arc::new(Correcting(Corrections { partitions })),
        Arc::new(Forwarder { ports: ports.clone() }),
    ];
    // Who runs alone has all of them.
    let are_others = config.is_cluster();
    let elsewhere = consumers.iter().filter(|_| are_others).map(|it| it.name()).collect();
    Parts {
        consumers_elsewhere: elsewhere,
        views: if sees { views() } else { Vec::new() },
        lives: if remembers { lives() } else { Vec::new() },
        consumers: if roles.has(Role::Consumer) { consumers } else { Vec::new() },
        ..Parts::default()
    }
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

/// Every partition is decided or followed here, and a gateway sees the root tenant.
async fn wait_until_ready(platform: &Platform, roles: &Roles) {
    let runtime = &platform.ports.runtime;
    let began = runtime.now();
    let mut is_told = false;
    loop {
        let is_ready = platform.is_ready();
        if is_ready && (!roles.has(Role::Gateway) || root_is_seen(platform).await) {
            return;
        }
        if !is_told && runtime.now().since(began) > READY_MAX {
            is_told = true;
            tracing::warn!("not ready yet: see /readyz");
        }
        runtime.sleep(READY_POLL).await;
    }
}

async fn root_is_seen(platform: &Platform) -> bool {
    let Some(view) = platform.view("tenants") else { return false };
    let generation = view.active().number;
    let store = platform.ports.store.as_ref();
    let root = tenants_view::get(store, generation, &TenantId::platform()).await;
    matches!(root, Ok(Some(_)))
}

async fn close(opened: Opened, uses: Option<Arc<UseCounter>>) {
    let Opened { platform, backend, runtime, traces } = opened;
    backend.leave().await;
    if let Some(uses) = uses {
        let written = uses.write(&platform.ports, &backend.process);
        if tokio::time::timeout(USES_MAX, written).await.is_err() {
            tracing::warn!("the last uses of credentials were not written down");
        }
    }
    runtime.shut_down();
    runtime.stopped().await;
    drop(platform);
    backend.close().await;
    if let Some(traces) = traces {
        traces.stop();
    }
    tracing::info!("stopped");
}
