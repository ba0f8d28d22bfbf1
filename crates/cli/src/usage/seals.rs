//! The seals of all partitions, folded: which count, and where each stands.

use std::collections::VecDeque;

use exchequer_codec::usage::decode_seal;
use exchequer_journal_local::{FileError, JournalReader};
use exchequer_kernel::{Head, RecordHead, Verdict, fold};
use exchequer_proto::usage::v1 as pb;
use exchequer_types::{Hash, Offset};

use super::{Place, Walk};
use crate::chains::{Bad, PartitionReport, VerifyError};

/// An accepted seal.
#[derive(Debug)]
pub(super) struct SealAt {
    pub(super) seal: pb::Seal,
    pub(super) hash: Hash,
    /// In the seals' partition.
    pub(super) offset: Offset,
    pub(super) place: Place,
}

/// What the walk over the seals gives.
#[derive(Debug)]
pub(super) struct Seals {
    /// By partition, in their order.
    pub(super) accepted: Vec<VecDeque<SealAt>>,
    pub(super) reports: Vec<PartitionReport>,
    pub(super) torn_bytes: u64,
}

/// Reads and folds all seals. What is wrong is told to `walk`.
pub(super) fn read(reader: &JournalReader, walk: &mut Walk) -> Result<Seals, VerifyError> {
    let partitions = reader.partitions() as usize;
    let mut heads = vec![Head::default(); partitions];
    let mut reports = vec![PartitionReport::default(); partitions];
    let mut accepted: Vec<VecDeque<SealAt>> = (0..partitions).map(|_| VecDeque::new()).collect();
    let mut records = reader.records();
    for record in records.by_ref() {
        let record = match record {
            Ok(record) => record,
            Err(FileError::Damaged(damage)) => {
                walk.damaged(damage);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let index = record.partition.index();
        let (head, report) = (&mut heads[index], &mut reports[index]);
        let (read, hash, seal) = decode_seal(record.partition, &record.bytes);
        let verdict = fold(head, &read, &hash);
        report.records += 1;
        let file = reader.file(record.segment).unwrap_or_default();
        match verdict {
            Verdict::Accepted => {
                report.commits += u64::from(matches!(read, RecordHead::Commit { .. }));
                if let Some(seal) = seal {
                    let place = Place { file, byte: record.position };
                    accepted[index].push_back(SealAt { seal, hash, offset: record.offset, place });
                }
            }
            Verdict::Ignorable(_) => report.ignore(verdict),
            Verdict::Break(_) => {
                report.breaks += 1;
                walk.is_bad(Bad {
                    file,
                    byte: record.position,
                    partition: Some(record.partition.0),
                    offset: Some(record.offset),
                    reason: verdict.to_string(),
                });
            }
        }
    }
    for (partition, (head, report)) in (0..).zip(heads.iter().zip(&mut reports)) {
        report.partition = partition;
        report.seq = head.seq;
        report.head = head.hash.to_hex();
        report.epoch = head.epoch();
    }
    let torn_bytes = records.torn().map_or(0, |torn| torn.bytes);
    Ok(Seals { accepted, reports, torn_bytes })
}
