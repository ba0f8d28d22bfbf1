//! Brokers and nodes that processes share: each topic is found as it must be, the keyspace
//! as this program needs it, and this process joins those that do the same work.

use std::net::SocketAddr;
use std::sync::Arc;

use exchequer_engine::{Outlets, UsageIntake, UsagePorts};
use exchequer_journal::{Group, Outlet};
use exchequer_journal_kafka::topics::{self, Known, Layout};
use exchequer_journal_kafka::{
    Figures, KafkaInput, KafkaJournal, KafkaMembership, KafkaOutlet, Settings, SetupError,
    SetupKind, Stopped,
};
use exchequer_readstore_scylla::{
    MIGRATIONS, OpenError, ScyllaKeys, ScyllaReadStore, check_deployment, keys_settings,
};
use exchequer_runtime::{Metric, OnEnd, Runtime as _, TaskError, TaskKind, TokioRuntime};
use exchequer_types::Hash;
use exchequer_vault::Vault;

use super::tables::tables;
use super::{Backend, Closing};
use crate::config::{Config, Role, Roles};
use crate::{RunError, keys, persons};

/// The logs as they must be for as long as the process has a part in the work.
const LOGS: TaskKind = TaskKind { name: "logs", on_end: OnEnd::ShutDown };

/// As sysexits.h has them.
const EXIT_USAGE: u8 = 64;
const EXIT_UNAVAILABLE: u8 = 69;
const EXIT_PROTOCOL: u8 = 76;
const EXIT_NO_PERMISSION: u8 = 77;
const EXIT_CONFIG: u8 = 78;

/// Why a cluster cannot be used. The message says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(transparent)]
    Logs(#[from] SetupError),
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error(
        "a file of ca_file, cert_file and key_file, under [kafka] or [scylla], cannot be read: {0}"
    )]
    Files(#[from] std::io::Error),
    #[error("this program describes no topic called {0}")]
    Undescribed(&'static str),
    #[error("the work was cut off: {0}")]
    CutOff(#[from] tokio::task::JoinError),
}

impl ClusterError {
    /// What whoever started the process can do about it, as an exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Logs(error) => match error.kind {
                SetupKind::Settings => EXIT_USAGE,
                SetupKind::Unreachable => EXIT_UNAVAILABLE,
                SetupKind::Refused => EXIT_NO_PERMISSION,
                SetupKind::Topics => EXIT_CONFIG,
                SetupKind::TooOld => EXIT_PROTOCOL,
            },
            Self::Store(error) => match error {
                OpenError::Unreachable { .. } => EXIT_UNAVAILABLE,
                OpenError::Refused { .. }
                | OpenError::NoRight { .. }
                | OpenError::Untrusted { .. }
                | OpenError::OtherName { .. }
                | OpenError::CertificateRefused { .. } => EXIT_NO_PERMISSION,
                OpenError::TooOld { .. } => EXIT_PROTOCOL,
                OpenError::Keyspace { .. } | OpenError::Settings { .. } => EXIT_USAGE,
                error if error.is_retryable() => EXIT_UNAVAILABLE,
                _ => EXIT_CONFIG,
            },
            Self::Files(_) => EXIT_USAGE,
            Self::Undescribed(_) | Self::CutOff(_) => 1,
        }
    }
}

/// What this process has of a cluster.
pub(super) struct Opened {
    membership: Arc<KafkaMembership>,
}

impl Opened {
    pub(super) async fn leave(&self) {
        let membership = Arc::clone(&self.membership);
        if let Err(error) = apart(move || membership.leave()).await {
            tracing::warn!(%error, "others take over after the session's end");
        }
    }
}

pub(super) async fn open(config: &Config, runtime: &TokioRuntime) -> Result<Backend, RunError> {
    let deployment_key = keys::load(&config.place.data, config.keys.deployment_file.as_deref())?;
    let mut settings = config.kafka.settings().map_err(ClusterError::Files)?;
    let process = process_name(config.place.listen);
    settings.process.clone_from(&process);
    let layout = config.kafka.layout(config.journal.partitions);
    let logs = open_logs(&settings, layout, &config.roles).await?;
    let of_store = config.scylla.settings().map_err(ClusterError::Files)?;
    let store = ScyllaReadStore::open(&of_store, MIGRATIONS, &tables()).await;
    let store = store.map_err(ClusterError::Store)?;
    let vault = open_keys(config, runtime, &deployment_key).await?;
    let groups = groups(&config.roles);
    if !groups.is_empty() {
        end_with(settings.stopped.clone(), runtime);
    }
    let membership = apart(move || KafkaMembership::join(&settings, &groups)).await;
    let membership = membership?.map_err(ClusterError::Logs)?;
    let membership = Arc::new(membership);
    Ok(Backend {
        deployment_key,
        journal: logs.journal,
        inputs: logs.inputs,
        usage: logs.usage,
        store: Arc::new(store),
        vault,
        process,
        membership: Some(Arc::<KafkaMembership>::clone(&membership)),
        outlets: logs.outlets,
        gauges: Some(Arc::new(move || logs.figures.iter().for_each(show))),
        closing: Closing::Cluster(Opened { membership }),
    })
}

/// `host:port`, by which operators tell processes apart.
fn process_name(listen: SocketAddr) -> String {
    const HOST_FILE: &str = "/proc/sys/kernel/hostname";
    let host = std::fs::read_to_string(HOST_FILE).unwrap_or_default();
    let host = host.trim();
    if host.is_empty() { listen.to_string() } else { format!("{host}:{}", listen.port()) }
}

/// Ends a process that shares in the work as soon as nothing is appended any more: it would hold
/// its partitions and do nothing, and the next start says what to do. A gateway alone goes on,
/// for those who read.
fn end_with(stopped: Stopped, runtime: &TokioRuntime) {
    runtime.spawn(LOGS, Box::pin(async move { Err(TaskError(stopped.reason().await)) }));
}

/// What the clients of a topic say of themselves, as metrics.
fn show(figures: &Figures) {
    let (labels, now) = ([figures.topic()], figures.now());
    let gauges = [
        (Metric::KafkaQueueRecords, now.queue_records as f64),
        (Metric::KafkaQueueBytes, now.queue_bytes as f64),
        (Metric::KafkaRequestsWaiting, now.requests_waiting as f64),
        (Metric::KafkaRoundTripSeconds, now.round_trip_us_p99 as f64 / 1e6),
    ];
    for (metric, value) in gauges {
        metric.gauge(&labels).set(value);
    }
    let counters = [
        (Metric::KafkaRequestErrors, now.request_errors),
        (Metric::KafkaRequestRetries, now.request_retries),
        (Metric::KafkaConnects, now.connects),
        (Metric::KafkaDisconnects, now.disconnects),
    ];
    for (metric, value) in counters {
        metric.counter(&labels).absolute(value);
    }
}

/// The keys of persons, where calls are answered. Every process must have the deployment's
/// key, whatever it does: with another one, what it writes would be refused by the others.
async fn open_keys(
    config: &Config,
    runtime: &TokioRuntime,
    deployment_key: &[u8; 32],
) -> Result<Option<Vault>, RunError> {
    let settings = keys_settings(&config.scylla.settings().map_err(ClusterError::Files)?);
    let fingerprint = fingerprint(deployment_key);
    if !config.roles.has(Role::Gateway) {
        let checked = check_deployment(&settings, &fingerprint).await;
        checked.map_err(ClusterError::Store)?;
        return Ok(None);
    }
    let keys = ScyllaKeys::open(&settings, &fingerprint).await.map_err(ClusterError::Store)?;
    Ok(Some(persons::open_shared(config, runtime, Arc::new(keys)).await?))
}

/// Tells the deployment's key from others, and does not give it away.
pub(crate) fn fingerprint(deployment_key: &[u8; 32]) -> [u8; 32] {
    const CONTEXT: &[u8] = b"exchequer deployment key fingerprint v1 ";
    Hash::blake3(&[CONTEXT, deployment_key].concat()).0
}

/// The groups whose work a process shares.
fn groups(roles: &Roles) -> Vec<Group> {
    [
        (Role::Decider, Group::Deciders),
        (Role::Meter, Group::Meters),
        (Role::Projector, Group::Projectors),
        (Role::Consumer, Group::Consumers),
        (Role::Sealer, Group::Sealers),
    ]
    .into_iter()
    .filter(|(role, _)| roles.has(*role))
    .map(|(_, group)| group)
    .collect()
}

struct Logs {
    journal: Arc<KafkaJournal>,
    inputs: Arc<KafkaInput>,
    /// Of those that take it in, count it or correct it.
    usage: Option<UsagePorts>,
    outlets: Outlets,
    /// Of every topic that is open.
    figures: Vec<Figures>,
}

async fn open_logs(
    settings: &Settings,
    layout: Layout,
    roles: &Roles,
) -> Result<Logs, ClusterError> {
    let settings = settings.clone();
    let (publishes, meters) = (roles.has(Role::Sealer), roles.has(Role::Meter));
    let meets_usage = meters || roles.has(Role::Gateway) || roles.has(Role::Consumer);
    apart(move || {
        let found = topics::check(&settings, &layout.topics())?;
        let topic = |name: &'static str| -> Result<&Known, ClusterError> {
            let known = found.iter().find(|it| it.spec.name == name);
            known.ok_or(ClusterError::Undescribed(name))
        };
        let journal = KafkaJournal::open(&settings, &topic("journal")?.spec)?;
        let inputs = KafkaInput::open(&settings, topic("commands")?, topic("commands-internal")?)?;
        let mut figures = vec![journal.figures()];
        figures.extend(inputs.figures());
        let usage = if meets_usage {
            let (log, intake) = (&topic("usage")?.spec, Arc::new(UsageIntake));
            let log = Arc::new(KafkaJournal::open_produced(&settings, log, intake)?);
            let seals = KafkaJournal::open(&settings, &topic("usage-seals")?.spec)?;
            figures.extend([log.figures(), seals.figures()]);
            Some(UsagePorts { log, seals: Arc::new(seals) })
        } else {
            None
        };
        let mut outlet = |is_used: bool, name| -> Result<Option<Arc<dyn Outlet>>, ClusterError> {
            if !is_used {
                return Ok(None);
            }
            let outlet = KafkaOutlet::open(&settings, &topic(name)?.spec)?;
            figures.push(outlet.figures());
            Ok(Some(Arc::new(outlet)))
        };
        let outlets = Outlets {
            audit: outlet(publishes, "audit")?,
            dead_letters: outlet(meters, "dead-letters")?,
        };
        let (journal, inputs) = (Arc::new(journal), Arc::new(inputs));
        Ok(Logs { journal, inputs, usage, outlets, figures })
    })
    .await?
}

/// Runs what blocks where it stops nobody else.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ClusterError> {
    Ok(tokio::task::spawn_blocking(work).await?)
}
