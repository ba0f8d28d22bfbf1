//! Limits of credentials and tenants on a clock that the test moves.

use core::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use core::time::Duration;
use std::sync::Mutex;

use exchequer_runtime::{TaskError, TaskKind};
use futures::FutureExt as _;

use super::*;

const START: i64 = 1_790_000_000_000_000;

/// A clock that stands still until it is moved.
#[derive(Debug)]
struct Clock(AtomicI64);

impl Runtime for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::saturating_from_micros(self.0.load(Ordering::SeqCst))
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        core::future::pending().boxed()
    }

    fn sleep_until(&self, _: Timestamp) -> BoxFuture<'static, ()> {
        core::future::pending().boxed()
    }

    fn spawn(&self, _: TaskKind, _: BoxFuture<'static, Result<(), TaskError>>) {}

    fn nonce(&self) -> [u8; 16] {
        [0; 16]
    }
}

/// A tenant's plan, as the test sets it.
#[derive(Debug)]
struct Plan {
    said: Mutex<Result<Said, Untold>>,
    asked: AtomicU32,
}

impl TenantLimits for Plan {
    fn of<'a>(&'a self, _: &'a TenantId) -> BoxFuture<'a, Result<Said, Untold>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        core::future::ready(*self.said.lock().unwrap()).boxed()
    }
}

struct World {
    limits: Limits,
    plan: Arc<Plan>,
    clock: Arc<Clock>,
    tenant: TenantId,
}

impl World {
    fn new(of_plan: Option<u32>) -> Self {
        Self::with(Said { of_plan, of_settings: None }, Defaults::default())
    }

    fn with(said: Said, defaults: Defaults) -> Self {
        let clock = Arc::new(Clock(AtomicI64::new(START)));
        let plan = Arc::new(Plan { said: Mutex::new(Ok(said)), asked: AtomicU32::new(0) });
        let tenants = Arc::<Plan>::clone(&plan);
        let runtime = Arc::<Clock>::clone(&clock);
        let limits = Limits::new(defaults, tenants, runtime);
        Self { limits, plan, clock, tenant: TenantId::parse("acme").unwrap() }
    }

    fn take(&self, credential: &str, own: Option<u32>) -> Result<Taken, Exceeded> {
        let tenant = &self.tenant;
        let asking = Asking { tenant, credential, requests_per_minute: own, keys: None };
        self.limits.take(asking).now_or_never().unwrap()
    }

    /// How many requests of `credential` pass at this instant.
    fn pass(&self, credential: &str, own: Option<u32>) -> u32 {
        (0..10_000).take_while(|_| self.take(credential, own).is_ok()).count() as u32
    }

    fn wait(&self, by: Duration) {
        self.clock.0.fetch_add(by.as_micros() as i64, Ordering::SeqCst);
    }
}

// REQ: USE-13
#[test]
fn where_all_are_silent_a_credential_has_a_hundred_a_minute() {
    let world = World::new(None);
    assert_eq!(world.pass("one", None), 100);
    assert_eq!(world.take("one", None).unwrap_err().retry, Duration::from_millis(600));
    // Another credential of the tenant is not concerned.
    assert_eq!(world.pass("other", None), 100);
    world.wait(Duration::from_secs(60));
    assert_eq!(world.pass("one", None), 100);
}

// REQ: USE-09, IAM-13
#[test]
fn a_credentials_own_limit_makes_it_less_and_never_more() {
    let world = World::new(None);
    assert_eq!(world.pass("slow", Some(3)), 3);
    assert_eq!(world.pass("fast", Some(500)), 100);
}

// REQ: USE-09
#[test]
fn what_the_plan_gives_is_shared_by_all_credentials_of_the_tenant() {
    let world = World::new(Some(300));
    assert_eq!(world.pass("one", None), 300);
    let refused = world.take("other", None).unwrap_err();
    assert_eq!((refused.limit, refused.retry), (300, Duration::from_millis(200)));
    // A limit of its own does not lift a credential above the plan.
    assert_eq!(world.pass("third", Some(1_000)), 0);
    world.wait(Duration::from_secs(60));
    assert_eq!(world.pass("one", Some(20)), 20);
    // What its own limit refused was not taken from the others.
    assert_eq!(world.pass("other", None), 280);
}

// REQ: USE-09
#[test]
fn what_the_settings_say_is_for_each_credential() {
    let world = World::with(
        Said { of_plan: None, of_settings: Some(7) },
        Defaults { requests_per_minute: 100, burst: None },
    );
    assert_eq!(world.pass("one", None), 7);
    assert_eq!(world.pass("other", None), 7);
    assert_eq!(world.pass("third", Some(9)), 7);
}

// REQ: USE-09
#[test]
fn a_burst_is_at_most_what_is_said_and_at_most_a_minutes_worth() {
    let world =
        World::with(Said::default(), Defaults { requests_per_minute: 100, burst: Some(20) });
    assert_eq!(world.pass("one", None), 20);
    assert_eq!(world.pass("slow", Some(3)), 3);
    world.wait(Duration::from_secs(6));
    assert_eq!(world.pass("one", None), 10);
}

// REQ: USE-09
#[test]
fn the_tighter_bucket_is_told() {
    let world = World::new(Some(300));
    let taken = world.take("one", Some(10)).unwrap();
    assert_eq!((taken.limit, taken.remaining), (10, 9));
    let taken = world.take("two", Some(1_000)).unwrap();
    assert_eq!((taken.limit, taken.remaining), (300, 298));
}

// REQ: USE-09
#[test]
fn a_changed_plan_counts_soon_and_is_not_asked_for_each_request() {
    let world = World::new(Some(5));
    assert_eq!(world.pass("one", None), 5);
    assert_eq!(world.plan.asked.load(Ordering::SeqCst), 1);
    *world.plan.said.lock().unwrap() = Ok(Said { of_plan: Some(50), of_settings: None });
    world.wait(Duration::from_secs(60));
    assert_eq!(world.pass("one", None), 50);
    assert_eq!(world.plan.asked.load(Ordering::SeqCst), 2);
}

// REQ: USE-09
#[test]
fn a_plan_that_cannot_be_told_holds_on() {
    let world = World::new(Some(5));
    assert_eq!(world.pass("one", None), 5);
    *world.plan.said.lock().unwrap() = Err(Untold);
    world.wait(Duration::from_secs(60));
    assert_eq!(world.pass("one", None), 5);
}
