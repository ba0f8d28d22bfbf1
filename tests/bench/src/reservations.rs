//! Strict reservations on one partition: each is reserved against a hard limit, and then
//! finalised, one in four released, by callers that wait for both. What is counted is durable
//! decisions that were answered: a reservation that is given, one that is refused at the
//! limit, a finalisation and a release are one each. At the end nothing may be overdrawn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use exchequer_domain_entitlements as entitlements;
use exchequer_domain_quotas::{self as quotas, Finalise, Release, Reserve};
use exchequer_kernel::Status;
use exchequer_projection_quotas::LiveQuotas;
use exchequer_tenant::Command;
use exchequer_types::{Slug, TenantId};

use crate::report::Figure;
use crate::world::{PATIENCE, ViewsRun, World, processor_seconds, submission};
use crate::{Args, Failure, commerce};

/// Each with one command outstanding; a tenant may have 1,024.
const CALLERS_OF_ONE: usize = 1_000;
const CALLERS_OF_ALL: usize = 4_000;
const TENANTS: usize = 100;
const ROUNDS: usize = 5;
/// Of the catalog that is published.
const FEATURE: &str = "storage";
/// One in so many is released instead of finalised.
const RELEASED_SHARE: usize = 4;
/// So that some of them are refused.
const LIMIT_SHARE: usize = 2;

/// What the callers were told.
#[derive(Default)]
struct Told {
    reserved: AtomicUsize,
    refused: AtomicUsize,
    finalised: AtomicUsize,
    released: AtomicUsize,
}

/// Of one tenant, and of 100.
pub(crate) async fn run(args: &Args) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    for (tenants, name) in [(TENANTS, "100 tenants"), (1, "one tenant")] {
        figures.extend(of(args, tenants, name).await?);
    }
    Ok(figures)
}

async fn of(args: &Args, tenants: usize, name: &str) -> Result<Vec<Figure>, Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(folder.path(), 1, ViewsRun::All).await?;
    world.create_tenants(0, tenants).await?;
    commerce::publish(&world).await?;
    let reservations = 60_000 * args.scale;
    let limit = reservations * ROUNDS / tenants / LIMIT_SHARE;
    for tenant in 0..tenants {
        give(&world, tenant, limit).await?;
    }
    let (mut decisions, mut rates) = (Vec::new(), Vec::new());
    let told = Arc::new(Told::default());
    let spent = processor_seconds("self");
    for round in 0..ROUNDS {
        let before = all(&told);
        let elapsed = callers(&world, tenants, reservations, round, &told).await?;
        let after = all(&told);
        decisions.push((after - before) as f64 / elapsed.as_secs_f64());
        rates.push(reservations as f64 / elapsed.as_secs_f64());
    }
    let spent = (processor_seconds("self") - spent) * 1e6 / all(&told) as f64;
    let held = held(&world, tenants).await?;
    let finalised = told.finalised.load(Ordering::Relaxed) as u64;
    if held.iter().any(|it| *it > limit as u64) || held.iter().sum::<u64>() != finalised {
        return Err(format!("overdrawn: {finalised} finalised, {held:?} of {limit}").into());
    }
    world.stop().await;
    let reserve = format!("{name}: reservations/s, each ended");
    let goal = (tenants == TENANTS).then_some((">=", 50_000.0));
    Ok(vec![
        Figure::new("reservations", &format!("{name}: decisions/s"), median(decisions), goal),
        Figure::new("reservations", &format!("{name}: processor, µs a decision"), spent, None),
        Figure::new("reservations", &reserve, median(rates), None),
        Figure::new(
            "reservations",
            &format!("{name}: refused at the limit"),
            told.refused.load(Ordering::Relaxed) as f64,
            None,
        ),
    ])
}

fn all(told: &Told) -> usize {
    let counts = [&told.reserved, &told.refused, &told.finalised, &told.released];
    counts.into_iter().map(|it| it.load(Ordering::Relaxed)).sum()
}

/// A hard limit for the tenant.
async fn give(world: &World, tenant: usize, limit: usize) -> Result<(), Failure> {
    let command = Command::Entitlements(entitlements::Command::Grant(entitlements::GrantFeature {
        feature: Slug::parse(FEATURE)?,
        amount: entitlements::Amount::Units(limit as u64),
        kind: entitlements::GrantKind::Manual,
        reason: "to measure".to_owned(),
        expires_at: None,
    }));
    commerce::ask(world, &format!("t{tenant}"), format!("give-{tenant}"), command).await?;
    Ok(())
}

/// `reservations`, each by the next caller that is free.
async fn callers(
    world: &World,
    tenants: usize,
    reservations: usize,
    round: usize,
    told: &Arc<Told>,
) -> Result<Duration, Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let count = if tenants == 1 { CALLERS_OF_ONE } else { CALLERS_OF_ALL };
    let callers = (0..count).map(|_| {
        let (next, told) = (Arc::clone(&next), Arc::clone(told));
        let gateway = world.platform.gateway.clone();
        #[expect(clippy::disallowed_methods, reason = "callers are no part of the platform")]
        tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= reservations {
                    return Ok::<(), String>(());
                }
                let (tenant, id) = (format!("t{}", n % tenants), format!("{round}-{n}"));
                let is_released = (n / tenants).is_multiple_of(RELEASED_SHARE);
                one(&gateway, &tenant, &id, is_released, &told).await?;
            }
        })
    });
    for caller in futures::future::join_all(callers).await {
        caller??;
    }
    Ok(begun.elapsed())
}

async fn one(
    gateway: &exchequer_engine::Gateway,
    tenant: &str,
    id: &str,
    is_released: bool,
    told: &Told,
) -> Result<(), String> {
    let failed = |error: &dyn core::fmt::Display| error.to_string();
    let feature = Slug::parse(FEATURE).map_err(|error| failed(&error))?;
    let reserve = Reserve { id: id.to_owned(), feature, amount: 1, ttl_seconds: 60 };
    let command = Command::Quotas(quotas::Command::Reserve(reserve));
    let asked = submission(tenant, format!("r-{id}"), command).map_err(|error| failed(&error))?;
    let answer = gateway.submit(asked, PATIENCE).await.map_err(|error| failed(&error))?;
    match answer.status() {
        Some(Status::Accepted) => told.reserved.fetch_add(1, Ordering::Relaxed),
        Some(Status::Rejected) => {
            told.refused.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        other => return Err(format!("reserve: {other:?}")),
    };
    let id = id.to_owned();
    let (end, ended) = if is_released {
        (quotas::Command::Release(Release { id: id.clone() }), &told.released)
    } else {
        let finalise = Finalise { id: id.clone(), amount: None };
        (quotas::Command::Finalise(finalise), &told.finalised)
    };
    let command = Command::Quotas(end);
    let asked = submission(tenant, format!("f-{id}"), command).map_err(|error| failed(&error))?;
    let answer = gateway.submit(asked, PATIENCE).await.map_err(|error| failed(&error))?;
    match answer.status() {
        Some(Status::Accepted) => ended.fetch_add(1, Ordering::Relaxed),
        other => return Err(format!("end: {other:?}: {}", answer.outcome.code)),
    };
    Ok(())
}

/// What each tenant holds, as snapshots in memory say.
async fn held(world: &World, tenants: usize) -> Result<Vec<u64>, Failure> {
    let live = world.platform.live::<LiveQuotas>().ok_or("no quotas in memory")?;
    let feature = Slug::parse(FEATURE)?;
    let mut held = Vec::new();
    for tenant in 0..tenants {
        let key = TenantId::parse(format!("t{tenant}"))?;
        let seen = live.get(&key, &exchequer_engine::Token::default(), PATIENCE).await;
        let seen = seen.map_err(|error| format!("{error:?}"))?;
        held.push(seen.snapshot.quota(&feature).map_or(0, exchequer_domain_quotas::Quota::held));
    }
    Ok(held)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
