//! How fast meters are by themselves: events that are in the log already, on in-memory
//! ports, with three meters. Run by hand; prints records a second and processor time.
//!
//! `cargo run --release -p exchequer-engine --example meter_throughput -- 2000000`

#![expect(clippy::unwrap_used, reason = "a tool for developers says what failed by panicking")]

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use exchequer_codec::usage::encode_event;
use exchequer_engine::meter::MemoryDefinitions;
use exchequer_engine::{Parts, Platform, Ports, Roles, Settings, UsagePorts};
use exchequer_journal::{MemoryInput, MemoryInputLimits, MemoryJournal};
use exchequer_kernel::SealKey;
use exchequer_metering::{
    Aggregation, Body, EventRecord, GROUPS_DEFAULT, GroupBy, Meter, Path, Terms, partition_of_event,
};
use exchequer_readstore::MemoryStore;
use exchequer_runtime::{Runtime as _, TokioRuntime};
use exchequer_types::{PartitionId, Slug, TenantId};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARTITIONS: u32 = 16;
const SUBJECTS: u64 = 10_000;

fn meter(key: &str, aggregation: Aggregation, value: Option<&str>, group: Option<&str>) -> Meter {
    let path = |text: &str| Path::parse(text).unwrap();
    let group_by =
        |name: &str| GroupBy { name: Slug::parse(name).unwrap(), path: path(&format!("$.{name}")) };
    Meter {
        key: Slug::parse(key).unwrap(),
        version: 1,
        event_type: "completion".to_owned(),
        aggregation,
        value: value.map(path),
        group_by: group.map(group_by).into_iter().collect(),
        filters: Vec::new(),
        unit: "tokens".to_owned(),
        groups_max: GROUPS_DEFAULT,
    }
}

/// One event in ten has the id of one before it.
fn fill(log: &MemoryJournal, events: u64) {
    let now = TokioRuntime::default().now();
    let mut scratch = Vec::new();
    let mut out = BytesMut::new();
    for n in 0..events {
        let n = if n % 10 == 9 { n / 2 } else { n };
        let (id, subject) = (format!("event-{n:012}"), format!("user-{}", n * 7 % SUBJECTS));
        let model = ["small", "large", "huge", "vision", "audio"][(n % 5) as usize];
        let data = format!(
            concat!(
                r#"{{"tokens":{},"model":"{}","region":"eu-{}","cached":false,"ms":{}.{},"#,
                r#""request":"req-{:016x}","endpoint":"/v1/chat/completions","status":200,"#,
                r#""prompt":{{"tokens":{},"images":0}},"client":"python/3.12","stream":true}}"#
            ),
            n % 2_000 + 1,
            model,
            n % 3,
            n % 700,
            n % 10,
            n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            n % 1_000,
        );
        let body = Body {
            kind: "completion",
            schema: "",
            subject: &subject,
            time: Some(now),
            data: &data,
        };
        let event = EventRecord { tenant: "acme", source: "/services/api", id: &id, body };
        let partition = partition_of_event("acme", &id, PARTITIONS, &mut scratch);
        log.push(partition, encode_event(&mut out, now, &event));
    }
}

/// What of this process is in memory, in MB.
fn resident_mb() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/statm").unwrap();
    stat.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4 / 1_024
}

/// Seconds that this process spent on a processor.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let events = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().unwrap());
    let mut out = std::io::stdout();
    let log = Arc::new(MemoryJournal::new(PARTITIONS));
    fill(&log, events);
    let definitions = Arc::new(MemoryDefinitions::default());
    let id = |text: &str| TenantId::parse(text).unwrap();
    definitions.put_tenant(&id("acme"), &id("platform"), Vec::new());
    let meters = vec![
        meter("tokens", Aggregation::Sum, Some("$.tokens"), Some("model")),
        meter("calls", Aggregation::Count, None, Some("region")),
        meter("largest", Aggregation::Max, Some("$.tokens"), None),
    ];
    definitions.put_meters(&id("platform"), meters, Terms::default());
    let runtime = TokioRuntime::default();
    let clock = runtime.clone();
    let inputs = MemoryInput::new(
        PARTITIONS,
        [1; 16],
        MemoryInputLimits::default(),
        Arc::new(move || clock.now()),
    );
    let ports = Ports {
        journal: Arc::new(MemoryJournal::new(PARTITIONS)),
        inputs: Arc::new(inputs),
        store: Arc::new(MemoryStore::new(true)),
        runtime: Arc::new(runtime.clone()),
        key: SealKey::new(&[3; 32]),
        settings: Arc::new(Settings::default()),
        usage: Some(UsagePorts {
            log: Arc::<MemoryJournal>::clone(&log),
            seals: Arc::new(MemoryJournal::new(PARTITIONS)),
        }),
    };
    let roles = Roles { decides: false, bootstraps: false, meters: true };
    let given = Parts { definitions: Some(definitions), ..Parts::default() };
    let ends: Vec<u64> =
        (0..PARTITIONS).map(|at| log.records(PartitionId(at)).len() as u64).collect();
    let filled_mb = resident_mb();
    let (began, processor) = (Instant::now(), processor_seconds());
    let platform = Platform::start_as(roles, ports, given).await.unwrap();
    let meters = platform.meters.unwrap();
    for (partition, end) in (0..PARTITIONS).map(PartitionId).zip(ends) {
        assert!(meters.wait_for(partition, end, Duration::from_secs(600)).await);
    }
    let (elapsed, processor) = (began.elapsed().as_secs_f64(), processor_seconds() - processor);
    let each = processor / events as f64 * 1e6;
    writeln!(
        out,
        "{events} records in {elapsed:.2} s: {:.0} a second, {each:.2} µs of processor time each, {} MB more in memory",
        events as f64 / elapsed,
        resident_mb().saturating_sub(filled_mb),
    )
    .unwrap();
    runtime.shut_down();
    runtime.stopped().await;
}
