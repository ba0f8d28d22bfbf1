//! Meters on in-memory ports: events in, figures and fates out, across restarts.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use exchequer_codec::usage::encode_event;
use exchequer_engine::meter::{DefinitionsSource, MemoryDefinitions, Meters};
use exchequer_engine::{Outlets, Parts, Platform, Ports, Roles, Settings, UsageIntake, UsagePorts};
use exchequer_journal::{
    Intake as _, Journal, Membership, MemoryInput, MemoryInputLimits, MemoryJournal, MemoryOutlet,
    Outgoing, Outlet, Produced,
};
use exchequer_kernel::SealKey;
use exchequer_metering::{
    Aggregation, Body, EventRecord, GROUPS_DEFAULT, GroupBy, Meter, Path, partition_of_event,
};
use exchequer_projection_usage::{
    Counts, Kept, Kind, Listed, Query, Step, Wanted, listed, query, reconcile,
};
use exchequer_readstore::MemoryStore;
use exchequer_runtime::{Runtime as _, TokioRuntime};
use exchequer_types::{PartitionId, Quantity, Slug, TenantId, Timestamp};

pub(crate) const PARTITIONS: u32 = 2;
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) log: Arc<MemoryJournal>,
    pub(crate) seals: Arc<MemoryJournal>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) definitions: Arc<MemoryDefinitions>,
    pub(crate) settings: Settings,
    /// Dead letters.
    pub(crate) letters: Arc<MemoryOutlet>,
    /// Where they are published instead, if it is set.
    pub(crate) outlet: Option<Arc<dyn Outlet>>,
    /// With whom partitions are shared; nobody if it is not set.
    pub(crate) membership: Option<Arc<dyn Membership>>,
    /// Its name, where it tells others what fails.
    pub(crate) process: String,
    starts: u8,
}

/// A process.
pub(crate) struct Process {
    pub(crate) platform: Platform,
    pub(crate) meters: Meters,
    pub(crate) runtime: TokioRuntime,
}

pub(crate) fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

pub(crate) fn key() -> SealKey {
    SealKey::new(&[3; 32])
}

pub(crate) fn sum_of_tokens() -> Meter {
    Meter {
        key: Slug::parse("tokens").unwrap(),
        version: 1,
        event_type: "completion".to_owned(),
        aggregation: Aggregation::Sum,
        value: Some(Path::parse("$.tokens").unwrap()),
        group_by: vec![GroupBy {
            name: Slug::parse("model").unwrap(),
            path: Path::parse("$.model").unwrap(),
        }],
        filters: Vec::new(),
        unit: "tokens".to_owned(),
        groups_max: GROUPS_DEFAULT,
    }
}

pub(crate) fn counter(key: &str) -> Meter {
    Meter {
        key: Slug::parse(key).unwrap(),
        aggregation: Aggregation::Count,
        value: None,
        group_by: Vec::new(),
        ..sum_of_tokens()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let definitions = MemoryDefinitions::default();
        definitions.put_tenant(&tenant("acme"), &tenant("platform"), Vec::new());
        definitions.put_meters(
            &tenant("platform"),
            vec![sum_of_tokens(), counter("calls")],
            exchequer_metering::Terms::default(),
        );
        let mut settings = Settings::default();
        settings.usage.seal_linger = Duration::from_millis(1);
        settings.usage.idle_flush_interval = Duration::from_millis(20);
        settings.claim_retry = Duration::from_millis(5);
        Self {
            log: Arc::new(MemoryJournal::new(PARTITIONS)),
            seals: Arc::new(MemoryJournal::new(PARTITIONS)),
            store: Arc::new(MemoryStore::new(true)),
            definitions: Arc::new(definitions),
            settings,
            letters: Arc::new(MemoryOutlet::new(PARTITIONS)),
            outlet: None,
            membership: None,
            process: String::new(),
            starts: 0,
        }
    }

    pub(crate) async fn start(&mut self) -> Process {
        self.start_with(Arc::<MemoryJournal>::clone(&self.seals)).await
    }

    pub(crate) async fn start_with(&mut self, seals: Arc<dyn Journal>) -> Process {
        self.starts += 1;
        let runtime = TokioRuntime::default();
        let clock = runtime.clone();
        let inputs = MemoryInput::new(
            PARTITIONS,
            [self.starts; 16],
            MemoryInputLimits::default(),
            Arc::new(move || clock.now()),
        );
        let ports = Ports {
            journal: Arc::new(MemoryJournal::new(PARTITIONS)),
            inputs: Arc::new(inputs),
            store: Arc::<MemoryStore>::clone(&self.store),
            runtime: Arc::new(runtime.clone()),
            key: key(),
            settings: Arc::new(self.settings.clone()),
            usage: Some(UsagePorts { log: Arc::<MemoryJournal>::clone(&self.log), seals }),
        };
        let roles = Roles { decides: false, bootstraps: false, meters: true };
        let definitions = Arc::<MemoryDefinitions>::clone(&self.definitions);
        let letters = Arc::<MemoryOutlet>::clone(&self.letters);
        let letters = self.outlet.clone().unwrap_or(letters);
        let outlets = Outlets { dead_letters: Some(letters), ..Outlets::default() };
        let membership = self.membership.clone();
        let definitions = Some(definitions as Arc<dyn DefinitionsSource>);
        let process = self.process.clone();
        let given = Parts { definitions, outlets, membership, process, ..Parts::default() };
        let platform = Platform::start_as(roles, ports, given).await.unwrap();
        let meters = platform.meters.clone().unwrap();
        Process { platform, meters, runtime }
    }

    /// Appends an event of `acme` to its own partition; gives the place.
    pub(crate) fn send(&self, id: &str, data: &str) -> (PartitionId, u64) {
        self.send_as(&event("acme", id, data), now())
    }

    pub(crate) fn send_as(
        &self,
        event: &EventRecord<'_>,
        received_at: Timestamp,
    ) -> (PartitionId, u64) {
        let partition = partition_of_event(event.tenant, event.id, PARTITIONS, &mut Vec::new());
        (partition, self.send_to(partition, event, received_at))
    }

    pub(crate) fn send_to(
        &self,
        partition: PartitionId,
        event: &EventRecord<'_>,
        received_at: Timestamp,
    ) -> u64 {
        let mut out = BytesMut::new();
        self.log.push(partition, encode_event(&mut out, received_at, event))
    }

    /// What a producer writes to a partition by itself.
    pub(crate) fn produce(
        &self,
        partition: PartitionId,
        headers: &[(&str, &[u8])],
        value: &str,
    ) -> u64 {
        let (key, headers) = (Some(&b"any"[..]), headers.to_vec());
        let value = Some(value.as_bytes());
        let record = Produced { appended_at: now(), key, headers, value };
        self.log.push(partition, UsageIntake.take(&record))
    }

    /// All dead letters, by partition.
    pub(crate) fn letters(&self) -> Vec<Outgoing> {
        (0..PARTITIONS).flat_map(|it| self.letters.records(PartitionId(it))).collect()
    }
}

pub(crate) fn event<'a>(tenant: &'a str, id: &'a str, data: &'a str) -> EventRecord<'a> {
    let body = Body { kind: "completion", schema: "", subject: "user-1", time: None, data };
    EventRecord { tenant, source: "test", id, body }
}

/// The partition of an event of `acme`.
pub(crate) fn own_of(id: &str) -> PartitionId {
    partition_of_event("acme", id, PARTITIONS, &mut Vec::new())
}

pub(crate) fn now() -> Timestamp {
    TokioRuntime::default().now()
}

impl Process {
    /// Everything that is in the log has a fate.
    pub(crate) async fn settled(&self) {
        for partition in (0..PARTITIONS).map(PartitionId) {
            let end = self.meters.ports.log.end(partition).await.unwrap();
            let is_there = self.meters.wait_for(partition, end, PATIENCE).await;
            assert!(is_there, "{:?}", self.meters.state(partition));
        }
    }

    /// Everything that has a fate is in the store.
    pub(crate) async fn written(&self) {
        let deadline = now().saturating_add(PATIENCE);
        while self.meters.live.bytes() > 0 {
            assert!(now() < deadline, "figures are not written");
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn figure(&self, tenant_id: &str, meter: &str) -> Option<Quantity> {
        let day = 24 * 3_600_000_000;
        let start = now().micros() / day * day;
        let tenant = tenant(tenant_id);
        let asked = Query {
            tenant: &tenant,
            meter,
            version: None,
            from: Timestamp::from_micros(start - 40 * day).unwrap(),
            to: Timestamp::from_micros(start + 2 * day).unwrap(),
            step: Step::Whole,
            subject: None,
            by_subject: false,
            group_by: Vec::new(),
            filters: Vec::new(),
            top: 100,
            lateness: Duration::ZERO,
            seen: &[],
        };
        let store = self.platform.ports.store.as_ref();
        let answer = query(store, &self.meters.live, &asked).await.unwrap();
        answer.windows.first().and_then(|it| it.groups.first()).and_then(|it| it.figure)
    }

    /// Figures of billing periods, by their start.
    pub(crate) async fn periods(&self, meter: &str) -> Vec<(Timestamp, String)> {
        let tenant = tenant("acme");
        let days = Duration::from_secs(40 * 24 * 3_600);
        let asked = Query {
            tenant: &tenant,
            meter,
            version: None,
            from: now().saturating_sub(days),
            to: now().saturating_add(days),
            step: Step::Of(Kept::Period),
            subject: None,
            by_subject: false,
            group_by: Vec::new(),
            filters: Vec::new(),
            top: 100,
            lateness: Duration::ZERO,
            seen: &[],
        };
        let store = self.platform.ports.store.as_ref();
        let answer = query(store, &self.meters.live, &asked).await.unwrap();
        let figure = |it: &exchequer_projection_usage::Figures| {
            it.groups.first().and_then(|it| it.figure).map(|it| it.to_string()).unwrap_or_default()
        };
        let shown = answer.windows.iter().map(|it| (it.window.start, figure(it)));
        shown.filter(|(_, figure)| figure != "0").collect()
    }

    pub(crate) async fn listed(&self, kinds: &[Kind]) -> Vec<Listed> {
        let wanted = Wanted {
            tenant: "acme",
            kinds,
            from: now().saturating_sub(Duration::from_secs(3_600)),
            to: now().saturating_add(Duration::from_secs(3_600)),
            after: None,
            limit: 100,
        };
        let store = self.platform.ports.store.as_ref();
        listed(store, &self.meters.live, &wanted, &|_| true).await.unwrap().items
    }

    /// The same as text.
    pub(crate) async fn shown(&self, meter: &str) -> String {
        self.figure("acme", meter).await.map(|it| it.to_string()).unwrap_or_default()
    }

    pub(crate) async fn counts(&self, tenant: &str) -> Counts {
        let store = self.platform.ports.store.as_ref();
        let (by_hour, _) =
            reconcile(store, &self.meters.live, tenant, Timestamp::MIN, Timestamp::MAX)
                .await
                .unwrap();
        let mut all = Counts::default();
        for counts in by_hour.values() {
            all.add(counts);
        }
        all
    }

    pub(crate) async fn count(&self, tenant: &str, fate: exchequer_metering::Fate) -> u64 {
        self.counts(tenant).await.of(Kind::Fate(fate))
    }

    pub(crate) async fn stop(self) {
        self.runtime.shut_down();
        self.runtime.stopped().await;
    }
}
