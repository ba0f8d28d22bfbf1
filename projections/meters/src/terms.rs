//! A tenant as meters know it: whose meters count its events, and where its billing periods
//! begin and end.

use exchequer_domain_subscriptions::{Event, LifePeriod};
use exchequer_domain_tenants as tenants;
use exchequer_tenant::Event as Any;
use exchequer_types::{Period, TenantId, Timestamp};

/// Billing periods that are kept of one tenant: the latest, and the next.
pub const PERIODS_MAX: usize = 16;

/// What there is to know of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TenantTerms {
    /// Is there such a tenant?
    pub exists: bool,
    /// None: it is the root, or nobody.
    pub provider: Option<TenantId>,
    /// Ascending, without overlap: the current one is the last.
    pub(crate) parts: Vec<Part>,
    /// What follows the current one.
    pub(crate) next: Option<Period>,
}

/// A part of a subscription's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) start: Timestamp,
    /// None: nothing says when it ends.
    pub(crate) end: Option<Timestamp>,
}

impl TenantTerms {
    /// Whose meters count the events of `tenant`, which these terms are of: its provider's,
    /// and the root's own. None when there is no such tenant.
    pub fn counted_by(&self, tenant: &TenantId) -> Option<TenantId> {
        self.exists.then(|| self.provider.as_ref().unwrap_or(tenant).clone())
    }

    /// Billing periods whose ends are known, ascending, without overlap; at most
    /// [`PERIODS_MAX`]. Trials and pauses are periods too.
    pub fn periods(&self) -> Vec<Period> {
        let bounded = |it: &Part| it.end.map(|end| Period { start: it.start, end });
        self.parts.iter().filter_map(bounded).chain(self.next).collect()
    }

    /// Takes an event of the tenant's stream over. False when it changes nothing here.
    pub(crate) fn take(&mut self, event: &Any) -> bool {
        let before = self.clone();
        match event {
            Any::Tenants(tenants::Event::Created { parent, .. }) => {
                self.exists = true;
                self.provider.clone_from(parent);
            }
            Any::Subscriptions(event) => self.move_periods(event),
            _ => {}
        }
        *self != before
    }

    fn move_periods(&mut self, event: &Event) {
        match event {
            Event::Subscribed { period, .. }
            | Event::Activated { period, .. }
            | Event::Paused { period, .. }
            | Event::Resumed { period, .. }
            | Event::Renewed { period }
            | Event::Changed { period: Some(period), .. } => self.begin(period),
            Event::PauseMoved { resume_at } => {
                if let Some(last) = self.parts.last_mut() {
                    last.end = *resume_at;
                }
            }
            Event::Ended { cut, .. } => {
                self.next = None;
                if let Some((last, cut)) = self.parts.last_mut().zip(*cut) {
                    last.end = Some(cut);
                }
                self.drop_empty();
            }
            // What follows a cancelled period is not known before it is taken back.
            Event::CancellationScheduled { .. } => self.next = None,
            _ => {}
        }
    }

    fn begin(&mut self, period: &LifePeriod) {
        if let Some(last) = self.parts.last_mut() {
            last.end = Some(last.end.map_or(period.start, |end| end.min(period.start)));
        }
        self.drop_empty();
        self.parts.push(Part { start: period.start, end: period.end });
        let surplus = self.parts.len().saturating_sub(PERIODS_MAX - 1);
        self.parts.drain(..surplus);
        self.next = next(period);
    }

    /// A part that was cut where it began, or before.
    fn drop_empty(&mut self) {
        while self.parts.last().is_some_and(|it| it.end.is_some_and(|end| end <= it.start)) {
            self.parts.pop();
        }
    }
}

/// The period behind a paid one, unless something changes until then.
fn next(period: &LifePeriod) -> Option<Period> {
    let (Period { end: start, .. }, counted) = period.paid()?;
    let boundary = counted.boundary.checked_add(1)?;
    let (_, end) = counted.anchor.next_after(counted.cycle, boundary, start)?;
    Some(Period { start, end })
}
