//! Providers who sell, and their customers: catalogs that come and go, subscriptions
//! and all that can be done with them, grants, and sandboxes whose time is moved.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use exchequer_domain_access as access;
use exchequer_domain_catalog as catalog;
use exchequer_domain_entitlements as entitlements;
use exchequer_domain_subscriptions as subscriptions;
use exchequer_domain_tenants as tenants;
use exchequer_engine::{Answer, Submission};
use exchequer_kernel::Status;
use exchequer_tenant::{AmendChange, ChangeSubscription, Command, Create, Subscribe};
use exchequer_types::{Selection, SelectionChange, Slug, TenantId, Timestamp, Zone};

use super::documents::{ADD_ONS, CATALOGS, CURRENCIES, FEATURES, PLANS, PRICES};
use super::documents::{currency, document, slug};
use super::kernel::name;
use super::{Known, People, flags, rename, word};
use crate::rng::Rng;

const DAY: u64 = 86_400;
/// How often a provider that opens its shop tries anew.
const TRIES_MAX: u64 = 12;
const ZONES: [&str; 9] = [
    "UTC",
    "Europe/Paris",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
];

/// The provider of this number; 0 is the root.
pub(crate) fn provider(number: u64) -> TenantId {
    match number {
        0 => TenantId::platform(),
        _ => word(TenantId::parse(format!("p{number}"))),
    }
}

pub(crate) fn customer(number: u64) -> TenantId {
    word(TenantId::parse(format!("c{number}")))
}

pub(crate) fn sandbox(number: u64) -> TenantId {
    word(TenantId::parse(format!("s{number}")))
}

impl People {
    /// A provider's day: it opens its shop, and then changes what it sells.
    pub(crate) async fn merchant(self, number: u64, mut rng: Rng) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        let provider = provider(number);
        if number > 0 {
            let parent = TenantId::platform();
            self.insist(&provider, &mut rng, |rng| create(rng, parent.clone(), None)).await;
            let promote = Command::Tenants(tenants::Command::Promote(tenants::Promote));
            self.insist(&provider, &mut rng, |_| promote.clone()).await;
        }
        self.insist(&provider, &mut rng, |rng| save_draft(rng, "main")).await;
        self.insist(&provider, &mut rng, |_| publish("main")).await;
        for command in flags::beginnings(&mut rng) {
            self.insist(&provider, &mut rng, |_| command.clone()).await;
        }
        for _ in 0..self.world.plan.commands_per_merchant {
            self.pause(&mut rng).await;
            if rng.chance(350) {
                let command = trade(&mut rng, number > 0);
                self.ask(self.conditioned(&provider, command, &mut rng)).await;
                continue;
            }
            let command = flags::flag_command(&mut rng);
            let answer = self.ask(self.conditioned(&provider, command, &mut rng)).await;
            if rng.chance(500) {
                self.evaluate(&provider, None, answer.as_ref(), &mut rng).await;
            }
        }
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    /// A customer's day, and that of others who are customers of the same provider.
    pub(crate) async fn shopper(self, mut rng: Rng) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        for _ in 0..self.world.plan.commands_per_shopper {
            let pause = rng.within(1, 1_000) * rng.within(1, 1_000);
            self.world.sim.sleep(pause).await;
            let tenant = self.any_customer(&mut rng);
            let command = self.wish(&tenant, &mut rng);
            let submission = self.conditioned(&tenant, command, &mut rng);
            let answer = self.ask(submission.clone()).await;
            if rng.chance(450) {
                self.glance(&tenant, answer.as_ref(), &mut rng).await;
            }
            if rng.chance(350) {
                let provider = provider(rng.below(self.world.plan.providers));
                self.evaluate(&provider, Some(&tenant), answer.as_ref(), &mut rng).await;
            }
            if rng.chance(30) {
                let again = self.again(submission, &mut rng);
                self.ask(again).await;
            }
        }
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    /// Asks for it under one id after another, until it is accepted.
    async fn insist(&self, tenant: &TenantId, rng: &mut Rng, wish: impl Fn(&mut Rng) -> Command) {
        for _ in 0..TRIES_MAX {
            let answer = self.ask(self.submission(tenant, wish(rng))).await;
            if answer.is_some_and(|answer| answer.status() == Some(Status::Accepted)) {
                return;
            }
            self.world.sim.sleep(rng.within(10_000, 900_000)).await;
        }
    }

    pub(super) fn any_customer(&self, rng: &mut Rng) -> TenantId {
        let plan = &self.world.plan;
        // A few have more to do than others.
        let bound = rng.within(1, plan.customers + plan.sandboxes + 1);
        let number = rng.below(bound);
        match number.checked_sub(plan.sandboxes) {
            Some(number) => customer(number),
            None => sandbox(number),
        }
    }

    /// The time that the tenant lives in, as far as people know.
    fn time(&self, tenant: &TenantId) -> Timestamp {
        let clock = crate::exec::lock(&self.known).clocks.get(tenant).copied();
        clock.unwrap_or_else(|| self.world.sim.now())
    }

    fn wish(&self, tenant: &TenantId, rng: &mut Rng) -> Command {
        let is_sandbox = tenant.as_str().starts_with('s');
        if self.version(tenant, "tenant").is_none() && rng.chance(900) {
            let clock = is_sandbox.then(|| self.any_instant(rng));
            let number = rng.below(2 * self.world.plan.providers);
            return create(rng, provider(number.saturating_sub(self.world.plan.providers)), clock);
        }
        if is_sandbox && rng.chance(250) {
            let to = self.later(tenant, rng, 70 * DAY);
            return Command::Tenants(tenants::Command::AdvanceClock(tenants::AdvanceClock { to }));
        }
        if self.version(tenant, "subscription").is_none() && rng.chance(600) {
            return subscribe(rng);
        }
        match rng.below(100) {
            0..15 => subscribe(rng),
            15..43 => self.change(tenant, rng),
            43..72 => self.steer(tenant, rng),
            72..92 => self.entitle(tenant, rng),
            _ => self.live(tenant, rng),
        }
    }

    fn any_instant(&self, rng: &mut Rng) -> Timestamp {
        let month_ends = ["2024-01-31T12:00:00Z", "2024-02-29T00:00:00Z", "2025-03-30T00:59:59Z"];
        match rng.below(3) {
            0 => word(Timestamp::parse(rng.word(&month_ends))),
            _ => self.world.sim.now().saturating_sub(Duration::from_secs(rng.below(400 * DAY))),
        }
    }

    /// An instant behind the tenant's own time in most cases.
    fn later(&self, tenant: &TenantId, rng: &mut Rng, seconds_max: u64) -> Timestamp {
        let now = self.time(tenant);
        match rng.below(10) {
            0 => now.saturating_sub(Duration::from_secs(rng.below(3 * DAY))),
            // Soon, so that it is due before the run ends.
            1..4 => now.saturating_add(Duration::from_micros(rng.within(1, 40_000_000))),
            _ => now.saturating_add(Duration::from_secs(rng.below(seconds_max))),
        }
    }

    fn when(&self, tenant: &TenantId, rng: &mut Rng) -> subscriptions::When {
        match rng.below(10) {
            0..6 => subscriptions::When::Now,
            6..8 => subscriptions::When::PeriodEnd,
            _ => subscriptions::When::At(self.later(tenant, rng, 60 * DAY)),
        }
    }

    fn change(&self, tenant: &TenantId, rng: &mut Rng) -> Command {
        let to = selection_change(rng);
        let when = self.when(tenant, rng);
        Command::ChangeSubscription(ChangeSubscription { to, when })
    }

    /// Everything else that can be done with a subscription.
    fn steer(&self, tenant: &TenantId, rng: &mut Rng) -> Command {
        use subscriptions::Command as S;
        Command::Subscriptions(match rng.below(100) {
            0..14 => {
                let when = match rng.below(10) {
                    0..2 => subscriptions::When::Now,
                    2..8 => subscriptions::When::PeriodEnd,
                    _ => self.when(tenant, rng),
                };
                S::Cancel(subscriptions::Cancel { when, reason: name(rng) })
            }
            14..28 => S::Reactivate(subscriptions::Reactivate),
            28..41 => {
                let resume_at = rng.chance(500).then(|| self.later(tenant, rng, 50 * DAY));
                S::Pause(subscriptions::Pause { resume_at })
            }
            41..52 => S::Resume(subscriptions::Resume),
            52..61 => S::Activate(subscriptions::Activate),
            61..70 => S::SetZone(subscriptions::SetZone { zone: zone(rng) }),
            70..78 => S::Drop(subscriptions::DropEntry { id: self.entry(tenant, rng) }),
            78..89 => {
                let (id, to) = (self.entry(tenant, rng), selection_change(rng));
                return Command::AmendChange(AmendChange { id, to });
            }
            _ => {
                let id = self.entry(tenant, rng);
                let at = match rng.below(2) {
                    0 => subscriptions::ScheduleAt::PeriodEnd,
                    _ => subscriptions::ScheduleAt::Instant(self.later(tenant, rng, 60 * DAY)),
                };
                S::Reschedule(subscriptions::Reschedule { id, at })
            }
        })
    }

    fn entry(&self, tenant: &TenantId, rng: &mut Rng) -> String {
        pick_own(&crate::exec::lock(&self.known).entries, tenant, rng)
    }

    fn entitle(&self, tenant: &TenantId, rng: &mut Rng) -> Command {
        use entitlements::Command as E;
        let feature = slug(rng.word(&FEATURES));
        Command::Entitlements(match rng.below(10) {
            0..5 => {
                let amount = match rng.below(8) {
                    0 => entitlements::Amount::On,
                    1 => entitlements::Amount::Unlimited,
                    _ => entitlements::Amount::Units(rng.below(40)),
                };
                let kind = *rng.pick(&entitlements::GrantKind::ALL);
                let expires_at = rng.chance(700).then(|| self.later(tenant, rng, 30 * DAY));
                let reason = name(rng);
                E::Grant(entitlements::GrantFeature { feature, amount, kind, reason, expires_at })
            }
            5 | 6 => {
                let id = pick_own(&crate::exec::lock(&self.known).grants, tenant, rng);
                E::Revoke(entitlements::Revoke { id, reason: name(rng) })
            }
            _ => E::ReportUse(entitlements::ReportUse { feature, used: rng.below(60) }),
        })
    }

    /// What befalls the tenant itself.
    fn live(&self, tenant: &TenantId, rng: &mut Rng) -> Command {
        use tenants::Command as T;
        Command::Tenants(match rng.below(100) {
            0..40 => return rename(rng),
            40..58 => T::Suspend(tenants::Suspend { reason: name(rng) }),
            58..76 => T::Reinstate(tenants::Reinstate),
            76..82 => {
                let wait = Duration::from_secs(rng.within(1, 150 * DAY));
                let at = self.time(tenant).saturating_add(wait);
                T::ScheduleClosing(tenants::ScheduleClosing { at })
            }
            82..92 => T::CancelClosing(tenants::CancelClosing),
            92 => T::Close(tenants::Close { reason: name(rng) }),
            _ => {
                let to = self.later(tenant, rng, DAY);
                T::AdvanceClock(tenants::AdvanceClock { to })
            }
        })
    }
}

impl Known {
    pub(super) fn learn_accepted(
        &mut self,
        tenant: &TenantId,
        submission: &Submission,
        answer: &Answer,
    ) {
        let reply = &answer.outcome.reply;
        let own = |prefix: &str| ids_in(reply, prefix).into_iter().map(|id| (tenant.clone(), id));
        match &submission.command {
            Command::Create(Create { test_clock: Some(clock), .. }) => {
                self.clocks.insert(tenant.clone(), *clock);
            }
            Command::Tenants(tenants::Command::AdvanceClock(it)) => {
                self.clocks.insert(tenant.clone(), it.to);
            }
            Command::Access(access::Command::GrantRole(_)) => self.role_grants.extend(own("rgr_")),
            Command::Access(access::Command::CreateCredential(_)) => {
                self.credentials.extend(own("crd_"));
            }
            Command::Entitlements(entitlements::Command::Grant(_)) => {
                self.grants.extend(own("grt_"));
            }
            Command::ChangeSubscription(it) if it.when != subscriptions::When::Now => {
                self.entries.extend(own("sch_"));
            }
            _ => {}
        }
    }
}

/// Ids that we made are found in any message.
fn ids_in(reply: &[u8], prefix: &str) -> Vec<String> {
    const ID_CHARS: usize = 26;
    let length = prefix.len() + ID_CHARS;
    let found = reply.windows(length).filter(|it| it.starts_with(prefix.as_bytes()));
    found.filter_map(|it| String::from_utf8(it.to_vec()).ok()).collect()
}

/// One that the tenant has, in most cases.
pub(super) fn pick_own(all: &[(TenantId, String)], tenant: &TenantId, rng: &mut Rng) -> String {
    let own: Vec<_> = all.iter().filter(|it| it.0 == *tenant || rng.chance(20)).collect();
    match own.last() {
        Some(last) if rng.chance(500) => last.1.clone(),
        Some(_) => rng.pick(&own).1.clone(),
        None => "none".to_owned(),
    }
}

fn create(rng: &mut Rng, parent: TenantId, test_clock: Option<Timestamp>) -> Command {
    let mut settings = BTreeMap::new();
    if rng.chance(400) {
        settings.insert(tenants::TIMEZONE.to_owned(), rng.word(&ZONES).to_owned());
    }
    Command::Create(Create { parent, name: name(rng), settings, test_clock })
}

/// What a provider does with its shop.
fn trade(rng: &mut Rng, may_close: bool) -> Command {
    use tenants::Command as T;
    let which = if rng.chance(700) { "main" } else { "odd" };
    match rng.below(100) {
        0..30 => save_draft(rng, which),
        30..60 => publish(which),
        60..75 => {
            let version = rng.within(1, 5) as u32;
            let catalog = slug(which);
            Command::Catalog(catalog::Command::Retire(catalog::Retire { catalog, version }))
        }
        75..80 => {
            let catalog = slug(which);
            Command::Catalog(catalog::Command::DiscardDraft(catalog::DiscardDraft { catalog }))
        }
        80..90 => rename(rng),
        90..94 => Command::Tenants(T::Suspend(tenants::Suspend { reason: name(rng) })),
        94..99 => Command::Tenants(T::Reinstate(tenants::Reinstate)),
        _ if may_close => Command::Tenants(T::Close(tenants::Close { reason: name(rng) })),
        _ => rename(rng),
    }
}

fn save_draft(rng: &mut Rng, id: &str) -> Command {
    let (catalog, document) = (slug(id), document(rng));
    Command::Catalog(catalog::Command::SaveDraft(catalog::SaveDraft { catalog, document }))
}

fn publish(id: &str) -> Command {
    Command::Catalog(catalog::Command::Publish(catalog::Publish { catalog: slug(id), hash: None }))
}

fn subscribe(rng: &mut Rng) -> Command {
    let selection = Selection {
        catalog: slug(if rng.chance(850) { CATALOGS[0] } else { CATALOGS[1] }),
        version: rng.chance(80).then(|| rng.within(1, 3) as u32),
        plan: plan(rng),
        price: slug(rng.word(&PRICES)),
        currency: currency(if rng.chance(950) { rng.word(&CURRENCIES) } else { "JPY" }),
        seats: seats(rng),
        add_ons: add_ons(rng),
    };
    let trial_days = rng.chance(400).then(|| rng.below(20) as u32);
    let zone = rng.chance(500).then(|| zone_name(rng));
    Command::Subscribe(Subscribe { selection, trial_days, zone })
}

fn selection_change(rng: &mut Rng) -> SelectionChange {
    let mut to = SelectionChange::default();
    match rng.below(10) {
        0..4 => to.seats = Some(seats(rng)),
        4..6 => to.add_ons = Some(add_ons(rng)),
        6..8 => to.plan = Some(plan(rng)),
        8 => to.price = Some(slug(rng.word(&PRICES))),
        _ => {
            to.plan = rng.chance(600).then(|| plan(rng));
            to.price = rng.chance(600).then(|| slug(rng.word(&PRICES)));
            to.seats = rng.chance(600).then(|| seats(rng));
            to.add_ons = rng.chance(300).then(|| add_ons(rng));
            to.version = rng.chance(300).then(|| rng.within(1, 4) as u32);
            to.catalog = rng.chance(150).then(|| slug(rng.word(&CATALOGS)));
        }
    }
    to
}

fn plan(rng: &mut Rng) -> Slug {
    slug(if rng.chance(970) { rng.word(&PLANS) } else { "gone" })
}

fn seats(rng: &mut Rng) -> u64 {
    match rng.below(12) {
        0 => 0,
        1 => 1_000_000_000_000,
        2 => rng.within(20, 3_000),
        _ => rng.within(1, 20),
    }
}

fn add_ons(rng: &mut Rng) -> BTreeMap<Slug, u64> {
    let chosen = ADD_ONS.iter().filter_map(|id| {
        let packs = rng.below(12);
        rng.chance(400).then(|| (slug(id), packs.saturating_sub(1)))
    });
    chosen.filter(|(_, packs)| *packs > 0).collect()
}

fn zone_name(rng: &mut Rng) -> String {
    if rng.chance(960) { rng.word(&ZONES).to_owned() } else { "Mars/Base".to_owned() }
}

fn zone(rng: &mut Rng) -> Zone {
    Zone::parse(rng.word(&ZONES)).unwrap_or(Zone::UTC)
}
