//! A platform on the embedded backends in a folder, and commands for it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use exchequer_consumer_adoption::Adoption;
use exchequer_domain_audit as audit;
use exchequer_engine::{
    Commanding, Forwarder, LiveKind, Parts, Platform, Ports, React, Settings, Submission, View,
    ViewOf, live_of,
};
use exchequer_journal::{MemoryInput, MemoryInputLimits};
use exchequer_journal_local::{LocalJournal, Options};
use exchequer_kernel::{SealKey, Status};
use exchequer_readstore_local::LocalReadStore;
use exchequer_runtime::{Runtime as _, TokioRuntime};
use exchequer_tenant::{Command, Create};
use exchequer_types::{ActorId, CommandId, Issuer, StreamId, TenantId};

use crate::Failure;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Which views run beside the deciders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ViewsRun {
    None,
    All,
}

pub(crate) struct World {
    pub(crate) platform: Platform,
    pub(crate) runtime: TokioRuntime,
    journal: Arc<LocalJournal>,
}

impl World {
    /// Starts in `folder`, as the server does, and waits until all partitions decide.
    pub(crate) async fn start(
        folder: &Path,
        partitions: u32,
        views: ViewsRun,
    ) -> Result<Self, Failure> {
        let runtime = TokioRuntime::default();
        let options = Options { partitions, ..Options::default() };
        let (journal, _) = LocalJournal::open(folder, options)?;
        let store = LocalReadStore::open(
            &folder.join("views"),
            &exchequer_readstore_local::Settings::default(),
        )?;
        let clock = runtime.clone();
        let inputs = MemoryInput::new(
            partitions,
            runtime.nonce(),
            MemoryInputLimits::default(),
            Arc::new(move || clock.now()),
        );
        let ports = Ports {
            journal: Arc::<LocalJournal>::clone(&journal),
            inputs: Arc::new(inputs),
            store: Arc::new(store),
            runtime: Arc::new(runtime.clone()),
            key: SealKey::new(&[7; 32]),
            settings: Arc::new(Settings::default()),
            usage: None,
        };
        let consumers: Vec<Arc<dyn React>> = vec![
            Arc::new(Commanding(Adoption { partitions })),
            Arc::new(Forwarder { ports: ports.clone() }),
        ];
        let platform = Platform::start(
            ports,
            Parts {
                views: all_views(views),
                lives: all_lives(views),
                consumers,
                ..Parts::default()
            },
        )
        .await?;
        let mut changes = platform.tail.changes();
        while !platform.is_ready() {
            let _ = tokio::time::timeout(Duration::from_millis(5), changes.changed()).await;
        }
        Ok(Self { platform, runtime, journal })
    }

    pub(crate) async fn stop(self) {
        self.runtime.shut_down();
        self.runtime.stopped().await;
        self.journal.close();
    }

    /// Creates tenants `t0`, `t1`, … below the root.
    pub(crate) async fn create_tenants(&self, from: usize, to: usize) -> Result<(), Failure> {
        create_tenants(&self.platform, from, to).await
    }
}

/// The same on any platform.
pub(crate) async fn create_tenants(
    platform: &Platform,
    from: usize,
    to: usize,
) -> Result<(), Failure> {
    let create = |n: usize| async move {
        loop {
            let command = Command::Create(Create {
                parent: TenantId::platform(),
                name: format!("Tenant {n}"),
                settings: BTreeMap::new(),
                test_clock: None,
            });
            let submission = submission(&format!("t{n}"), format!("create-{n}"), command)?;
            let answer = platform.gateway.submit(submission, PATIENCE).await?;
            match answer.status() {
                Some(Status::Accepted) => return Ok::<(), Failure>(()),
                Some(Status::NotAdopted) => tokio::task::yield_now().await,
                other => return Err(format!("tenant {n}: {other:?}").into()),
            }
        }
    };
    for chunk in (from..to).collect::<Vec<_>>().chunks(500) {
        futures::future::try_join_all(chunk.iter().map(|n| create(*n))).await?;
    }
    Ok(())
}

fn all_lives(views: ViewsRun) -> Vec<Arc<dyn LiveKind>> {
    if views == ViewsRun::None { Vec::new() } else { lives() }
}

/// Everything that gateways keep in memory.
pub(crate) fn lives() -> Vec<Arc<dyn LiveKind>> {
    use exchequer_projection_access::LiveAccess;
    use exchequer_projection_entitlements::LiveEntitlements;
    use exchequer_projection_flags::LiveFlags;
    use exchequer_projection_meters::{LiveMeters, LiveTerms};
    use exchequer_projection_quotas::LiveQuotas;
    vec![
        live_of(LiveAccess),
        live_of(LiveEntitlements),
        live_of(LiveFlags),
        live_of(LiveMeters),
        live_of(LiveTerms),
        live_of(LiveQuotas),
    ]
}

pub(crate) fn all_views(views: ViewsRun) -> Vec<Arc<dyn View>> {
    use exchequer_projection_access as access;
    use exchequer_projection_audit as audit;
    use exchequer_projection_catalogs as catalogs;
    use exchequer_projection_dead_letters as dead_letters;
    use exchequer_projection_entitlements as entitlements;
    use exchequer_projection_flags as flags;
    use exchequer_projection_meters as meters;
    use exchequer_projection_quotas as quotas;
    use exchequer_projection_subscriptions as subscriptions;
    use exchequer_projection_tenants as tenants;
    use exchequer_projection_timers as timers;
    if views == ViewsRun::None {
        return Vec::new();
    }
    vec![
        Arc::new(ViewOf { projection: access::AccessView, tables: access::TABLES }),
        Arc::new(ViewOf { projection: tenants::TenantsView, tables: tenants::TABLES }),
        Arc::new(ViewOf { projection: audit::AuditView, tables: audit::TABLES }),
        Arc::new(ViewOf { projection: timers::TimersView, tables: timers::TABLES }),
        Arc::new(ViewOf {
            projection: dead_letters::DeadLettersView,
            tables: dead_letters::TABLES,
        }),
        Arc::new(ViewOf { projection: catalogs::CatalogsView, tables: catalogs::TABLES }),
        Arc::new(ViewOf {
            projection: subscriptions::SubscriptionsView,
            tables: subscriptions::TABLES,
        }),
        Arc::new(ViewOf {
            projection: entitlements::EntitlementsView,
            tables: entitlements::TABLES,
        }),
        Arc::new(ViewOf { projection: flags::FlagsView, tables: flags::TABLES }),
        Arc::new(ViewOf { projection: meters::MetersView, tables: meters::TABLES }),
        Arc::new(ViewOf { projection: quotas::QuotasView, tables: quotas::TABLES }),
    ]
}

pub(crate) fn submission(
    stream: &str,
    id: String,
    command: Command,
) -> Result<Submission, Failure> {
    Ok(Submission::new(
        StreamId::parse(stream)?,
        Issuer::parse("api")?,
        CommandId::parse(id)?,
        ActorId::parse("u-1")?,
        command,
    ))
}

/// One audit entry of an application, of an ordinary size.
pub(crate) fn append() -> Command {
    let draft = audit::Draft {
        action: "invoice.downloaded".to_owned(),
        actor: "u-1".to_owned(),
        resource_type: "invoice".to_owned(),
        resource_id: "2026-000123".to_owned(),
        ..audit::Draft::default()
    };
    Command::Audit(audit::Command::Append(audit::Append { entries: vec![draft] }))
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident_bytes(process: &str) -> u64 {
    status_bytes(process, "VmRSS:")
}

/// The most that it was at any time.
pub(crate) fn resident_bytes_most(process: &str) -> u64 {
    status_bytes(process, "VmHWM:")
}

/// Seconds that a process has spent on processors.
pub(crate) fn processor_seconds(process: &str) -> f64 {
    /// Of the system's clock, in a second.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(11).take(2).filter_map(|it| it.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS
}

fn status_bytes(process: &str, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
