//! How soon a plan opens what it includes: from a new subscription to its
//! entitlements, and from an upgrade to a flag behind the plan, at the gateway that
//! answered and at another one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use exchequer_domain_catalog as catalog;
use exchequer_domain_entitlements::is_entitled;
use exchequer_domain_subscriptions::When;
use exchequer_engine::{Answer, LiveView, Parts, Platform, Roles, Token};
use exchequer_kernel::Status;
use exchequer_projection_entitlements::LiveEntitlements;
use exchequer_readstore::MemoryStore;
use exchequer_tenant::{ChangeSubscription, Command, Subscribe};
use exchequer_types::{Currency, Selection, SelectionChange, Slug, TenantId};

use crate::report::{Figure, p99};
use crate::world::{PATIENCE, ViewsRun, World, all_views, lives, submission};
use crate::{Args, Failure};

const TENANTS: usize = 1_000;
const CATALOG: &str = include_str!("../../../schemas/catalogs/components.yaml");
const FEATURE: &str = "advanced-analytics";

type Entitled = Arc<LiveView<LiveEntitlements>>;

pub(crate) async fn run(args: &Args) -> Result<Vec<Figure>, Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(folder.path(), 16, ViewsRun::All).await?;
    let other = other_gateway(&world).await?;
    let tenants = TENANTS * args.scale;
    publish(&world).await?;
    world.create_tenants(0, tenants).await?;
    let here = live(&world.platform)?;
    let there = live(&other)?;
    let (mut opened, mut changed, mut seen, mut missed) = (vec![], vec![], vec![], 0);
    for n in 0..tenants {
        let tenant = format!("t{n}");
        let key = TenantId::parse(&*tenant)?;
        // In memory at the other gateway before, as for a customer who is at work.
        is_open(&there, &key, &Token::default()).await?;
        let begun = Instant::now();
        ask(&world, &tenant, format!("subscribe-{n}"), subscribe()?).await?;
        is_open(&here, &key, &Token::default()).await?;
        opened.push(begun.elapsed());
        let begun = Instant::now();
        let answer = ask(&world, &tenant, format!("upgrade-{n}"), upgrade()?).await?;
        let replied = Instant::now();
        missed += usize::from(!is_open(&here, &key, &Token::default()).await?);
        changed.push(begun.elapsed());
        is_open(&there, &key, &answer.token()).await?;
        seen.push(replied.elapsed());
    }
    world.stop().await;
    let name = "plan-changes";
    let goal = Some(("<", 50.0));
    Ok(vec![
        Figure::new(name, "subscription to its entitlements, p99 ms", p99(opened), goal),
        Figure::new(name, "upgrade to what it opens, same gateway, p99 ms", p99(changed), None),
        Figure::new(name, "upgrades not seen with the reply", missed as f64, Some(("<=", 0.0))),
        Figure::new(name, "another gateway, behind the reply, p99 ms", p99(seen), goal),
    ])
}

/// A second gateway on the same journal, with views of its own.
async fn other_gateway(world: &World) -> Result<Platform, Failure> {
    let store = Arc::new(MemoryStore::new(true));
    let ports = exchequer_engine::Ports { store, ..world.platform.ports.clone() };
    let given = Parts { views: all_views(ViewsRun::All), lives: lives(), ..Parts::default() };
    let roles = Roles { decides: false, bootstraps: false, meters: false };
    Ok(Platform::start_as(roles, ports, given).await?)
}

fn live(platform: &Platform) -> Result<Entitled, Failure> {
    platform.live::<LiveEntitlements>().ok_or_else(|| "no entitlements in memory".into())
}

/// Does the gateway say that the tenant has the feature?
async fn is_open(live: &Entitled, tenant: &TenantId, token: &Token) -> Result<bool, Failure> {
    let seen = live.get(tenant, token, PATIENCE).await?;
    let now = exchequer_types::Timestamp::MAX;
    Ok(is_entitled(&seen.snapshot.state, &Slug::parse(FEATURE)?, now))
}

pub(crate) async fn publish(world: &World) -> Result<(), Failure> {
    let document = exchequer_catalog_file::parse(CATALOG).map_err(|wrong| format!("{wrong:?}"))?;
    let catalog = Slug::parse("components")?;
    let save = catalog::SaveDraft { catalog: catalog.clone(), document };
    let save = Command::Catalog(catalog::Command::SaveDraft(save));
    ask(world, "platform", "save".to_owned(), save).await?;
    let publish = catalog::Publish { catalog, hash: None };
    let publish = Command::Catalog(catalog::Command::Publish(publish));
    ask(world, "platform", "publish".to_owned(), publish).await?;
    Ok(())
}

/// Asks until it is accepted; a catalog is adopted a moment after it is published.
pub(crate) async fn ask(
    world: &World,
    tenant: &str,
    id: String,
    command: Command,
) -> Result<Answer, Failure> {
    loop {
        let submission = submission(tenant, id.clone(), command.clone())?;
        let answer = world.platform.gateway.submit(submission, PATIENCE).await?;
        match answer.status() {
            Some(Status::Accepted) => return Ok(answer),
            Some(Status::NotAdopted) => tokio::time::sleep(Duration::from_millis(1)).await,
            _ => return Err(format!("{}: {}", answer.outcome.code, answer.outcome.message).into()),
        }
    }
}

pub(crate) fn subscribe() -> Result<Command, Failure> {
    Ok(Command::Subscribe(Subscribe {
        selection: Selection {
            catalog: Slug::parse("components")?,
            version: None,
            plan: Slug::parse("basic")?,
            price: Slug::parse("monthly")?,
            currency: Currency::parse("USD").ok_or("no such currency")?,
            seats: 1,
            add_ons: BTreeMap::new(),
        },
        trial_days: Some(0),
        zone: None,
    }))
}

fn upgrade() -> Result<Command, Failure> {
    let to = SelectionChange { plan: Some(Slug::parse("pro")?), ..SelectionChange::default() };
    Ok(Command::ChangeSubscription(ChangeSubscription { to, when: When::Now }))
}
