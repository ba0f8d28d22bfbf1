//! The live tail of a tenant's audit log. It reads on only as fast as its
//! reader takes, so nothing piles up for a slow one.

use std::collections::VecDeque;
use std::sync::Arc;

use exchequer_engine::{Progressed, ViewHandle};
use exchequer_projection_audit as view;
use exchequer_proto::audit::v1 as pb;
use exchequer_types::{PartitionId, TenantId};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tonic::Status;

use crate::call::Call;
use crate::check::Check;
use crate::edge::Edge;
use crate::status::{self, CURSOR_INVALID};
use crate::{messages, pages};

/// Entries read at once.
const ENTRIES_AHEAD_MAX: usize = 128;

type Item = Result<pb::TailEntriesResponse, Status>;

struct Tail {
    edge: Edge,
    handle: Arc<ViewHandle>,
    tenant: TenantId,
    partition: PartitionId,
    /// Of the last entry that was read.
    seq: u64,
    ahead: VecDeque<view::AuditEntry>,
    over: bool,
}

/// Entries behind the request's cursor, then those to come.
pub(crate) async fn start(
    edge: &Edge,
    call: &Call,
    it: pb::TailEntriesRequest,
) -> Result<BoxStream<'static, Item>, Status> {
    let mut check = Check::default();
    let tenant = check.tenant("tenant", it.tenant);
    let mut seq = 0;
    if !it.cursor.is_empty() {
        seq = read_cursor(&tenant, &it.cursor).unwrap_or_else(|| {
            check.refuse(CURSOR_INVALID, "cursor", "must be one that this tenant's tail gave");
            0
        });
    }
    check.done()?;
    edge.check_tenant(call, &tenant, "tenant").await?;
    let handle = edge.view(call, "audit").await?.handle;
    let partition = edge.partition(&tenant);
    let ahead = VecDeque::new();
    let tail = Tail { edge: edge.clone(), handle, tenant, partition, seq, ahead, over: false };
    Ok(futures::stream::unfold(tail, Tail::next).boxed())
}

impl Tail {
    async fn next(mut self) -> Option<(Item, Self)> {
        if self.over {
            return None;
        }
        loop {
            if let Some(entry) = self.ahead.pop_front() {
                let cursor = cursor(&self.tenant, entry.seq);
                let mut entry = messages::entry(entry);
                if let Err(status) = self.edge.reveal_entry(&mut entry).await {
                    self.over = true;
                    return Some((Err(status), self));
                }
                let entry = Some(entry);
                return Some((Ok(pb::TailEntriesResponse { entry, cursor }), self));
            }
            if let Err(status) = self.read().await {
                self.over = true;
                return Some((Err(status), self));
            }
        }
    }

    /// Reads what is there, or waits until there may be something.
    async fn read(&mut self) -> Result<(), Status> {
        let generation = self.handle.active();
        // Before the rows: what is written meanwhile ends the wait.
        let progress = generation.progress();
        let store = self.edge.platform.ports.store.as_ref();
        let entries =
            view::after(store, generation.number, &self.tenant, self.seq, ENTRIES_AHEAD_MAX).await;
        match entries {
            Err(fault) => return Err(status::of_fault(&fault)),
            Ok(entries) if entries.is_empty() => self.wait(progress, generation.number).await?,
            Ok(entries) => {
                self.seq = entries.last().map_or(self.seq, |entry| entry.seq);
                self.ahead = entries.into();
            }
        }
        Ok(())
    }

    /// Until the view has folded more of the tenant's partition, or is another one.
    async fn wait(&mut self, mut seen: Progressed, generation: u64) -> Result<(), Status> {
        let own = |progress: &Progressed| progress.offsets.get(self.partition.index()).copied();
        let before = own(&seen);
        let mut stopping = self.edge.stopping.clone();
        loop {
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => return Err(status::shutting_down()),
                () = self.handle.progressed(&seen) => {}
            }
            let active = self.handle.active();
            seen = active.progress();
            if active.number != generation || own(&seen) != before {
                return Ok(());
            }
        }
    }
}

fn cursor(tenant: &TenantId, seq: u64) -> String {
    pages::seal(&["tail", tenant.as_str()], &seq.to_string())
}

fn read_cursor(tenant: &TenantId, text: &str) -> Option<u64> {
    pages::open(&["tail", tenant.as_str()], text)?.parse().ok()
}
