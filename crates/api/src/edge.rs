//! What every service does alike: takes a request in, submits its command,
//! waits for the view it reads.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use exchequer_codec::Entry;
use exchequer_engine::{Answer, Platform, Submission, ViewHandle};
use exchequer_kernel::Status as Decided;
use exchequer_projection_tenants as tenants_view;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::journal::v1 as pb;
use exchequer_readstore::LoadLive;
use exchequer_runtime::trace::TraceContext;
use exchequer_tenant::Command;
use exchequer_types::{
    CommandId, Issuer, PartitionId, StreamId, TenantId, Timestamp, partition_of,
};
use prost::Message;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::adoption::Awaited;
use crate::answers::RequestId;
use crate::call::Call;
use crate::check::{Check, Write, unchecked};
use crate::guard::{Caller, SeenVersion};
use crate::observe::Note;
use crate::status::{self, of_outcome, tenant_not_found};

/// A query waits this long for what its token names.
pub(crate) const VIEW_PATIENCE_MAX: Duration = Duration::from_secs(5);

/// Shared by the services. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub(crate) platform: Platform,
    pub(crate) stopping: watch::Receiver<bool>,
}

/// A command as a service asks for it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) stream: StreamId,
    pub(crate) command: Command,
    pub(crate) write: Write,
    /// How the request calls a field of the command.
    pub(crate) rename: fn(&str) -> String,
}

/// A view at a generation that shows what the query must see.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) handle: Arc<ViewHandle>,
    pub(crate) generation: u64,
}

/// A command as a request asks for it.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) tenant: String,
    pub(crate) write: Option<WriteOptions>,
    /// None when the check has refused a part of it.
    pub(crate) command: Option<Command>,
    /// How the request calls a field of the command.
    pub(crate) rename: fn(&str) -> String,
}

impl Edge {
    /// Has `answer` answer a request. The reply tells of its call, whatever has come of it.
    pub(crate) async fn serve<M, R>(
        &self,
        request: Request<M>,
        answer: impl AsyncFnOnce(&mut Call, M) -> Result<R, Status>,
    ) -> Result<Response<R>, Status> {
        let (mut call, it) = self.receive(request)?;
        let result = answer(&mut call, it).await;
        call.reply(result)
    }

    /// Submits what is wanted, and answers with what came of it.
    pub(crate) async fn write<R: Message + Default>(
        &self,
        mut call: Call,
        check: Check,
        wanted: Wanted,
    ) -> Result<Response<R>, Status> {
        let result = self.ask(&mut call, check, wanted).await;
        call.reply(result)
    }

    /// Submits what is wanted, if `check` has found nothing wrong.
    pub(crate) async fn ask<R: Message + Default>(
        &self,
        call: &mut Call,
        mut check: Check,
        wanted: Wanted,
    ) -> Result<R, Status> {
        let tenant = check.tenant("tenant", wanted.tenant);
        let write = check.write(wanted.write);
        check.done()?;
        let command = wanted.command.ok_or_else(unchecked)?;
        let (stream, rename) = (StreamId::Tenant(tenant), wanted.rename);
        self.submit(call, Asked { stream, command, write, rename }).await
    }

    /// Takes a request in.
    pub(crate) fn receive<M>(&self, request: Request<M>) -> Result<(Call, M), Status> {
        let known = request.extensions().get::<RequestId>().cloned();
        let request_id = known.unwrap_or_else(|| RequestId("".into()));
        let partitions = self.platform.tail.partitions();
        let mut call = Call::read(request.metadata(), partitions, request_id)?;
        call.trace = request.extensions().get::<TraceContext>().copied();
        call.note = request.extensions().get::<Arc<Note>>().cloned();
        if let Some(caller) = request.extensions().get::<Caller>() {
            call.seen_version = request.extensions().get::<SeenVersion>().map(|it| it.0);
            call.actor = caller.actor.clone();
            call.caller = Some(caller.clone());
        }
        if let Some(note) = &call.note {
            note.set_actor(call.actor.as_str());
        }
        Ok((call, request.into_inner()))
    }

    /// Submits a command of a client and gives the reply that its outcome carries.
    pub(crate) async fn submit<R: Message + Default>(
        &self,
        call: &mut Call,
        asked: Asked,
    ) -> Result<R, Status> {
        self.submit_digested(call, asked, None).await
    }

    /// Submits a command that is the same as another when `digest_of` is: for what is
    /// encrypted anew, or made anew, each time. None: when its own bytes are.
    pub(crate) async fn submit_digested<R: Message + Default>(
        &self,
        call: &mut Call,
        asked: Asked,
        digest_of: Option<Bytes>,
    ) -> Result<R, Status> {
        let rename = asked.rename;
        let outcome = self.decide(call, asked, digest_of).await?;
        if let Some(refused) = of_outcome(&outcome, rename) {
            return Err(refused);
        }
        R::decode(outcome.reply).map_err(|error| status::internal("reply", &error.to_string()))
    }

    async fn decide(
        &self,
        call: &mut Call,
        asked: Asked,
        digest_of: Option<Bytes>,
    ) -> Result<pb::Outcome, Status> {
        let id = match asked.write.id {
            Some(id) => id,
            None => self.mint_id()?,
        };
        call.submits(id.as_str());
        if let (Some(note), StreamId::Tenant(tenant)) = (&call.note, &asked.stream) {
            note.set_tenant(tenant.as_str());
        }
        if let (Some(version), Some(tag)) = (asked.write.expected_version, call.if_match)
            && version != tag
        {
            return Err(crate::call::misfit_tag());
        }
        let awaited = Awaited::of(&asked.stream, &asked.command);
        let (issuer, actor) = (issuer("api")?, call.actor.clone());
        let origin = self.origin(call, &asked.stream).await?;
        let home = call.caller.as_ref().and_then(Caller::belongs_to).cloned();
        let wanted = asked.write.expected_version.or(call.if_match);
        if let (Some(seen), Some(wanted)) = (call.seen_version, wanted)
            && seen != wanted
        {
            return Err(status::version_conflict(wanted, seen));
        }
        let submission = Submission {
            home,
            expected_version: wanted.or(call.seen_version),
            not_after: asked.write.not_after,
            validate_only: asked.write.validate_only,
            trace_parent: call.trace.map(|trace| trace.to_string()),
            origin,
            digest_of,
            ..Submission::new(asked.stream, issuer, id, actor, asked.command)
        };
        let answer = match awaited {
            Some(awaited) => self.answer_when_adopted(call, submission, &awaited).await?,
            None => self.answer(call, submission, call.patience).await?,
        };
        // What only validates writes nothing that a query could see.
        call.has_seen(answer.partition, answer.place.offset + 1);
        if answer.status() == Some(Decided::Accepted) {
            call.is_at(answer.outcome.version);
        }
        Ok(answer.outcome)
    }

    pub(crate) async fn answer(
        &self,
        call: &Call,
        submission: Submission,
        patience: Duration,
    ) -> Result<Answer, Status> {
        let answer = self.platform.gateway.submit(submission, patience.min(call.patience)).await;
        answer.map_err(status::of_submit)
    }

    /// The view `name`, when it shows what the call must see.
    pub(crate) async fn view(&self, call: &Call, name: &'static str) -> Result<Seen, Status> {
        self.seen(name, &call.token, call.patience).await
    }

    pub(crate) async fn seen(
        &self,
        name: &'static str,
        token: &exchequer_engine::Token,
        patience: Duration,
    ) -> Result<Seen, Status> {
        let handle = self
            .platform
            .view(name)
            .ok_or_else(|| status::internal("view", "is not part of this process"))?;
        let patience = patience.min(VIEW_PATIENCE_MAX);
        let generation = handle.at_least(&self.platform.ports, token, patience).await;
        let generation = generation.map_err(status::of_behind)?;
        Ok(Seen { handle: Arc::clone(handle), generation })
    }

    /// The snapshot of `key` in memory, when it shows what the call must see.
    pub(crate) async fn live<L>(
        &self,
        call: &mut Call,
        key: &L::Key,
    ) -> Result<Arc<L::Snapshot>, Status>
    where
        L: LoadLive<Entry = Entry> + Send + Sync + 'static,
    {
        let live = self.platform.live::<L>();
        let live = live.ok_or_else(|| status::internal("live", "is not part of this process"))?;
        let patience = call.patience.min(VIEW_PATIENCE_MAX);
        let seen = live.get(key, &call.token, patience).await.map_err(status::of_behind)?;
        call.has_seen(seen.partition, seen.offset);
        Ok(seen.snapshot)
    }

    /// Refuses what names a tenant that is not there.
    pub(crate) async fn check_tenant(
        &self,
        call: &Call,
        tenant: &TenantId,
        field: &str,
    ) -> Result<(), Status> {
        let seen = self.view(call, "tenants").await?;
        let store = self.platform.ports.store.as_ref();
        match tenants_view::get(store, seen.generation, tenant).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(tenant_not_found(field)),
            Err(fault) => Err(status::of_fault(&fault)),
        }
    }

    /// The partition that decides `tenant`.
    pub(crate) fn partition(&self, tenant: &TenantId) -> PartitionId {
        partition_of(tenant.as_str().as_bytes(), self.platform.tail.partitions())
    }

    /// An id for a command that came without: a UUID of version 7.
    pub(crate) fn mint_id(&self) -> Result<CommandId, Status> {
        let runtime = &self.platform.ports.runtime;
        let mut bytes = runtime.nonce();
        let millis = (runtime.now().micros() / 1_000) as u64;
        bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        bytes[6] = (bytes[6] & 0x0f) | 0x70;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let mut text = hex(&bytes);
        for at in [20, 16, 12, 8] {
            text.insert(at, '-');
        }
        CommandId::parse(text).map_err(|error| status::internal("id", &error.to_string()))
    }

    pub(crate) fn elapsed(&self, since: Timestamp) -> Duration {
        self.platform.ports.runtime.now().since(since)
    }
}

/// An issuer that the edge itself names.
pub(crate) fn issuer(name: &str) -> Result<Issuer, Status> {
    Issuer::parse(name).map_err(|error| status::internal("issuer", &error.to_string()))
}

/// For requests that call a field as its command does.
pub(crate) fn same(field: &str) -> String {
    field.to_owned()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use core::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
