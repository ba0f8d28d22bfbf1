//! `exchequer.subscriptions.v1.SubscriptionService`.

use exchequer_codec::{charge_message, dropped_changes, scheduled_changes, subscription_message};
use exchequer_domain_subscriptions as domain;
use exchequer_projection_subscriptions as view;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::subscriptions::v1 as pb;
use exchequer_proto::subscriptions::v1::subscription_service_server::SubscriptionService;
use exchequer_tenant::{AmendChange, ChangeSubscription, Command, Subscribe};
use exchequer_types::{Currency, Selection, TenantId, Zone};
use std::collections::BTreeMap;

use tonic::{Request, Response, Status, async_trait};

use crate::call::Call;
use crate::check::Check;
use crate::edge::{Edge, Wanted};
use crate::lists::list_options;
use crate::mask::Mask;
use crate::status::{self, Refusal, VALUE_INVALID};
use crate::subscription_fields::{self as fields, of_change, of_subscription};

const SUBSCRIPTION_NOT_FOUND: &str = domain::codes::SUBSCRIPTION_NOT_FOUND;

#[derive(Debug)]
pub(crate) struct Subscriptions {
    pub(crate) edge: Edge,
}

type Reply<T> = Result<Response<T>, Status>;

#[async_trait]
impl SubscriptionService for Subscriptions {
    async fn create_subscription(
        &self,
        request: Request<pb::CreateSubscriptionRequest>,
    ) -> Reply<pb::SubscriptionReply> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let catalog = check.slug("catalog", it.catalog);
        let plan = check.slug("plan", it.plan);
        let price = check.slug("price", it.price);
        let currency = Currency::parse(&it.currency);
        if currency.is_none() {
            check.refuse(VALUE_INVALID, "currency", "must be a code of ISO 4217, such as USD");
        }
        let add_ons = fields::packs(&mut check, "add_ons", it.add_ons);
        let zone = Some(it.time_zone).filter(|name| !name.is_empty());
        if zone.as_ref().is_some_and(|name| Zone::parse(name).is_none()) {
            fields::refuse_zone(&mut check);
        }
        let named = catalog.zip(plan).zip(price.zip(currency));
        let command = named.map(|((catalog, plan), (price, currency))| {
            let (version, seats) = (it.version, it.seats);
            let selection = Selection { catalog, version, plan, price, currency, seats, add_ons };
            Command::Subscribe(Subscribe { selection, trial_days: it.trial_days, zone })
        });
        self.edge.write(call, check, wanted(it.tenant, it.write, command, of_subscription)).await
    }

    async fn get_subscription(
        &self,
        request: Request<pb::GetSubscriptionRequest>,
    ) -> Reply<pb::Subscription> {
        let (mut call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let mask = Mask::read::<pb::Subscription>(&mut check, "read_mask", it.read_mask);
        let result = self.get(&mut call, check, it.tenant).await;
        call.reply(result.and_then(|it| mask.apply(subscription_message(&it))))
    }

    async fn change_subscription(
        &self,
        request: Request<pb::ChangeSubscriptionRequest>,
    ) -> Reply<pb::SubscriptionReply> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let to = fields::selection_change(&mut check, it.change);
        let when = fields::when(&mut check, it.when);
        let command = when.map(|when| Command::ChangeSubscription(ChangeSubscription { to, when }));
        self.edge.write(call, check, wanted(it.tenant, it.write, command, of_change)).await
    }

    async fn activate_subscription(
        &self,
        request: Request<pb::ActivateSubscriptionRequest>,
    ) -> Reply<pb::SubscriptionReply> {
        let (call, it) = self.edge.receive(request)?;
        let command = domain::Command::Activate(domain::Activate);
        self.edge.write(call, Check::default(), plain(it.tenant, it.write, Some(command))).await
    }

    async fn cancel_subscription(
        &self,
        request: Request<pb::CancelSubscriptionRequest>,
    ) -> Reply<pb::SubscriptionReply> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let when = fields::when(&mut check, it.when);
        let reason = it.reason;
        let command = when.map(|when| domain::Command::Cancel(domain::Cancel { when, reason }));
        self.edge.write(call, check, plain(it.tenant, it.write, command)).await
    }

    async fn reactivate_subscription(
        &self,
        request: Request<pb::ReactivateSubscriptionRequest>,
    ) -> Reply<pb::SubscriptionReply> {
        let (call, it) = self.edge.receive(request)?;
        let command = domain::Command::Reactivate(domain::Reactivate);
        self.edge.write(call, Check::default(), plain(it.tenant, it.write, Some(command))).await
    }

    async fn pause_subscription(
        &self,
        request: Request<pb::PauseSubscriptionRequest>,
    ) -> Reply<pb::SubscriptionReply> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let resume_at = check.timestamp("resume_at", it.resume_at);
        let command = domain::Command::Pause(domain::Pause { resume_at });
        self.edge.write(call, check, plain(it.tenant, it.write, Some(command))).await
    }

    async fn resume_subscription(
        &self,
        request: Request<pb::ResumeSubscriptionRequest>,
    ) -> Reply<pb::SubscriptionReply> {
        let (call, it) = self.edge.receive(request)?;
        let command = domain::Command::Resume(domain::Resume);
        self.edge.write(call, Check::default(), plain(it.tenant, it.write, Some(command))).await
    }

    async fn set_time_zone(
        &self,
        request: Request<pb::SetTimeZoneRequest>,
    ) -> Reply<pb::SubscriptionReply> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let zone = Zone::parse(&it.time_zone);
        if zone.is_none() {
            fields::refuse_zone(&mut check);
        }
        let command = zone.map(|zone| domain::Command::SetZone(domain::SetZone { zone }));
        self.edge.write(call, check, plain(it.tenant, it.write, command)).await
    }

    async fn list_scheduled_changes(
        &self,
        request: Request<pb::ListScheduledChangesRequest>,
    ) -> Reply<pb::ListScheduledChangesResponse> {
        self.edge.serve(request, async |call, it| self.scheduled(call, it).await).await
    }

    async fn amend_scheduled_change(
        &self,
        request: Request<pb::AmendScheduledChangeRequest>,
    ) -> Reply<pb::SubscriptionReply> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let to = fields::selection_change(&mut check, it.change);
        let command = Some(Command::AmendChange(AmendChange { id: it.id, to }));
        self.edge.write(call, check, wanted(it.tenant, it.write, command, of_change)).await
    }

    async fn reschedule_change(
        &self,
        request: Request<pb::RescheduleChangeRequest>,
    ) -> Reply<pb::SubscriptionReply> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let at = fields::later(&mut check, it.when);
        let id = it.id;
        let command = at.map(|at| domain::Command::Reschedule(domain::Reschedule { id, at }));
        self.edge.write(call, check, plain(it.tenant, it.write, command)).await
    }

    async fn drop_scheduled_change(
        &self,
        request: Request<pb::DropScheduledChangeRequest>,
    ) -> Reply<pb::SubscriptionReply> {
        let (call, it) = self.edge.receive(request)?;
        let command = Some(domain::Command::Drop(domain::DropEntry { id: it.id }));
        self.edge.write(call, Check::default(), plain(it.tenant, it.write, command)).await
    }

    async fn list_charges(
        &self,
        request: Request<pb::ListChargesRequest>,
    ) -> Reply<pb::ListChargesResponse> {
        self.edge.serve(request, async |call, it| self.charges(call, it).await).await
    }
}

impl Subscriptions {
    /// In the order of entry, which is no order of their ids: a page goes on at a place.
    async fn scheduled(
        &self,
        call: &mut Call,
        it: pb::ListScheduledChangesRequest,
    ) -> Result<pb::ListScheduledChangesResponse, Status> {
        let mut check = Check::default();
        let (options, of) = (list_options!(it), [it.tenant.as_str()]);
        let place = |text: &str| text.parse().ok();
        let method = "ListScheduledChanges";
        let list = check.list::<pb::ScheduledChange, usize>(method, &of, options, place);
        let subscription = self.get(call, check, it.tenant).await?;
        let all = scheduled_changes(&subscription);
        let places: BTreeMap<String, usize> =
            all.iter().enumerate().map(|(place, it)| (it.id.clone(), place)).collect();
        let place_of = |it: &pb::ScheduledChange| places.get(&it.id).copied().unwrap_or_default();
        let (changes, next_page_token) = list.page_of(all.into_iter(), place_of)?;
        let dropped_changes = dropped_changes(&subscription);
        Ok(pb::ListScheduledChangesResponse { changes, dropped_changes, next_page_token })
    }

    async fn get(
        &self,
        call: &mut Call,
        mut check: Check,
        tenant: String,
    ) -> Result<domain::Subscription, Status> {
        let tenant = check.tenant("tenant", tenant);
        check.done()?;
        let generation = self.generation(call, &tenant).await?;
        let store = self.edge.platform.ports.store.as_ref();
        match view::get(store, generation, &tenant).await {
            Ok(Some(subscription)) => {
                call.is_at(subscription.version);
                Ok(subscription)
            }
            Ok(None) => {
                self.edge.check_tenant(call, &tenant, "tenant").await?;
                let message = "the tenant has no subscription: create one first";
                Err(Refusal::new(SUBSCRIPTION_NOT_FOUND, message).field("tenant").status())
            }
            Err(fault) => Err(status::of_fault(&fault)),
        }
    }

    async fn charges(
        &self,
        call: &mut Call,
        it: pb::ListChargesRequest,
    ) -> Result<pb::ListChargesResponse, Status> {
        let mut check = Check::default();
        let tenant = check.tenant("tenant", it.tenant);
        let filter = view::ChargeFilter {
            subscription: Some(it.subscription).filter(|id| !id.is_empty()),
            period_index: it.period_index,
        };
        let of = [tenant.as_str(), &format!("{filter:?}")];
        let place = |text: &str| text.parse().ok();
        let list = check.list::<pb::Charge, u64>("ListCharges", &of, list_options!(it), place);
        check.done()?;
        let generation = self.generation(call, &tenant).await?;
        let store = self.edge.platform.ports.store.as_ref();
        let is_wanted = |it: &domain::Charge| filter.holds(it) && list.wants(|| charge_message(it));
        let (before, limit) = (list.place, list.limit);
        let page = view::charges(store, generation, &tenant, &is_wanted, before, limit).await;
        let page = page.map_err(|fault| status::of_fault(&fault))?;
        if page.charges.is_empty() && before.is_none() {
            self.edge.check_tenant(call, &tenant, "tenant").await?;
        }
        Ok(pb::ListChargesResponse {
            charges: list.items(page.charges.iter().map(charge_message).collect())?,
            next_page_token: list.token(page.next),
        })
    }

    /// The generation to read one tenant from.
    async fn generation(&self, call: &mut Call, tenant: &TenantId) -> Result<u64, Status> {
        let seen = self.edge.view(call, "subscriptions").await?;
        let partition = self.edge.partition(tenant);
        let offset = seen.handle.active().progress().offsets[partition.index()];
        call.has_seen(partition, offset);
        Ok(seen.generation)
    }
}

/// What a request asks the domain for.
fn plain(tenant: String, write: Option<WriteOptions>, command: Option<domain::Command>) -> Wanted {
    wanted(tenant, write, command.map(Command::Subscriptions), of_subscription)
}

fn wanted(
    tenant: String,
    write: Option<WriteOptions>,
    command: Option<Command>,
    rename: fn(&str) -> String,
) -> Wanted {
    Wanted { tenant, write, command, rename }
}
