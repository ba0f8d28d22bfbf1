//! The fate of an event: each has exactly one, decided from the event, what was seen
//! before under its identity, and the meters in force, and from nothing else.

use core::fmt;
use core::time::Duration;
use std::borrow::Cow;
use std::sync::Arc;

use exchequer_types::Timestamp;

use crate::definitions::InForce;
use crate::measure::{Measured, Value};
use crate::meter::Meter;
use crate::normal::Body;
use crate::outline::Outline;

/// What has become of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    Counted,
    /// Counted in its window, and listed as a correction: it came later than the
    /// windows wait.
    Late,
    /// Its identity was seen before, with the same body.
    Duplicate,
    /// Its identity was seen before, with another body. Kept aside.
    Conflicting,
    /// No meter counts it, or there is no such tenant: counted afterwards when there is.
    Unmatched,
    /// It cannot be counted as it is.
    Invalid,
    /// It stood on another partition than its own, and was sent on.
    Forwarded,
}

/// What an identity has been seen with before, in the window of identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Never.
    Nothing,
    /// With the same body.
    Same,
    /// With another body.
    Other,
}

/// How far the time of an event may lie from when it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub ahead_max: Duration,
    pub behind_max: Duration,
    /// Windows wait this long: what comes later is [`Fate::Late`].
    pub lateness: Duration,
}

/// An event's fate, with what it adds where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement<'m, 'a> {
    pub fate: Fate,
    /// Decides the windows.
    pub time: Timestamp,
    /// Of a counted or late event.
    pub counted: Vec<(&'m Arc<Meter>, Measured<'a>)>,
    /// Why it was not counted, by one of its meters or by all; ends with the field at
    /// fault.
    pub faults: Vec<Fault>,
}

/// Why an event, or its part for one meter, was not counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Key of the meter that could not use the event; none when no meter can.
    pub meter: Option<String>,
    /// `time`, `data`, or a path in the data.
    pub field: String,
    pub reason: String,
}

impl Fate {
    pub const ALL: [Self; 7] = [
        Self::Counted,
        Self::Late,
        Self::Duplicate,
        Self::Conflicting,
        Self::Unmatched,
        Self::Invalid,
        Self::Forwarded,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Late => "late",
            Self::Duplicate => "duplicate",
            Self::Conflicting => "conflicting",
            Self::Unmatched => "unmatched",
            Self::Invalid => "invalid",
            Self::Forwarded => "forwarded",
        }
    }

    /// Does an event of this fate stand in the figures?
    pub fn is_counted(self) -> bool {
        matches!(self, Self::Counted | Self::Late)
    }

    /// Does it take its identity? What could not be judged does not, so that it can be
    /// sent again once mended.
    pub fn takes_identity(self) -> bool {
        matches!(self, Self::Counted | Self::Late | Self::Unmatched)
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            ahead_max: Duration::from_secs(3_600),
            behind_max: Duration::from_secs(35 * 24 * 3_600),
            lateness: Duration::from_secs(3_600),
        }
    }
}

/// Judges one event that stands on its own partition. `in_force` is what its tenant's
/// provider has; none when the tenant is not known. What was seen before comes first: an
/// event that was counted is a duplicate, whatever has become of its meters since.
pub fn judge<'m, 'a>(
    in_force: Option<&'m InForce>,
    body: &Body<'a>,
    received_at: Timestamp,
    seen: Seen,
) -> Judgement<'m, 'a> {
    let mut counted = Vec::new();
    let mut outline = Outline::default();
    let count = |meter, value, groups: &[Cow<'a, str>]| {
        counted.push((meter, Measured { value, groups: groups.to_vec() }));
    };
    let (fate, faults) = judge_into(in_force, body, received_at, seen, &mut outline, count);
    Judgement { fate, time: time_of(body, received_at), counted, faults }
}

/// The same: `count` is told what the event adds, meter by meter. `outline` is that of the
/// data, perhaps.
pub(crate) fn judge_into<'m, 'a>(
    in_force: Option<&'m InForce>,
    body: &Body<'a>,
    received_at: Timestamp,
    seen: Seen,
    outline: &mut Outline,
    mut count: impl FnMut(&'m Arc<Meter>, Value, &[Cow<'a, str>]),
) -> (Fate, Vec<Fault>) {
    match seen {
        Seen::Nothing => {}
        Seen::Same => return (Fate::Duplicate, Vec::new()),
        Seen::Other => return (Fate::Conflicting, Vec::new()),
    }
    let time = time_of(body, received_at);
    let terms = in_force.map_or_else(Terms::default, |it| it.terms);
    if let Some(fault) = out_of_bounds(&terms, time, received_at) {
        return (Fate::Invalid, vec![fault]);
    }
    let Some(in_force) = in_force else { return (Fate::Unmatched, Vec::new()) };
    if let Some(schema) = in_force.schema(body.kind)
        && let Err(wrong) = schema.check(body.data)
    {
        let reason = format!("does not keep to the schema of its type: {}", wrong.reason);
        return (Fate::Invalid, vec![fault(None, &wrong.field, reason)]);
    }
    let (mut is_counted, mut faults) = (false, Vec::new());
    let meters = &in_force.meters;
    let read = meters.visit(body.kind, body.data, outline, |meter, visited| match visited {
        Ok(Some((value, groups))) => {
            is_counted = true;
            count(meter, value, groups);
        }
        Ok(None) => {}
        Err(it) => faults.push(fault(Some(meter.key.as_str()), &it.field, it.reason)),
    });
    if let Err(error) = read {
        return (Fate::Invalid, vec![fault(None, "data", error.to_string())]);
    }
    let is_late = received_at.since(time) > terms.lateness;
    let fate = match (is_counted, faults.is_empty()) {
        (true, _) if is_late => Fate::Late,
        (true, _) => Fate::Counted,
        (false, false) => Fate::Invalid,
        (false, true) => Fate::Unmatched,
    };
    (fate, faults)
}

/// What decides the windows of an event.
pub(crate) fn time_of(body: &Body<'_>, received_at: Timestamp) -> Timestamp {
    body.time.unwrap_or(received_at)
}

fn out_of_bounds(terms: &Terms, time: Timestamp, received_at: Timestamp) -> Option<Fault> {
    let (ahead, behind) = (time.since(received_at), received_at.since(time));
    let reason = if ahead > terms.ahead_max {
        format!("must be at most {} s ahead of its receipt", terms.ahead_max.as_secs())
    } else if behind > terms.behind_max {
        format!("must be at most {} s before its receipt", terms.behind_max.as_secs())
    } else {
        return None;
    };
    Some(fault(None, "time", reason))
}

fn fault(meter: Option<&str>, field: &str, reason: String) -> Fault {
    Fault { meter: meter.map(str::to_owned), field: field.to_owned(), reason }
}
