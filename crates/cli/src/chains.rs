//! Verification of a journal without its server: every checksum, every
//! partition's chain by the same fold as the writer's, and on request every
//! tenant's chain of audit entries.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use exchequer_codec::decode_record;
use exchequer_journal_local::{FileError, JournalReader, OpenError, PhysicalRecord};
use exchequer_kernel::{Head, RecordHead, Verdict, fold};
use exchequer_proto::journal::v1 as pb;
use exchequer_types::{Hash, PartitionId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What a journal holds, and the first thing that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub bytes: u64,
    pub partitions: Vec<PartitionReport>,
    /// Present when audit entries were checked.
    pub audit: Option<AuditReport>,
    /// Bytes after the last whole record that nothing says were ever synced.
    pub torn_bytes: u64,
    /// The first bad record, in physical order.
    pub bad: Option<Bad>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct PartitionReport {
    pub partition: u32,
    pub records: u64,
    /// Accepted.
    pub commits: u64,
    pub seq: u64,
    /// BLAKE3 of the last accepted commit, hexadecimal.
    pub head: String,
    pub epoch: u64,
    /// By reason.
    pub ignored: BTreeMap<String, u64>,
    pub breaks: u64,
}

impl PartitionReport {
    /// Counts a record that was ignored.
    pub(crate) fn ignore(&mut self, verdict: Verdict) {
        let why = verdict.to_string();
        let why = why.strip_prefix("ignored: ").unwrap_or(&why);
        *self.ignored.entry(why.to_owned()).or_default() += 1;
    }
}

/// The tenants' chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct AuditReport {
    pub tenants: u64,
    pub entries: u64,
}

/// A record that cannot belong to this journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bad {
    pub file: PathBuf,
    /// Where its frame begins in the file.
    pub byte: u64,
    /// Absent when not even its frame can be read.
    pub partition: Option<u32>,
    pub offset: Option<u64>,
    pub reason: String,
}

/// Verifies the journal in `data`, which a server may be writing. `audit` adds
/// the tenants' chains. An error means that it could not be read at all.
pub fn verify(data: &Path, audit: bool) -> Result<Report, VerifyError> {
    let reader = JournalReader::open(data)?;
    let mut walk = Walk {
        partitions: vec![
            (Head::default(), PartitionReport::default());
            reader.partitions() as usize
        ],
        audit: audit.then(Chains::default),
        bad: None,
    };
    let mut records = reader.records();
    for record in records.by_ref() {
        match record {
            Ok(record) => walk.record(&reader, &record),
            Err(FileError::Damaged(damage)) => {
                let (file, byte, reason) = (damage.file, damage.at, damage.what);
                walk.is_bad(Bad { file, byte, partition: None, offset: None, reason });
            }
            Err(error) => return Err(error.into()),
        }
    }
    let partitions =
        (0..).zip(walk.partitions).map(|(partition, (head, report))| PartitionReport {
            partition,
            seq: head.seq,
            head: head.hash.to_hex(),
            epoch: head.epoch(),
            ..report
        });
    Ok(Report {
        bytes: reader.bytes(),
        partitions: partitions.collect(),
        audit: walk.audit.map(|chains| AuditReport {
            tenants: chains.by_tenant.len() as u64,
            entries: chains.entries,
        }),
        torn_bytes: records.torn().map_or(0, |torn| torn.bytes),
        bad: walk.bad,
    })
}

/// The journal could not be read.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    File(#[from] FileError),
}

struct Walk {
    partitions: Vec<(Head, PartitionReport)>,
    audit: Option<Chains>,
    bad: Option<Bad>,
}

impl Walk {
    fn record(&mut self, reader: &JournalReader, record: &PhysicalRecord) {
        let (read, hash, commit) = decode_record(record.partition, &record.bytes);
        let (head, report) = &mut self.partitions[record.partition.index()];
        let verdict = fold(head, &read, &hash);
        report.records += 1;
        let mut reason = None;
        match verdict {
            Verdict::Accepted => {
                report.commits += u64::from(matches!(read, RecordHead::Commit { .. }));
                if let (Some(chains), Some(commit)) = (&mut self.audit, commit) {
                    reason = chains.follow(record.partition, &commit).err();
                }
            }
            Verdict::Ignorable(_) => {
                report.ignore(verdict);
            }
            Verdict::Break(_) => {
                report.breaks += 1;
                reason = Some(verdict.to_string());
            }
        }
        if let Some(reason) = reason {
            self.is_bad(Bad {
                file: reader.file(record.segment).unwrap_or_default(),
                byte: record.position,
                partition: Some(record.partition.0),
                offset: Some(record.offset),
                reason,
            });
        }
    }

    fn is_bad(&mut self, bad: Bad) {
        self.bad.get_or_insert(bad);
    }
}

/// The end of each tenant's chain.
#[derive(Debug, Default)]
struct Chains {
    by_tenant: HashMap<String, End>,
    entries: u64,
}

#[derive(Debug)]
struct End {
    partition: PartitionId,
    seq: u64,
    hash: Hash,
}

/// What a leaf says of its own place.
#[derive(Deserialize)]
struct Leaf<'a> {
    #[serde(borrow)]
    tenant: std::borrow::Cow<'a, str>,
    seq: u64,
    prev: std::borrow::Cow<'a, str>,
}

impl Chains {
    fn follow(&mut self, partition: PartitionId, commit: &pb::Commit) -> Result<(), String> {
        for entry in &commit.audit {
            let leaf: Leaf<'_> = serde_json::from_slice(&entry.leaf).map_err(|_| {
                format!("audit entry {} of {} is no entry", entry.seq, entry.tenant)
            })?;
            let end = self.by_tenant.get(&entry.tenant);
            let (seq, prev) = end.map_or((0, Hash::ZERO), |end| (end.seq, end.hash));
            let at = format!("audit entry {} of {}", entry.seq, entry.tenant);
            if end.is_some_and(|end| end.partition != partition) {
                return Err(format!("{at} is on another partition than the one before"));
            }
            if entry.seq != seq + 1 || leaf.seq != entry.seq || leaf.tenant != entry.tenant {
                return Err(format!("{at} does not follow entry {seq}"));
            }
            if leaf.prev != prev.to_hex() {
                return Err(format!("{at} does not name the hash of the one before"));
            }
            let hash = Hash(Sha256::digest(&entry.leaf).into());
            let end = End { partition, seq: entry.seq, hash };
            self.by_tenant.insert(entry.tenant.clone(), end);
            self.entries += 1;
        }
        Ok(())
    }
}
