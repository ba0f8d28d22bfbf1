//! Watches the meters for soft limits: tenants whose meters have counted something, whose
//! limits have changed or whose windows end are looked at, so many a round, and the tenant's
//! writer is told of percentages that have been reached. What was told of stands in the
//! quota, and telling twice is harmless; so nothing is remembered over a restart, after which
//! all limits are gone through once.

mod agenda;

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agenda::Agenda;
use exchequer_consumer_thresholds::{Figures, NAME, Note, Watched, next_end};
use exchequer_kernel::Status;
use exchequer_projection_entitlements::LiveEntitlements;
use exchequer_projection_quotas::{LiveQuotas, MeteredQuota, metered};
use exchequer_projection_usage::{Kept, LiveUsage, Query, QueryError, Step, query};
use exchequer_readstore::ReadStore;
use exchequer_runtime::{TaskError, TaskKind};
use exchequer_tenant::Command;
use exchequer_types::{
    ActorId, CommandId, Issuer, PartitionId, Period, Quantity, Slug, StreamId, TenantId, Timestamp,
};
use futures::future::{BoxFuture, Either, select};
use futures::{FutureExt as _, TryFutureExt as _};
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::gateway::{Gateway, Submission};
use crate::live::LiveView;
use crate::meter::Meters;
use crate::tail::{Tail, TailItem, TailListener, unavailable};
use crate::view::ViewHandle;
use crate::{EngineError, Ports, Token};

/// Between two rounds, at least: a percentage is told of about that long after the event
/// that reached it was sealed.
const ROUND: Duration = Duration::from_millis(500);
/// Between two rounds while more waits than one round takes.
const BUSY_ROUND: Duration = Duration::from_millis(20);
/// The longest wait for news, as the clock of the machine may be set.
const IDLE: Duration = Duration::from_secs(60);
/// Tenants that one round looks at, beside a page of all limits.
const LOOKS_MAX: usize = 1_024;
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

    async fn asked(&self, question: &Query<'_>) -> Result<Vec<(Period, Quantity)>, QueryError> {
        let answer = query(self.store.as_ref(), &self.live, question).await?;
        let windows = answer.windows.into_iter();
        let figures = windows.filter_map(|it| Some((it.window, it.groups.first()?.figure?)));
        Ok(figures.collect())
    }

    /// Exact in a billing period; in a window of another kind from the minute on in which it
    /// begins, up to that in which it ends.
    pub async fn of_window(
        &self,
        tenant: &TenantId,
        meter: &Slug,
        window: Option<Period>,
    ) -> Result<Option<Quantity>, QueryError> {
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
            seen: &[],
        };
        if let Some(window) = window {
            let period = question(Step::Of(Kept::Period), window.start, window.end);
            let found = self.asked(&period).await?;
            if let Some((_, figure)) = found.into_iter().find(|(it, _)| it.start == window.start) {
                return Ok(Some(figure));
            }
        }
        let (from, to) = minutes(window);
        let found = self.asked(&question(Step::Whole, from, to)).await?;
        Ok(found.into_iter().next().map(|(_, figure)| figure))
    }
}

impl Figures for MeterFigures {
    fn measured<'a>(
        &'a self,
        tenant: &'a TenantId,
        meter: &'a Slug,
        window: Option<Period>,
    ) -> BoxFuture<'a, Result<Option<Quantity>, String>> {
        self.of_window(tenant, meter, window).map_err(|error| error.to_string()).boxed()
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
    /// Tells in which time a tenant lives. None: all in real time.
    pub(crate) entitlements: Option<Arc<LiveView<LiveEntitlements>>>,
}

/// Tenants of whom the journal tells that they are to be looked at: other limits, another
/// time.
#[derive(Debug)]
struct Noticed {
    agenda: Mutex<Agenda>,
    changes: watch::Sender<u64>,
}

impl Noticed {
    /// Listens to `tail` from now on.
    fn listen(tail: &Tail) -> Arc<Self> {
        let (agenda, changes) = (Mutex::default(), watch::Sender::new(0));
        let it = Arc::new(Self { agenda, changes });
        tail.listen(Arc::<Self>::clone(&it));
        it
    }

    fn lock(&self) -> MutexGuard<'_, Agenda> {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TailListener for Noticed {
    fn accepted(&self, item: &TailItem) {
        let tenants = item.entry.tenants_of(|kind| {
            matches!(kind, "quotas.limited.v1" | "quotas.reset.v1" | "tenants.clock-advanced.v1")
        });
        if tenants.is_empty() {
            return;
        }
        let mut agenda = self.lock();
        for tenant in &tenants {
            agenda.mark(tenant);
        }
        drop(agenda);
        self.changes.send_modify(|changes| *changes += 1);
    }
}

/// How far all limits have been gone through.
struct Place {
    partition: PartitionId,
    after: Option<MeteredQuota>,
}

/// Watches until the process ends.
async fn run(watch: Watching) -> Result<(), TaskError> {
    let runtime = Arc::clone(&watch.given.ports.runtime);
    let figures = MeterFigures::of(&watch.given.ports, Some(&watch.given.meters));
    let Some(figures) = figures else { return Ok(()) };
    let mut sealed = watch.given.meters.changes();
    let mut noticed = watch.noticed.changes.subscribe();
    let mut going_through: Option<Place> = None;
    loop {
        sealed.borrow_and_update();
        noticed.borrow_and_update();
        watch.gather(&figures.live);
        if watch.noticed.lock().take_all() {
            going_through = Some(Place { partition: PartitionId(0), after: None });
        }
        let mut is_behind = false;
        if let Some(place) = going_through.take() {
            going_through = match watch.page(&place).await {
                Ok(next) => next,
                Err(error) => {
                    debug!(%error, "limits are not gone through for now");
                    is_behind = true;
                    Some(place)
                }
            };
        }
        is_behind |= watch.round(&figures).await;
        if going_through.is_some() || !watch.noticed.lock().is_empty() {
            runtime.sleep(if is_behind { ROUND } else { BUSY_ROUND }).await;
            continue;
        }
        runtime.sleep(ROUND).await;
        let sealed_more = core::pin::pin!(sealed.changed());
        let noticed_more = core::pin::pin!(noticed.changed());
        let news = select(sealed_more, noticed_more);
        match select(news, runtime.sleep(watch.idle())).await {
            // The meters of this process are gone.
            Either::Left((Either::Left((Err(_), _)) | Either::Right((Err(_), _)), _)) => {
                return Ok(());
            }
            Either::Left(_) | Either::Right(_) => {}
        }
    }
}

impl Watch {
    /// Begins to notice what changes, and to watch as a task of this kind.
    pub(crate) fn start(self, kind: TaskKind) {
        let noticed = Noticed::listen(self.gateway.tail());
        let runtime = Arc::clone(&self.ports.runtime);
        runtime.spawn(kind, Box::pin(run(Watching { given: self, noticed })));
    }
}

/// The watch at work.
struct Watching {
    given: Watch,
    noticed: Arc<Noticed>,
}

impl Watching {
    /// Marks what has counted something, and whose windows have ended.
    fn gather(&self, live: &LiveUsage) {
        let mut agenda = self.noticed.lock();
        for partition in (0..live.partitions()).map(PartitionId) {
            let touched = live.source(partition).map(|mut it| it.take_touched());
            let touched = touched.unwrap_or_default();
            if touched.all {
                agenda.mark_all();
            }
            for (tenant, _) in &touched.meters {
                agenda.mark(tenant);
            }
        }
        agenda.pass(self.given.ports.runtime.now());
    }

    /// How long there is nothing to do without news.
    fn idle(&self) -> Duration {
        let next = self.noticed.lock().next_end();
        let now = self.given.ports.runtime.now().micros();
        let left = next.map(|at| u64::try_from(at.micros().saturating_sub(now)).unwrap_or(0));
        left.map_or(IDLE, |micros| Duration::from_micros(micros).min(IDLE))
    }

    /// Marks the tenants of the next page of all limits whose use is measured. None: that was
    /// the last one.
    async fn page(&self, place: &Place) -> Result<Option<Place>, EngineError> {
        let state = self.given.gateway.tail().state(place.partition);
        if state.led_from.is_none() {
            return Err(unavailable("the journal is not known to its end yet".to_owned()).into());
        }
        // What changes from here on is noticed.
        let token = Token(vec![(place.partition, state.head.offset)]);
        let generation = self.given.view.at_least(&self.given.ports, &token, ROUND).await;
        let generation = generation.map_err(|behind| unavailable(format!("{behind:?}")))?;
        let (store, after) = (self.given.ports.store.as_ref(), place.after.as_ref());
        let page = metered(store, generation, place.partition, after, PAGE_MAX).await?;
        let mut agenda = self.noticed.lock();
        for it in &page {
            agenda.mark(&it.tenant);
        }
        drop(agenda);
        if page.len() == PAGE_MAX {
            let after = page.into_iter().next_back();
            return Ok(Some(Place { partition: place.partition, after }));
        }
        let next = PartitionId(place.partition.0 + 1);
        let has_more = next.0 < self.given.gateway.tail().partitions();
        Ok(has_more.then_some(Place { partition: next, after: None }))
    }

    /// Looks at tenants that wait. Could one of them not be looked at? It waits again, with
    /// all behind it.
    async fn round(&self, figures: &dyn Figures) -> bool {
        let mut tenants = self.noticed.lock().take(LOOKS_MAX).into_iter();
        while let Some(tenant) = tenants.next() {
            if let Err(error) = self.look(&tenant, figures).await {
                warn!(%tenant, error, "limits are not compared with meters for now");
                let mut agenda = self.noticed.lock();
                tenants.for_each(|it| agenda.mark(&it));
                agenda.mark(&tenant);
                return true;
            }
        }
        false
    }

    async fn look(&self, tenant: &TenantId, figures: &dyn Figures) -> Result<(), String> {
        let failed = |behind: crate::Behind| format!("{behind:?}");
        let seen =
            self.given.quotas.get(tenant, &Token::default(), PATIENCE).await.map_err(failed)?;
        let state = &seen.snapshot;
        if !state.quotas().any(|it| it.terms.is_metered()) {
            self.noticed.lock().ends(tenant, None);
            return Ok(());
        }
        let real = self.given.ports.runtime.now();
        let clock = match &self.given.entitlements {
            Some(live) => {
                live.get(tenant, &Token::default(), PATIENCE).await.map_err(failed)?.snapshot.clock
            }
            None => None,
        };
        let now = clock.unwrap_or(real);
        // A sandbox's windows end when its clock is moved, and that is noticed.
        let end = next_end(state, now).filter(|_| clock.is_none());
        self.noticed.lock().ends(tenant, end);
        for quota in state.quotas() {
            for watched in Watched::of(state, &quota.feature, now) {
                let measured = figures.measured(tenant, &watched.meter, watched.window).await?;
                for note in measured.map(|used| watched.notes(used)).unwrap_or_default() {
                    self.tell(tenant, note).await?;
                }
            }
        }
        Ok(())
    }

    /// An outcome of any kind will do: whatever was refused is seen again with the next event.
    async fn tell(&self, tenant: &TenantId, note: Note) -> Result<(), String> {
        let invalid = |error: exchequer_types::IdError| error.to_string();
        let stream = StreamId::Tenant(tenant.clone());
        let issuer = Issuer::parse(NAME).map_err(invalid)?;
        let id = CommandId::parse(note.id).map_err(invalid)?;
        let actor = ActorId::parse(NAME).map_err(invalid)?;
        let told = Submission::new(stream, issuer, id, actor, Command::Quotas(note.command));
        let answer = self.given.gateway.submit(told, PATIENCE).await;
        let answer = answer.map_err(|error| error.to_string())?;
        match answer.status() {
            Some(Status::Accepted | Status::IdentityConflict) => Ok(()),
            other => Err(format!("{}: {other:?} {}", tenant, answer.outcome.code)),
        }
    }
}
