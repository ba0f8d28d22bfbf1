//! What producers write to the topic of usage by themselves, as meters read it.

use bytes::Bytes;
use exchequer_codec::usage::encode_produced;
use exchequer_journal::{Intake, Produced};

/// The intake that the log of usage is opened with, where others can write to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct UsageIntake;

impl Intake for UsageIntake {
    fn take(&self, record: &Produced<'_>) -> Bytes {
        encode_produced(record.appended_at, record.key, &record.headers, record.value)
    }
}
