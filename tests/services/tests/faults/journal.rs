//! The journal as a reader finds it that was there all the time: the fold of every
//! partition, what became of each command, and the tenants' chains of audit entries.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use exchequer_codec::{Entry, decode_record};
use exchequer_e2e::Res;
use exchequer_journal::Journal as _;
use exchequer_journal_kafka::KafkaJournal;
use exchequer_kernel::{Head, Verdict, fold};
use exchequer_proto::journal::v1 as pb;
use exchequer_types::{Hash, PartitionId};
use prost::Message as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::load::Kept;
use crate::world::{PARTITIONS, told};

const READ_BYTES_MAX: usize = 4 << 20;
/// Commands that callers send; timers and processes have names of their own.
const CALLERS: &str = "api";

/// Everything so far.
pub(crate) struct Journal {
    log: KafkaJournal,
    heads: Vec<Head>,
    /// Accepted, by tenant and id.
    accepted: BTreeMap<(String, String), u32>,
    /// The hash of each audit entry, by tenant.
    pub(crate) leaves: HashMap<String, Vec<[u8; 32]>>,
    /// Audit entries by tenant and command.
    entries: HashMap<(String, String), usize>,
    /// Every input of `commands` below it is decided, by partition.
    lows: Vec<u64>,
    /// Accepted commits that nobody has taken yet.
    fresh: Vec<Entry>,
    pub(crate) ignored: u64,
    pub(crate) claims: u64,
    pub(crate) commits: u64,
    /// What cannot be, in words.
    pub(crate) wrong: Vec<String>,
}

impl Journal {
    pub(crate) fn new(log: KafkaJournal) -> Self {
        Self {
            log,
            heads: vec![Head::default(); PARTITIONS as usize],
            accepted: BTreeMap::new(),
            leaves: HashMap::new(),
            entries: HashMap::new(),
            lows: vec![0; PARTITIONS as usize],
            fresh: Vec::new(),
            ignored: 0,
            claims: 0,
            commits: 0,
            wrong: Vec::new(),
        }
    }

    /// Reads on to the present end.
    pub(crate) async fn catch_up(&mut self) -> Res<()> {
        for partition in (0..PARTITIONS).map(PartitionId) {
            let end = told(async || self.log.end(partition).await).await?;
            while self.heads[partition.index()].offset < end {
                let from = self.heads[partition.index()].offset;
                let records =
                    told(async || self.log.read(partition, from, READ_BYTES_MAX).await).await?;
                for record in records {
                    self.record(partition, &record.bytes);
                }
            }
        }
        Ok(())
    }

    /// Folds the next record of a partition.
    pub(crate) fn record(&mut self, partition: PartitionId, bytes: &bytes::Bytes) {
        let head = &mut self.heads[partition.index()];
        let offset = head.offset;
        let (record, hash, commit) = decode_record(partition, bytes);
        match (fold(head, &record, &hash), commit) {
            (Verdict::Accepted, Some(commit)) => self.commit(partition, offset, hash, commit),
            (Verdict::Accepted, None) => self.claims += 1,
            (Verdict::Ignorable(_), _) => self.ignored += 1,
            (verdict @ Verdict::Break(_), _) => {
                self.wrong.push(format!("record {offset} of partition {partition}: {verdict}"));
            }
        }
    }

    fn commit(&mut self, partition: PartitionId, offset: u64, hash: Hash, commit: pb::Commit) {
        self.commits += 1;
        if let Some(lane) = commit.progress.first() {
            self.lows[partition.index()] = lane.low;
        }
        let ids: Vec<Option<(String, String)>> = commit.inputs.iter().map(identity).collect();
        for (id, outcome) in ids.iter().zip(&commit.outcomes) {
            if let (Some(id), pb::OutcomeStatus::Accepted) = (id, outcome.status()) {
                *self.accepted.entry(id.clone()).or_default() += 1;
            }
        }
        for entry in &commit.audit {
            self.follow(entry);
            if let Some(Some(id)) = ids.get(entry.input as usize) {
                *self.entries.entry(id.clone()).or_default() += 1;
            }
        }
        self.fresh.push(Entry { partition, offset, hash, commit: Arc::new(commit) });
    }

    /// Each entry names the hash of the one before, and none is missing.
    fn follow(&mut self, entry: &pb::AuditEntry) {
        let leaves = self.leaves.entry(entry.tenant.clone()).or_default();
        let before = leaves.last().map_or_else(|| "0".repeat(64), |it| Hash(*it).to_hex());
        let leaf: Value = serde_json::from_slice(&entry.leaf).unwrap_or_default();
        let is_next = entry.seq == leaves.len() as u64 + 1 && leaf["seq"] == entry.seq;
        if !is_next || leaf["prev"] != before || leaf["tenant"] != entry.tenant {
            let (tenant, seq) = (&entry.tenant, entry.seq);
            self.wrong.push(format!("audit entry {seq} of {tenant} does not follow: {leaf}"));
        }
        leaves.push(Sha256::digest(&entry.leaf).into());
    }

    /// The hash of a tenant's audit entry with that number, from 1 on.
    pub(crate) fn leaf(&self, tenant: &str, seq: usize) -> Option<&[u8; 32]> {
        self.leaves.get(tenant)?.get(seq.checked_sub(1)?)
    }

    /// Every input of `commands` below it is decided.
    pub(crate) fn low(&self, partition: u32) -> u64 {
        self.lows[partition as usize]
    }

    /// Accepted commits since the last call.
    pub(crate) fn take_fresh(&mut self) -> Vec<Entry> {
        core::mem::take(&mut self.fresh)
    }

    /// The last head's hash of each partition.
    pub(crate) fn ends(&self) -> Vec<(u64, Hash)> {
        self.heads.iter().map(|head| (head.offset, head.hash)).collect()
    }

    /// What differs from what was acknowledged of tenants whose names begin so.
    pub(crate) fn compare(&self, prefix: &str, kept: &[Kept]) -> Vec<String> {
        let mut wrong = self.wrong.clone();
        for Kept { tenant, id, entries } in kept {
            let key = (tenant.clone(), id.clone());
            match self.accepted.get(&key).copied().unwrap_or(0) {
                1 => {}
                times => wrong.push(format!(
                    "{id} of {tenant} was acknowledged, and is {times} times in the journal"
                )),
            }
            let found = self.entries.get(&key).copied().unwrap_or(0);
            if found != *entries {
                wrong.push(format!("{id} of {tenant} has {found} audit entries, not {entries}"));
            }
        }
        let from = (prefix.to_owned(), String::new());
        let own = self.accepted.range(from..).take_while(|(key, _)| key.0.starts_with(prefix));
        let count = own.count();
        if count != kept.len() {
            let sent = kept.len();
            wrong.push(format!("{count} commands of {prefix} were accepted, of {sent} sent"));
        }
        wrong
    }
}

/// Tenant and id of what a caller sent.
fn identity(input: &pb::Input) -> Option<(String, String)> {
    let sealed = pb::SealedCommand::decode(input.command.clone()).ok()?;
    let envelope = pb::Envelope::decode(sealed.envelope).ok()?;
    (envelope.issuer == CALLERS).then_some((envelope.stream, envelope.id))
}
