//! What a command names elsewhere, looked up in what the partition has adopted,
//! so that the domain decides with nothing but its state and the command.

use std::borrow::Cow;

use exchequer_domain_catalog::Unresolved;
use exchequer_domain_entitlements as entitlements;
use exchequer_domain_subscriptions as subscriptions;
use exchequer_domain_tenants as tenants;
use exchequer_domain_tenants::Tenant;
use exchequer_kernel::Rejection;
use exchequer_types::{Exceeded, Holding, Selection, SelectionChange, Slug, TenantId, Zone};

use crate::command::{AmendChange, ChangeSubscription, Create, Subscribe};
use crate::{Command, Reference, Stream, route};

/// Why a command was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Rejected(Rejection),
    /// What it needs from elsewhere has not come to this partition yet.
    NotAdopted(Rejection),
}

/// The command with everything it names looked up.
pub(crate) fn resolve<'a>(
    stream: &Stream,
    command: &'a Command,
    reference: &Reference,
) -> Result<Cow<'a, Command>, Refusal> {
    Ok(Cow::Owned(match command {
        Command::Create(it) => Command::Tenants(create(it, reference)?),
        Command::Subscribe(it) => Command::Subscriptions(subscribe(stream, it, reference)?),
        Command::ChangeSubscription(it) => Command::Subscriptions(change(stream, it, reference)?),
        Command::AmendChange(it) => Command::Subscriptions(amend(stream, it, reference)?),
        Command::Entitlements(entitlements::Command::Grant(it)) => {
            check_feature(stream, &it.feature, reference)?;
            return Ok(Cow::Borrowed(command));
        }
        _ => return Ok(Cow::Borrowed(command)),
    }))
}

/// The command of a due timer, with what other domains know of what it is to do.
pub(crate) fn timer_command(stream: &Stream, timer: &str, reference: &Reference) -> Command {
    let mut command = route::timer_command(timer);
    if let Command::Subscriptions(subscriptions::Command::FireTimer(it)) = &mut command {
        let entries = subscriptions::falling_due(&stream.subscriptions, timer).into_iter();
        it.exceeded = entries
            .map(|entry| (entry.id.clone(), exceeded(stream, reference, &entry.holding)))
            .collect();
    }
    command
}

fn create(it: &Create, reference: &Reference) -> Result<tenants::Command, Refusal> {
    let parent = reference.tenants.adopted.get(&it.parent).ok_or_else(|| {
        let parent = &it.parent;
        not_adopted(
            "PROVIDER_NOT_ADOPTED",
            "parent",
            format!("provider {parent} is not known here: it does not exist, is no provider yet, or became one a moment ago"),
        )
    })?;
    Ok(tenants::Command::Create(tenants::Create {
        parent: parent.clone(),
        name: it.name.clone(),
        settings: it.settings.clone(),
        test_clock: it.test_clock,
    }))
}

fn subscribe(
    stream: &Stream,
    it: &Subscribe,
    reference: &Reference,
) -> Result<subscriptions::Command, Refusal> {
    let (tenant, provider) = customer(stream)?;
    let holding = held(reference, provider, &it.selection, None)?;
    let zone = zone(tenant, reference, it.zone.as_deref())?;
    Ok(subscriptions::Command::Subscribe(subscriptions::Subscribe {
        holding,
        trial_days: it.trial_days,
        zone,
    }))
}

fn change(
    stream: &Stream,
    it: &ChangeSubscription,
    reference: &Reference,
) -> Result<subscriptions::Command, Refusal> {
    let (_, provider) = customer(stream)?;
    let now = subscriptions::held_after(&stream.subscriptions, it.when).map_err(rejected)?;
    let holding = held(reference, provider, &selection(now, &it.to), Some(now))?;
    let exceeded = exceeded(stream, reference, &holding);
    let (when, asked) = (it.when, it.to.asked());
    Ok(subscriptions::Command::Change(subscriptions::Change { holding, asked, when, exceeded }))
}

fn amend(
    stream: &Stream,
    it: &AmendChange,
    reference: &Reference,
) -> Result<subscriptions::Command, Refusal> {
    let (_, provider) = customer(stream)?;
    let planned = subscriptions::scheduled(&stream.subscriptions, &it.id).map_err(rejected)?;
    let holding = held(reference, provider, &selection(planned, &it.to), Some(planned))?;
    let exceeded = exceeded(stream, reference, &holding);
    let (id, asked) = (it.id.clone(), it.to.asked());
    Ok(subscriptions::Command::Amend(subscriptions::Amend { id, holding, asked, exceeded }))
}

/// What is given must be something that the tenant's provider has. The root is its own.
fn check_feature(stream: &Stream, feature: &Slug, reference: &Reference) -> Result<(), Refusal> {
    let tenant = tenants::open(&stream.tenants).map_err(rejected)?;
    let provider = tenant.parent.as_ref().unwrap_or(&tenant.id);
    if reference.catalog.adopted.knows_feature(provider, feature) {
        return Ok(());
    }
    let message = format!(
        "no catalog of {provider} that is known here has the feature {feature}: it does not exist, or was published a moment ago"
    );
    Err(not_adopted("CATALOG_NOT_ADOPTED", "feature", message))
}

/// What planned changes come to after `before` has become `after`: what one does not ask for
/// comes from what is before it, and costs what the catalog says. First the events by which
/// they hold that; then why one could not take place, if one could not.
pub(crate) fn look_up_planned(
    before: &Stream,
    after: &Stream,
    reference: &Reference,
) -> (Vec<subscriptions::Event>, Result<(), Refusal>) {
    let (mut events, mut result) = (Vec::new(), Ok(()));
    let current = after.subscriptions.current.as_ref().filter(|it| !it.is_ended());
    let (Some(current), Ok((_, provider))) = (current, customer(after)) else {
        return (events, result);
    };
    for planned in current.planned() {
        let entry = planned.entry;
        let was = before.subscriptions.current.as_ref().and_then(|it| it.entry(&entry.id));
        if planned.is_looked_up() && was.is_some_and(|was| was.holding == entry.holding) {
            continue;
        }
        let (plan, offer) = (&planned.offer.plan, planned.offer);
        let wanted = Selection {
            catalog: plan.catalog.clone(),
            version: Some(plan.version),
            plan: plan.plan.clone(),
            price: offer.price.clone(),
            currency: offer.currency,
            seats: planned.seats,
            add_ons: planned.packs.clone(),
        };
        // A retired version goes on for who has it, and for what was planned with it.
        let kept = Holding { offer: offer.clone(), ..(*entry.holding).clone() };
        let found = held(reference, provider, &wanted, Some(&kept));
        match found.and_then(|it| subscriptions::check_holding(&it).map_err(rejected).map(|()| it))
        {
            Ok(holding) => {
                events.extend(subscriptions::looked_up(&after.subscriptions, &entry.id, holding));
            }
            Err(Refusal::Rejected(no)) if result.is_ok() => {
                result = Err(impossible(&entry.id, &no));
            }
            Err(_) => {}
        }
    }
    (events, result)
}

fn impossible(entry: &str, no: &Rejection) -> Refusal {
    let message = format!(
        "the change {entry} that is planned could not take place then ({}: {}): amend or drop it first",
        no.code, no.message
    );
    let code = subscriptions::codes::PLANNED_CHANGE_IMPOSSIBLE;
    Refusal::Rejected(rejection(code, "change", message))
}

/// The stream's tenant and its provider, whose catalog it may subscribe to.
fn customer(stream: &Stream) -> Result<(&Tenant, &TenantId), Refusal> {
    let tenant = tenants::open(&stream.tenants).map_err(rejected)?;
    let provider = tenant.parent.as_ref();
    let provider = provider.ok_or_else(|| {
        let message = "the root tenant has no provider whose plans it could have".to_owned();
        Refusal::Rejected(rejection("TENANT_IS_ROOT", "tenant", message))
    })?;
    Ok((tenant, provider))
}

fn held(
    reference: &Reference,
    provider: &TenantId,
    selection: &Selection,
    held: Option<&Holding>,
) -> Result<Holding, Refusal> {
    let found = reference.catalog.adopted.resolve(provider, selection, held);
    found.map_err(|unresolved| match unresolved {
        Unresolved::Rejected(no) => rejected(no),
        Unresolved::NotAdopted { what } => not_adopted("CATALOG_NOT_ADOPTED", "catalog", what),
    })
}

/// What `to` asks for, given what is held.
fn selection(held: &Holding, to: &SelectionChange) -> Selection {
    let plan = &held.offer.plan;
    // Another plan is sold from the newest version, unless one is named.
    let stays = to.catalog.as_ref().is_none_or(|catalog| *catalog == plan.catalog)
        && to.plan.as_ref().is_none_or(|wanted| *wanted == plan.plan)
        && to.price.as_ref().is_none_or(|price| *price == held.offer.price);
    Selection {
        catalog: to.catalog.clone().unwrap_or_else(|| plan.catalog.clone()),
        version: to.version.or_else(|| stays.then_some(plan.version)),
        plan: to.plan.clone().unwrap_or_else(|| plan.plan.clone()),
        price: to.price.clone().unwrap_or_else(|| held.offer.price.clone()),
        currency: held.offer.currency,
        seats: to.seats.unwrap_or(held.seats),
        add_ons: to.add_ons.clone().unwrap_or_else(|| held.packs()),
    }
}

fn exceeded(stream: &Stream, reference: &Reference, holding: &Holding) -> Vec<Exceeded> {
    let packs = holding.packs();
    let content = reference.catalog.adopted.content(&holding.offer.plan, &packs);
    content.map_or_else(Vec::new, |content| {
        entitlements::exceeded(&crate::limits::in_use(stream), &content, holding.seats, &packs)
    })
}

fn zone(tenant: &Tenant, reference: &Reference, named: Option<&str>) -> Result<Zone, Refusal> {
    let setting =
        || tenants::effective_setting(tenant, &reference.tenants.adopted, tenants::TIMEZONE);
    let Some(name) = named.or_else(setting) else { return Ok(Zone::UTC) };
    Zone::parse(name).ok_or_else(|| {
        let message =
            format!("{name:?} is no time zone of the IANA database, such as Europe/Paris");
        Refusal::Rejected(rejection("TIME_ZONE_UNKNOWN", "time_zone", message))
    })
}

fn not_adopted(code: &str, field: &str, message: String) -> Refusal {
    Refusal::NotAdopted(rejection(code, field, message))
}

pub(crate) fn rejected(no: impl exchequer_kernel::Reason) -> Refusal {
    Refusal::Rejected(Rejection::from(&no))
}

pub(crate) fn rejection(code: &str, field: &str, message: String) -> Rejection {
    let (code, field) = (code.to_owned(), Some(field.to_owned()));
    Rejection { code, field, message, ..Rejection::default() }
}
