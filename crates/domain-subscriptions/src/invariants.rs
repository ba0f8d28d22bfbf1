//! What must always hold of a subscription, by number, judged from its events alone.
//! Tests and the simulation follow every life with [`Life`]; it shares no code with what
//! decides but the check of rating.
//!
//! - SUB-1: a tenant has at most one current subscription.
//! - SUB-2: the parts of its life abut and cover it: every second lies in exactly one.
//! - SUB-3: the charges of a period net to the price of what was held in it, second by
//!   second, within half a minor unit for each line.
//! - SUB-4: exactly one timer is pending while something is due, at that instant.
//! - SUB-5: the version counts the events.

use std::sync::Arc;

use exchequer_kernel::invariant::Broken;
use exchequer_rating::{Held, Line, net};
use exchequer_types::{Holding, Timestamp};

use crate::charge::Charge;
use crate::event::Event;
use crate::subscription::{LifePeriod, PeriodKind, Subscription, Timer};

/// The lives of one tenant's subscriptions, one after another.
#[derive(Clone, Debug, Default)]
pub struct Life {
    events: u64,
    course: Option<Course>,
    timer: Option<Timer>,
}

/// What the current part of a life is to be judged by.
#[derive(Clone, Debug)]
struct Course {
    id: String,
    period: LifePeriod,
    /// What was held in the current part, and from when on.
    held: Vec<(Timestamp, Arc<Holding>)>,
    /// What is held from the end of the current part on, when that is something else.
    next: Option<Arc<Holding>>,
    /// Charged and credited in the current part.
    lines: Vec<Line>,
    is_ended: bool,
}

impl Life {
    /// Takes the next event over, decided `at`.
    pub fn follow(&mut self, event: &Event, at: Timestamp) -> Result<(), Broken> {
        self.events += 1;
        if let Event::Subscribed { id, holding, period, .. } = event {
            self.one_current()?;
            begins(period)?;
            if period.index != 0 || period.start != at {
                return Err(broken("SUB-2", format!("the life of {id} begins with {period:?}")));
            }
            self.course = Some(Course {
                id: id.clone(),
                period: period.clone(),
                held: vec![(period.start, Arc::clone(holding))],
                next: None,
                lines: Vec::new(),
                is_ended: false,
            });
            return Ok(());
        }
        if let Event::DueMoved { cleared, timer } = event {
            if self.timer.as_ref().map(|it| &it.id) != cleared.as_ref().map(|it| &it.id) {
                let detail = format!("{cleared:?} is cleared while {:?} is pending", self.timer);
                return Err(broken("SUB-4", detail));
            }
            self.timer.clone_from(timer);
            return Ok(());
        }
        match &mut self.course {
            Some(course) if !course.is_ended => course.follow(event, at),
            Some(_) if matches!(event, Event::ChargeRecorded(_)) => {
                Err(broken("SUB-3", "something is charged after the end".to_owned()))
            }
            Some(_) if matches!(event, Event::HeldChanged { .. }) => Ok(()),
            _ => Err(broken("SUB-1", format!("nothing runs that {event:?} could happen to"))),
        }
    }

    /// Is the state what the events say? Also judges the period that still runs, as if it
    /// ran to its end.
    pub fn check(&self, subscription: Option<&Subscription>) -> Result<(), Broken> {
        let Some(subscription) = subscription else {
            return match self.course {
                Some(_) => Err(broken("SUB-1", "the subscription is lost".to_owned())),
                None => Ok(()),
            };
        };
        version_counts(subscription.version, self.events)?;
        one_timer(subscription)?;
        if self.timer != subscription.timer {
            let detail = format!("{:?} is pending, not {:?}", self.timer, subscription.timer);
            return Err(broken("SUB-4", detail));
        }
        let Some(course) = &self.course else {
            return Err(broken("SUB-1", "the subscription never began".to_owned()));
        };
        if course.id != subscription.id || course.period != subscription.period {
            let detail = format!("{:?} is not {:?}", subscription.period, course.period);
            return Err(broken("SUB-2", detail));
        }
        if course.is_ended { Ok(()) } else { course.nets(course.period.end) }
    }

    fn one_current(&self) -> Result<(), Broken> {
        match &self.course {
            Some(course) if !course.is_ended => {
                Err(broken("SUB-1", format!("{} has not ended", course.id)))
            }
            _ => Ok(()),
        }
    }
}

impl Course {
    fn follow(&mut self, event: &Event, at: Timestamp) -> Result<(), Broken> {
        match event {
            Event::Changed { holding, period: Some(period), .. } => {
                self.next = Some(Arc::clone(holding));
                self.turn(period, Some(at))
            }
            Event::Changed { holding, period: None, .. } => {
                if self.period.end.is_some_and(|end| at >= end) {
                    self.next = Some(Arc::clone(holding));
                } else {
                    self.held.push((at, Arc::clone(holding)));
                }
                Ok(())
            }
            Event::Activated { period, cut }
            | Event::Paused { period, cut }
            | Event::Resumed { period, cut } => self.turn(period, *cut),
            Event::PauseMoved { resume_at } => self.moves_pause(*resume_at, at),
            Event::Renewed { period } => self.turn(period, None),
            Event::Ended { cut, .. } => {
                self.close(*cut)?;
                self.period.end = cut.or(self.period.end);
                self.is_ended = true;
                if self.period.end == Some(at) { Ok(()) } else { Err(gap(&self.period, at)) }
            }
            Event::ChargeRecorded(charge) => self.charge(charge),
            _ => Ok(()),
        }
    }

    /// The current part ends, at its end or where it is cut, and `next` begins.
    fn turn(&mut self, next: &LifePeriod, cut: Option<Timestamp>) -> Result<(), Broken> {
        self.close(cut)?;
        let end = cut.or(self.period.end);
        if end != Some(next.start) || next.index != self.period.index + 1 {
            return Err(gap(&self.period, next.start));
        }
        begins(next)?;
        self.period = next.clone();
        let last = self.held.pop().map(|(_, holding)| holding);
        self.held = self.next.take().or(last).map(|it| (next.start, it)).into_iter().collect();
        self.lines.clear();
        Ok(())
    }

    fn moves_pause(&mut self, end: Option<Timestamp>, at: Timestamp) -> Result<(), Broken> {
        if self.period.kind != PeriodKind::Paused || end.is_some_and(|end| end <= at) {
            return Err(broken("SUB-2", format!("{:?} is moved to {end:?}", self.period)));
        }
        self.period.end = end;
        Ok(())
    }

    fn close(&self, cut: Option<Timestamp>) -> Result<(), Broken> {
        let is_within = |cut: Timestamp| {
            self.period.start <= cut && self.period.end.is_none_or(|end| cut < end)
        };
        if cut.is_some_and(|cut| !is_within(cut)) {
            return Err(broken("SUB-2", format!("{:?} is cut at {cut:?}", self.period)));
        }
        self.nets(cut.or(self.period.end))
    }

    fn charge(&mut self, charge: &Charge) -> Result<(), Broken> {
        let total: i128 = charge.lines.iter().map(|line| i128::from(line.amount)).sum();
        let is_right = charge.subscription == self.id
            && charge.period_index == self.period.index
            && self.period.bounds() == Some(charge.period)
            && !charge.lines.is_empty()
            && charge.lines.iter().all(Line::adds_up)
            && total == i128::from(charge.total);
        if !is_right {
            return Err(broken("SUB-3", format!("{charge:?} is no charge of {:?}", self.period)));
        }
        self.lines.extend(charge.lines.iter().cloned());
        Ok(())
    }

    /// SUB-3 for the current part, held until `until`.
    fn nets(&self, until: Option<Timestamp>) -> Result<(), Broken> {
        let Some(((bounds, counted), until)) = self.period.paid().zip(until) else {
            let is_free = self.lines.is_empty();
            let detail = || format!("{:?} has lines {:?}", self.period, self.lines);
            return if is_free { Ok(()) } else { Err(broken("SUB-3", detail())) };
        };
        let held: Vec<Held<'_>> =
            self.held.iter().map(|(from, holding)| Held { from: *from, holding }).collect();
        match net(&held, until, bounds, counted.anchor.zone, &self.lines) {
            Ok(net) if net.is_right() => Ok(()),
            Ok(net) => Err(broken("SUB-3", format!("{:?} nets to {net:?}", self.period))),
            Err(error) => Err(broken("SUB-3", format!("{:?}: {error}", self.period))),
        }
    }
}

/// SUB-2: a part of a life has time in it, and a paid one ends where its cycle says.
fn begins(period: &LifePeriod) -> Result<(), Broken> {
    let has_time = period.end.is_none_or(|end| period.start < end);
    let is_counted = match (period.kind, period.counted) {
        (PeriodKind::Paid, Some(it)) => {
            period.end.is_some() && it.anchor.boundary(it.cycle, it.boundary) == period.end
        }
        (PeriodKind::Paid, None) | (PeriodKind::Trial | PeriodKind::Paused, Some(_)) => false,
        (PeriodKind::Trial, None) => period.end.is_some(),
        (PeriodKind::Paused, None) => true,
    };
    if has_time && is_counted {
        return Ok(());
    }
    Err(broken("SUB-2", format!("{period:?} is no part of a life")))
}

/// SUB-4: exactly one timer is pending while something is due, at that instant.
pub fn one_timer(subscription: &Subscription) -> Result<(), Broken> {
    let due = subscription.next_due();
    if subscription.timer.as_ref().map(|it| it.due) == due {
        return Ok(());
    }
    Err(broken("SUB-4", format!("{:?} is pending for {due:?}", subscription.timer)))
}

/// SUB-5: the version counts the events of all of the tenant's subscriptions.
pub fn version_counts(version: u64, events: u64) -> Result<(), Broken> {
    if version == events {
        return Ok(());
    }
    Err(broken("SUB-5", format!("version {version} after {events} events")))
}

fn gap(period: &LifePeriod, at: Timestamp) -> Broken {
    broken("SUB-2", format!("{period:?} is followed by what begins at {at}"))
}

fn broken(name: &'static str, detail: String) -> Broken {
    Broken { name, detail }
}
