//! `WatchUsage`: the figures of a meter's current window, told anew when they change. It
//! reads on only as fast as its reader takes.

use core::time::Duration;

use exchequer_engine::meter::Meters;
use exchequer_metering::Grain;
use exchequer_projection_usage::{Asking, Figures, Kept, Query, Step};
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{Period, TenantId, Timestamp};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tonic::Status;

use super::query::{Asked, Usage, at_rest, of_query, top};
use super::query_figures::{ask, end_periods, filters, grain, subject, window};
use crate::call::Call;
use crate::check::Check;
use crate::edge::VIEW_PATIENCE_MAX;
use crate::status::{self, VALUE_INVALID};

/// Figures are told at most this often.
const PAUSE: Duration = Duration::from_millis(500);
/// What has not changed is told again after this long, so that its age is known.
const QUIET_MAX: Duration = Duration::from_secs(10);
const TOP_DEFAULT: usize = 10;
const TOP_MAX: usize = 100;
/// A billing period that is current began at most this long ago.
const PERIOD_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

type Item = Result<pb::WatchUsageResponse, Status>;

struct Watch {
    usage: Usage,
    meters: Meters,
    /// What the caller had seen before is in all that is told.
    asked: Asked,
    tenant: TenantId,
    meter: String,
    kept: Kept,
    subject: Option<String>,
    group_by: Vec<String>,
    filters: Vec<(String, Vec<String>)>,
    top: usize,
    /// What was told last, and when.
    told: Option<(Figures, Timestamp)>,
    over: bool,
}

pub(crate) async fn start(
    usage: &Usage,
    call: &Call,
    asked: &Asked,
    it: pb::WatchUsageRequest,
) -> Result<BoxStream<'static, Item>, Status> {
    let mut check = Check::default();
    let tenant = check.tenant("tenant", it.tenant);
    let meter = check.slug("meter", it.meter).map_or_else(String::new, |it| it.to_string());
    let kept = match grain(&mut check, it.grain) {
        Step::Of(kept) => kept,
        Step::Whole => {
            check.refuse(VALUE_INVALID, "grain", "must not be WHOLE: that window never ends");
            Kept::Minute
        }
    };
    let filters = filters(&mut check, &it.group_by, it.filters);
    let subject = subject(&mut check, &it.subject);
    let top = top(&mut check, it.top, TOP_DEFAULT, TOP_MAX);
    check.done()?;
    let meters = usage.meters()?.clone();
    let group_by = it.group_by;
    let (told, over) = (None, false);
    let (usage, asked) = (usage.clone(), asked.clone());
    let watch = Watch {
        usage,
        meters,
        asked,
        tenant,
        meter,
        kept,
        subject,
        group_by,
        filters,
        top,
        told,
        over,
    };
    // What cannot be asked is refused at once.
    ask(&watch.usage, call, &watch.asked, &watch.tenant, watch.question(watch.usage.now())).await?;
    Ok(futures::stream::unfold(watch, Watch::next).boxed())
}

impl Watch {
    async fn next(mut self) -> Option<(Item, Self)> {
        if self.over {
            return None;
        }
        let mut stopping = self.usage.edge.stopping.clone();
        let told = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => Err(status::shutting_down()),
            told = self.tell() => told,
        };
        self.over = told.is_err();
        Some((told, self))
    }

    /// Waits until there is something to tell.
    async fn tell(&mut self) -> Item {
        let runtime = self.usage.edge.platform.ports.runtime.clone();
        let mut changes = None;
        loop {
            if self.told.is_some() {
                runtime.sleep(PAUSE).await;
            }
            let now = self.usage.now();
            let is_quiet = self.told.as_ref().is_some_and(|(_, at)| now.since(*at) < QUIET_MAX);
            let seen = self.meters.changes_counted();
            if is_quiet && changes == Some(seen) {
                continue;
            }
            changes = Some(seen);
            let store = self.usage.edge.platform.ports.store.clone();
            let question = self.question(now);
            let asking = Asking::new(store.as_ref(), &self.meters.live, &question);
            let asking = asking.map_err(of_query)?;
            let ask = || asking.answer();
            let mut answer = at_rest(runtime.as_ref(), VIEW_PATIENCE_MAX, ask).await?;
            if self.kept == Kept::Period {
                let known = self.meters.definitions.tenant(&self.tenant).await;
                let known = known.map_err(|error| status::of_engine(&error))?;
                end_periods(&mut answer, &known.adopted.periods, Duration::ZERO);
            }
            let window_now = window_at(self.kept, now);
            let empty = Figures { window: window_now, version: 0, open: true, groups: Vec::new() };
            let figures =
                answer.windows.into_iter().rfind(|it| it.window.contains(now)).unwrap_or(empty);
            if is_quiet && self.told.as_ref().is_some_and(|(told, _)| *told == figures) {
                continue;
            }
            self.told = Some((figures.clone(), now));
            let position = Some(self.usage.position(&answer.positions));
            return Ok(pb::WatchUsageResponse { window: Some(window(figures)), position });
        }
    }

    fn question(&self, now: Timestamp) -> Query<'_> {
        let Period { start, end } = window_at(self.kept, now);
        Query {
            tenant: &self.tenant,
            meter: &self.meter,
            version: None,
            from: start,
            to: end,
            step: Step::Of(self.kept),
            subject: self.subject.as_deref(),
            by_subject: false,
            group_by: self.group_by.clone(),
            filters: self.filters.clone(),
            top: self.top,
            lateness: Duration::ZERO,
            seen: self.asked.seen(),
        }
    }
}

/// The window that `now` lies in; of billing periods, where the current one begins.
fn window_at(kept: Kept, now: Timestamp) -> Period {
    let grain = match kept {
        Kept::Minute => Grain::Minute,
        Kept::Hour => Grain::Hour,
        Kept::Day => Grain::Day,
        Kept::Month => Grain::Month,
        Kept::Period => {
            let end = now.saturating_add(Duration::from_micros(1));
            return Period { start: now.saturating_sub(PERIOD_MAX), end };
        }
    };
    grain.window(now)
}
