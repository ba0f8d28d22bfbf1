//! Arbitrary values of the domains' types.

use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_domain_audit as audit;
use exchequer_domain_tenants as tenants;
use exchequer_kernel::Timers;
use exchequer_tenant::{AuditHead, Command, Create, Event, Stream};
use exchequer_types::{Hash, ProviderProfile, TenantId, TenantStatus, Timestamp};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

pub(super) fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,12}", Just(String::new()), Just("\u{0}\n\u{10ffff}é".to_owned())]
}

pub(super) fn tenant_id() -> impl Strategy<Value = TenantId> {
    "[a-z0-9][a-z0-9-]{0,62}".prop_map(|text| TenantId::parse(text).unwrap())
}

pub(super) fn instant() -> impl Strategy<Value = Timestamp> {
    let micros = prop_oneof![
        Just(Timestamp::MIN.micros()),
        Just(Timestamp::MAX.micros()),
        Timestamp::MIN.micros()..Timestamp::MAX.micros(),
    ];
    micros.prop_map(|micros| Timestamp::from_micros(micros).unwrap())
}

pub(super) fn settings() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(text(), text(), 0..4)
}

fn status() -> impl Strategy<Value = TenantStatus> {
    prop_oneof![
        Just(TenantStatus::Active),
        Just(TenantStatus::Suspended),
        Just(TenantStatus::Closed)
    ]
}

pub(super) fn profile() -> impl Strategy<Value = ProviderProfile> {
    (tenant_id(), any::<u64>(), option::of(tenant_id()), any::<u32>(), status(), settings())
        .prop_map(|(id, version, parent, depth, status, settings)| ProviderProfile {
            id,
            version,
            parent,
            depth,
            status,
            settings,
        })
}

fn draft() -> impl Strategy<Value = audit::Draft> {
    // The epoch itself stands for "none" on the wire.
    let occurred_at =
        option::of(instant().prop_filter("not the epoch", |at| *at != Timestamp::MIN));
    (text(), text(), (text(), text()), (text(), text(), text()), occurred_at).prop_map(
        |(action, actor, (resource_type, resource_id), (before, after, context), occurred_at)| {
            audit::Draft {
                action,
                actor,
                resource_type,
                resource_id,
                before,
                after,
                context,
                occurred_at,
                ..audit::Draft::default()
            }
        },
    )
}

/// Every command that can be sent.
pub(super) fn command() -> impl Strategy<Value = Command> {
    use tenants::Command as T;
    let append = vec(draft(), 0..3)
        .prop_map(|entries| Command::Audit(audit::Command::Append(audit::Append { entries })));
    let create = (tenant_id(), text(), settings(), option::of(instant())).prop_map(
        |(parent, name, settings, test_clock)| {
            Command::Create(Create { parent, name, settings, test_clock })
        },
    );
    let of_tenants = prop_oneof![
        text().prop_map(|name| T::Bootstrap(tenants::Bootstrap { name })),
        text().prop_map(|name| T::Rename(tenants::Rename { name })),
        (settings(), vec(text(), 0..3))
            .prop_map(|(set, unset)| T::UpdateSettings(tenants::UpdateSettings { set, unset })),
        Just(T::Promote(tenants::Promote)),
        text().prop_map(|reason| T::Suspend(tenants::Suspend { reason })),
        Just(T::Reinstate(tenants::Reinstate)),
        text().prop_map(|reason| T::Close(tenants::Close { reason })),
        instant().prop_map(|at| T::ScheduleClosing(tenants::ScheduleClosing { at })),
        Just(T::CancelClosing(tenants::CancelClosing)),
        instant().prop_map(|to| T::AdvanceClock(tenants::AdvanceClock { to })),
        profile().prop_map(|profile| T::AdoptProvider(tenants::AdoptProvider { profile })),
    ];
    prop_oneof![
        1 => Just(Command::Wake),
        1 => (text(), text()).prop_map(|(issuer, id)| Command::Lookup { issuer, id }),
        1 => text().prop_map(|reason| Command::Release { reason }),
        1 => create,
        1 => append,
        10 => of_tenants.prop_map(Command::Tenants),
    ]
}

/// An event of the stream `id`.
pub(super) fn event(id: TenantId) -> impl Strategy<Value = Event> {
    use tenants::Event as T;
    let timer = || "tmr_[a-z2-7]{26}";
    let created =
        (option::of(tenant_id()), any::<u64>(), any::<u32>(), text(), settings(), any::<bool>())
            .prop_flat_map(|it| (Just(it), option::of(instant())))
            .prop_map(move |((parent, parent_version, depth, name, settings, provider), clock)| {
                T::Created {
                    id: id.clone(),
                    parent,
                    parent_version,
                    depth,
                    name,
                    settings,
                    provider,
                    test_clock: clock,
                }
            });
    let of_tenants = prop_oneof![
        created,
        text().prop_map(|name| T::Renamed { name }),
        (settings(), vec(text(), 0..3)).prop_map(|(set, unset)| T::SettingsChanged { set, unset }),
        Just(T::Promoted),
        text().prop_map(|reason| T::Suspended { reason }),
        Just(T::Reinstated),
        (text(), option::of(timer()), any::<bool>())
            .prop_map(|(reason, timer, by_timer)| T::Closed { reason, timer, by_timer }),
        (timer(), instant()).prop_map(|(timer, at)| T::ClosingScheduled { timer, at }),
        timer().prop_map(|timer| T::ClosingCancelled { timer }),
        instant().prop_map(|to| T::ClockAdvanced { to }),
        profile().prop_map(T::ProviderProfiled),
        profile().prop_map(T::ProviderAdopted),
    ];
    prop_oneof![
        1 => (timer(), instant(), any::<bool>())
            .prop_map(|(id, due, own_time)| Event::TimerSet { id, due, own_time }),
        1 => (timer(), instant(), any::<bool>())
            .prop_map(|(id, due, fired)| Event::TimerCleared { id, due, fired }),
        1 => text().prop_map(|reason| Event::Parked { reason }),
        1 => text().prop_map(|reason| Event::Released { reason }),
        1 => any::<u32>().prop_map(|count| Event::Audit(audit::Event::Appended { count })),
        10 => of_tenants.prop_map(Event::Tenants),
    ]
}

fn tenant() -> impl Strategy<Value = tenants::Tenant> {
    let closing = option::of(
        ("tmr_[a-z2-7]{26}", instant()).prop_map(|(timer, at)| tenants::Closing { timer, at }),
    );
    let identity = (tenant_id(), option::of(tenant_id()), text(), status());
    let rest = (any::<u32>(), any::<bool>(), settings(), any::<u64>(), text());
    (identity, rest, (instant(), instant(), closing, option::of(instant()))).prop_map(
        |(
            (id, parent, name, status),
            (depth, provider, settings, version, reason),
            (created_at, updated_at, closing, clock),
        )| tenants::Tenant {
            id,
            parent,
            name,
            status,
            depth,
            provider,
            settings,
            version,
            created_at,
            updated_at,
            closing,
            clock,
            reason,
        },
    )
}

pub(super) fn stream() -> impl Strategy<Value = Stream> {
    let audit = (any::<u64>(), any::<[u8; 32]>())
        .prop_map(|(seq, prev)| AuditHead { seq, prev: Hash(prev) });
    let timers = btree_map(text(), instant(), 0..4);
    let parts = (option::of(tenant()), vec(profile(), 0..3), option::of(text()));
    (any::<u64>(), audit, timers, parts).prop_map(
        |(version, audit, due, (tenant, profiles, parked))| {
            let mut timers = Timers::default();
            for (id, due) in &due {
                timers.set(id, *due);
            }
            let mut state = tenants::State { tenant, ..tenants::State::default() };
            for profile in profiles {
                state.adopted.adopt(profile);
            }
            Stream {
                version,
                audit,
                timers: Arc::new(timers),
                parked: parked.map(Arc::from),
                tenants: Arc::new(state),
                ..Stream::default()
            }
        },
    )
}
