//! given/when/then over the whole domain, every rejection in order of precedence.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use exchequer_kernel::{Ctx, Decider as _, Reason as _};
use exchequer_types::{
    ActorId, CommandId, Fact, Identity, ProviderProfile, TenantId, TenantStatus, Timestamp,
};

use crate::rejection::codes;
use crate::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::saturating_from_micros(seconds * 1_000_000)
}

fn id(text: &str) -> TenantId {
    TenantId::parse(text).unwrap()
}

fn ctx(command: &str, now: Timestamp) -> Ctx {
    Ctx {
        now,
        recorded_at: now,
        claimed_at: now,
        tenant: id("acme"),
        actor: ActorId::parse("u-1").unwrap(),
        home: None,
        command_id: CommandId::parse(command).unwrap(),
        identity: Identity::of("acme", "api", command),
    }
}

fn provider(depth: u32, status: TenantStatus) -> ProviderProfile {
    ProviderProfile {
        id: id("reseller"),
        version: 3,
        parent: Some(TenantId::platform()),
        depth,
        status,
        settings: BTreeMap::from([("locale".to_owned(), "vi-VN".to_owned())]),
    }
}

fn create() -> Command {
    Command::Create(Create {
        parent: provider(1, TenantStatus::Active),
        name: "Acme".to_owned(),
        settings: BTreeMap::new(),
        test_clock: None,
    })
}

fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn sandbox_of(clock: Timestamp) -> Command {
    let Command::Create(create) = create() else { unreachable!() };
    Command::Create(Create { test_clock: Some(clock), ..create })
}

/// A history of commands, each decided twice.
#[derive(Default)]
struct Story {
    state: State,
    events: Vec<Event>,
    commands: u32,
}

impl Story {
    fn created() -> Self {
        Self::default().when(create())
    }

    fn at(&mut self, command: &Command, now: Timestamp) -> Result<Vec<Event>, &'static str> {
        self.commands += 1;
        let mut name = String::new();
        let _ = write!(name, "c-{}", self.commands);
        let ctx = ctx(&name, now);
        let decided = Tenants::decide(&self.state, command, &ctx);
        assert_eq!(decided, Tenants::decide(&self.state, command, &ctx));
        let events = decided.map_err(|rejection| {
            assert!(!rejection.message().is_empty());
            rejection.code()
        })?;
        for event in &events {
            Tenants::evolve(&mut self.state, event, now);
        }
        self.events.extend(events.clone());
        Ok(events)
    }

    fn when(mut self, command: Command) -> Self {
        let now = at(i64::from(self.commands) + 1);
        self.at(&command, now).unwrap();
        self
    }

    fn refuses(&mut self, command: Command) -> &'static str {
        self.at(&command, at(1_000)).unwrap_err()
    }

    fn tenant(&self) -> &Tenant {
        self.state.tenant.as_ref().unwrap()
    }
}

// REQ: KER-01
#[test]
fn a_tenant_is_created_below_its_provider() {
    let story = Story::created();
    let tenant = story.tenant();
    assert_eq!((tenant.depth, tenant.version, tenant.created_at), (2, 1, at(1)));
    assert!(matches!(&story.events[0], Event::Created { parent_version: 3, .. }));
}

#[test]
fn creation_is_refused_in_order() {
    let with = |parent: ProviderProfile, name: &str, own: &[(&str, &str)]| {
        Command::Create(Create {
            parent,
            name: name.to_owned(),
            settings: settings(own),
            test_clock: None,
        })
    };
    let active = || provider(1, TenantStatus::Active);
    let cases = [
        (with(provider(9, TenantStatus::Suspended), "", &[]), codes::PROVIDER_NOT_ACTIVE),
        (with(provider(4, TenantStatus::Active), "", &[]), codes::TENANT_TREE_TOO_DEEP),
        (with(active(), "", &[("Bad", "")]), codes::NAME_INVALID),
        (with(active(), "a\nb", &[]), codes::NAME_INVALID),
        (with(active(), &"x".repeat(201), &[]), codes::NAME_INVALID),
        (with(active(), "A", &[("Bad", "")]), codes::SETTING_KEY_INVALID),
        (with(active(), "A", &[("locale", "?")]), codes::SETTING_VALUE_INVALID),
        (with(active(), "A", &[("timezone", "Mars/Olympus")]), codes::SETTING_VALUE_INVALID),
        (with(active(), "A", &[("branding.color", "red")]), codes::SETTING_VALUE_INVALID),
        (with(active(), "A", &[("audit.retention-days", "0")]), codes::SETTING_VALUE_INVALID),
        (with(active(), "A", &[("usage.ahead-minutes", "1441")]), codes::SETTING_VALUE_INVALID),
        (with(active(), "A", &[("usage.behind-days", "0")]), codes::SETTING_VALUE_INVALID),
        (with(active(), "A", &[("usage.lateness-minutes", "-1")]), codes::SETTING_VALUE_INVALID),
        (sandbox_of(at(CLOCK_END_MICROS / 1_000_000)), codes::CLOCK_OUT_OF_RANGE),
    ];
    for (command, code) in cases {
        assert_eq!(Story::default().refuses(command), code);
    }
    assert_eq!(Story::created().refuses(create()), codes::TENANT_EXISTS);
}

// REQ: IAM-15
#[test]
fn settings_are_inherited_and_say_from_where() {
    let mut platform = provider(0, TenantStatus::Active);
    platform.id = TenantId::platform();
    platform.parent = None;
    platform.settings = settings(&[("locale", "en"), ("audit.retention-days", "90")]);
    let mut providers = Providers::default();
    providers.adopt(platform);
    providers.adopt(provider(1, TenantStatus::Active));
    let own = UpdateSettings { set: settings(&[("x.theme", "dark")]), unset: vec![] };
    let story = Story::created().when(Command::UpdateSettings(own));
    let found: Vec<_> = effective_settings(story.tenant(), &providers)
        .into_iter()
        .map(|(key, setting)| format!("{key}={} from {}", setting.value, setting.source))
        .collect();
    assert_eq!(
        found,
        [
            "audit.retention-days=90 from platform",
            "locale=vi-VN from reseller",
            "x.theme=dark from acme"
        ]
    );
}

#[test]
fn settings_are_refused_when_ambiguous_or_idle() {
    let update = |set: &[(&str, &str)], unset: &[&str]| {
        let unset = unset.iter().map(|key| (*key).to_owned()).collect();
        Command::UpdateSettings(UpdateSettings { set: settings(set), unset })
    };
    let mut story = Story::created();
    assert_eq!(story.refuses(update(&[("a", "1")], &["a"])), codes::SETTING_KEY_INVALID);
    assert_eq!(story.refuses(update(&[], &["a", "a"])), codes::SETTING_KEY_INVALID);
    assert_eq!(story.refuses(update(&[], &["a"])), codes::TENANT_UNCHANGED);
    let many: BTreeMap<_, _> = (0..257).map(|n| (format!("k{n}"), String::new())).collect();
    let command = Command::UpdateSettings(UpdateSettings { set: many, unset: vec![] });
    assert_eq!(story.refuses(command), codes::SETTINGS_TOO_MANY);
    let large: BTreeMap<_, _> = (0..17).map(|n| (format!("k{n}"), "x".repeat(4096))).collect();
    let command = Command::UpdateSettings(UpdateSettings { set: large, unset: vec![] });
    assert_eq!(story.refuses(command), codes::SETTINGS_TOO_LARGE);
    let priority = update(&[("background.priority", "urgent")], &[]);
    assert_eq!(story.refuses(priority), codes::SETTING_VALUE_INVALID);
}

#[test]
fn a_provider_tells_of_each_change_that_others_see() {
    let mut story = Story::created().when(Command::Promote(Promote));
    let version = |events: &[Event]| match events.last() {
        Some(Event::ProviderProfiled(profile)) => Some((profile.version, profile.status)),
        _ => None,
    };
    assert_eq!(version(&story.events), Some((2, TenantStatus::Active)));
    let renamed = story.at(&Command::Rename(Rename { name: "B".to_owned() }), at(9)).unwrap();
    assert_eq!(version(&renamed), None);
    let reason = "unpaid".to_owned();
    let suspended = story.at(&Command::Suspend(Suspend { reason }), at(10)).unwrap();
    assert_eq!(version(&suspended), Some((4, TenantStatus::Suspended)));
    assert_eq!(facts(&suspended[1]).len(), 1);
    assert_eq!(story.refuses(Command::Promote(Promote)), codes::TENANT_ALREADY_PROVIDER);
}

#[test]
fn partitions_adopt_upwards_only() {
    let adopt = |version| {
        let mut profile = provider(1, TenantStatus::Active);
        profile.version = version;
        Command::AdoptProvider(AdoptProvider { profile })
    };
    let mut story = Story::default().when(adopt(2)).when(adopt(5));
    assert_eq!(story.refuses(adopt(5)), codes::PROFILE_OUTDATED);
    assert_eq!(story.refuses(adopt(4)), codes::PROFILE_OUTDATED);
    assert_eq!(story.state.adopted.version(&id("reseller")), 5);
}

// REQ: KER-09
#[test]
fn a_closing_can_be_set_moved_cancelled_and_fires_once() {
    let schedule = |seconds| Command::ScheduleClosing(ScheduleClosing { at: at(seconds) });
    let mut story = Story::created();
    let set = story.at(&schedule(100), at(10)).unwrap();
    let moved = story.at(&schedule(200), at(11)).unwrap();
    let [Event::ClosingScheduled { timer: first, .. }] = &set[..] else { panic!("{set:?}") };
    let [Event::ClosingCancelled { timer: gone }, Event::ClosingScheduled { timer, .. }] =
        &moved[..]
    else {
        panic!("{moved:?}")
    };
    assert_eq!(gone, first);
    assert_ne!(timer, first, "each setting is a timer of its own");
    assert_eq!(facts(&moved[0]), [Fact::TimerCleared { id: first.clone(), fired: false }]);
    let fire = |timer: &str| Command::FireClosing(FireClosing { timer: timer.to_owned() });
    assert_eq!(story.refuses(fire(first)), codes::CLOSING_NOT_SCHEDULED);
    assert_eq!(story.refuses(schedule(200)), codes::CLOSING_IN_THE_PAST);
    let fired = story.at(&fire(timer), at(200)).unwrap();
    assert_eq!(
        facts(&fired[0]),
        [Fact::TimerCleared { id: timer.clone(), fired: true }, Fact::TenantClosed]
    );
    assert_eq!(story.tenant().status, TenantStatus::Closed);
    assert_eq!(story.refuses(fire(timer)), codes::CLOSING_NOT_SCHEDULED);
    assert_eq!(story.refuses(Command::CancelClosing(CancelClosing)), codes::TENANT_CLOSED);
}

#[test]
fn life_cycle_refusals() {
    let reason = || "r".to_owned();
    let close = || Command::Close(Close { reason: reason() });
    let suspend = || Command::Suspend(Suspend { reason: reason() });
    let reinstate = || Command::Reinstate(Reinstate);
    assert_eq!(Story::default().refuses(close()), codes::TENANT_NOT_FOUND);
    let mut story = Story::created();
    assert_eq!(story.refuses(reinstate()), codes::TENANT_NOT_SUSPENDED);
    assert_eq!(story.refuses(Command::CancelClosing(CancelClosing)), codes::CLOSING_NOT_SCHEDULED);
    assert_eq!(
        story.refuses(Command::Rename(Rename { name: "Acme".to_owned() })),
        codes::TENANT_UNCHANGED
    );
    let long = Command::Suspend(Suspend { reason: "x".repeat(501) });
    assert_eq!(story.refuses(long), codes::REASON_INVALID);
    let mut story = story.when(suspend());
    assert_eq!(story.refuses(suspend()), codes::TENANT_ALREADY_SUSPENDED);
    let mut story = story.when(reinstate()).when(close());
    assert_eq!(story.refuses(reinstate()), codes::TENANT_CLOSED);
    let root = Bootstrap { name: "Platform".to_owned() };
    let mut story = Story::default().when(Command::Bootstrap(root));
    assert_eq!(story.refuses(close()), codes::TENANT_IS_ROOT);
    assert_eq!(story.refuses(suspend()), codes::TENANT_IS_ROOT);
}

// REQ: KER-14
#[test]
fn state_is_the_fold_of_events() {
    let story = Story::created()
        .when(Command::Promote(Promote))
        .when(Command::Suspend(Suspend { reason: "x".to_owned() }));
    let mut again = State::default();
    // The first three events were decided at 1, 2 and 3; profiles change no state.
    let times = [at(1), at(2), at(2), at(3), at(3)];
    for (event, now) in story.events.iter().zip(times) {
        Tenants::evolve(&mut again, event, now);
    }
    assert_eq!(again, story.state);
}

// REQ: BIL-30
#[test]
fn a_sandbox_has_a_clock_that_moves_forward_alone() {
    let mut story = Story::default().when(sandbox_of(at(5_000)));
    assert_eq!(story.tenant().clock, Some(at(5_000)));
    let advance = |seconds: i64| Command::AdvanceClock(AdvanceClock { to: at(seconds) });
    assert_eq!(story.refuses(advance(4_999)), codes::CLOCK_BACKWARDS);
    assert_eq!(story.refuses(advance(5_000)), codes::CLOCK_BACKWARDS);
    story = story.when(advance(9_000));
    assert_eq!((story.tenant().clock, story.tenant().version), (Some(at(9_000)), 2));
    let end = CLOCK_END_MICROS / 1_000_000;
    assert_eq!(story.refuses(advance(end)), codes::CLOCK_OUT_OF_RANGE);
    let past = |seconds| own_time(&story.state, Some(&advance(seconds)));
    assert_eq!([1, end, 9_500].map(past), [at(9_000), at(9_000), at(9_500)].map(Some));
    assert_eq!(own_time(&story.state, None), Some(at(9_000)));
    let closed = story.when(Command::Close(Close { reason: String::new() }));
    assert_eq!(
        closed.when(advance(9_600)).tenant().clock,
        Some(at(9_600)),
        "it may be due on the way"
    );
    assert_eq!(Story::default().refuses(advance(9_000)), codes::TENANT_NOT_FOUND);
    let mut real = Story::created();
    assert_eq!(real.refuses(advance(9_000)), codes::TENANT_NOT_SANDBOX);
    assert_eq!(own_time(&real.state, Some(&advance(9_000))), None);
}

// REQ: IAM-15
#[test]
fn one_setting_in_force_is_the_nearest() {
    let story = Story::created();
    let mut providers = Providers::default();
    providers.adopt(provider(1, TenantStatus::Active));
    assert_eq!(effective_setting(story.tenant(), &providers, "locale"), Some("vi-VN"));
    assert_eq!(effective_setting(story.tenant(), &providers, "timezone"), None);
    let own = Command::UpdateSettings(UpdateSettings {
        set: settings(&[("locale", "fr-FR")]),
        unset: Vec::new(),
    });
    let story = story.when(own);
    assert_eq!(effective_setting(story.tenant(), &providers, "locale"), Some("fr-FR"));
}
