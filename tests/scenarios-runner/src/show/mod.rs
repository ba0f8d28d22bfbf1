//! What `show` prints: aligned, in plain words, with virtual times.

mod access;
mod answer;
mod bill;
mod books;
mod catalogs;
mod entitlements;
mod flags;
mod meters;
mod quotas;
mod subscriptions;
mod text;

pub(crate) use answer::answer;
pub(crate) use flags::{Rollouts, evaluate};

use exchequer_access::Permission;
use exchequer_engine::Platform;
use exchequer_projection_audit as audit;
use exchequer_types::{Slug, TenantId};
use futures::FutureExt as _;

use crate::commands;
use crate::script::{Columns, Line, ScriptError};
use crate::world::World;

const ROWS_MAX: usize = 1_000;

/// Prints what `show WHAT` asks for; everything but the outcome of a command and what
/// becomes of a rollout.
pub(crate) fn show(
    world: &World,
    line: &Line,
    what: &str,
    columns: &mut Columns<'_>,
) -> Result<String, ScriptError> {
    let failed = |message: String| line.error(message);
    let view = View { world, platform: world.platform().map_err(failed)? };
    let shown = match what {
        "tenant" => view.tenant(&tenant(line, columns)?),
        "tenants" => {
            let parent = columns.text_or("parent", "platform");
            view.tenants(&TenantId::parse(parent).map_err(|error| failed(error.to_string()))?)
        }
        "settings" => view.settings(&tenant(line, columns)?),
        "audit" => {
            let id = tenant(line, columns)?;
            view.audit(&id, &filter(line, columns)?)
        }
        "access" => {
            let id = tenant(line, columns)?;
            Ok(access::all(&access::judged(world, &id).map_err(failed)?, world.now()))
        }
        "may" => may(world, line, columns),
        "accepted" => {
            let id = tenant(line, columns)?;
            let hash = commands::hash(&columns.text("secret")?);
            Ok(access::accepted(&access::judged(world, &id).map_err(failed)?, &hash, world.now()))
        }
        "timers" => view.timers(),
        "dead_letters" => view.dead_letters(),
        "parked" => view.parked(),
        "views" => Ok(view.views()),
        "journal" => Ok(view.journal(columns.optional("tenant").as_deref())),
        "catalog" => {
            let name = columns.bare().ok_or_else(|| line.error("show catalog PROVIDER/ID"))?;
            view.catalog(&name)
        }
        "subscription" => view.subscription(&tenant(line, columns)?),
        "schedule" => view.schedule(&tenant(line, columns)?),
        "charges" => view.charges(&tenant(line, columns)?),
        "balance" => view.balance(&tenant(line, columns)?),
        "entitlements" => view.entitlements(&tenant(line, columns)?),
        "quotas" => view.quotas(&tenant(line, columns)?),
        "meters" => view.meters(&tenant(line, columns)?),
        "meter" => {
            let provider = tenant(line, columns)?;
            let key = Slug::parse(columns.text("id")?);
            let version = columns.number("version")?.unwrap_or(1);
            let key = key.map_err(|error| failed(error.to_string()))?;
            view.meter_version(&provider, &key, u32::try_from(version).unwrap_or(u32::MAX))
        }
        "event_schemas" => view.event_schemas(&tenant(line, columns)?),
        "terms" => view.terms(&tenant(line, columns)?),
        "entitlement" => {
            let id = tenant(line, columns)?;
            let feature = Slug::parse(columns.text("feature")?);
            view.entitlement(&id, &feature.map_err(|error| failed(error.to_string()))?)
        }
        _ => return Err(line.error(format!("nothing shows {what}"))),
    };
    shown.map_err(failed)
}

/// `show may TENANT WHO PERMISSION [project=] [environment=] [flag=] [production]`
fn may(world: &World, line: &Line, columns: &mut Columns<'_>) -> Shown {
    let told = |error: ScriptError| error.message;
    let id = tenant(line, columns).map_err(told)?;
    let who = columns.bare().ok_or("who?")?;
    let who = commands::principal(line, world, id.as_str(), &who).map_err(told)?;
    let asked = columns.bare().ok_or("which permission?")?;
    let permission = Permission::parse(&asked).map_err(|_| format!("{asked} is no permission"))?;
    let is_live = columns.flag("production");
    let scope = commands::scope(line, columns).map_err(told)?;
    let staff = access::judged(world, &id)?;
    Ok(access::may(&staff, &who, permission, (&scope, is_live), world.now()))
}

fn tenant(line: &Line, columns: &mut Columns<'_>) -> Result<TenantId, ScriptError> {
    let id = columns.bare().ok_or_else(|| line.error("which tenant?"))?;
    TenantId::parse(id).map_err(|error| line.error(error.to_string()))
}

fn filter(line: &Line, columns: &mut Columns<'_>) -> Result<audit::Filter, ScriptError> {
    let resource = columns.optional("resource");
    let resource = resource
        .as_deref()
        .map(|it| it.split_once('/').ok_or_else(|| line.error("resource=TYPE/ID")));
    let resource = resource.transpose()?;
    Ok(audit::Filter {
        actor: columns.optional("actor"),
        action: columns.optional("action"),
        resource_type: resource.map(|(kind, _)| kind.to_owned()),
        resource_id: resource.map(|(_, id)| id.to_owned()),
        from: columns.instant("from")?,
        to: columns.instant("to")?,
    })
}

/// Ids of what is planned for a tenant's subscription, in the order of entry.
pub(crate) fn entries(world: &World, tenant: &TenantId) -> Result<Vec<String>, String> {
    let current = View { world, platform: world.platform()? }.current(tenant)?;
    let entries = current.into_iter().flat_map(|it| it.schedule);
    Ok(entries.map(|entry| entry.id).collect())
}

type Shown = Result<String, String>;

struct View<'a> {
    world: &'a World,
    platform: &'a Platform,
}

impl View<'_> {
    /// The generation of a view that is read.
    fn generation(&self, view: &str) -> u64 {
        self.platform.view(view).map_or(0, |handle| handle.active().number)
    }
}

/// The stores of a script never keep anyone waiting.
fn now<T>(query: impl Future<Output = Result<T, exchequer_readstore::Fault>>) -> Result<T, String> {
    let answered = query.now_or_never().ok_or("the store does not answer")?;
    answered.map_err(|fault| fault.message)
}
