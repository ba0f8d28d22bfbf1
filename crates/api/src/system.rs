//! `exchequer.system.v1.SystemService`, for operators.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use exchequer_engine::{Answer, CursorState, Failure, Submission, failures_of, written_cursor};
use exchequer_journal::{GroupMember, Members};
use exchequer_kernel::Status as Decided;
use exchequer_projection_dead_letters as letters_view;
use exchequer_proto::journal::v1 as pbj;
use exchequer_proto::system::v1 as pb;
use exchequer_proto::system::v1::system_service_server::SystemService;
use exchequer_tenant::Command;
use exchequer_types::{PartitionId, StreamId, Timestamp};
use futures::future::{Either, join_all, select};
use letters_view::{DeadLetter, LetterId, ParkedStream};
use tonic::{Request, Response, Status, async_trait};

use crate::call::Call;
use crate::check::Check;
use crate::edge::{Asked, Edge, issuer, same};
use crate::lists::list_options;
use crate::mask::Mask;
use crate::messages::instant;
use crate::replay;
use crate::status::{
    self, COMMAND_UNKNOWN, DEAD_LETTER_NOT_FOUND, ID_INVALID, Refusal, VIEW_UNKNOWN,
};

/// The work of telling what fails elsewhere.
const STATUS: &str = "status";
/// How long another process's row of it is waited for.
const TOLD_PATIENCE: Duration = Duration::from_secs(2);
/// Issuer of what operators ask for beside the tenants' own commands.
const OPERATOR: &str = "operator";
const VIEW: &str = "dead-letters";

#[derive(Debug)]
pub(crate) struct System {
    pub(crate) edge: Edge,
}

type Reply<T> = Result<Response<T>, Status>;

#[async_trait]
impl SystemService for System {
    async fn get_status(&self, request: Request<pb::GetStatusRequest>) -> Reply<pb::Status> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let mask = Mask::read::<pb::Status>(&mut check, "read_mask", it.read_mask);
        let result = match check.done() {
            Ok(()) => mask.apply(self.status().await),
            Err(refused) => Err(refused),
        };
        call.reply(result)
    }

    async fn get_outcome(
        &self,
        request: Request<pb::GetOutcomeRequest>,
    ) -> Reply<pb::GetOutcomeResponse> {
        self.edge.serve(request, async |call, it| self.outcome(call, it).await).await
    }

    async fn rebuild_view(
        &self,
        request: Request<pb::RebuildViewRequest>,
    ) -> Reply<pb::RebuildViewResponse> {
        let (call, it) = self.edge.receive(request)?;
        let result = match self.edge.platform.rebuild(&it.view).await {
            Ok(Some(generation)) => Ok(pb::RebuildViewResponse { generation }),
            Ok(None) => {
                let names: Vec<_> =
                    self.edge.platform.views.iter().map(|it| it.view.name()).collect();
                let message = format!("no such view: there are {}", names.join(", "));
                Err(Refusal::new(VIEW_UNKNOWN, message).field("view").status())
            }
            Err(error) => Err(status::of_engine(&error)),
        };
        call.reply(result)
    }

    async fn list_dead_letters(
        &self,
        request: Request<pb::ListDeadLettersRequest>,
    ) -> Reply<pb::ListDeadLettersResponse> {
        self.edge.serve(request, async |call, it| self.dead_letters(call, it).await).await
    }

    async fn replay_dead_letter(
        &self,
        request: Request<pb::ReplayDeadLetterRequest>,
    ) -> Reply<pb::ReplayDeadLetterResponse> {
        self.edge.serve(request, async |call, it| self.replay(call, it).await).await
    }

    async fn list_parked_tenants(
        &self,
        request: Request<pb::ListParkedTenantsRequest>,
    ) -> Reply<pb::ListParkedTenantsResponse> {
        self.edge.serve(request, async |call, it| self.parked(call, it).await).await
    }

    async fn release_tenant(
        &self,
        request: Request<pb::ReleaseTenantRequest>,
    ) -> Reply<pb::ReleaseTenantResponse> {
        let (mut call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let partitions = self.edge.platform.tail.partitions();
        let stream = check.stream("tenant", &it.tenant, partitions);
        let write = check.write(it.write);
        let command = Command::Release { reason: it.reason };
        let result = match check.done() {
            Ok(()) => {
                let asked = Asked { stream, command, write, rename: same };
                self.edge.submit(&mut call, asked).await
            }
            Err(refused) => Err(refused),
        };
        call.reply(result)
    }
}

impl System {
    async fn status(&self) -> pb::Status {
        let (owners, owners_unknown) = self.owners().await;
        let platform = &self.edge.platform;
        let now = platform.ports.runtime.now();
        let failures = self.failures(&owners, now).await;
        let partitions = (0..platform.tail.partitions()).map(|partition| {
            let state = platform.tail.state(PartitionId(partition));
            pb::PartitionStatus {
                partition,
                epoch: state.head.epoch(),
                offset: state.head.offset,
                seq: state.head.seq,
                head: state.head.hash.to_hex(),
                ignored: state.ignored,
                breaks: state.breaks,
                leading: state.leading,
            }
        });
        let views = platform.views.iter().map(|view| {
            let lag = view.lag(&platform.tail, now);
            pb::ViewStatus {
                view: lag.view.to_owned(),
                generation: lag.generation,
                building: lag.building,
                lag_events: lag.events,
                lag_seconds: lag.seconds,
            }
        });
        pb::Status {
            partitions: partitions.collect(),
            views: views.collect(),
            cursors: self.cursors().await,
            failures,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            owners,
            owners_unknown,
            usage: self.usage(now).await,
        }
    }

    /// How far usage is counted, as far as the logs can be asked.
    async fn usage(&self, now: Timestamp) -> Vec<pb::UsagePartitionStatus> {
        let Some(meters) = &self.edge.platform.meters else { return Vec::new() };
        let states = (0..).map(PartitionId).zip(meters.states());
        let asked = states.map(async |(partition, state)| {
            let lag = meters.lag(partition).await;
            let late = match lag {
                Some(0) => Some(0.0),
                Some(_) if state.through > Timestamp::MIN => {
                    Some(now.since(state.through).as_secs_f64())
                }
                _ => None,
            };
            pb::UsagePartitionStatus {
                partition: partition.0,
                seq: state.seq,
                offset: state.next,
                lag_events: lag,
                lag_seconds: late,
                leading: state.leading,
                ignored: state.tally.ignored,
                breaks: state.tally.breaks,
                dead_letters: state.tally.dead_letters,
            }
        });
        join_all(asked).await
    }

    /// Who works on what, where processes share work, and what of it is not known.
    async fn owners(&self) -> (Vec<pb::RoleOwner>, String) {
        let Some(membership) = &self.edge.platform.membership else { return <_>::default() };
        let owner = |it: GroupMember| pb::RoleOwner {
            // A group is called after those who are in it.
            role: it.group.as_str().trim_end_matches('s').to_owned(),
            process: it.process,
            partitions: it.partitions.iter().map(|partition| partition.0).collect(),
        };
        let Members { found, unknown } = membership.members().await;
        (found.into_iter().map(owner).collect(), unknown)
    }

    /// What fails here, and what others of `owners` have written of theirs.
    async fn failures(
        &self,
        owners: &[pb::RoleOwner],
        now: Timestamp,
    ) -> Vec<pb::BackgroundFailure> {
        let platform = &self.edge.platform;
        let here = platform.process.as_ref();
        let own = platform.gateway.failures().present(now).into_iter();
        let own = own.map(|((stream, work), it)| failure(here, (work, stream.to_string()), it));
        let others: BTreeSet<&str> =
            owners.iter().map(|it| it.process.as_str()).filter(|it| *it != here).collect();
        let store = platform.ports.store.as_ref();
        let told = others.into_iter().map(async |process| {
            let told = core::pin::pin!(failures_of(store, process));
            match select(told, platform.ports.runtime.sleep(TOLD_PATIENCE)).await {
                Either::Left((Ok(told), _)) => told
                    .into_iter()
                    .map(|it| failure(process, (&it.work, it.stream), it.failure))
                    .collect(),
                other => {
                    if let Either::Left((Err(fault), _)) = other {
                        tracing::warn!(%fault, process, "cannot read what fails in another process");
                    }
                    let message = format!("cannot read what fails in {process}");
                    let it = Failure { message, attempts: 1, since: now };
                    vec![failure(here, (STATUS, String::new()), it)]
                }
            }
        });
        own.chain(join_all(told).await.into_iter().flatten()).collect()
    }

    /// Of consumers here, and where others have written theirs, as far as that can be read.
    async fn cursors(&self) -> Vec<pb::CursorStatus> {
        let platform = &self.edge.platform;
        let here = platform.cursors.iter().map(|(name, cursors)| (*name, cursors.states()));
        let mut all: BTreeMap<&str, BTreeMap<u32, CursorState>> = here.collect();
        'all: for name in platform.consumers_elsewhere.iter() {
            let known = all.entry(name).or_default();
            for destination in 0..platform.tail.partitions() {
                if known.contains_key(&destination) {
                    continue;
                }
                let written = written_cursor(&platform.ports, name, destination).await;
                let Ok(offsets) = written else { break 'all };
                known.insert(destination, CursorState { offsets, failure: None });
            }
        }
        let all = all.into_iter();
        all.flat_map(|(name, states)| states.into_iter().map(move |it| (name, it)))
            .map(|(name, (destination, state))| self.cursor(name, destination, state))
            .collect()
    }

    fn cursor(&self, name: &str, destination: u32, state: CursorState) -> pb::CursorStatus {
        let head = |at| self.edge.platform.tail.state(PartitionId(at)).head.offset;
        let behind = (0..).zip(&state.offsets).map(|(at, offset)| head(at).saturating_sub(*offset));
        pb::CursorStatus {
            consumer: name.to_owned(),
            destination: destination.to_string(),
            lag_events: behind.sum(),
            failure: state.failure.unwrap_or_default(),
        }
    }

    async fn outcome(
        &self,
        call: &mut Call,
        it: pb::GetOutcomeRequest,
    ) -> Result<pb::GetOutcomeResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let id = check.command_id("command_id", it.command_id);
        let asked = if it.issuer.is_empty() { "api".to_owned() } else { it.issuer };
        let asked = check.issuer("issuer", asked);
        let mask = Mask::read::<pb::GetOutcomeResponse>(&mut check, "read_mask", it.read_mask);
        check.done()?;
        let (Some(id), Some(asked)) = (id, asked) else {
            return Err(status::internal("check", "an id was let through"));
        };
        let submission = Submission::new(
            StreamId::Tenant(tenant),
            issuer(OPERATOR)?,
            self.edge.mint_id()?,
            call.actor.clone(),
            Command::Lookup { issuer: asked.into_string(), id: id.into_string() },
        );
        let answer = self.edge.platform.gateway.submit(submission, call.patience).await;
        let answer = answer.map_err(status::of_submit)?;
        call.has_seen(answer.partition, answer.place.offset + 1);
        if answer.status() == Some(Decided::Unknown) || answer.outcome.code == COMMAND_UNKNOWN {
            return Ok(pb::GetOutcomeResponse::default());
        }
        let Answer { outcome, partition, place, .. } = answer;
        mask.apply(pb::GetOutcomeResponse {
            outcome: Some(outcome),
            found: true,
            partition: partition.0,
            place: Some(pbj::Place { offset: place.offset, index: place.index }),
        })
    }

    async fn dead_letters(
        &self,
        call: &mut Call,
        it: pb::ListDeadLettersRequest,
    ) -> Result<pb::ListDeadLettersResponse, Status> {
        let mut check = Check::default();
        let (options, place) = (list_options!(it), |text: &str| text.parse().ok());
        let list = check.list::<pb::DeadLetter, LetterId>("ListDeadLetters", &[], options, place);
        check.done()?;
        let seen = self.edge.view(call, VIEW).await?;
        call.has_seen_all(&seen.handle.active().progress());
        let ports = &self.edge.platform.ports;
        let partitions = ports.journal.partitions();
        let store = ports.store.as_ref();
        let (after, limit) = (list.place, list.limit);
        let is_wanted = |it: &DeadLetter| list.wants(|| dead_letter(it.clone()));
        let page =
            letters_view::list(store, seen.generation, partitions, after, limit, &is_wanted).await;
        let page = page.map_err(|fault| status::of_fault(&fault))?;
        Ok(pb::ListDeadLettersResponse {
            dead_letters: list.items(page.letters.into_iter().map(dead_letter).collect())?,
            next_page_token: list.token(page.next),
        })
    }

    async fn replay(
        &self,
        call: &mut Call,
        it: pb::ReplayDeadLetterRequest,
    ) -> Result<pb::ReplayDeadLetterResponse, Status> {
        let mut check = Check::default();
        let id: Option<LetterId> = it
            .id
            .parse()
            .map_err(|error: letters_view::LetterIdError| {
                check.refuse(ID_INVALID, "id", error.to_string());
            })
            .ok();
        check.done()?;
        let missing = || {
            Refusal::new(DEAD_LETTER_NOT_FOUND, "no dead letter of this id").field("id").status()
        };
        let partitions = self.edge.platform.tail.partitions();
        let id = id.filter(|id| id.partition.0 < partitions).ok_or_else(missing)?;
        let seen = self.edge.view(call, VIEW).await?;
        let ports = &self.edge.platform.ports;
        let letter = letters_view::get(ports.store.as_ref(), seen.generation, id).await;
        let letter = letter.map_err(|fault| status::of_fault(&fault))?.ok_or_else(missing)?;
        let mended = replay::mend(ports, &letter)?;
        tracing::info!(letter = %id, actor = %call.actor, "dead letter replayed");
        call.submits(mended.opened.request.id.as_str());
        let answer = self
            .edge
            .platform
            .gateway
            .submit_sealed(
                mended.lane,
                mended.opened.partition,
                mended.opened.request.stream,
                mended.opened.identity,
                mended.sealed,
                call.patience,
            )
            .await
            .map_err(status::of_submit)?;
        call.has_seen(answer.partition, answer.place.offset + 1);
        Ok(pb::ReplayDeadLetterResponse { outcome: Some(answer.outcome) })
    }

    async fn parked(
        &self,
        call: &mut Call,
        it: pb::ListParkedTenantsRequest,
    ) -> Result<pb::ListParkedTenantsResponse, Status> {
        let mut check = Check::default();
        let (options, method) = (list_options!(it), "ListParkedTenants");
        let list = check.list::<pb::ParkedTenant, _>(method, &[], options, |text| {
            let (partition, stream) = text.split_once(' ')?;
            Some((PartitionId(partition.parse().ok()?), stream.to_owned()))
        });
        check.done()?;
        let seen = self.edge.view(call, VIEW).await?;
        call.has_seen_all(&seen.handle.active().progress());
        let ports = &self.edge.platform.ports;
        let after = list.place.as_ref().map(|(partition, stream)| (*partition, stream.as_str()));
        let is_wanted = |it: &ParkedStream| list.wants(|| parked_tenant(it.clone()));
        let page = letters_view::list_parked(
            ports.store.as_ref(),
            seen.generation,
            ports.journal.partitions(),
            after,
            list.limit,
            &is_wanted,
        )
        .await
        .map_err(|fault| status::of_fault(&fault))?;
        let next = page.next.map(|(partition, stream)| format!("{partition} {stream}"));
        Ok(pb::ListParkedTenantsResponse {
            tenants: list.items(page.streams.into_iter().map(parked_tenant).collect())?,
            next_page_token: list.token(next),
        })
    }
}

fn failure(process: &str, (work, stream): (&str, String), it: Failure) -> pb::BackgroundFailure {
    pb::BackgroundFailure {
        stream,
        work: work.to_owned(),
        message: it.message,
        attempts: it.attempts,
        since: Some(instant(it.since)),
        process: process.to_owned(),
    }
}

fn dead_letter(letter: DeadLetter) -> pb::DeadLetter {
    pb::DeadLetter {
        id: letter.id.to_string(),
        reason: letter.reason,
        message: letter.message,
        recorded_at: Some(instant(letter.recorded_at)),
        record: letter.record.into(),
        stream: letter.stream,
        r#type: letter.kind,
        replayed_at: letter.replay.as_ref().map(|it| instant(it.at)),
        replay_command_id: letter
            .replay
            .as_ref()
            .map(|it| it.command_id.clone())
            .unwrap_or_default(),
        replay_status: letter.replay.map(|it| it.status).unwrap_or_default(),
    }
}

fn parked_tenant(parked: ParkedStream) -> pb::ParkedTenant {
    pb::ParkedTenant {
        tenant: parked.stream,
        reason: parked.reason,
        parked_at: Some(instant(parked.parked_at)),
    }
}
