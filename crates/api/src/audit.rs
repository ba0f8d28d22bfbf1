//! `exchequer.audit.v1.AuditService`.

use exchequer_domain_audit as domain;
use exchequer_projection_audit as view;
use exchequer_proto::audit::v1 as pb;
use exchequer_proto::audit::v1::audit_service_server::AuditService;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_tenant::Command;
use exchequer_types::StreamId;
use futures::stream::BoxStream;
use tonic::{Request, Response, Status, async_trait};

use crate::call::Call;
use crate::check::Check;
use crate::edge::{Asked, Edge};
use crate::status::{self, FIELD_MISSING};
use crate::{messages, pages, tail};

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
        let entries = it.entry.into_iter().map(|entry| draft(&mut check, "entry", entry)).collect();
        let asked = asked(check, it.tenant, it.write, entries, of_entry);
        let result = match asked {
            Ok(asked) => self.edge.submit(&mut call, asked).await,
            Err(refused) => Err(refused),
        };
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
            .map(|(index, entry)| draft(&mut check, &format!("entries[{index}]"), entry))
            .collect();
        let asked = asked(check, it.tenant, it.write, entries, of_entries);
        let result = match asked {
            Ok(asked) => self.edge.submit(&mut call, asked).await,
            Err(refused) => Err(refused),
        };
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
        let (mut call, it) = self.edge.receive(request)?;
        let result = self.list(&mut call, it).await;
        call.reply(result)
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
    async fn list(
        &self,
        call: &mut Call,
        it: pb::ListEntriesRequest,
    ) -> Result<pb::ListEntriesResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let limit = check.page_size(it.page_size);
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        let filter = view::Filter {
            from: check.timestamp("from", it.from),
            to: check.timestamp("to", it.to),
            actor: given(it.actor),
            action: given(it.action),
            resource_type: given(it.resource_type),
            resource_id: given(it.resource_id),
        };
        let narrowed = format!("{filter:?}");
        let scope = ["entries", tenant.as_str(), &narrowed];
        let before = check.page_token(&scope, &it.page_token, |text| text.parse().ok());
        check.done()?;
        self.edge.check_tenant(call, &tenant, "tenant").await?;
        let seen = self.edge.view(call, "audit").await?;
        let partition = self.edge.partition(&tenant);
        let offset = seen.handle.active().progress().offsets[partition.index()];
        call.has_seen(partition, offset);
        let store = self.edge.platform.ports.store.as_ref();
        let page = view::list(store, seen.generation, &tenant, &filter, before, limit).await;
        let page = page.map_err(|fault| status::of_fault(&fault))?;
        Ok(pb::ListEntriesResponse {
            next_page_token: page
                .next
                .map(|seq| pages::seal(&scope, &seq.to_string()))
                .unwrap_or_default(),
            entries: page.entries.into_iter().map(messages::entry).collect(),
        })
    }
}

fn asked(
    mut check: Check,
    tenant: String,
    write: Option<WriteOptions>,
    entries: Vec<domain::Draft>,
    rename: fn(&str) -> String,
) -> Result<Asked, Status> {
    let tenant = check.tenant("tenant", tenant);
    let write = check.write(write);
    check.done()?;
    let command = Command::Audit(domain::Command::Append(domain::Append { entries }));
    Ok(Asked { stream: StreamId::Tenant(tenant), command, write, rename })
}

fn draft(check: &mut Check, field: &str, entry: pb::NewEntry) -> domain::Draft {
    let at = |part: &str| format!("{field}.{part}");
    let resource = entry.resource.unwrap_or_default();
    domain::Draft {
        action: entry.action,
        actor: entry.actor,
        resource_type: resource.r#type,
        resource_id: resource.id,
        before: check.value(&at("before"), entry.before),
        after: check.value(&at("after"), entry.after),
        context: check.object(&at("context"), entry.context),
        occurred_at: check.timestamp(&at("occurred_at"), entry.occurred_at),
    }
}

fn of_entry(field: &str) -> String {
    in_list(field, "entry")
}

fn of_entries(field: &str) -> String {
    in_list(field, "entries")
}

/// The domain names parts of an entry; its message says of which one.
fn in_list(field: &str, list: &str) -> String {
    match field {
        "id" => "tenant".to_owned(),
        "entries" => list.to_owned(),
        field if field.starts_with("write.") => field.to_owned(),
        field => format!("{list}.{field}"),
    }
}
