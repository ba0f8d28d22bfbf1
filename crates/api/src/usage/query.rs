//! `exchequer.usage.v1.UsageService`: what came of events.

use std::sync::Arc;
use std::time::Duration;

use exchequer_engine::UsageToken;
use exchequer_engine::meter::{MeterSet, Meters};
use exchequer_projection_usage::{self as view, Position, QueryError};
use exchequer_proto::usage::v1 as pb;
use exchequer_proto::usage::v1::usage_service_server::UsageService;
use exchequer_runtime::Runtime;
use exchequer_types::{Offset, PartitionId, TenantId, Timestamp};
use futures::stream::BoxStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, async_trait};

use super::CONSISTENCY;
use super::{query_events, query_export, query_fate, query_figures, query_lists, query_watch};
use crate::call::Call;
use crate::check::Check;
use crate::edge::{Edge, VIEW_PATIENCE_MAX};
use crate::messages::instant;
use crate::status::{
    self, METADATA_INVALID, RANGE_INVALID, Refusal, USAGE_ANSWER_TOO_LARGE, USAGE_UNAVAILABLE,
    USAGE_VERSIONS_DIFFER, VALUE_INVALID, VIEW_BEHIND,
};

/// Between two tries to read what a meter is writing.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Answers from the rows and memory of this process's meters.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    pub(crate) edge: Edge,
}

type Reply<T> = Result<Response<T>, Status>;

#[async_trait]
impl UsageService for Usage {
    async fn query_usage(
        &self,
        request: Request<pb::QueryUsageRequest>,
    ) -> Reply<pb::QueryUsageResponse> {
        let (call, asked, it) = self.receive(request)?;
        let result = query_figures::query(self, &call, &asked, it).await;
        call.reply(result)
    }

    type WatchUsageStream = BoxStream<'static, Result<pb::WatchUsageResponse, Status>>;

    async fn watch_usage(
        &self,
        request: Request<pb::WatchUsageRequest>,
    ) -> Reply<Self::WatchUsageStream> {
        let (call, asked, it) = self.receive(request)?;
        let result = query_watch::start(self, &call, &asked, it).await;
        call.reply(result)
    }

    async fn get_event_fate(
        &self,
        request: Request<pb::GetEventFateRequest>,
    ) -> Reply<pb::EventFate> {
        let (call, asked, it) = self.receive(request)?;
        let result = query_fate::get(self, &call, &asked, it).await;
        call.reply(result)
    }

    async fn list_corrections(
        &self,
        request: Request<pb::ListCorrectionsRequest>,
    ) -> Reply<pb::ListCorrectionsResponse> {
        let (call, asked, it) = self.receive(request)?;
        let result = query_lists::corrections(self, &call, &asked, it).await;
        call.reply(result)
    }

    async fn list_rejected_events(
        &self,
        request: Request<pb::ListRejectedEventsRequest>,
    ) -> Reply<pb::ListRejectedEventsResponse> {
        let (call, asked, it) = self.receive(request)?;
        let result = query_lists::rejected(self, &call, &asked, it).await;
        call.reply(result)
    }

    async fn reconcile_usage(
        &self,
        request: Request<pb::ReconcileUsageRequest>,
    ) -> Reply<pb::ReconcileUsageResponse> {
        let (call, asked, it) = self.receive(request)?;
        let result = query_lists::reconcile(self, &call, &asked, it).await;
        call.reply(result)
    }

    async fn list_events(
        &self,
        request: Request<pb::ListEventsRequest>,
    ) -> Reply<pb::ListEventsResponse> {
        let (call, asked, it) = self.receive(request)?;
        let result = query_events::list(self, &call, &asked, it).await;
        call.reply(result)
    }

    type ExportEventsStream = BoxStream<'static, Result<pb::ExportEventsResponse, Status>>;

    async fn export_events(
        &self,
        request: Request<pb::ExportEventsRequest>,
    ) -> Reply<Self::ExportEventsStream> {
        let (call, asked, it) = self.receive(request)?;
        let result = query_export::start(self, &call, &asked, it).await;
        call.reply(result)
    }
}

/// What a query must have seen of the usage log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    token: UsageToken,
}

impl Asked {
    /// Records below these offsets are in the answer.
    pub(crate) fn seen(&self) -> &[(PartitionId, Offset)] {
        &self.token.0
    }
}

impl Usage {
    fn receive<M>(&self, request: Request<M>) -> Result<(Call, Asked, M), Status> {
        let partitions = self.edge.platform.tail.partitions();
        let token = read_token(request.metadata(), partitions)?;
        let (call, message) = self.edge.receive(request)?;
        Ok((call, Asked { token }, message))
    }

    /// The meters of this process.
    pub(crate) fn meters(&self) -> Result<&Meters, Status> {
        let meters = self.edge.platform.meters.as_ref();
        meters.ok_or_else(|| {
            Refusal::new(USAGE_UNAVAILABLE, "this process does not meter usage").status()
        })
    }

    /// Refuses what is not there, and waits for what the call must see.
    pub(crate) async fn await_seen(
        &self,
        call: &Call,
        asked: &Asked,
        tenant: &TenantId,
    ) -> Result<&Meters, Status> {
        let meters = self.meters()?;
        self.edge.check_tenant(call, tenant, "tenant").await?;
        for (partition, offset) in &asked.token.0 {
            if !meters.wait_for(*partition, *offset, call.patience).await {
                let text = format!("partition {partition} of usage is not judged so far: retry");
                return Err(Refusal::new(VIEW_BEHIND, text).status());
            }
        }
        Ok(meters)
    }

    /// The meters that count the events of `tenant`; none when nobody's do.
    pub(crate) async fn set(
        &self,
        meters: &Meters,
        tenant: &TenantId,
    ) -> Result<Option<Arc<MeterSet>>, Status> {
        let known = meters.definitions.tenant(tenant).await;
        let known = known.map_err(|error| status::of_engine(&error))?;
        let Some(provider) = known.adopted.provider else { return Ok(None) };
        let set = meters.definitions.meters(&provider).await;
        set.map(Some).map_err(|error| status::of_engine(&error))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.edge.platform.ports.runtime.now()
    }

    pub(crate) fn position(&self, positions: &[Position]) -> pb::UsagePosition {
        let through = positions.iter().map(|it| it.through).min().unwrap_or_default();
        let seen = (0..).map(PartitionId).zip(positions).map(|(at, it)| (at, it.offset));
        pb::UsagePosition {
            through: Some(instant(through)),
            age: Some(duration(self.now().since(through))),
            consistency_token: UsageToken(seen.collect()).encode(),
        }
    }
}

/// All that the call's tokens ask for: whoever sent in several calls sends each one's.
fn read_token(metadata: &MetadataMap, partitions: u32) -> Result<UsageToken, Status> {
    let mut asked = UsageToken::default();
    for text in metadata.get_all(CONSISTENCY) {
        let token = text.to_str().ok().and_then(|it| UsageToken::decode(it, partitions).ok());
        let token = token.ok_or_else(|| {
            let text = format!("{CONSISTENCY}: must be a token that a reply of usage carried");
            Refusal::new(METADATA_INVALID, text).field(CONSISTENCY).status()
        })?;
        asked.0.extend(token.0);
    }
    Ok(asked)
}

/// Asks anew while a meter writes what the answer is made of, for as long as a call waits
/// for a view.
pub(crate) async fn at_rest<T, F>(
    runtime: &dyn Runtime,
    patience: Duration,
    ask: impl Fn() -> F,
) -> Result<T, Status>
where
    F: Future<Output = Result<T, QueryError>>,
{
    let (began, patience) = (runtime.now(), patience.min(VIEW_PATIENCE_MAX));
    let mut pause = PAUSE_MIN;
    loop {
        match ask().await {
            Err(QueryError::Moving { .. }) if runtime.now().since(began) < patience => {
                runtime.sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            answer => return answer.map_err(of_query),
        }
    }
}

/// A range of receipt or event time, of which both ends must be given.
pub(crate) fn range(
    check: &mut Check,
    from: Option<prost_types::Timestamp>,
    to: Option<prost_types::Timestamp>,
) -> (Timestamp, Timestamp) {
    let (from, to) = (check.required_timestamp("from", from), check.required_timestamp("to", to));
    if from >= to {
        check.refuse(RANGE_INVALID, "to", "must lie behind `from`");
    }
    (from, to)
}

/// Figures cannot be told.
pub(crate) fn of_query(error: QueryError) -> Status {
    let refusal = match &error {
        QueryError::NotAligned { field, grain } => {
            Refusal::new(RANGE_INVALID, format!("must be the start of {grain}")).field(*field)
        }
        QueryError::Empty => Refusal::new(RANGE_INVALID, "must lie behind `from`").field("to"),
        QueryError::TooManyWindows { .. } => {
            Refusal::new(RANGE_INVALID, error.to_string()).field("to")
        }
        QueryError::TooLarge { .. } => Refusal::new(USAGE_ANSWER_TOO_LARGE, error.to_string()),
        QueryError::SubjectGroups | QueryError::UnknownGroup { .. } => {
            Refusal::new(VALUE_INVALID, error.to_string()).field("group_by")
        }
        QueryError::Mixed { .. } => {
            Refusal::new(USAGE_VERSIONS_DIFFER, error.to_string()).field("rules_version")
        }
        QueryError::Moving { .. } => {
            return status::of_fault(&exchequer_readstore::Fault::retryable(error.to_string()));
        }
        QueryError::Store(fault) => return status::of_fault(fault),
        QueryError::Damaged(_) => return status::internal("usage", &error.to_string()),
    };
    refusal.status()
}

/// Groups or subjects that an answer tells apart.
pub(crate) fn top(check: &mut Check, top: u32, default: usize, max: usize) -> usize {
    match top as usize {
        0 => default,
        top if top <= max.min(view::TOP_MAX) => top,
        _ => {
            check.refuse(VALUE_INVALID, "top", format!("must be at most {max}"));
            default
        }
    }
}

fn duration(it: core::time::Duration) -> prost_types::Duration {
    let seconds = i64::try_from(it.as_secs()).unwrap_or(i64::MAX);
    prost_types::Duration { seconds, nanos: it.subsec_nanos().cast_signed() }
}
