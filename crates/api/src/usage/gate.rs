//! Takes events in: asks whether their sender may write for their tenants, checks them
//! against their types' schemas, appends them to the usage log and gives each its verdict.
//! An event is accepted when its record is durable; whatever is not accepted says so.

use core::time::Duration;
use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use exchequer_codec::usage as codec;
use exchequer_engine::Platform;
use exchequer_event_schema::{Schema, codes};
use exchequer_journal::{Fault, FaultKind, Journal};
use exchequer_kernel::SealKey;
use exchequer_metering::event::{Event, Refused, Told};
use exchequer_runtime::{Metric, Runtime};
use exchequer_types::TenantId;
use futures::FutureExt as _;
use futures::future::{Either, join_all, select};
use tonic::Status;

use super::outgoing::{Outgoing, Part};
use super::room::{Room, full};
use super::schemas::Schemas;
use super::verdict::{Reason, Verdict, Verdicts};
use crate::authn::{NotAuthenticated, Unavailable};
use crate::guard::{Caller, Items};
use crate::status::{self, EVENTS_TOO_MANY, Refusal, USAGE_UNAVAILABLE};

/// Events of one request.
pub(crate) const EVENTS_MAX: usize = 10_000;
/// A request, also once it is unpacked.
pub(crate) const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Refusals of one request that are kept; further ones are told and forgotten.
const REFUSALS_KEPT_MAX: usize = 100;
/// Types without a schema that are remembered of a tenant, beside all others.
const FREE_MAX: usize = 8;

/// Shared by all ways in. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    log: Option<Arc<dyn Journal>>,
    key: SealKey,
    runtime: Arc<dyn Runtime>,
    schemas: Arc<dyn Schemas>,
    pub(crate) room: Room,
}

/// Who sends, where access is controlled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sender {
    pub(crate) caller: Option<Caller>,
    pub(crate) items: Option<Items>,
}

/// An event as it was read, or why there is none.
pub(crate) type Read<'e> = Result<Event<'e>, Refused>;

/// Events of a request, read one after the other.
pub(crate) type Events<'e> = Box<dyn Iterator<Item = Read<'e>> + Send + 'e>;

/// What is known within one request.
struct Desk<'s> {
    sender: &'s Sender,
    tenants: HashMap<String, Known>,
    kept: usize,
}

/// What is known of a tenant.
struct Known {
    /// Why the sender may not write for it.
    reason: Option<Reason>,
    /// By type.
    schemas: HashMap<String, Option<Arc<Schema>>>,
    /// The first few types without a schema, whose events are taken as they are.
    free: Vec<String>,
}

impl Gate {
    pub(crate) fn new(platform: &Platform, schemas: Arc<dyn Schemas>) -> Self {
        let ports = &platform.ports;
        Self {
            log: ports.usage.as_ref().map(|it| Arc::clone(&it.log)),
            key: ports.key.clone(),
            runtime: Arc::clone(&ports.runtime),
            schemas,
            room: Room::new(ports.settings.usage.ingest_bytes_max),
        }
    }

    pub(crate) fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }

    /// The verdicts on `events`; or a refusal, and then nothing of them was written.
    pub(crate) async fn take<'e>(
        &self,
        sender: &Sender,
        events: Events<'e>,
        patience: Duration,
    ) -> Result<Verdicts<'e>, Status> {
        let log = self.log.as_ref().ok_or_else(unavailable)?;
        if sender.caller.is_some() != sender.items.is_some() {
            return Err(status::internal("guard", "a request without what the guard said"));
        }
        let mut desk = Desk::new(sender);
        let mut outgoing = Outgoing::new(log.partitions(), self.runtime.now());
        let mut verdicts = Verdicts::default();
        for (index, read) in (0..).zip(events) {
            check_count(verdicts.items.len() + 1)?;
            let (refused, told) = match read {
                Ok(event) => {
                    let reason = if desk.is_free(&event) {
                        None
                    } else {
                        self.judge(&mut desk, &event).await?
                    };
                    let Some(reason) = reason else {
                        outgoing.put(index, &event);
                        verdicts.items.push(Verdict { id: event.id, refused: None });
                        continue;
                    };
                    (reason, told(&event))
                }
                Err(refused) => (Reason::from(&refused), (*refused.told, refused.bytes)),
            };
            self.keep(&mut desk, &mut outgoing, &told, &refused).await?;
            let id = Cow::Owned(told.0.id);
            verdicts.items.push(Verdict { id, refused: Some(Box::new(refused)) });
        }
        self.write(log.as_ref(), outgoing, &mut verdicts, patience).await?;
        count(&verdicts);
        Ok(verdicts)
    }

    /// Why the event is refused; nothing when it is not.
    async fn judge(
        &self,
        desk: &mut Desk<'_>,
        event: &Event<'_>,
    ) -> Result<Option<Reason>, Status> {
        let Ok(tenant) = TenantId::parse(&*event.tenant) else {
            return Err(status::internal("event", "its tenant was not checked"));
        };
        if let Some(reason) = desk.tenant(&tenant).await {
            return Ok(Some(reason.clone()));
        }
        let Some(schema) = desk.schema(self.schemas.as_ref(), &tenant, event).await? else {
            return Ok(None);
        };
        let violations = schema.check(event.data);
        let Some(first) = violations.first() else { return Ok(None) };
        let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
        Ok(Some(Reason {
            code: Cow::Borrowed(codes::EVENT_SCHEMA_VIOLATED),
            field: Cow::Owned(first.field.clone()),
            message: format!(
                "the data do not keep to the schema of {}: {}",
                event.kind,
                all.join("; ")
            ),
            retry: None,
        }))
    }

    /// A refusal is kept where its tenant can ask for it.
    async fn keep(
        &self,
        desk: &mut Desk<'_>,
        outgoing: &mut Outgoing,
        (told, bytes): &(Told, usize),
        reason: &Reason,
    ) -> Result<(), Status> {
        let Some(tenant) = &told.tenant else { return Ok(()) };
        if desk.kept >= REFUSALS_KEPT_MAX || desk.tenant(tenant).await.is_some() {
            return Ok(());
        }
        desk.kept += 1;
        outgoing.keep(told, *bytes, reason, |at, refused| {
            codec::encode_refused(at, refused, &self.key)
        });
        Ok(())
    }

    /// Appends to all partitions at once, and takes back the verdicts of what was not
    /// written.
    async fn write(
        &self,
        log: &dyn Journal,
        outgoing: Outgoing,
        verdicts: &mut Verdicts<'_>,
        patience: Duration,
    ) -> Result<(), Status> {
        let deadline = self.runtime.sleep(patience).shared();
        let appends = outgoing.parts().map(|Part { partition, records, events }| {
            let deadline = deadline.clone();
            async move {
                let count = records.len() as u64;
                let append = log.append_all(partition, records);
                let written = match select(append, deadline).await {
                    Either::Left((written, _)) => written,
                    Either::Right(_) => {
                        Err(Fault::new(FaultKind::Unavailable, "it takes too long"))
                    }
                };
                (partition, written.map(|first| first.map(|first| first + count)), events)
            }
        });
        let written = join_all(appends).await;
        let is_refused = |it: &Result<_, Fault>| {
            it.as_ref().is_err_and(|fault| fault.kind == FaultKind::Overloaded)
        };
        if !written.is_empty() && written.iter().all(|(_, result, _)| is_refused(result)) {
            return Err(full());
        }
        for (partition, result, events) in written {
            match result {
                Ok(next) if !events.is_empty() => {
                    verdicts.seen.extend(next.map(|next| (partition, next)));
                }
                Ok(_) => {}
                Err(fault) => {
                    let reason = Reason::of_fault(&fault);
                    for index in events {
                        if let Some(verdict) = verdicts.items.get_mut(index as usize) {
                            verdict.refused = Some(Box::new(reason.clone()));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Of a request with too many, nothing is written.
pub(crate) fn check_count(events: usize) -> Result<(), Status> {
    if events <= EVENTS_MAX {
        return Ok(());
    }
    let message = format!("must be at most {EVENTS_MAX} in one request: nothing was written");
    Err(Refusal::new(EVENTS_TOO_MANY, message).field("events").status())
}

impl<'s> Desk<'s> {
    fn new(sender: &'s Sender) -> Self {
        Self { sender, tenants: HashMap::new(), kept: 0 }
    }

    /// Is it known that nothing is asked of events such as this one?
    fn is_free(&self, event: &Event<'_>) -> bool {
        let known = self.tenants.get(&*event.tenant);
        known.is_some_and(|it| it.reason.is_none() && it.free.iter().any(|it| *it == event.kind))
    }

    /// Why the sender may not write for `tenant`; asked once.
    async fn tenant(&mut self, tenant: &TenantId) -> Option<&Reason> {
        self.known(tenant).await.reason.as_ref()
    }

    async fn known(&mut self, tenant: &TenantId) -> &mut Known {
        let sender = self.sender;
        match self.tenants.entry(tenant.to_string()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => {
                let answer = match (&sender.caller, &sender.items) {
                    (Some(caller), Some(items)) => items.allow(caller, tenant).await,
                    // Access is not controlled.
                    _ => Ok(()),
                };
                let reason = answer.err().map(|status| Reason::of_status(&status));
                free.insert(Known { reason, schemas: HashMap::new(), free: Vec::new() })
            }
        }
    }

    async fn schema(
        &mut self,
        schemas: &dyn Schemas,
        tenant: &TenantId,
        event: &Event<'_>,
    ) -> Result<Option<Arc<Schema>>, Status> {
        let known = self.known(tenant).await;
        if let Some(schema) = known.schemas.get(&*event.kind) {
            return Ok(schema.clone());
        }
        let found = schemas.of(tenant, &event.kind).await;
        let found =
            found.map_err(|Unavailable| Refusal::from(NotAuthenticated::Unavailable).status())?;
        known.schemas.insert(event.kind.to_string(), found.clone());
        if found.is_none() && known.free.len() < FREE_MAX {
            known.free.push(event.kind.to_string());
        }
        Ok(found)
    }
}

fn told(event: &Event<'_>) -> (Told, usize) {
    let told = Told {
        tenant: TenantId::parse(&*event.tenant).ok(),
        source: event.source.to_string(),
        id: event.id.to_string(),
        kind: event.kind.to_string(),
    };
    (told, event.data.len())
}

fn count(verdicts: &Verdicts<'_>) {
    let refused = u64::from(verdicts.refused());
    let accepted = verdicts.items.len() as u64 - refused;
    Metric::UsageEvents.counter(&["accepted"]).increment(accepted);
    Metric::UsageEvents.counter(&["refused"]).increment(refused);
}

fn unavailable() -> Status {
    Refusal::new(USAGE_UNAVAILABLE, "this process keeps no usage log").status()
}
