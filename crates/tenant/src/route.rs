//! Which domain decides a command, and what the others follow it with.

use exchequer_domain_access as access;
use exchequer_domain_audit as audit;
use exchequer_domain_catalog as catalog;
use exchequer_domain_entitlements as entitlements;
use exchequer_domain_flags as flags;
use exchequer_domain_quotas as quotas;
use exchequer_domain_subscriptions as subscriptions;
use exchequer_domain_tenants as tenants;
use exchequer_domain_usage as usage;
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_kernel::{Ctx, Decider, Shown};
use exchequer_types::{Fact, HeldPlan, Json, PlanContent};

use crate::resolve::{Refusal, rejected, rejection};
use crate::{Command, Decided, Event, Reference, Reply, Stream, limits};

/// What a command came to: events, and the stream with them taken over.
#[derive(Debug)]
pub(crate) struct Routed {
    /// Each with the stream's version after it.
    pub(crate) events: Vec<(Event, u64)>,
    pub(crate) stream: Stream,
}

/// Asks the command's domain, and offers what happened to the others, in the same
/// commit. `command` names nothing that is still to be looked up.
pub(crate) fn route(
    stream: &Stream,
    command: &Command,
    reference: &Reference,
    ctx: &Ctx,
) -> Result<Routed, Refusal> {
    let mut routing = Routing { stream: stream.clone(), events: Vec::new(), reference, ctx };
    match command {
        Command::Wake | Command::Lookup { .. } => {}
        Command::Release { reason } => {
            check_parked(stream)?;
            routing.push(Event::Released { reason: reason.clone() });
        }
        Command::Tenants(command) => {
            let events = decide::<tenants::Tenants>(&stream.tenants, command, ctx)?;
            routing.take(Order::Tenants, events, tenants::facts, Event::Tenants);
        }
        Command::Access(command) => {
            tenants::open(&stream.tenants).map_err(rejected)?;
            check_scopes(stream, command)?;
            let events = decide::<access::Access>(&stream.access, command, ctx)?;
            routing.take(Order::Access, events, access::facts, Event::Access);
        }
        Command::Audit(command) => {
            check_exists(stream)?;
            let events = decide::<audit::Audit>(&audit::State, command, ctx)?;
            for event in events {
                routing.push(Event::Audit(event));
            }
        }
        Command::Catalog(command) => {
            if !command.is_adoption() {
                check_provider(stream, "catalogs")?;
            }
            let events = decide::<catalog::Catalog>(&stream.catalog, command, ctx)?;
            routing.take(Order::Catalog, events, catalog::facts, Event::Catalog);
        }
        Command::Subscriptions(command) => {
            tenants::open(&stream.tenants).map_err(rejected)?;
            let state = &stream.subscriptions;
            let events = decide::<subscriptions::Subscriptions>(state, command, ctx)?;
            let facts = subscriptions::facts;
            routing.take(Order::Subscriptions, events, facts, Event::Subscriptions);
        }
        Command::Entitlements(command) => {
            tenants::open(&stream.tenants).map_err(rejected)?;
            let events = decide::<entitlements::Entitlements>(&stream.entitlements, command, ctx)?;
            routing.take(Order::Entitlements, events, entitlements::facts, Event::Entitlements);
        }
        Command::Flags(command) => {
            tenants::open(&stream.tenants).map_err(rejected)?;
            let events = decide::<flags::Flags>(&stream.flags, command, ctx)?;
            routing.take(Order::Flags, events, flags::facts, Event::Flags);
        }
        Command::Quotas(command) => {
            let tenant = tenants::open(&stream.tenants).map_err(rejected)?;
            limits::check(stream, tenant, command, ctx.now)?;
            let events = decide::<quotas::Quotas>(&stream.quotas, command, ctx)?;
            routing.take(Order::Quotas, events, quotas::facts, Event::Quotas);
        }
        Command::Usage(command) => {
            if command.is_correction() {
                tenants::open(&stream.tenants).map_err(rejected)?;
            } else {
                check_provider(stream, "meters")?;
            }
            let events = decide::<usage::Usage>(&stream.usage, command, ctx)?;
            routing.take(Order::Usage, events, usage::facts, Event::Usage);
        }
        Command::Create(_)
        | Command::Subscribe(_)
        | Command::ChangeSubscription(_)
        | Command::AmendChange(_) => unreachable!("commands are resolved before they are routed"),
    }
    routing.set_limits(stream);
    Ok(Routed { events: routing.events, stream: routing.stream })
}

fn check_exists(stream: &Stream) -> Result<(), Refusal> {
    if stream.tenants.tenant.is_some() {
        return Ok(());
    }
    Err(rejected(tenants::Rejection::NotFound))
}

fn check_parked(stream: &Stream) -> Result<(), Refusal> {
    if stream.parked.is_some() {
        return Ok(());
    }
    let message = "the tenant is not parked".to_owned();
    Err(Refusal::Rejected(rejection("TENANT_NOT_PARKED", "tenant", message)))
}

fn decide<D: Decider>(
    state: &D::State,
    command: &D::Command,
    ctx: &Ctx,
) -> Result<Vec<D::Event>, Refusal> {
    D::decide(state, command, ctx).map_err(rejected)
}

/// `what` a provider alone has.
fn check_provider(stream: &Stream, what: &str) -> Result<(), Refusal> {
    let tenant = tenants::open(&stream.tenants).map_err(rejected)?;
    if tenant.provider {
        return Ok(());
    }
    let message = format!("only a provider has {what}: promote the tenant first");
    Err(Refusal::Rejected(rejection("TENANT_NOT_PROVIDER", "tenant", message)))
}

/// Projects, environments and flags that a grant or a key is for must be there.
fn check_scopes(stream: &Stream, command: &access::Command) -> Result<(), Refusal> {
    for scope in command.scopes() {
        let (Some(project), environment, flag) = scope.parts() else { continue };
        let project = stream.flags.projects.get(project);
        let project = project.ok_or_else(|| rejected(flags::Rejection::ProjectNotFound))?;
        if environment.is_some_and(|it| project.environments.get(it).is_none()) {
            return Err(rejected(flags::Rejection::EnvironmentNotFound));
        }
        if flag.is_some_and(|it| project.flags.get(it).is_none()) {
            return Err(rejected(flags::Rejection::FlagNotFound));
        }
    }
    Ok(())
}

/// The order in which domains follow: a fact goes to those behind its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Tenants,
    Access,
    Catalog,
    Subscriptions,
    Entitlements,
    Quotas,
    Flags,
    Usage,
}

struct Routing<'a> {
    stream: Stream,
    events: Vec<(Event, u64)>,
    reference: &'a Reference,
    ctx: &'a Ctx,
}

impl Routing<'_> {
    fn push(&mut self, event: Event) {
        self.stream.evolve(&event, self.ctx.now);
        let version = self.stream.version;
        self.events.push((event, version));
    }

    fn take<E>(
        &mut self,
        order: Order,
        events: Vec<E>,
        facts: fn(&E) -> Vec<Fact>,
        wrap: fn(E) -> Event,
    ) {
        for event in events {
            let facts = facts(&event);
            self.push(wrap(event));
            for fact in &facts {
                self.follow(order, fact);
            }
        }
    }

    fn follow(&mut self, order: Order, fact: &Fact) {
        if order < Order::Access {
            let events = access::follow(&self.stream.access, fact);
            self.take(Order::Access, events, access::facts, Event::Access);
        }
        if order < Order::Subscriptions {
            let events = subscriptions::follow(&self.stream.subscriptions, fact, self.ctx);
            let facts = subscriptions::facts;
            self.take(Order::Subscriptions, events, facts, Event::Subscriptions);
        }
        if order < Order::Entitlements {
            let content = match fact {
                Fact::PlanChanged { held: Some(held) } => self.content(held),
                _ => None,
            };
            let state = &self.stream.entitlements;
            let events = entitlements::follow(state, fact, content.as_ref(), self.ctx);
            let facts = entitlements::facts;
            self.take(Order::Entitlements, events, facts, Event::Entitlements);
        }
        if order < Order::Quotas && *fact == Fact::TenantClosed {
            let events = quotas::close(&self.stream.quotas);
            self.take(Order::Quotas, events, quotas::facts, Event::Quotas);
        }
        self.follow_timers(fact);
    }

    /// Quotas follow what is given, whatever it was that changed it. A closed tenant has none.
    fn set_limits(&mut self, before: &Stream) {
        if !limits::may_differ(before, &self.stream) || tenants::open(&self.stream.tenants).is_err()
        {
            return;
        }
        let terms = limits::terms(&self.stream, self.reference, self.ctx.now);
        let events = quotas::follow_terms(&self.stream.quotas, &terms, self.ctx);
        self.take(Order::Quotas, events, quotas::facts, Event::Quotas);
    }

    fn content(&self, held: &HeldPlan) -> Option<PlanContent> {
        self.reference.catalog.adopted.content(&held.plan, &held.add_ons)
    }

    fn follow_timers(&mut self, fact: &Fact) {
        match fact {
            Fact::TimerSet { id, .. } if self.stream.own_time().is_some() && is_access(id) => {}
            Fact::TimerSet { id, due } => {
                let own_time =
                    self.stream.own_time().is_some() && !mutation::active(Mutation::OwnTime);
                self.push(Event::TimerSet { id: id.clone(), due: *due, own_time });
            }
            Fact::TimerCleared { id, fired } => {
                if let Some(due) = self.stream.timers.due_of(id) {
                    self.push(Event::TimerCleared { id: id.clone(), due, fired: *fired });
                }
            }
            Fact::ProviderChanged { .. } | Fact::TenantClosed | Fact::PlanChanged { .. } => {}
        }
    }
}

/// Access control lives in real time: a sandbox whose own clock runs ahead does not lose the
/// credentials by which it is moved. Nothing of it falls due there, and the gateways judge.
fn is_access(timer: &str) -> bool {
    timer.starts_with("tma_")
}

/// The command that a due timer stands for: its id begins with its domain's letters.
pub(crate) fn timer_command(timer: &str) -> Command {
    match timer.split_once('_') {
        Some(("tma", _)) => Command::Access(access::timer_command(timer)),
        Some(("tms", _)) => Command::Subscriptions(subscriptions::timer_command(timer)),
        Some(("tme", _)) => Command::Entitlements(entitlements::timer_command(timer)),
        Some(("tmq", _)) => Command::Quotas(quotas::timer_command(timer)),
        _ => Command::Tenants(tenants::Command::FireClosing(tenants::FireClosing {
            timer: timer.to_owned(),
        })),
    }
}

/// Version of what the command is addressed to: what `expected_version` means.
pub(crate) fn version(stream: &Stream, command: &Command) -> u64 {
    match command {
        Command::Audit(_) => stream.audit.seq,
        Command::Access(command) => access::version(&stream.access, command),
        Command::Catalog(command) => catalog::version(&stream.catalog, command),
        Command::Subscribe(_) | Command::ChangeSubscription(_) | Command::AmendChange(_) => {
            subscriptions::current_version(&stream.subscriptions)
        }
        Command::Subscriptions(command) => subscriptions::version(&stream.subscriptions, command),
        Command::Entitlements(command) => entitlements::version(&stream.entitlements, command),
        Command::Flags(command) => flags::version(&stream.flags, command),
        Command::Quotas(command) => quotas::version(&stream.quotas, command),
        Command::Usage(command) => usage::version(&stream.usage, command),
        _ => stream.tenants.tenant.as_ref().map_or(0, |tenant| tenant.version),
    }
}

/// What the accepted `command` is answered with. `events` are those it made.
pub(crate) fn reply(
    before: &Stream,
    after: &Stream,
    command: &Command,
    events: &[Decided],
) -> Reply {
    match command {
        Command::Access(command) => {
            let events = only(events, |event| match event {
                Event::Access(event) => Some(event.clone()),
                _ => None,
            });
            Reply::Access(Box::new(access::reply(&before.access, &after.access, command, &events)))
        }
        Command::Catalog(command) => {
            let events = only(events, |event| match event {
                Event::Catalog(event) => Some(event.clone()),
                _ => None,
            });
            Reply::Catalog(Box::new(catalog::reply(&after.catalog, command, &events)))
        }
        Command::Subscriptions(command) => {
            let events = only(events, |event| match event {
                Event::Subscriptions(event) => Some(event.clone()),
                _ => None,
            });
            let reply = subscriptions::reply(&after.subscriptions, command, &events);
            Reply::Subscriptions(Box::new(reply))
        }
        Command::Entitlements(command) => {
            let events = only(events, |event| match event {
                Event::Entitlements(event) => Some(event.clone()),
                _ => None,
            });
            let mut reply = entitlements::reply(&after.entitlements, command, &events);
            if let entitlements::Reply::Decision(it) = &mut reply {
                let (feature, decision) = it.as_mut();
                let now = after.entitlements.updated_at;
                *decision = limits::holding(decision.clone(), &after.quotas, feature, now);
            }
            Reply::Entitlements(Box::new(reply))
        }
        Command::Flags(command) => {
            let events = only(events, |event| match event {
                Event::Flags(event) => Some(event.clone()),
                _ => None,
            });
            Reply::Flags(Box::new(flags::reply(&after.flags, command, &events)))
        }
        Command::Usage(command) => {
            let events = only(events, |event| match event {
                Event::Usage(event) => Some(event.clone()),
                _ => None,
            });
            Reply::Usage(Box::new(usage::reply(&after.usage, command, &events)))
        }
        Command::Quotas(command) => Reply::Quotas(Box::new(quotas::reply(&after.quotas, command))),
        Command::Tenants(_) => match &after.tenants.tenant {
            Some(tenant) => Reply::Tenant(Box::new(tenant.clone())),
            None => Reply::Nothing,
        },
        _ => Reply::Nothing,
    }
}

fn only<E>(events: &[Decided], pick: fn(&Event) -> Option<E>) -> Vec<E> {
    events.iter().filter_map(|it| pick(&it.event)).collect()
}

/// How the audit log tells of a command that changed something. None for what tells
/// of itself.
pub(crate) fn shown(before: &Stream, after: &Stream, command: &Command) -> Option<Shown> {
    let tenant = |action: &'static str| {
        let of = |stream: &Stream| {
            stream.tenants.tenant.as_ref().map_or(Json::Null, tenants::Tenant::to_json)
        };
        let id = |stream: &Stream| stream.tenants.tenant.as_ref().map(|it| it.id.to_string());
        Shown {
            action,
            resource_type: "tenant",
            resource_id: id(after).unwrap_or_default(),
            before: of(before),
            after: of(after),
        }
    };
    Some(match command {
        Command::Release { .. } => tenant("tenant.released"),
        Command::Tenants(command) => tenant(command.action()),
        Command::Access(command) => access::shown(&before.access, &after.access, command),
        Command::Catalog(command) => catalog::shown(&before.catalog, &after.catalog, command),
        Command::Subscriptions(command) => {
            subscriptions::shown(&before.subscriptions, &after.subscriptions, command)
        }
        Command::Entitlements(command) => {
            entitlements::shown(&before.entitlements, &after.entitlements, command)
        }
        Command::Flags(command) => flags::shown(&before.flags, &after.flags, command),
        Command::Quotas(command) => {
            return quotas::shown(&before.quotas, &after.quotas, command);
        }
        Command::Usage(command) => usage::shown(&before.usage, &after.usage, command),
        _ => return None,
    })
}
