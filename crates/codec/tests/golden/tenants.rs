//! Examples of the kernel's, the tenants' and the audit's own types.

use std::collections::BTreeMap;

use exchequer_domain_audit as audit;
use exchequer_domain_tenants as tenants;
use exchequer_tenant::{Command, Create, Event};
use exchequer_types::{ProviderProfile, TenantId, TenantStatus, Timestamp};

use crate::STREAM;

const TIMER: &str = "tmr_abcdefghijklmnopqrstuvwxyz";

pub(crate) fn at() -> Timestamp {
    Timestamp::parse("2027-02-28T12:30:00.000001Z").unwrap()
}

fn some_settings() -> BTreeMap<String, String> {
    let pairs = [("locale", "de-AT"), ("support.email", "help@acme.example")];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn profile() -> ProviderProfile {
    ProviderProfile {
        id: TenantId::parse("reseller").unwrap(),
        version: 7,
        parent: Some(TenantId::platform()),
        depth: 1,
        status: TenantStatus::Suspended,
        settings: some_settings(),
    }
}

/// One event of each type of the kernel, tenants and audit, every field filled.
pub(crate) fn events() -> Vec<Event> {
    use tenants::Event as T;
    let of_tenants = [
        T::Created {
            id: TenantId::parse(STREAM).unwrap(),
            parent: Some(TenantId::parse("reseller").unwrap()),
            parent_version: 7,
            depth: 2,
            name: "Acme Ges.m.b.H. & Söhne".to_owned(),
            settings: some_settings(),
            provider: true,
            test_clock: Some(at()),
        },
        T::Renamed { name: "Acme 2".to_owned() },
        T::SettingsChanged { set: some_settings(), unset: vec!["currency".to_owned()] },
        T::Promoted,
        T::Suspended { reason: "unpaid".to_owned() },
        T::Reinstated,
        T::Closed { reason: "as agreed".to_owned(), timer: Some(TIMER.to_owned()), by_timer: true },
        T::ClosingScheduled { timer: TIMER.to_owned(), at: at() },
        T::ClosingCancelled { timer: TIMER.to_owned() },
        T::ClockAdvanced { to: at() },
        T::ProviderProfiled(profile()),
        T::ProviderAdopted(profile()),
    ];
    let mut events = vec![
        Event::TimerSet { id: TIMER.to_owned(), due: at(), own_time: true },
        Event::TimerCleared { id: TIMER.to_owned(), due: at(), fired: true },
        Event::Parked { reason: "panicked: index out of bounds".to_owned() },
        Event::Released { reason: "mended".to_owned() },
        Event::Audit(audit::Event::Appended { count: 3 }),
    ];
    events.extend(of_tenants.map(Event::Tenants));
    events
}

/// One command of each type of the kernel, tenants and audit, every field filled.
pub(crate) fn commands() -> Vec<Command> {
    use tenants::Command as T;
    let draft = audit::Draft {
        action: "invoice.downloaded".to_owned(),
        actor: "u-7".to_owned(),
        resource_type: "invoice".to_owned(),
        resource_id: "2027-0001".to_owned(),
        before: "null".to_owned(),
        after: "{\"copies\":1}".to_owned(),
        context: "{\"ip\":\"192.0.2.1\"}".to_owned(),
        occurred_at: Some(at()),
        ..audit::Draft::default()
    };
    let of_tenants = [
        T::Bootstrap(tenants::Bootstrap { name: "Platform".to_owned() }),
        T::Rename(tenants::Rename { name: "Acme 2".to_owned() }),
        T::UpdateSettings(tenants::UpdateSettings {
            set: some_settings(),
            unset: vec!["currency".to_owned()],
        }),
        T::Promote(tenants::Promote),
        T::Suspend(tenants::Suspend { reason: "unpaid".to_owned() }),
        T::Reinstate(tenants::Reinstate),
        T::Close(tenants::Close { reason: "as agreed".to_owned() }),
        T::ScheduleClosing(tenants::ScheduleClosing { at: at() }),
        T::CancelClosing(tenants::CancelClosing),
        T::AdvanceClock(tenants::AdvanceClock { to: at() }),
        T::AdoptProvider(tenants::AdoptProvider { profile: profile() }),
    ];
    let mut commands = vec![
        Command::Wake,
        Command::Lookup { issuer: "api".to_owned(), id: "c-1".to_owned() },
        Command::Release { reason: "mended".to_owned() },
        Command::Create(Create {
            parent: TenantId::parse("reseller").unwrap(),
            name: "Acme".to_owned(),
            settings: some_settings(),
            test_clock: Some(at()),
        }),
        Command::Audit(audit::Command::Append(audit::Append { entries: vec![draft] })),
    ];
    commands.extend(of_tenants.map(Command::Tenants));
    commands
}
