//! Records that others write to a log by themselves, past our gateways: with a key and
//! headers that say what the value is. An intake makes of each what readers of the log
//! get, so that they know one form of records alone.

use bytes::Bytes;
use exchequer_types::Timestamp;

/// A record as its producer wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Produced<'a> {
    /// When the log took it over, by the log's own clock.
    pub appended_at: Timestamp,
    pub key: Option<&'a [u8]>,
    /// Names and values, in their order. A name may stand twice.
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// None: the record has no value, which is not the same as an empty one.
    pub value: Option<&'a [u8]>,
}

/// Makes of a produced record what the log's readers get. Their offset stays.
pub trait Intake: Send + Sync + core::fmt::Debug {
    /// The same record makes the same bytes, whenever and wherever it is read: hashes are
    /// taken of them. At most as large as a record may be (`RECORD_BYTES_MAX`).
    fn take(&self, record: &Produced<'_>) -> Bytes;
}
