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
pub const GENERATION: Generation = 4;

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

/// The first cells of a tenant in a block of time, of all its meters, see `common`: all that a
/// tenant with little use has.
pub static USAGE_COMMON: Table = Table {
    name: "usage_common",
    partition_key: &[
        text("tenant"),
        int("source_partition"),
        // Start of the stretch of time: 13 weeks.
        int("stretch"),
    ],
    // As of `usage_windows`, of a block. Grain -1: how many records of an hour of receipt had
    // which fate.
    clustering: &[int("grain"), int("start")],
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
        // 1 where rows that were put together anew are not yet those of the seal.
        int("unsettled"),
    ],
};

/// All tables that a meter writes through this view.
pub const TABLES: &[&Table] = &[
    &USAGE_COMMON,
    &USAGE_WINDOWS,
    &USAGE_SETS,
    &USAGE_CHECKPOINTS,
    &USAGE_FATES,
    &USAGE_LISTED,
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

/// In place of a length of windows.
const RECEIPT: i64 = -1;
const WEEK_MICROS: i64 = 7 * 24 * 3_600 * 1_000_000;
/// Of rows that all meters of a tenant share: long enough that what a flush adds to all lengths
/// of windows mostly lies in one.
const COMMON_STRETCH_MICROS: i64 = 13 * WEEK_MICROS;

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
        self.whole_block(start).start
    }

    /// The block: windows that begin in it share a row.
    pub(crate) fn whole_block(self, start: Timestamp) -> Period {
        match self {
            Self::Minute => Grain::Hour.window(start),
            Self::Hour => Grain::Day.window(start),
            Self::Day | Self::Month => Grain::Month.window(start),
            Self::Period => {
                let end = Timestamp::saturating_from_micros(start.micros() + 1);
                Period { start, end }
            }
        }
    }

    /// Start of the stretch of time, in microseconds, whose rows lie together with that of
    /// the window which begins at `start`: the whole block is in it.
    pub(crate) fn stretch(self, start: Timestamp) -> i64 {
        self.stretch_of(start, self.stretch_micros())
    }

    fn stretch_of(self, start: Timestamp, length: i64) -> i64 {
        let block = self.block(start).micros();
        block - block.rem_euclid(length)
    }

    /// All stretches of `length` in which the blocks of a range are; none of a range that ends
    /// before it begins.
    fn stretches(
        self,
        (from, to): (Timestamp, Timestamp),
        length: i64,
    ) -> impl Iterator<Item = i64> {
        let all = (from < to).then(|| {
            let before = Timestamp::saturating_from_micros(to.micros() - 1);
            let first = self.stretch_of(from, length);
            let count = (self.stretch_of(before, length) - first) / length;
            (0..=count).map(move |at| first + at * length)
        });
        all.into_iter().flatten()
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

    /// The one with this number.
    pub(crate) fn numbered(number: i64) -> Option<Self> {
        match u8::try_from(number) {
            Ok(bucket) => (bucket < BUCKETS).then_some(Self::Subjects(bucket)),
            Err(_) => (number == Self::Totals.number()).then_some(Self::Totals),
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
        let stretches = self.kept.stretches((from, to), self.kept.stretch_micros());
        Rows { store, scans: stretches.map(scan).collect() }
    }

    /// The row of a block that all meters of the tenant share.
    pub(crate) fn common(&self, block: Timestamp) -> Key {
        let partition = common_partition(self.tenant.as_str(), self.source, common_stretch(block));
        Key { partition, clustering: common_clustering(self.kept, block) }
    }

    /// Those of all blocks whose windows may begin in a range, as [`Self::rows`].
    pub(crate) fn common_rows<'s>(
        &self,
        store: &'s dyn ReadStore,
        (from, to): (Timestamp, Timestamp),
        rows_max: usize,
    ) -> Rows<'s> {
        let ends =
            (common_clustering(self.kept, self.kept.block(from)), common_clustering(self.kept, to));
        let stretches = self.kept.stretches((from, to), COMMON_STRETCH_MICROS);
        Rows::common(store, (self.tenant.as_str(), self.source), stretches, &ends, rows_max)
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

/// Start of the stretch of time, in microseconds, whose common rows lie together with those
/// that begin at `start`.
pub(crate) fn common_stretch(start: Timestamp) -> i64 {
    start.micros() - start.micros().rem_euclid(COMMON_STRETCH_MICROS)
}

pub(crate) fn common_partition(tenant: &str, source: PartitionId, stretch: i64) -> Vec<Value> {
    vec![Value::text(tenant), Value::Int(i64::from(source.0)), Value::Int(stretch)]
}

/// Of cells.
pub(crate) fn common_clustering(kept: Kept, block: Timestamp) -> Vec<Value> {
    vec![Value::Int(kept.number()), Value::Int(block.micros())]
}

/// Of counts by fate.
pub(crate) fn receipt_clustering(hour: Timestamp) -> Vec<Value> {
    vec![Value::Int(RECEIPT), Value::Int(hour.micros())]
}

/// Rows of counts by fate of the hours in a range, up to `rows_max` in each step.
pub(crate) fn receipt_rows<'s>(
    store: &'s dyn ReadStore,
    (tenant, source): (&str, PartitionId),
    (from, to): (Timestamp, Timestamp),
    rows_max: usize,
) -> Rows<'s> {
    let stretches = Kept::Hour.stretches((from, to), COMMON_STRETCH_MICROS);
    let ends = (receipt_clustering(from), receipt_clustering(to));
    Rows::common(store, (tenant, source), stretches, &ends, rows_max)
}

/// Rows of a range, which are read step by step.
#[derive(Debug)]
pub(crate) struct Rows<'s> {
    store: &'s dyn ReadStore,
    scans: VecDeque<Scan>,
}

impl<'s> Rows<'s> {
    fn common(
        store: &'s dyn ReadStore,
        (tenant, source): (&str, PartitionId),
        stretches: impl Iterator<Item = i64>,
        (from, to): &(Vec<Value>, Vec<Value>),
        rows_max: usize,
    ) -> Self {
        let scan = |stretch| {
            let partition = common_partition(tenant, source, stretch);
            let mut scan = Scan::of(&USAGE_COMMON, GENERATION, partition, rows_max);
            (scan.from, scan.to) = (Some(from.clone()), Some(to.clone()));
            scan
        };
        Self { store, scans: stretches.map(scan).collect() }
    }

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
