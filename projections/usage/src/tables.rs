//! Tables of the view and their keys. Every row has one source partition; a query adds
//! the parts.

use std::collections::VecDeque;

use exchequer_metering::Grain;
use exchequer_readstore::{
    Column, Fault, Generation, Key, Kind, ReadStore, Row, Scan, Table, Value,
};
use exchequer_types::{PartitionId, Period, TenantId, Timestamp};

/// Leads every key. Where folding makes something else of the seals, another generation is
/// written, from zero.
pub const GENERATION: Generation = 3;

/// Rows that hold up to a thousand cells each, see `packed`. What a tenant adds to all of its
/// meters at about the same time lies together: a flush reads and writes it in one step.
pub static USAGE_WINDOWS: Table = Table {
    name: "usage_windows",
    partition_key: &[
        text("tenant"),
        int("source_partition"),
        // -1: of all subjects, by group. 0 to 15: by subject, of that bucket.
        int("scope"),
        // Start of the stretch of time: a week of minutes and hours, 52 weeks of the others.
        int("stretch"),
    ],
    clustering: &[
        text("meter"),
        // 0 minute, 1 hour, 2 day, 3 month, 4 billing period.
        int("grain"),
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
pub static USAGE_SETS: Table = Table {
    name: "usage_sets",
    partition_key: &[
        text("tenant"),
        int("source_partition"),
        int("scope"),
        // Of the window.
        int("stretch"),
    ],
    clustering: &[
        text("meter"),
        int("grain"),
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
        // The earliest and the latest minute, or start of a billing period, that rows tell of.
        int("earliest"),
        int("latest"),
    ],
};

/// All tables that a meter writes through this view.
pub const TABLES: &[&Table] = &[
    &USAGE_WINDOWS,
    &USAGE_SETS,
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

const WEEK_MICROS: i64 = 7 * 24 * 3_600 * 1_000_000;

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

    /// Start of the stretch of time, in microseconds, whose rows lie together with that of
    /// the window which begins at `start`: the whole block is in it.
    pub(crate) fn stretch(self, start: Timestamp) -> i64 {
        let block = self.block(start).micros();
        block - block.rem_euclid(self.stretch_micros())
    }

    /// All stretches in which the blocks of a range are.
    fn stretches(self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = i64> {
        let before = Timestamp::saturating_from_micros(to.micros() - 1);
        let (first, length) = (self.stretch(from), self.stretch_micros());
        let count = (self.stretch(before) - first) / length;
        (0..=count).map(move |at| first + at * length)
    }

    fn stretch_micros(self) -> i64 {
        match self {
            Self::Minute | Self::Hour => WEEK_MICROS,
            Self::Day | Self::Month | Self::Period => 52 * WEEK_MICROS,
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
    /// Of the rows of the window that begins at `start`.
    pub(crate) fn partition(&self, start: Timestamp) -> Vec<Value> {
        self.of_stretch(self.kept.stretch(start))
    }

    fn of_stretch(&self, stretch: i64) -> Vec<Value> {
        vec![
            Value::text(self.tenant.as_str()),
            Value::Int(i64::from(self.source.0)),
            Value::Int(self.scope.number()),
            Value::Int(stretch),
        ]
    }

    pub(crate) fn clustering(&self, start: Timestamp, version: u32, chunk: u32) -> Vec<Value> {
        vec![
            Value::text(self.meter),
            Value::Int(self.kept.number()),
            Value::Int(start.micros()),
            Value::Int(i64::from(version)),
            Value::Int(i64::from(chunk)),
        ]
    }

    pub(crate) fn cells(&self, start: Timestamp, version: u32, chunk: u32) -> Key {
        let clustering = self.clustering(start, version, chunk);
        Key { partition: self.partition(start), clustering }
    }

    /// Those of one window alone.
    pub(crate) fn chunks(&self, window: Period, version: u32, rows_max: usize) -> Scan {
        let chunk = |chunk| self.clustering(window.start, version, chunk);
        let partition = self.partition(window.start);
        let mut scan = Scan::of(&USAGE_WINDOWS, GENERATION, partition, rows_max);
        (scan.from, scan.to) = (Some(chunk(1)), Some(chunk(u32::MAX)));
        scan
    }

    /// All whose windows may begin in a range, up to `rows_max` in each step; none of a range
    /// that ends before it begins.
    pub(crate) fn rows<'s>(
        &self,
        store: &'s dyn ReadStore,
        (from, to): (Timestamp, Timestamp),
        rows_max: usize,
    ) -> Rows<'s> {
        let first = self.clustering(self.kept.block(from), 0, 0);
        let last = self.clustering(to, 0, 0);
        let scan = |stretch| {
            let partition = self.of_stretch(stretch);
            let mut scan = Scan::of(&USAGE_WINDOWS, GENERATION, partition, rows_max);
            (scan.from, scan.to) = (Some(first.clone()), Some(last.clone()));
            scan
        };
        let stretches = (from < to).then(|| self.kept.stretches(from, to));
        Rows { store, scans: stretches.into_iter().flatten().map(scan).collect() }
    }

    pub(crate) fn members(
        &self,
        start: Timestamp,
        version: u32,
        cell: [u8; 16],
        prefix: Option<u8>,
    ) -> Key {
        let clustering = vec![
            Value::text(self.meter),
            Value::Int(self.kept.number()),
            Value::Int(start.micros()),
            Value::Int(i64::from(version)),
            Value::Bytes(bytes::Bytes::copy_from_slice(&cell)),
            Value::Int(prefix.map_or(-1, i64::from)),
        ];
        Key { partition: self.partition(start), clustering }
    }
}

/// Rows of a range, which are read step by step.
#[derive(Debug)]
pub(crate) struct Rows<'s> {
    store: &'s dyn ReadStore,
    scans: VecDeque<Scan>,
}

impl Rows<'_> {
    /// The next ones; none of them behind the last.
    pub(crate) async fn next(&mut self) -> Result<Vec<Row>, Fault> {
        while let Some(mut scan) = self.scans.pop_front() {
            let rows = self.store.scan(scan.clone()).await?;
            if let Some(last) = rows.get(scan.rows_max - 1) {
                scan.after = Some(last.key.clustering.clone());
                self.scans.push_front(scan);
            }
            if !rows.is_empty() {
                return Ok(rows);
            }
        }
        Ok(Vec::new())
    }
}

/// Of which version of the meter a row is.
pub(crate) fn version_of(row: &Row) -> u32 {
    let version = row.key.clustering.get(3).map_or(0, Value::as_uint);
    u32::try_from(version).unwrap_or_default()
}

pub(crate) fn checkpoint_key(source: PartitionId) -> Key {
    Key { partition: vec![Value::Int(i64::from(source.0))], clustering: Vec::new() }
}

/// A row's timestamp, of what is folded up to seal `seq`.
pub(crate) fn timestamp(seq: u64) -> u64 {
    seq << 16
}
