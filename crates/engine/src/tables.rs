//! The engine's own tables: state written behind, the index of identities,
//! checkpoints and cursors.

use bytes::Bytes;
use exchequer_codec::{DecodeError, head_from_proto, head_to_proto};
use exchequer_kernel::Head;
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::{Column, Key, Kind, Table, Value, Write};
use exchequer_types::PartitionId;
use prost::Message;

use crate::failures::FAILURES;
use crate::identities::IndexTables;

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

const fn blob(name: &'static str) -> Column {
    Column { name, kind: Kind::Bytes }
}

/// All of them, for a store that creates and checks its tables.
pub const TABLES: &[&Table] = &[
    &CELLS,
    &IDENTITY_RUNS,
    &IDENTITY_PAGES,
    &IDENTITY_FILTERS,
    &PARTITIONS,
    &READERS,
    &VIEWS,
    &FAILURES,
    &USAGE_IDENTITY_RUNS,
    &USAGE_IDENTITY_PAGES,
    &USAGE_IDENTITY_FILTERS,
    &USAGE_ADOPTED,
    &USAGE_CORRECTIONS,
];

/// State of streams, by the version of the fold that made it.
pub(crate) static CELLS: Table = Table {
    name: "cells",
    partition_key: &[text("stream"), int("fold_version")],
    clustering: &[],
    columns: &[int("seq"), blob("state")],
};

/// Sorted entries of the identity index that no block holds yet.
pub(crate) static IDENTITY_RUNS: Table = Table {
    name: "identity_runs",
    partition_key: &[int("partition")],
    clustering: &[int("run")],
    columns: &[blob("entries")],
};

/// Pages of the identity index's blocks.
pub(crate) static IDENTITY_PAGES: Table = Table {
    name: "identity_pages",
    partition_key: &[int("partition"), int("block")],
    clustering: &[int("page")],
    columns: &[blob("entries")],
};

/// Each block's filter and the first identity of each page.
pub(crate) static IDENTITY_FILTERS: Table = Table {
    name: "identity_filters",
    partition_key: &[int("partition"), int("block")],
    clustering: &[],
    columns: &[blob("filter"), blob("pages")],
};

/// The index of command identities.
pub(crate) static COMMAND_IDENTITIES: IndexTables =
    IndexTables { runs: &IDENTITY_RUNS, pages: &IDENTITY_PAGES, filters: &IDENTITY_FILTERS };

/// Deciders' checkpoints.
pub(crate) static PARTITIONS: Table = Table {
    name: "partitions",
    partition_key: &[int("partition"), int("fold_version")],
    clustering: &[],
    columns: &[blob("checkpoint")],
};

/// Where each generation of a view, and each cursor of a consumer, stands.
pub(crate) static READERS: Table = Table {
    name: "readers",
    partition_key: &[text("reader")],
    clustering: &[int("generation"), int("partition")],
    columns: &[int("position"), int("seq"), blob("head")],
};

/// Which generation of a view is read, and which fold made it.
pub(crate) static VIEWS: Table = Table {
    name: "views",
    partition_key: &[text("view")],
    clustering: &[],
    columns: &[int("active"), int("latest"), int("fold_version"), int("latest_fold_version")],
};

/// Of the timestamp of a writer's checkpoint: how far it is; the claim's epoch is above it.
const CHECKPOINT_BITS: u32 = 40;

/// The timestamp of a checkpoint that is at `at`, a sequence number or an offset: a leader's
/// stands above those of all before it, and of whoever has yet to lead, however far these
/// have read, for it may delete what theirs name.
pub(crate) fn checkpoint_stamp((epoch, leads): (u64, bool), at: u64) -> u64 {
    let leads = u64::from(leads) << (CHECKPOINT_BITS - 1);
    (epoch << CHECKPOINT_BITS) | leads | at
}

/// The epoch under which a checkpoint with this timestamp was written.
pub(crate) fn checkpoint_epoch(stamp: u64) -> u64 {
    stamp >> CHECKPOINT_BITS
}

pub(crate) fn partition_value(partition: PartitionId) -> Value {
    Value::Int(i64::from(partition.0))
}

pub(crate) fn reader_key(reader: &str, generation: u64, partition: PartitionId) -> Key {
    Key {
        partition: vec![Value::text(reader)],
        clustering: vec![Value::uint(generation), partition_value(partition)],
    }
}

/// The write that says where a reader stands.
pub(crate) fn reader_write(
    reader: &str,
    generation: u64,
    partition: PartitionId,
    head: &Head,
) -> Write {
    let bytes = Bytes::from(head_to_proto(head).encode_to_vec());
    Write {
        table: &READERS,
        generation: 0,
        key: reader_key(reader, generation, partition),
        values: Some(vec![Value::uint(head.offset), Value::uint(head.seq), Value::Bytes(bytes)]),
        timestamp: head.offset,
    }
}

/// Where a reader stands, from its row.
pub(crate) fn reader_head(values: &[Value]) -> Result<Head, DecodeError> {
    let bytes = values.get(2).map(Value::as_bytes).unwrap_or_default();
    head_from_proto(&pb::ReaderHead::decode(bytes)?)
}

/// As [`IDENTITY_RUNS`], of usage.
pub(crate) static USAGE_IDENTITY_RUNS: Table = Table {
    name: "usage_identity_runs",
    partition_key: &[int("partition")],
    clustering: &[int("run")],
    columns: &[blob("entries")],
};

/// As [`IDENTITY_PAGES`], of usage.
pub(crate) static USAGE_IDENTITY_PAGES: Table = Table {
    name: "usage_identity_pages",
    partition_key: &[int("partition"), int("block")],
    clustering: &[int("page")],
    columns: &[blob("entries")],
};

/// As [`IDENTITY_FILTERS`], of usage.
pub(crate) static USAGE_IDENTITY_FILTERS: Table = Table {
    name: "usage_identity_filters",
    partition_key: &[int("partition"), int("block")],
    clustering: &[],
    columns: &[blob("filter"), blob("pages")],
};

/// The index of the identities of usage events.
pub(crate) static USAGE_IDENTITIES: IndexTables = IndexTables {
    runs: &USAGE_IDENTITY_RUNS,
    pages: &USAGE_IDENTITY_PAGES,
    filters: &USAGE_IDENTITY_FILTERS,
};

/// What a meter took over from the journal, by the seal that names it, with the offset of
/// the usage log from which it is in force.
pub(crate) static USAGE_ADOPTED: Table = Table {
    name: "usage_adopted",
    partition_key: &[int("partition")],
    clustering: &[int("seal"), int("index")],
    columns: &[int("from"), blob("adopted")],
};

/// Corrections that took effect, by the identity of the event that they are about: where
/// they stand in the usage log.
pub(crate) static USAGE_CORRECTIONS: Table = Table {
    name: "usage_corrections",
    partition_key: &[int("partition"), blob("identity")],
    clustering: &[int("offset")],
    columns: &[],
};
