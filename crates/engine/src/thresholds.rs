//! Watches the meters for soft limits: when something was sealed, the limits whose use is
//! measured are compared with their figures, and the tenant's writer is told of percentages
//! that have been reached. It remembers nothing: what was told of stands in the quota, and
//! telling twice is harmless.

use core::time::Duration;
use std::sync::Arc;

use exchequer_consumer_thresholds::{Figures, NAME, Note, Watched};
use exchequer_kernel::Status;
use exchequer_projection_quotas::{LiveQuotas, MeteredQuota, metered};
use exchequer_projection_usage::{Kept, LiveUsage, Query, Step, query};
use exchequer_readstore::ReadStore;
use exchequer_runtime::TaskError;
use exchequer_tenant::Command;
use exchequer_types::{
    ActorId, CommandId, Issuer, PartitionId, Period, Quantity, Slug, StreamId, TenantId, Timestamp,
};
use futures::FutureExt as _;
use futures::future::{BoxFuture, Either, select};
use tracing::warn;

use crate::gateway::{Gateway, Submission};
use crate::live::LiveView;
use crate::meter::Meters;
use crate::view::ViewHandle;
use crate::{EngineError, Ports, Token};

/// Between two rounds, at least: a percentage is told of about that long after the event
/// that reached it was sealed.
const ROUND: Duration = Duration::from_millis(500);
/// A round begins without any news, as windows begin anew and limits change.
const IDLE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(10);
/// Limits that are read at once.
const PAGE_MAX: usize = 256;
const MICROS_PER_MINUTE: i64 = 60_000_000;

/// Figures of this process's meters.
#[derive(Clone, Debug)]
pub struct MeterFigures {
    live: Arc<LiveUsage>,
    store: Arc<dyn ReadStore>,
}

impl MeterFigures {
    /// None where nothing is metered.
    pub fn of(ports: &Ports, meters: Option<&Meters>) -> Option<Self> {
        let live = Arc::clone(&meters?.live);
        Some(Self { live, store: Arc::clone(&ports.store) })
    }

    async fn asked(&self, question: &Query<'_>) -> Result<Vec<(Period, Quantity)>, String> {
        let answer = query(self.store.as_ref(), &self.live, question).await;
        let windows = answer.map_err(|error| error.to_string())?.windows.into_iter();
        let figures = windows.filter_map(|it| Some((it.window, it.groups.first()?.figure?)));
        Ok(figures.collect())
    }
}

impl Figures for MeterFigures {
    /// Exact in a billing period; in a window of another kind from the minute on in which it
    /// begins, up to that in which it ends.
    fn measured<'a>(
        &'a self,
        tenant: &'a TenantId,
        meter: &'a Slug,
        window: Option<Period>,
    ) -> BoxFuture<'a, Result<Option<Quantity>, String>> {
        async move {
            let question = |step, from, to| Query {
                tenant,
                meter: meter.as_str(),
                version: None,
                from,
                to,
                step,
                subject: None,
                by_subject: false,
                group_by: Vec::new(),
                filters: Vec::new(),
                top: 1,
                lateness: Duration::ZERO,
            };
            if let Some(window) = window {
                let period = question(Step::Of(Kept::Period), window.start, window.end);
                let found = self.asked(&period).await?;
                if let Some((_, figure)) = found.into_iter().find(|(it, _)| *it == window) {
                    return Ok(Some(figure));
                }
            }
            let (from, to) = minutes(window);
            let found = self.asked(&question(Step::Whole, from, to)).await?;
            Ok(found.into_iter().next().map(|(_, figure)| figure))
        }
        .boxed()
    }
}

/// The whole minutes of a window; without one, all there are for a hundred years.
fn minutes(window: Option<Period>) -> (Timestamp, Timestamp) {
    let at = |micros: i64| Timestamp::saturating_from_micros(micros);
    let floor = |it: Timestamp| at(it.micros().div_euclid(MICROS_PER_MINUTE) * MICROS_PER_MINUTE);
    match window {
        Some(window) => (floor(window.start), floor(window.end)),
        None => (at(0), at(100 * 365 * 24 * 60 * MICROS_PER_MINUTE)),
    }
}

/// What the watch needs.
pub(crate) struct Watch {
    pub(crate) ports: Ports,
    pub(crate) gateway: Gateway,
    pub(crate) meters: Meters,
    /// Of quotas.
    pub(crate) view: Arc<ViewHandle>,
    pub(crate) quotas: Arc<LiveView<LiveQuotas>>,
}

/// Watches until the process ends.
pub(crate) async fn run(watch: Watch) -> Result<(), TaskError> {
    let runtime = Arc::clone(&watch.ports.runtime);
    let Some(figures) = MeterFigures::of(&watch.ports, Some(&watch.meters)) else { return Ok(()) };
    let mut changes = watch.meters.changes();
    loop {
        changes.borrow_and_update();
        if let Err(error) = watch.round(&figures).await {
            warn!(%error, "limits are not compared with meters for now");
        }
        runtime.sleep(ROUND).await;
        let news = core::pin::pin!(changes.changed());
        match select(news, runtime.sleep(IDLE)).await {
            // The meters of this process are gone.
            Either::Left((Err(_), _)) => return Ok(()),
            Either::Left((Ok(()), _)) | Either::Right(_) => {}
        }
    }
}

impl Watch {
    /// Looks once at every limit whose use is measured.
    async fn round(&self, figures: &dyn Figures) -> Result<(), EngineError> {
        let generation = self.view.active().number;
        let store = self.ports.store.as_ref();
        for partition in (0..self.gateway.tail().partitions()).map(PartitionId) {
            let mut after: Option<MeteredQuota> = None;
            loop {
                let page = metered(store, generation, partition, after.as_ref(), PAGE_MAX).await?;
                let is_last = page.len() < PAGE_MAX;
                for it in &page {
                    if let Err(error) = self.look(it, figures).await {
                        warn!(tenant = %it.tenant, feature = %it.feature, error, "not compared");
                    }
                }
                after = page.into_iter().next_back();
                if is_last || after.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn look(&self, it: &MeteredQuota, figures: &dyn Figures) -> Result<(), String> {
        let seen = self.quotas.get(&it.tenant, &Token::default(), PATIENCE).await;
        let seen = seen.map_err(|error| format!("{error:?}"))?;
        let now = self.ports.runtime.now();
        let Some(watched) = Watched::of(&seen.snapshot, &it.feature, now) else { return Ok(()) };
        let window = watched.quota.window;
        let Some(used) = figures.measured(&it.tenant, &watched.meter, window).await? else {
            return Ok(());
        };
        for note in watched.notes(used) {
            self.tell(&it.tenant, note).await?;
        }
        Ok(())
    }

    /// An outcome of any kind will do: whatever was refused is seen again in the next round.
    async fn tell(&self, tenant: &TenantId, note: Note) -> Result<(), String> {
        let invalid = |error: exchequer_types::IdError| error.to_string();
        let stream = StreamId::Tenant(tenant.clone());
        let issuer = Issuer::parse(NAME).map_err(invalid)?;
        let id = CommandId::parse(note.id).map_err(invalid)?;
        let actor = ActorId::parse(NAME).map_err(invalid)?;
        let told = Submission::new(stream, issuer, id, actor, Command::Quotas(note.command));
        let answer = self.gateway.submit(told, PATIENCE).await;
        let answer = answer.map_err(|error| error.to_string())?;
        match answer.status() {
            Some(Status::Accepted | Status::IdentityConflict) => Ok(()),
            other => Err(format!("{}: {other:?} {}", tenant, answer.outcome.code)),
        }
    }
}
