//! What became of each event at the gate, and how it is told.

use core::time::Duration;
use std::borrow::Cow;

use exchequer_engine::UsageToken;
use exchequer_journal::{Fault, FaultKind};
use exchequer_metering::event::Refused;
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{Offset, PartitionId};
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::status::{
    DISK_FULL, EVENT_UNCONFIRMED, INTERNAL, OVERLOADED, PARTITION_UNAVAILABLE, Refusal,
};

const RETRY_SOON: Duration = Duration::from_millis(200);
const RETRY_LATER: Duration = Duration::from_secs(5);

/// The verdict on one event; accepted without a reason.
#[derive(Clone, Debug)]
pub(crate) struct Verdict<'e> {
    /// The event's own, as far as it has one.
    pub(crate) id: Cow<'e, str>,
    pub(crate) refused: Option<Box<Reason>>,
}

/// Why an event was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) code: Cow<'static, str>,
    /// Empty when it is the event as a whole.
    pub(crate) field: Cow<'static, str>,
    pub(crate) message: String,
    /// The same event may be accepted after this time.
    pub(crate) retry: Option<Duration>,
}

/// Verdicts on the events of a request, one for each and in their order.
#[derive(Debug, Default)]
pub(crate) struct Verdicts<'e> {
    pub(crate) items: Vec<Verdict<'e>>,
    /// The next offset of each partition that has one of them.
    pub(crate) seen: Vec<(PartitionId, Offset)>,
}

impl Verdicts<'_> {
    pub(crate) fn refused(&self) -> u32 {
        self.items.iter().filter(|it| it.refused.is_some()).count() as u32
    }

    pub(crate) fn accepted(&self) -> u32 {
        self.items.len() as u32 - self.refused()
    }

    /// What a query must have seen; empty when nothing was accepted.
    pub(crate) fn token(&self) -> String {
        if self.seen.is_empty() { String::new() } else { UsageToken(self.seen.clone()).encode() }
    }

    pub(crate) fn messages(&self) -> Vec<pb::EventVerdict> {
        (0..).zip(&self.items).map(|(index, it)| it.message(index)).collect()
    }
}

impl Verdict<'_> {
    fn message(&self, index: u32) -> pb::EventVerdict {
        let id = self.id.to_string();
        let Some(reason) = &self.refused else {
            let status = pb::EventStatus::Accepted.into();
            return pb::EventVerdict { index, id, status, ..pb::EventVerdict::default() };
        };
        pb::EventVerdict {
            index,
            id,
            status: pb::EventStatus::Refused.into(),
            code: reason.code.to_string(),
            field: reason.field.to_string(),
            message: reason.message.clone(),
            // Far below what a duration holds.
            retry_after: reason.retry.and_then(|it| it.try_into().ok()),
        }
    }
}

impl Reason {
    /// As the error of a request with this one event.
    pub(crate) fn status(&self) -> Status {
        let mut refusal = Refusal::new(self.code.as_ref(), self.message.clone());
        if !self.field.is_empty() {
            refusal = refusal.field(self.field.as_ref());
        }
        match self.retry {
            Some(retry) => refusal.retry(retry).status(),
            None => refusal.status(),
        }
    }

    /// What the guard says of the event's tenant.
    pub(crate) fn of_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        Self {
            code: info.map_or(Cow::Borrowed(INTERNAL), |it| Cow::Owned(it.reason.clone())),
            field: Cow::Borrowed("tenant"),
            message: status.message().to_owned(),
            retry: details.retry_info().and_then(|it| it.retry_delay),
        }
    }

    /// The log did not take the event.
    pub(crate) fn of_fault(fault: &Fault) -> Self {
        let (code, message, retry) = match fault.kind {
            FaultKind::Full => {
                (DISK_FULL, "the event was not written: the disk is full", RETRY_LATER)
            }
            FaultKind::Overloaded => {
                (OVERLOADED, "the event was not written: too much is being written", RETRY_SOON)
            }
            FaultKind::Unavailable => return Self::unconfirmed(),
            FaultKind::Damaged
            | FaultKind::Expired { .. }
            | FaultKind::TooLarge
            | FaultKind::Stopped => {
                tracing::error!(%fault, "the usage log does not take events");
                (PARTITION_UNAVAILABLE, "the event was not taken: its log is down", RETRY_LATER)
            }
        };
        Self {
            code: Cow::Borrowed(code),
            field: Cow::Borrowed(""),
            message: message.to_owned(),
            retry: Some(retry),
        }
    }

    /// Nobody knows whether the event was written.
    pub(crate) fn unconfirmed() -> Self {
        let message =
            "it is not known whether the event was written: send it again, it counts once";
        Self {
            code: Cow::Borrowed(EVENT_UNCONFIRMED),
            field: Cow::Borrowed(""),
            message: message.to_owned(),
            retry: Some(RETRY_SOON),
        }
    }
}

impl From<&Refused> for Reason {
    fn from(refused: &Refused) -> Self {
        Self {
            code: Cow::Borrowed(refused.rejection.code()),
            field: Cow::Borrowed(refused.rejection.field()),
            message: refused.rejection.to_string(),
            retry: None,
        }
    }
}
