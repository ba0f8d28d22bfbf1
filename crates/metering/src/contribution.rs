//! What one event adds to one meter, with all that decides which windows and groups
//! it belongs to. Made by judging, folded into windows by whoever keeps them.

use std::sync::Arc;

use exchequer_types::{Period, TenantId, Timestamp};

use crate::bucket::{Bucket, BucketError, Place};
use crate::measure::Value;
use crate::meter::Meter;

/// Of one event for one meter. Texts are shared: making one of them allocates nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contribution {
    pub tenant: Arc<TenantId>,
    /// The version that counted it: its key, version, aggregation and `groups_max` say
    /// where it belongs and how parts are put together.
    pub meter: Arc<Meter>,
    /// Decides the windows.
    pub time: Timestamp,
    /// CloudEvents `subject`; empty when there is none.
    pub subject: Arc<str>,
    /// One for each group-by of the meter, in their order; empty texts where nothing stands.
    pub groups: Arc<[Arc<str>]>,
    /// The billing period that `time` lies in, when one is known.
    pub period: Option<Period>,
    pub value: Value,
    pub place: Place,
    pub sign: Sign,
}

/// Which way a contribution counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    Adds,
    /// An event that was voided or amended: what it added is taken back. Windows of minima,
    /// maxima, latest and unique values are recounted.
    TakesBack,
    /// To another billing period, which has moved; windows of the calendar stay.
    MovesIn,
    /// From another billing period.
    MovesOut,
}

impl Sign {
    /// Is something taken away?
    pub fn is_back(self) -> bool {
        matches!(self, Self::TakesBack | Self::MovesOut)
    }

    /// Does it change the billing period alone?
    pub fn is_of_period(self) -> bool {
        matches!(self, Self::MovesIn | Self::MovesOut)
    }
}

impl Contribution {
    /// The part of a window that it is by itself. A part that takes back is that of the
    /// same event, to be taken away.
    pub fn bucket(&self) -> Result<Bucket, BucketError> {
        Bucket::of(self.meter.aggregation, self.value, self.time, self.place)
    }
}
