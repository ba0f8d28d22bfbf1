//! A subscription, what is planned for it, and its bill line by line.

use core::fmt::Write as _;

use exchequer_codec::charge_message;
use exchequer_domain_subscriptions::{End, EndReason, LifePeriod, ScheduleAt, Subscription};
use exchequer_projection_subscriptions as subscriptions;
use exchequer_proto::subscriptions::v1 as pb;
use exchequer_types::{Holding, Offer, Proration, TenantId, Timestamp, Zone};
use prost::Message as _;

use super::bill::{balance, bill};
use super::catalogs::components;
use super::text::{money, none, sheet, table, time};
use super::{ROWS_MAX, Shown, View, now};

const NONE: &str = "no subscription\n";

impl View<'_> {
    pub(super) fn subscription(&self, tenant: &TenantId) -> Shown {
        Ok(self.current(tenant)?.map_or_else(|| NONE.to_owned(), |it| facts(&it)))
    }

    pub(super) fn schedule(&self, tenant: &TenantId) -> Shown {
        Ok(self.current(tenant)?.map_or_else(|| NONE.to_owned(), |it| schedule(&it)))
    }

    pub(super) fn charges(&self, tenant: &TenantId) -> Shown {
        let zone = self.current(tenant)?.map_or(Zone::UTC, |it| it.zone);
        bill(&self.all_charges(tenant)?, zone)
    }

    pub(super) fn balance(&self, tenant: &TenantId) -> Shown {
        balance(&self.all_charges(tenant)?)
    }

    pub(super) fn current(&self, tenant: &TenantId) -> Result<Option<Subscription>, String> {
        let store = self.world.store.as_ref();
        now(subscriptions::get(store, self.generation("subscriptions"), tenant))
    }

    /// From the first to the last.
    fn all_charges(&self, tenant: &TenantId) -> Result<Vec<pb::Charge>, String> {
        let (store, generation) = (self.world.store.as_ref(), self.generation("subscriptions"));
        let page =
            now(subscriptions::charges(store, generation, tenant, &|_| true, None, ROWS_MAX))?;
        match page.next {
            None => Ok(page.charges.iter().rev().map(charge_message).collect()),
            Some(_) => Err("more charges than a script can show".to_owned()),
        }
    }
}

/// The subscription as a sheet.
fn facts(it: &Subscription) -> String {
    let (offer, zone) = (&it.holding.offer, it.zone);
    let plan = &offer.plan;
    let at = |at: Option<Timestamp>| at.map(|at| time(at, zone));
    let add_ons = it.holding.add_ons.iter().map(|pack| {
        let price = money(pack.offer.amount, offer.currency);
        format!("{} x {} at {price}", pack.quantity, pack.offer.add_on)
    });
    let add_ons: Vec<String> = add_ons.collect();
    sheet(&[
        ("state", it.word().to_owned()),
        ("plan", format!("{}, of the list {} version {}", plan.plan, plan.catalog, plan.version)),
        ("price", price(offer)),
        ("seats", it.holding.seats.to_string()),
        ("add-ons", add_ons.join(", ")),
        ("time zone", if zone == Zone::UTC { String::new() } else { zone.to_string() }),
        ("period", period(&it.period, zone)),
        (
            "trial ends",
            at(it.trial_ends_at.filter(|_| it.word() == "trialing")).unwrap_or_default(),
        ),
        ("will end", at(it.cancels_at()).unwrap_or_default()),
        ("resumes", at(it.resumes_at()).unwrap_or_default()),
        ("ended", it.end.as_ref().map(|end| ended(end, zone)).unwrap_or_default()),
        ("next due", at(it.timer.as_ref().map(|timer| timer.due)).unwrap_or_default()),
        ("version", it.version.to_string()),
    ])
}

fn price(offer: &Offer) -> String {
    let amounts = components(&offer.components, offer.currency);
    let policy = match offer.proration {
        Proration::BySecond => String::new(),
        Proration::ByDay => ", divided by days".to_owned(),
        Proration::None => ", never divided".to_owned(),
        Proration::Full => ", charged whole".to_owned(),
    };
    format!("{}, {amounts} every {}{policy}", offer.price, offer.cycle)
}

fn period(it: &LifePeriod, zone: Zone) -> String {
    let until = it.end.map_or_else(|| "it is resumed".to_owned(), |end| time(end, zone));
    format!("{}, {} until {until}", it.kind.as_str(), time(it.start, zone))
}

fn ended(end: &End, zone: Zone) -> String {
    let why = match &end.reason {
        EndReason::Cancelled { reason } if reason.is_empty() => "cancelled".to_owned(),
        EndReason::Cancelled { reason } => format!("cancelled: {reason}"),
        EndReason::TenantClosed => "the customer was closed".to_owned(),
        EndReason::OutOfTime => "the calendar has an end".to_owned(),
    };
    let falls = end.fallback.as_ref().map_or_else(
        || "no plan follows".to_owned(),
        |plan| format!("the plan {} follows", plan.plan),
    );
    format!("{}, {why}, {falls}", time(end.at, zone))
}

/// What is planned, numbered from 1 in the order of entry.
fn schedule(it: &Subscription) -> String {
    let rows = it.schedule.iter().zip(1_u32..).map(|(entry, number)| {
        let at = match entry.at {
            ScheduleAt::PeriodEnd => "end of the period".to_owned(),
            ScheduleAt::Instant(_) => "agreed day".to_owned(),
        };
        let due = it.due_of(entry.at).map_or_else(none, |due| time(due, it.zone));
        let holding = &entry.holding;
        vec![number.to_string(), at, due, held(holding), holding.seats.to_string(), packs(holding)]
    });
    let mut out = table(&[">entry", "at", "which is", "plan and price", ">seats", "add-ons"], rows);
    for dropped in &it.dropped {
        let (day, holding) = (time(dropped.at, it.zone), &dropped.holding);
        let why = match &dropped.refusal {
            Some(refusal) => format!("{}: {}", refusal.code, refusal.message),
            None => "the subscription ends before".to_owned(),
        };
        let _ = writeln!(out, "not done {day}: {}, {} seats: {why}", held(holding), holding.seats);
    }
    out
}

fn held(holding: &Holding) -> String {
    let offer = &holding.offer;
    format!("{} {}, version {}", offer.plan.plan, offer.price, offer.plan.version)
}

fn packs(holding: &Holding) -> String {
    let packs = holding.add_ons.iter().map(|it| format!("{} x {}", it.quantity, it.offer.add_on));
    let packs: Vec<String> = packs.collect();
    if packs.is_empty() { none() } else { packs.join(", ") }
}

/// What a command for a subscription is answered with.
pub(super) fn reply(bytes: &bytes::Bytes) -> Result<String, String> {
    let it = pb::SubscriptionReply::decode(bytes.clone()).map_err(|error| error.to_string())?;
    let after = it.subscription.unwrap_or_default();
    let state = after.state().as_str_name().trim_start_matches("SUBSCRIPTION_STATE_");
    let holding = after.holding.unwrap_or_default();
    let plan = holding.plan.unwrap_or_default().plan;
    let unit = if holding.seats == 1 { "seat" } else { "seats" };
    let state = state.to_lowercase();
    let mut out =
        format!("after it: {state}, {plan} {}, {} {unit}\n", holding.price, holding.seats);
    for it in it.exceeded {
        let _ = writeln!(out, "exceeded: {} has {} of {}", it.feature, it.used, it.limit);
    }
    let zone = Zone::parse(&after.time_zone).ok_or("no time zone")?;
    out.push_str(&bill(&it.charges, zone)?);
    Ok(out)
}
