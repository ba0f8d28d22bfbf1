//! Events of use against what was acknowledged: the topic, the chain of seals over it, and
//! what the gateways say of each tenant's events and figures.

use core::ops::Range;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use exchequer_codec::usage::{decode_record, decode_seal};
use exchequer_e2e::{Client, Res, wait};
use exchequer_engine::UsageIntake;
use exchequer_journal::Journal as _;
use exchequer_journal_kafka::KafkaJournal;
use exchequer_kernel::{Head, Verdict, fold};
use exchequer_metering::{CorrectionRecord, EventRecord, RecordBody};
use exchequer_proto::usage::v1 as pb;
use exchequer_types::PartitionId;

use crate::load::{EVENT_TYPE, Events};
use crate::world::{PARTITIONS, World, told};

const CREATE_METER: &str = "/exchequer.usage.v1.MeterService/CreateMeter";
const QUERY: &str = "/exchequer.usage.v1.UsageService/QueryUsage";
const RECONCILE: &str = "/exchequer.usage.v1.UsageService/ReconcileUsage";
/// Summed; and counted once each.
pub(crate) const TOKENS: &str = "tokens";
pub(crate) const USERS: &str = "users";
/// By which tokens are told apart.
pub(crate) const MODEL: &str = "model";
const READ_BYTES_MAX: usize = 4 << 20;
const HOUR_SECONDS: i64 = 3_600;
/// Much longer than a round takes.
const ROUND_SECONDS_MAX: i64 = 900;

/// Meters that count everything: one whose figures can be subtracted from, and one whose
/// windows have to be put together anew when an event is voided.
pub(crate) async fn make_meters(client: &Client) -> Res<()> {
    let meters = [
        (TOKENS, pb::Aggregation::Sum, "$.tokens"),
        (USERS, pb::Aggregation::UniqueCount, "$.user"),
    ];
    let model = pb::MeterGroupBy { name: MODEL.to_owned(), path: "$.model".to_owned() };
    for (key, aggregation, value) in meters {
        let group_by = if key == TOKENS { vec![model.clone()] } else { Vec::new() };
        let rules = pb::MeterRules {
            event_type: EVENT_TYPE.to_owned(),
            aggregation: aggregation.into(),
            value: value.to_owned(),
            group_by,
            unit: key.to_owned(),
            ..<_>::default()
        };
        let request = pb::CreateMeterRequest {
            tenant: "platform".to_owned(),
            key: key.to_owned(),
            rules: Some(rules),
            ..<_>::default()
        };
        let _: pb::Meter = client.ask(CREATE_METER, &request, None).await?;
    }
    Ok(())
}

/// The logs of usage, read from zero.
pub(crate) struct Usage {
    log: Arc<KafkaJournal>,
    seals: KafkaJournal,
    next: Vec<u64>,
    heads: Vec<Head>,
    /// Everything below it is sealed, by partition.
    sealed: Vec<u64>,
    /// Events and corrections in the topic, by tenant.
    records: BTreeMap<String, u64>,
    wrong: Vec<String>,
}

impl Usage {
    pub(crate) fn open(world: &World) -> Res<Self> {
        let spec = World::layout().topic("usage").ok_or("no such topic")?;
        let log = KafkaJournal::open_produced(&world.brokers(), &spec, Arc::new(UsageIntake))?;
        let count = PARTITIONS as usize;
        Ok(Self {
            log: Arc::new(log),
            seals: world.log("usage-seals")?,
            next: vec![0; count],
            heads: vec![Head::default(); count],
            sealed: vec![0; count],
            records: BTreeMap::new(),
            wrong: Vec::new(),
        })
    }

    /// For producers.
    pub(crate) fn log(&self) -> Arc<KafkaJournal> {
        Arc::clone(&self.log)
    }

    /// What is wrong when all has come to rest.
    pub(crate) async fn compare(
        &mut self,
        client: &Client,
        sent: &BTreeMap<String, Events>,
    ) -> Res<Vec<String>> {
        self.read_records().await?;
        let is_sealed = async || {
            self.read_seals().await?;
            let all = self.next.iter().zip(&self.sealed).all(|(end, sealed)| sealed >= end);
            Ok((all || !self.wrong.is_empty()).then_some(()))
        };
        let sealed = wait::until_async("every event to be sealed", is_sealed).await;
        let mut wrong = self.wrong.clone();
        if let Err(late) = sealed {
            wrong.push(format!("{late}: up to {:?} of {:?}", self.sealed, self.next));
        }
        for (tenant, events) in sent {
            let mut last = String::new();
            let agrees = async || {
                // Corrections come to the topic behind their answer.
                self.read_records().await?;
                let records = self.records.get(tenant).copied().unwrap_or(0);
                last = differs(client, tenant, *events, Some(records))
                    .await
                    .unwrap_or_else(|it| Some(it.to_string()))
                    .unwrap_or_default();
                Ok(last.is_empty().then_some(()))
            };
            if wait::until_async("figures", agrees).await.is_err() {
                wrong.push(format!("{tenant}: {last}"));
            }
        }
        Ok(wrong)
    }

    async fn read_records(&mut self) -> Res<()> {
        for partition in (0..PARTITIONS).map(PartitionId) {
            let end = told(async || self.log.end(partition).await).await?;
            while self.next[partition.index()] < end {
                let from = self.next[partition.index()];
                let records =
                    told(async || self.log.read(partition, from, READ_BYTES_MAX).await).await?;
                for record in records {
                    self.next[partition.index()] = record.offset + 1;
                    match decode_record(&record.bytes, None).body {
                        RecordBody::Event(EventRecord { tenant, .. })
                        | RecordBody::Correction(CorrectionRecord { tenant, .. }) => {
                            *self.records.entry(tenant.to_owned()).or_default() += 1;
                        }
                        other => {
                            self.wrong.push(format!("{} of {partition}: {other:?}", record.offset));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    async fn read_seals(&mut self) -> Res<()> {
        for partition in (0..PARTITIONS).map(PartitionId) {
            let at = partition.index();
            let end = told(async || self.seals.end(partition).await).await?;
            while self.heads[at].offset < end {
                let from = self.heads[at].offset;
                let records =
                    told(async || self.seals.read(partition, from, READ_BYTES_MAX).await).await?;
                for record in records {
                    let (head, hash, seal) = decode_seal(partition, &record.bytes);
                    let place = format!("seal {} of {partition}", record.offset);
                    match (fold(&mut self.heads[at], &head, &hash), seal) {
                        (Verdict::Accepted, Some(seal)) => {
                            if seal.from != self.sealed[at] {
                                let sealed = self.sealed[at];
                                self.wrong
                                    .push(format!("{place} is from {}, not {sealed}", seal.from));
                            }
                            self.sealed[at] = seal.to;
                        }
                        (verdict @ Verdict::Break(_), _) => {
                            self.wrong.push(format!("{place}: {verdict}"));
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }
}

/// What differs in what a gateway says of a tenant, whose `records` in the topic are known or
/// not: none when each event is counted once.
pub(crate) async fn differs(
    client: &Client,
    tenant: &str,
    sent: Events,
    records: Option<u64>,
) -> Res<Option<String>> {
    let hours = hours()?;
    let request = pb::ReconcileUsageRequest {
        tenant: tenant.to_owned(),
        from: Some(hours.start),
        to: Some(hours.end),
    };
    let reply: pb::ReconcileUsageResponse = client.ask(RECONCILE, &request, None).await?;
    let it = reply.total.unwrap_or_default();
    let records = records.unwrap_or(it.received);
    // An event may come before the meter knows its tenant; it is counted when it does.
    let once = it.counted + it.late + it.unmatched;
    let is_right = it.received == records
        && once == sent.count
        && it.voided == sent.voided
        && once + it.duplicate + it.voided == records
        && it.conflicting + it.invalid + it.forwarded + it.refused == 0;
    if !is_right {
        return Ok(Some(format!("{} sent, {records} in the topic, told {it:?}", sent.count)));
    }
    for (meter, sent) in [(TOKENS, sent.tokens), (USERS, sent.users)] {
        let figure = figure(client, tenant, (meter, &hours)).await?;
        if figure != sent {
            return Ok(Some(format!("{figure} {meter}, and {sent} were sent")));
        }
    }
    Ok(None)
}

/// The hours in which a round's events came, also by a clock that is an hour behind.
fn hours() -> Res<Range<prost_types::Timestamp>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
    let hour = |at: i64| prost_types::Timestamp { seconds: at - at % HOUR_SECONDS, nanos: 0 };
    Ok(hour(now - ROUND_SECONDS_MAX - HOUR_SECONDS)..hour(now + HOUR_SECONDS))
}

async fn figure(
    client: &Client,
    tenant: &str,
    (meter, hours): (&str, &Range<prost_types::Timestamp>),
) -> Res<u64> {
    let request = pb::QueryUsageRequest {
        tenant: tenant.to_owned(),
        meter: meter.to_owned(),
        from: Some(hours.start),
        to: Some(hours.end),
        grain: pb::UsageGrain::Whole.into(),
        ..<_>::default()
    };
    let reply: pb::QueryUsageResponse = client.ask(QUERY, &request, None).await?;
    let figures = reply.windows.iter().flat_map(|it| &it.figures);
    figures.map(|it| Ok(it.quantity.parse::<u64>()?)).sum()
}
