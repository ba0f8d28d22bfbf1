//! The calls, as requests that are kept so that the same can be sent again.

use bytes::Bytes;
use exchequer_proto::audit::v1 as audit;
use exchequer_proto::audit::v1::audit_service_client::AuditServiceClient;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::system::v1 as system;
use exchequer_proto::tenants::v1 as tenants;
use exchequer_proto::usage::v1 as usage;
use prost::Message;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Endpoint;
use tonic::{Request, Status, Streaming};

use crate::bearer::{Bearer, Connection};
use crate::raw::{self, CONSISTENCY};
use crate::{Answer, Res, Server, wait};

/// Closings are set from here on, in seconds of 2096, and never come due.
const CLOSING_SECONDS: i64 = 4_000_000_000;

/// One connection.
#[derive(Clone, Debug)]
pub struct Client {
    pub channel: Connection,
}

/// A command as it was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub path: &'static str,
    pub message: Bytes,
    pub tenant: String,
    pub id: String,
    /// Audit entries that it makes when it is accepted.
    pub entries: usize,
}

/// Everything that is known of a tenant.
#[derive(Debug)]
pub struct Book {
    pub tenant: tenants::Tenant,
    /// Oldest first.
    pub entries: Vec<audit::Entry>,
}

impl Client {
    /// Opens a connection of its own, with the deployment's rights.
    pub async fn connect(server: &Server) -> Res<Self> {
        Self::connect_as(server, Bearer::of_deployment(&server.data)?).await
    }

    /// Opens a connection of its own that presents this.
    pub async fn connect_as(server: &Server, bearer: Bearer) -> Res<Self> {
        Self::open(&server.address, bearer).await
    }

    /// Opens a connection of its own that presents nothing: to a server that lets everybody
    /// in.
    pub async fn connect_to(address: &str) -> Res<Self> {
        Self::open(address, Bearer::Nothing).await
    }

    /// Opens a connection of its own to that address, which presents this.
    pub async fn open(address: &str, bearer: Bearer) -> Res<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        Ok(Self { channel: InterceptedService::new(endpoint.connect().await?, bearer) })
    }

    /// Sends a command; the reply with its consistency token.
    pub async fn send(&self, sent: &Sent) -> Result<(Bytes, String), Status> {
        let (bytes, metadata) =
            raw::call(&self.channel, sent.path, sent.message.clone(), None).await?;
        let token = metadata.get(CONSISTENCY).and_then(|it| it.to_str().ok());
        Ok((bytes, token.unwrap_or_default().to_owned()))
    }

    /// Sends a command until it is answered.
    pub async fn answer(&self, sent: &Sent) -> Res<Answer> {
        let deadline = wait::Deadline::new("an answer");
        loop {
            let called = self.send(sent).await;
            if let Some(answer) = Answer::of(called.as_ref().map(|(bytes, _)| bytes.clone())) {
                return Ok(answer);
            }
            let step = deadline.step().await;
            step.map_err(|error| format!("{error} to {}; the last was {called:?}", sent.id))?;
        }
    }

    /// Sends a command that must be accepted; the reply.
    pub async fn accepted<M: Message + Default>(&self, sent: &Sent) -> Res<M> {
        match self.answer(sent).await? {
            Answer::Reply(bytes) => Ok(M::decode(bytes)?),
            Answer::Rejection(no) => {
                Err(format!("{} of {}: {no:?}", sent.path, sent.tenant).into())
            }
        }
    }

    /// Asks what is there.
    pub async fn ask<M: Message, R: Message + Default>(
        &self,
        path: &'static str,
        message: &M,
        token: Option<&str>,
    ) -> Result<R, Status> {
        let message = Bytes::from(message.encode_to_vec());
        let (bytes, _) = raw::call(&self.channel, path, message, token).await?;
        R::decode(bytes).map_err(|error| Status::internal(error.to_string()))
    }

    /// What the journal says of a command, and a token for what it has seen.
    pub async fn outcome(
        &self,
        tenant: &str,
        id: &str,
    ) -> Result<(system::GetOutcomeResponse, String), Status> {
        let request = system::GetOutcomeRequest {
            tenant: tenant.to_owned(),
            issuer: String::new(),
            command_id: id.to_owned(),
            ..<_>::default()
        };
        let message = Bytes::from(request.encode_to_vec());
        let (bytes, metadata) = raw::call(&self.channel, OUTCOME, message, None).await?;
        let token = metadata.get(CONSISTENCY).and_then(|it| it.to_str().ok());
        let response = system::GetOutcomeResponse::decode(bytes);
        let response = response.map_err(|error| Status::internal(error.to_string()))?;
        Ok((response, token.unwrap_or_default().to_owned()))
    }

    /// A token for all that the tenant's partition holds by now.
    pub async fn token(&self, tenant: &str) -> Result<String, Status> {
        // A lookup stands in the log behind all that came before.
        Ok(self.outcome(tenant, PROBE).await?.1)
    }

    /// The tenant's entries behind the cursor, and those to come.
    pub async fn tail(
        &self,
        tenant: &str,
        cursor: &str,
    ) -> Res<Streaming<audit::TailEntriesResponse>> {
        let message =
            audit::TailEntriesRequest { tenant: tenant.to_owned(), cursor: cursor.to_owned() };
        let token: MetadataValue<Ascii> = self.token(tenant).await?.parse()?;
        let audit = AuditServiceClient::new(self.channel.clone());
        let opened = raw::known(|| {
            let mut request = Request::new(message.clone());
            request.metadata_mut().insert(CONSISTENCY, token.clone());
            let mut audit = audit.clone();
            async move { audit.tail_entries(request).await }
        });
        Ok(opened.await?.into_inner())
    }

    /// A tenant with all its audit entries; None when it does not exist.
    pub async fn book(&self, tenant: &str, token: &str) -> Res<Option<Book>> {
        let token = Some(token).filter(|it| !it.is_empty());
        let get = tenants::GetTenantRequest { id: tenant.to_owned(), ..<_>::default() };
        let found: tenants::Tenant = match self.ask(GET_TENANT, &get, token).await {
            Ok(found) => found,
            Err(status) if status.code() == tonic::Code::NotFound => return Ok(None),
            Err(status) => return Err(status.into()),
        };
        let mut entries = Vec::new();
        let mut page_token = String::new();
        loop {
            let list = audit::ListEntriesRequest {
                tenant: tenant.to_owned(),
                page_size: 1_000,
                page_token,
                ..audit::ListEntriesRequest::default()
            };
            let page: audit::ListEntriesResponse = self.ask(LIST_ENTRIES, &list, token).await?;
            entries.extend(page.entries);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        entries.reverse();
        Ok(Some(Book { tenant: found, entries }))
    }

    /// What the server says of itself.
    pub async fn status(&self) -> Result<system::Status, Status> {
        self.ask(GET_STATUS, &system::GetStatusRequest::default(), None).await
    }
}

pub const GET_TENANT: &str = "/exchequer.tenants.v1.TenantService/GetTenant";
pub const CREATE: &str = "/exchequer.tenants.v1.TenantService/CreateTenant";
pub const VOID: &str = "/exchequer.usage.v1.CorrectionService/VoidEvent";
pub const RENAME: &str = "/exchequer.tenants.v1.TenantService/RenameTenant";
pub const LIST_TENANTS: &str = "/exchequer.tenants.v1.TenantService/ListTenants";
pub const SCHEDULE: &str = "/exchequer.tenants.v1.TenantService/ScheduleClosing";
pub const CANCEL: &str = "/exchequer.tenants.v1.TenantService/CancelClosing";
pub const APPEND: &str = "/exchequer.audit.v1.AuditService/AppendEntry";
pub const APPEND_BATCH: &str = "/exchequer.audit.v1.AuditService/BatchAppendEntries";
pub const LIST_ENTRIES: &str = "/exchequer.audit.v1.AuditService/ListEntries";
pub const GET_STATUS: &str = "/exchequer.system.v1.SystemService/GetStatus";
pub const REBUILD: &str = "/exchequer.system.v1.SystemService/RebuildView";
/// Looked up for its place in the log.
const PROBE: &str = "probe-that-nobody-sends";
const OUTCOME: &str = "/exchequer.system.v1.SystemService/GetOutcome";

impl Sent {
    fn new(path: &'static str, message: &impl Message, tenant: &str, id: &str) -> Self {
        Self {
            path,
            message: message.encode_to_vec().into(),
            tenant: tenant.to_owned(),
            id: id.to_owned(),
            entries: 1,
        }
    }

    pub fn create(tenant: &str, id: &str) -> Self {
        let request = tenants::CreateTenantRequest {
            id: tenant.to_owned(),
            parent: String::new(),
            name: format!("Tenant {tenant}"),
            settings: vec![tenants::Setting { key: "locale".to_owned(), value: "de".to_owned() }],
            write: Some(write(id, None)),
            ..tenants::CreateTenantRequest::default()
        };
        Self::new(CREATE, &request, tenant, id)
    }

    pub fn rename(tenant: &str, id: &str, name: &str, expected_version: Option<u64>) -> Self {
        let request = tenants::RenameTenantRequest {
            id: tenant.to_owned(),
            name: name.to_owned(),
            write: Some(write(id, expected_version)),
        };
        Self::new(RENAME, &request, tenant, id)
    }

    /// An application's own entry; its size can be chosen.
    pub fn append(tenant: &str, id: &str, payload_bytes: usize) -> Self {
        let request = audit::AppendEntryRequest {
            tenant: tenant.to_owned(),
            entry: Some(entry(id, payload_bytes)),
            write: Some(write(id, None)),
        };
        Self::new(APPEND, &request, tenant, id)
    }

    pub fn append_batch(tenant: &str, id: &str, entries: usize) -> Self {
        let request = audit::BatchAppendEntriesRequest {
            tenant: tenant.to_owned(),
            entries: (0..entries).map(|_| entry(id, 0)).collect(),
            write: Some(write(id, None)),
        };
        Self { entries, ..Self::new(APPEND_BATCH, &request, tenant, id) }
    }

    /// An event of use is not counted any more.
    pub fn void(tenant: &str, id: &str, (source, event): (&str, &str)) -> Self {
        let request = usage::VoidEventRequest {
            tenant: tenant.to_owned(),
            source: source.to_owned(),
            event: event.to_owned(),
            reason: "sent by mistake".to_owned(),
            write: Some(write(id, None)),
        };
        Self::new(VOID, &request, tenant, id)
    }

    pub fn schedule(tenant: &str, id: &str, days: u32) -> Self {
        let at = prost_types::Timestamp {
            seconds: CLOSING_SECONDS + i64::from(days) * 86_400,
            nanos: 0,
        };
        let request = tenants::ScheduleClosingRequest {
            id: tenant.to_owned(),
            at: Some(at),
            write: Some(write(id, None)),
        };
        Self::new(SCHEDULE, &request, tenant, id)
    }

    pub fn cancel(tenant: &str, id: &str) -> Self {
        let request =
            tenants::CancelClosingRequest { id: tenant.to_owned(), write: Some(write(id, None)) };
        Self::new(CANCEL, &request, tenant, id)
    }
}

fn write(id: &str, expected_version: Option<u64>) -> WriteOptions {
    WriteOptions { command_id: id.to_owned(), expected_version, ..WriteOptions::default() }
}

fn entry(id: &str, payload_bytes: usize) -> audit::NewEntry {
    let text = prost_types::value::Kind::StringValue("x".repeat(payload_bytes));
    audit::NewEntry {
        action: "invoice.downloaded".to_owned(),
        actor: "u-1".to_owned(),
        resource: Some(audit::Resource { r#type: "invoice".to_owned(), id: id.to_owned() }),
        after: (payload_bytes > 0).then_some(prost_types::Value { kind: Some(text) }),
        ..audit::NewEntry::default()
    }
}
