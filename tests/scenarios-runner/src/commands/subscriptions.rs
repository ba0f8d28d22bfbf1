//! Commands for a tenant's subscription.

use std::collections::BTreeMap;

use exchequer_domain_subscriptions as subscriptions;
use exchequer_domain_subscriptions::{ScheduleAt, When};
use exchequer_tenant::{AmendChange, ChangeSubscription, Command, Subscribe};
use exchequer_types::{Currency, Selection, SelectionChange, Slug, Zone};

use super::{Named, slug};
use crate::script::{Columns, Line, ScriptError, instant};

/// The command of a line about a subscription; None when it is about something else.
pub(super) fn read(
    line: &Line,
    columns: &mut Columns<'_>,
    named: &dyn Named,
) -> Result<Option<(String, Command)>, ScriptError> {
    use subscriptions::Command as S;
    let is_other = !matches!(
        line.verb(),
        "subscribe" | "amend_change" | "move_change" | "drop_change" | "set_time_zone"
    ) && !line.verb().ends_with("_subscription");
    if is_other {
        return Ok(None);
    }
    let tenant = columns.text("tenant")?;
    let command = match line.verb() {
        "subscribe" => Command::Subscribe(subscribe(line, columns)?),
        "change_subscription" => {
            let when = when(line, columns)?;
            Command::ChangeSubscription(ChangeSubscription { to: change(line, columns)?, when })
        }
        "amend_change" => {
            let id = entry(columns, named, &tenant)?;
            Command::AmendChange(AmendChange { id, to: change(line, columns)? })
        }
        "move_change" => {
            let id = entry(columns, named, &tenant)?;
            let at = match when(line, columns)? {
                When::At(at) => ScheduleAt::Instant(at),
                When::PeriodEnd => ScheduleAt::PeriodEnd,
                When::Now => return Err(line.error("a planned change is moved to later")),
            };
            Command::Subscriptions(S::Reschedule(subscriptions::Reschedule { id, at }))
        }
        "drop_change" => {
            let id = entry(columns, named, &tenant)?;
            Command::Subscriptions(S::Drop(subscriptions::DropEntry { id }))
        }
        "cancel_subscription" => {
            let (when, reason) = (when(line, columns)?, columns.text_or("reason", ""));
            Command::Subscriptions(S::Cancel(subscriptions::Cancel { when, reason }))
        }
        "activate_subscription" => Command::Subscriptions(S::Activate(subscriptions::Activate)),
        "reactivate_subscription" => {
            Command::Subscriptions(S::Reactivate(subscriptions::Reactivate))
        }
        "pause_subscription" => {
            let resume_at = columns.instant("resume_at")?;
            Command::Subscriptions(S::Pause(subscriptions::Pause { resume_at }))
        }
        "resume_subscription" => Command::Subscriptions(S::Resume(subscriptions::Resume)),
        "set_time_zone" => {
            let name = columns.text("zone")?;
            let zone = Zone::parse(&name);
            let zone = zone.ok_or_else(|| line.error(format!("{name} is no time zone")))?;
            Command::Subscriptions(S::SetZone(subscriptions::SetZone { zone }))
        }
        _ => return Ok(None),
    };
    Ok(Some((tenant, command)))
}

fn subscribe(line: &Line, columns: &mut Columns<'_>) -> Result<Subscribe, ScriptError> {
    let code = columns.text("currency")?;
    let currency = Currency::parse(&code);
    let trial_days = columns.number("trial_days")?;
    Ok(Subscribe {
        selection: Selection {
            catalog: slug(line, &columns.text("catalog")?)?,
            version: version(columns)?,
            plan: slug(line, &columns.text("plan")?)?,
            price: slug(line, &columns.text("price")?)?,
            currency: currency.ok_or_else(|| line.error(format!("{code} is no currency")))?,
            seats: columns.number("seats")?.unwrap_or(1),
            add_ons: add_ons(line, columns)?.unwrap_or_default(),
        },
        trial_days: trial_days.map(|it| u32::try_from(it).unwrap_or(u32::MAX)),
        zone: columns.optional("zone"),
    })
}

/// What is not named stays.
fn change(line: &Line, columns: &mut Columns<'_>) -> Result<SelectionChange, ScriptError> {
    let mut named = |key: &str| columns.optional(key).map(|it| slug(line, &it)).transpose();
    let (catalog, plan, price) = (named("catalog")?, named("plan")?, named("price")?);
    Ok(SelectionChange {
        catalog,
        version: version(columns)?,
        plan,
        price,
        seats: columns.number("seats")?,
        add_ons: add_ons(line, columns)?,
    })
}

fn version(columns: &mut Columns<'_>) -> Result<Option<u32>, ScriptError> {
    Ok(columns.number("version")?.map(|it| u32::try_from(it).unwrap_or(u32::MAX)))
}

/// Packs of each add-on named; none of them, when `add_on.X=0` is all that is said.
fn add_ons(
    line: &Line,
    columns: &mut Columns<'_>,
) -> Result<Option<BTreeMap<Slug, u64>>, ScriptError> {
    let named = columns.all_of("add_on.");
    if named.is_empty() {
        return Ok(None);
    }
    let mut packs = BTreeMap::new();
    for (add_on, text) in named {
        let count: u64 = text.parse().map_err(|_| line.error(format!("{text} is no number")))?;
        if count > 0 {
            packs.insert(slug(line, &add_on)?, count);
        }
    }
    Ok(Some(packs))
}

fn when(line: &Line, columns: &mut Columns<'_>) -> Result<When, ScriptError> {
    match columns.text("when")?.as_str() {
        "now" => Ok(When::Now),
        "period_end" => Ok(When::PeriodEnd),
        text => instant(text)
            .map(When::At)
            .ok_or_else(|| line.error("when=now, when=period_end or an instant")),
    }
}

/// The id of the planned change that `show schedule` numbers so.
fn entry(
    columns: &mut Columns<'_>,
    named: &dyn Named,
    tenant: &str,
) -> Result<String, ScriptError> {
    let number = columns.number("entry")?.unwrap_or(0);
    // An id that nobody has is refused by the domain, as from any other client.
    Ok(named.entry(tenant, number).unwrap_or_else(|| "sch_none".to_owned()))
}
