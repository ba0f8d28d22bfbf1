//! What an event that has its fate adds by all that came behind it: by definitions that were
//! taken over later, by revisions as far as they have come, and by corrections. One set of
//! rules for the meter, for a restart and for a verifier.

use exchequer_types::{Offset, Period, Timestamp};

use crate::batch::{EventRecord, Judge, Names, Record, Verdict};
use crate::contribution::{Contribution, Sign};
use crate::definitions::{BackfillOrder, View};
use crate::judge::{Fate, Fault, Seen, time_of};
use crate::normal::normal_form;
use crate::revision::{Revision, Revisions, Why};

/// An event as its last correction left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left<'a> {
    /// With its own data.
    Own,
    /// With these.
    Amended(&'a str),
    Voided,
}

/// Where a record stands, what it is, and the event in it.
pub type At<'a, 'r> = (Offset, &'a Record<'r>, &'a EventRecord<'r>);

impl<'a> EventRecord<'a> {
    /// The same event with other data.
    #[must_use]
    pub fn with_data<'b>(&self, data: &'b str) -> EventRecord<'b>
    where
        'a: 'b,
    {
        let mut event: EventRecord<'b> = *self;
        event.body.data = data;
        event
    }
}

impl Judge<'_> {
    /// All that an event which stands first under its identity adds by the seals up to now,
    /// as far as `revisions` have come.
    pub fn stand<N: Names + ?Sized>(
        &mut self,
        revisions: &Revisions,
        (offset, record, event): At<'_, '_>,
        names: &mut N,
        out: &mut Vec<Contribution>,
    ) -> Verdict {
        let start = out.len();
        let seal = revisions.unmatched_ahead(event.tenant, offset).unwrap_or(u64::MAX);
        let verdict = self.standing_before(seal, (offset, record, event), names, out);
        let definitions = self.definitions;
        let known = definitions.tenant(event.tenant);
        let provider = known.and_then(|known| known.provider.as_ref());
        let orders = provider.into_iter().flat_map(|it| definitions.orders(it));
        for order in orders.filter(|it| !revisions.backfills_ahead(&it.id, offset)) {
            // A backfill looks at what came before its version did, and at nothing later.
            let to =
                provider.and_then(|it| definitions.in_force_from(it, &order.meter, order.version));
            if to.is_none_or(|to| offset < to) {
                self.backfilled(order, (offset, record, event), names, out);
            }
        }
        let period = self.period(revisions, event.tenant, (offset, verdict.time));
        out[start..].iter_mut().for_each(|it| it.period = period);
        verdict
    }

    /// What the correction of an event does: takes back all that it adds, and adds what it
    /// comes to with the data `amended`, if that is given. Nothing when it is refused.
    pub fn correct<N: Names + ?Sized>(
        &mut self,
        revisions: &Revisions,
        (offset, record, event): At<'_, '_>,
        (left, amended): (Left<'_>, Option<&str>),
        names: &mut N,
        out: &mut Vec<Contribution>,
    ) -> Result<(), (Fate, Fault)> {
        let before = match (left, amended) {
            (Left::Own, _) => *event,
            (Left::Amended(data), _) => event.with_data(data),
            (Left::Voided, None) => {
                return Err(refused(Fate::Duplicate, "event", "was voided before"));
            }
            (Left::Voided, Some(_)) => return Err(refused(Fate::Invalid, "event", "was voided")),
        };
        if !self.definitions.remembers(event.tenant, offset) {
            let reason = "was judged by definitions that are not kept any more";
            return Err(refused(Fate::Invalid, "event", reason));
        }
        let start = out.len();
        let was = self.stand(revisions, (offset, record, &before), names, out);
        out[start..].iter_mut().for_each(|it| it.sign = Sign::TakesBack);
        let Some(data) = amended else { return Ok(()) };
        if let Err(error) = normal_form(data) {
            out.truncate(start);
            let reason = error.to_string();
            let fault = Fault { meter: None, field: "data".to_owned(), reason };
            return Err((Fate::Invalid, fault));
        }
        let now = self.stand(revisions, (offset, record, &event.with_data(data)), names, out);
        if now.fate == was.fate || (now.fate.is_counted() && was.fate.is_counted()) {
            return Ok(());
        }
        out.truncate(start);
        let fault = now.faults.into_iter().next().unwrap_or_else(|| {
            let reason = format!("is {} with this data, and was {}", now.fate, was.fate);
            Fault { meter: None, field: "data".to_owned(), reason }
        });
        Err((Fate::Invalid, fault))
    }

    /// Is the event at `offset`, received at `received_at`, one that the revision is about?
    /// Of those it has to be told whether they stand, and with which data.
    pub fn is_meant(&self, revision: &Revision, (offset, record, event): At<'_, '_>) -> bool {
        let is_meant = match &revision.why {
            Why::Unmatched { tenant } => tenant == event.tenant,
            Why::Periods { tenant, since } => {
                let received_at = record.forwarded.unwrap_or(record.received_at);
                tenant == event.tenant && time_of(&event.body, received_at) >= *since
            }
            Why::Backfill { provider, .. } => self
                .definitions
                .tenant(event.tenant)
                .is_some_and(|known| known.provider.as_ref() == Some(provider)),
        };
        is_meant && self.definitions.remembers(event.tenant, offset)
    }

    /// What an event that stands first under its identity, and is not voided, adds by
    /// `revision`. Does it add something?
    pub fn revised<N: Names + ?Sized>(
        &mut self,
        (revisions, revision): (&Revisions, &Revision),
        (offset, record, event): At<'_, '_>,
        names: &mut N,
        out: &mut Vec<Contribution>,
    ) -> bool {
        let start = out.len();
        let adds = match &revision.why {
            Why::Unmatched { .. } => {
                self.matched(revision.seal, (offset, record, event), names, out)
            }
            Why::Backfill { order, .. } => {
                self.backfilled(order, (offset, record, event), names, out)
            }
            Why::Periods { .. } => {
                return self.moved((revisions, revision), (offset, record, event), names, out);
            }
        };
        if !adds {
            out.truncate(start);
            return false;
        }
        let received_at = record.forwarded.unwrap_or(record.received_at);
        let time = time_of(&event.body, received_at);
        let period = self.period(revisions, event.tenant, (offset, time));
        out[start..].iter_mut().for_each(|it| it.period = period);
        true
    }

    /// Moves what the event adds from one billing period to another.
    fn moved<N: Names + ?Sized>(
        &mut self,
        (revisions, revision): (&Revisions, &Revision),
        (offset, record, event): At<'_, '_>,
        names: &mut N,
        out: &mut Vec<Contribution>,
    ) -> bool {
        let mut counted = Vec::new();
        let verdict = self.stand(revisions, (offset, record, event), names, &mut counted);
        let at = (offset, verdict.time);
        let before = self.definitions.period_before(event.tenant, at, revision.seal);
        let after = self.definitions.period_before(event.tenant, at, revision.seal + 1);
        if before.map(|it| it.start) == after.map(|it| it.start) || counted.is_empty() {
            return false;
        }
        for it in counted {
            let moved = |period, sign| Contribution { period, sign, ..it.clone() };
            out.extend(before.map(|period| moved(Some(period), Sign::MovesOut)));
            out.extend(after.map(|period| moved(Some(period), Sign::MovesIn)));
        }
        true
    }

    /// The billing period in which an event is counted, as far as `revisions` have come.
    fn period(
        &self,
        revisions: &Revisions,
        tenant: &str,
        (offset, time): (Offset, Timestamp),
    ) -> Option<Period> {
        let seal = revisions.periods_ahead(tenant, offset).unwrap_or(u64::MAX);
        self.definitions.period_before(tenant, (offset, time), seal)
    }

    /// What an event that stands first under its identity comes to by what was adopted before
    /// `seal`, whose revision has not come to the event yet (`u64::MAX`: by all): by what was
    /// in force for it or, when no meter counted it then, by the first change that made one
    /// count it.
    fn standing_before<N: Names + ?Sized>(
        &mut self,
        seal: u64,
        at: At<'_, '_>,
        names: &mut N,
        out: &mut Vec<Contribution>,
    ) -> Verdict {
        let (offset, record, event) = at;
        let views = self.definitions.views_since(event.tenant, offset);
        let (mut first, mut before) = (None, None::<&View>);
        for (since, view) in views.iter().filter(|(since, _)| *since < seal) {
            if before.is_some_and(|before| before.judges_alike(view, event.body.kind)) {
                continue;
            }
            before = Some(view);
            let seen = Seen::Nothing;
            let verdict = self.judge(Some(view), offset, record, event, seen, names, out);
            let is_own = *since == 0;
            if verdict.fate.is_counted() || (is_own && verdict.fate != Fate::Unmatched) {
                return verdict;
            }
            first.get_or_insert(verdict);
        }
        first.unwrap_or_else(|| self.judge(None, offset, record, event, Seen::Nothing, names, out))
    }

    /// What an event that stands first under its identity comes to by what was in force for
    /// it, and nothing later.
    pub fn sealed<N: Names + ?Sized>(&mut self, at: At<'_, '_>, names: &mut N) -> Verdict {
        self.standing_before(1, at, names, &mut Vec::new())
    }

    /// What an event that stands first under its identity adds by the change that `seal`
    /// made, when nothing before it counted it.
    fn matched<N: Names + ?Sized>(
        &mut self,
        seal: u64,
        at: At<'_, '_>,
        names: &mut N,
        out: &mut Vec<Contribution>,
    ) -> bool {
        let (offset, record, event) = at;
        let before = self.standing_before(seal, at, names, &mut Vec::new());
        let Some(view) = self.definitions.view_at(event.tenant, seal) else { return false };
        !before.fate.is_counted()
            && self
                .judge(Some(&view), offset, record, event, Seen::Nothing, names, out)
                .fate
                .is_counted()
    }

    /// What an event that stands first under its identity adds by `order`: that of the
    /// meter which it names, unless that counts the event by itself.
    fn backfilled<N: Names + ?Sized>(
        &mut self,
        order: &BackfillOrder,
        at: At<'_, '_>,
        names: &mut N,
        out: &mut Vec<Contribution>,
    ) -> bool {
        let is_meant =
            |it: &Contribution| it.meter.key == order.meter && it.meter.version == order.version;
        let (offset, record, event) = at;
        let start = out.len();
        let verdict = self.standing_before(u64::MAX, at, names, out);
        let counts_already = out.drain(start..).any(|it| is_meant(&it));
        let is_in_range =
            order.from <= verdict.time && order.until.is_none_or(|until| verdict.time < until);
        if counts_already || !is_in_range || verdict.fate == Fate::Invalid {
            return false;
        }
        let known = self.definitions.tenant(event.tenant);
        let provider = known.and_then(|known| known.provider.as_ref());
        let seal = provider.and_then(|it| self.definitions.ordered_at(it, &order.id));
        let Some(view) = seal.and_then(|seal| self.definitions.view_at(event.tenant, seal)) else {
            return false;
        };
        self.judge(Some(&view), offset, record, event, Seen::Nothing, names, out);
        let counted: Vec<Contribution> = out.drain(start..).filter(is_meant).collect();
        out.extend(counted);
        out.len() > start
    }
}

fn refused(fate: Fate, field: &str, reason: &str) -> (Fate, Fault) {
    (fate, Fault { meter: None, field: field.to_owned(), reason: reason.to_owned() })
}
