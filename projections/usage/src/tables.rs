//! Tables of the view and their keys. Every row has one source partition; a query adds
//! the parts.

use exchequer_metering::Grain;
use exchequer_readstore::{Column, Generation, Key, Kind, Table, Value};
use exchequer_types::{PartitionId, Period, TenantId, Timestamp};

/// Leads every key. Where folding makes something else of the seals, another generation is
/// written, from zero.
pub const GENERATION: Generation = 2;

/// Rows that hold up to a thousand cells each, see `packed`.
pub static USAGE_CELLS: Table = Table {
    name: "usage_cells",
    partition_key: &[
        text("tenant"),
        text("meter"),
        // 0 minute, 1 hour, 2 day, 3 month, 4 billing period.
        int("grain"),
        int("source_partition"),
        // -1: of all subjects, by group. 0 to 15: by subject, of that bucket.
        int("scope"),
    ],
    clustering: &[
        // Of the window; in the row that several windows share, of the block they are in.
        int("start"),
        int("version"),
        // 0: shared by the windows of a block. From 1: of one window alone.
        int("chunk"),
    ],
    columns: &[bytes("cells")],
};

/// Members of unique counts that are too many for their cell. A set is the union of its
/// rows and what its cell holds.
pub static USAGE_MEMBERS: Table = Table {
    name: "usage_members",
    partition_key: &[
        text("tenant"),
        text("meter"),
        int("grain"),
        int("source_partition"),
        int("scope"),
    ],
    clustering: &[
        int("start"),
        int("version"),
        // First 16 bytes of BLAKE3 of the cell's name.
        bytes("cell"),
        // -1: the first ones. 0 to 255: those that begin with this byte.
        int("prefix"),
    ],
    // Sorted, 16 bytes each.
    columns: &[bytes("members")],
};

/// How far each source partition is.
pub static USAGE_CHECKPOINTS: Table = Table {
    name: "usage_checkpoints",
    partition_key: &[int("source_partition")],
    clustering: &[],
    columns: &[
        // Of the last seal in the rows.
        int("seal"),
        // Offset of the usage log up to which the rows tell.
        int("offset"),
        // Everything received before it is in the rows.
        int("through"),
        // The meter's own.
        bytes("meter"),
    ],
};

/// All tables that a meter writes through this view.
pub const TABLES: &[&Table] = &[
    &USAGE_CELLS,
    &USAGE_MEMBERS,
    &USAGE_CHECKPOINTS,
    &USAGE_FATES,
    &USAGE_LISTED,
    &USAGE_HOURS,
    &USAGE_SEALS,
];

/// Fates other than counted, by identity; of a conflicting one, the first and the latest.
pub static USAGE_FATES: Table = Table {
    name: "usage_fates",
    partition_key: &[text("tenant"), bytes("identity")],
    clustering: &[int("source_partition"), int("offset")],
    columns: &[text("kind"), int("seal"), int("received_at"), bytes("detail")],
};

/// What a tenant should look at, newest first.
pub static USAGE_LISTED: Table = Table {
    name: "usage_listed",
    partition_key: &[text("tenant"), text("kind"), int("hour")],
    clustering: &[int("received_at"), int("source_partition"), int("offset")],
    columns: &[int("seal"), bytes("detail")],
};

/// What came in an hour, by what became of it.
pub static USAGE_HOURS: Table = Table {
    name: "usage_hours",
    partition_key: &[text("tenant"), int("source_partition")],
    clustering: &[int("hour")],
    columns: &[bytes("counts")],
};

/// Where seals are, and what times their events have.
pub static USAGE_SEALS: Table = Table {
    name: "usage_seals",
    partition_key: &[int("source_partition")],
    // First offset of the usage log that it covers.
    clustering: &[int("from")],
    columns: &[
        int("seal"),
        // Of its record in the log of seals.
        int("offset"),
        int("to"),
        int("through"),
        // Of the earliest and the latest event; above the latest when it has none.
        int("earliest"),
        int("latest"),
    ],
};

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

const fn bytes(name: &'static str) -> Column {
    Column { name, kind: Kind::Bytes }
}

/// How long the windows of rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kept {
    Minute,
    Hour,
    Day,
    Month,
    /// The tenant's billing period.
    Period,
}

impl Kept {
    pub const ALL: [Self; 5] = [Self::Minute, Self::Hour, Self::Day, Self::Month, Self::Period];

    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Minute => 0,
            Self::Hour => 1,
            Self::Day => 2,
            Self::Month => 3,
            Self::Period => 4,
        }
    }

    /// None of billing periods, which the calendar does not know.
    pub(crate) fn grain(self) -> Option<Grain> {
        match self {
            Self::Minute => Some(Grain::Minute),
            Self::Hour => Some(Grain::Hour),
            Self::Day => Some(Grain::Day),
            Self::Month => Some(Grain::Month),
            Self::Period => None,
        }
    }

    /// Start of the block of windows that share a row with the one that begins at `start`.
    pub(crate) fn block(self, start: Timestamp) -> Timestamp {
        match self {
            Self::Minute => Grain::Hour.window(start).start,
            Self::Hour => Grain::Day.window(start).start,
            Self::Day | Self::Month => Grain::Month.window(start).start,
            Self::Period => start,
        }
    }

    /// The window of the calendar that begins at `start`.
    pub fn window(self, start: Timestamp) -> Option<Period> {
        self.grain().map(|grain| grain.window(start))
    }
}

/// Whose cells a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scope {
    /// Of all subjects, by group.
    Totals,
    /// By subject, of one bucket.
    Subjects(u8),
}

/// Into how many parts the subjects of a meter are laid: each is a row or more that is read
/// and written when one of its subjects counts.
pub(crate) const BUCKETS: u8 = 16;

impl Scope {
    /// Of the bucket that `subject` lies in.
    pub(crate) fn of_subject(subject: &str) -> Self {
        // FNV-1a, which is the same everywhere and for ever.
        let hash = subject.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let folded = (hash ^ (hash >> 32)).to_le_bytes()[0];
        Self::Subjects(folded % BUCKETS)
    }

    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Totals => -1,
            Self::Subjects(bucket) => i64::from(bucket),
        }
    }
}

/// Which series of rows: a meter of a tenant, at one length of windows, from one source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) meter: &'a str,
    pub(crate) kept: Kept,
    pub(crate) source: PartitionId,
    pub(crate) scope: Scope,
}

impl Place<'_> {
    pub(crate) fn partition(&self) -> Vec<Value> {
        vec![
            Value::text(self.tenant.as_str()),
            Value::text(self.meter),
            Value::Int(self.kept.number()),
            Value::Int(i64::from(self.source.0)),
            Value::Int(self.scope.number()),
        ]
    }

    pub(crate) fn cells(&self, start: Timestamp, version: u32, chunk: u32) -> Key {
        Key { partition: self.partition(), clustering: clustering(start, version, chunk) }
    }

    pub(crate) fn members(
        &self,
        start: Timestamp,
        version: u32,
        cell: [u8; 16],
        prefix: Option<u8>,
    ) -> Key {
        let clustering = vec![
            Value::Int(start.micros()),
            Value::Int(i64::from(version)),
            Value::Bytes(bytes::Bytes::copy_from_slice(&cell)),
            Value::Int(prefix.map_or(-1, i64::from)),
        ];
        Key { partition: self.partition(), clustering }
    }
}

pub(crate) fn clustering(start: Timestamp, version: u32, chunk: u32) -> Vec<Value> {
    vec![Value::Int(start.micros()), Value::Int(i64::from(version)), Value::Int(i64::from(chunk))]
}

pub(crate) fn checkpoint_key(source: PartitionId) -> Key {
    Key { partition: vec![Value::Int(i64::from(source.0))], clustering: Vec::new() }
}

/// A row's timestamp, of what is folded up to seal `seq`.
pub(crate) fn timestamp(seq: u64) -> u64 {
    seq << 16
}
