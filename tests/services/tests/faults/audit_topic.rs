//! The audit topic as a consumer finds it: every entry of the journal, in order; what comes
//! twice is the same.

use std::collections::HashMap;

use exchequer_e2e::{Res, wait};
use exchequer_journal::Journal as _;
use exchequer_journal_kafka::KafkaJournal;
use exchequer_types::PartitionId;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::journal::Journal;
use crate::world::{PARTITIONS, told};

const READ_BYTES_MAX: usize = 4 << 20;

pub(crate) struct AuditTopic {
    log: KafkaJournal,
    next: Vec<u64>,
    /// Entries that were published, by tenant.
    published: HashMap<String, usize>,
    pub(crate) repeated: u64,
}

impl AuditTopic {
    pub(crate) fn new(log: KafkaJournal) -> Self {
        let next = vec![0; PARTITIONS as usize];
        Self { log, next, published: HashMap::new(), repeated: 0 }
    }

    /// Waits until all entries of `journal` are published; what is wrong with them.
    pub(crate) async fn compare(&mut self, journal: &mut Journal) -> Res<Vec<String>> {
        let mut wrong = Vec::new();
        let all = wait::until_async("every audit entry to be published", async || {
            self.catch_up(journal, &mut wrong).await?;
            let is_there = |(tenant, leaves): (&String, &Vec<_>)| {
                self.published.get(tenant).copied().unwrap_or(0) >= leaves.len()
            };
            Ok((!wrong.is_empty() || journal.leaves.iter().all(is_there)).then_some(()))
        });
        if let Err(late) = all.await {
            let missing = journal.leaves.iter().filter_map(|(tenant, leaves)| {
                let count = self.published.get(tenant).copied().unwrap_or(0);
                (count < leaves.len()).then(|| format!("{tenant}: {count} of {}", leaves.len()))
            });
            wrong.push(format!("{late}: {:?}", missing.take(5).collect::<Vec<_>>()));
        }
        Ok(wrong)
    }

    async fn catch_up(&mut self, journal: &mut Journal, wrong: &mut Vec<String>) -> Res<()> {
        for (partition, next) in (0..PARTITIONS).map(PartitionId).zip(&mut self.next) {
            let end = told(async || self.log.end(partition).await).await?;
            while *next < end {
                let records =
                    told(async || self.log.read(partition, *next, READ_BYTES_MAX).await).await?;
                for record in records {
                    *next = record.offset + 1;
                    let leaf: Value = serde_json::from_slice(&record.bytes).unwrap_or_default();
                    let tenant = leaf["tenant"].as_str().unwrap_or_default().to_owned();
                    let at = leaf["seq"].as_u64().unwrap_or(0) as usize;
                    let count = self.published.entry(tenant.clone()).or_default();
                    let hash: [u8; 32] = Sha256::digest(&record.bytes).into();
                    // The checks read, and their reads are audited: the journal goes on.
                    if journal.leaf(&tenant, at).is_none() {
                        journal.catch_up().await?;
                    }
                    let is_new = at == *count + 1;
                    if journal.leaf(&tenant, at) != Some(&hash) || at > *count + 1 {
                        wrong.push(format!("entry {at} of {tenant} was published behind {count}"));
                    }
                    *count += usize::from(is_new);
                    self.repeated += u64::from(!is_new);
                }
            }
        }
        Ok(())
    }
}
