//! `exchequer.audit.v1.AuditService`.

use exchequer_projection_audit::{self as view, AuditEntry};
use exchequer_proto::audit::v1 as pb;
use exchequer_proto::audit::v1::audit_service_server::AuditService;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_types::StreamId;
use futures::stream::BoxStream;
use prost::Message;
use tonic::{Request, Response, Status, async_trait};

use crate::audit_drafts::{self, Given};
use crate::call::Call;
use crate::check::Check;
use crate::edge::{Asked, Edge};
use crate::lists::list_options;
use crate::status::{self, FIELD_MISSING};
use crate::{messages, tail};

#[derive(Debug)]
pub(crate) struct Audit {
    pub(crate) edge: Edge,
}

type Reply<T> = Result<Response<T>, Status>;

#[async_trait]
impl AuditService for Audit {
    type TailEntriesStream = BoxStream<'static, Result<pb::TailEntriesResponse, Status>>;

    async fn append_entry(
        &self,
        request: Request<pb::AppendEntryRequest>,
    ) -> Reply<pb::AppendEntryResponse> {
        let (mut call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        if it.entry.is_none() {
            check.refuse(FIELD_MISSING, "entry", "must be given");
        }
        let given = it.entry.into_iter().map(|entry| Given::read(&mut check, "entry", entry));
        let given = given.collect();
        let result = self.append(&mut call, check, it.tenant, it.write, given, of_entry).await;
        call.reply(result)
    }

    async fn batch_append_entries(
        &self,
        request: Request<pb::BatchAppendEntriesRequest>,
    ) -> Reply<pb::BatchAppendEntriesResponse> {
        let (mut call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let entries = it.entries.into_iter().enumerate();
        let entries = entries
            .map(|(index, entry)| Given::read(&mut check, &format!("entries[{index}]"), entry))
            .collect();
        let result = self.append(&mut call, check, it.tenant, it.write, entries, of_entries).await;
        // The reply of a single entry leaves the count out.
        let result = result.map(|it: pb::BatchAppendEntriesResponse| {
            pb::BatchAppendEntriesResponse { count: it.count.max(1), ..it }
        });
        call.reply(result)
    }

    async fn list_entries(
        &self,
        request: Request<pb::ListEntriesRequest>,
    ) -> Reply<pb::ListEntriesResponse> {
        self.edge.serve(request, async |call, it| self.list(call, it).await).await
    }

    async fn tail_entries(
        &self,
        request: Request<pb::TailEntriesRequest>,
    ) -> Reply<Self::TailEntriesStream> {
        let (call, it) = self.edge.receive(request)?;
        let result = tail::start(&self.edge, &call, it).await;
        call.reply(result)
    }
}

impl Audit {
    async fn append<R: Message + Default>(
        &self,
        call: &mut Call,
        mut check: Check,
        tenant: String,
        write: Option<WriteOptions>,
        given: Vec<Given>,
        rename: fn(&str) -> String,
    ) -> Result<R, Status> {
        let tenant = check.tenant("tenant", tenant);
        let write = check.write(write);
        check.done()?;
        let (command, digest_of) = audit_drafts::append(&self.edge, &tenant, given).await?;
        let asked = Asked { stream: StreamId::Tenant(tenant), command, write, rename };
        self.edge.submit_digested(call, asked, digest_of).await
    }

    async fn list(
        &self,
        call: &mut Call,
        it: pb::ListEntriesRequest,
    ) -> Result<pb::ListEntriesResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        let filter = view::Filter {
            from: check.timestamp("from", it.from),
            to: check.timestamp("to", it.to),
            actor: given(it.actor),
            action: given(it.action),
            resource_type: given(it.resource_type),
            resource_id: given(it.resource_id),
        };
        let of = [tenant.as_str(), &format!("{filter:?}")];
        let place = |text: &str| text.parse().ok();
        let list = check.list::<pb::Entry, u64>("ListEntries", &of, list_options!(it), place);
        check.done()?;
        self.edge.check_tenant(call, &tenant, "tenant").await?;
        let seen = self.edge.view(call, "audit").await?;
        let partition = self.edge.partition(&tenant);
        let offset = seen.handle.active().progress().offsets[partition.index()];
        call.has_seen(partition, offset);
        let store = self.edge.platform.ports.store.as_ref();
        let is_wanted = |entry: &AuditEntry| list.wants(|| messages::entry(entry.clone()));
        let wanted = view::Wanted { filter: &filter, also: &is_wanted };
        let page =
            view::list(store, seen.generation, &tenant, wanted, list.place, list.limit).await;
        let page = page.map_err(|fault| status::of_fault(&fault))?;
        let mut entries = Vec::with_capacity(page.entries.len());
        for entry in page.entries {
            let mut entry = messages::entry(entry);
            self.edge.reveal_entry(&mut entry).await?;
            entries.push(entry);
        }
        let next_page_token = list.token(page.next);
        Ok(pb::ListEntriesResponse { next_page_token, entries: list.items(entries)? })
    }
}

/// A request of one entry has it by itself.
fn of_entry(field: &str) -> String {
    match field.strip_prefix("entries[0]") {
        Some(part) => format!("entry{part}"),
        None => of_entries(field),
    }
}

fn of_entries(field: &str) -> String {
    match field {
        "id" => "tenant",
        same => same,
    }
    .to_owned()
}
