//! Any commands, at any times, under any terms: nothing is ever overdrawn, and the figures
//! are what the events say.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Action {
    Reserve { id: u8, feature: usize, amount: u64, ttl_seconds: u32 },
    Finalise { id: u8, amount: Option<u64> },
    Release { id: u8 },
    Adjust { feature: usize, units: u64 },
    Terms { feature: usize, limit: Option<u64>, hard: bool, window: bool, over: (u32, u32) },
}

const FEATURES: [&str; 2] = ["queries", "storage"];

fn action() -> impl Strategy<Value = Action> {
    let id = 0..24_u8;
    let feature = 0..FEATURES.len();
    prop_oneof![
        6 => (id.clone(), feature.clone(), 1..8_u64, 1..200_u32).prop_map(
            |(id, feature, amount, ttl_seconds)| Action::Reserve { id, feature, amount, ttl_seconds }
        ),
        4 => (id.clone(), proptest::option::of(0..8_u64))
            .prop_map(|(id, amount)| Action::Finalise { id, amount }),
        2 => id.prop_map(|id| Action::Release { id }),
        1 => (feature.clone(), 1..8_u64).prop_map(|(feature, units)| Action::Adjust { feature, units }),
        1 => (
            feature,
            proptest::option::weighted(0.9, 0..40_u64),
            any::<bool>(),
            any::<bool>(),
            (prop::sample::select(vec![0, 0, 30, 100]), prop::sample::select(vec![0, 60])),
        )
            .prop_map(|(feature, limit, hard, window, over)| Action::Terms {
                feature, limit, hard, window, over,
            }),
    ]
}

fn terms(limit: Option<u64>, is_hard: bool, window: bool) -> Terms {
    let beyond = if is_hard { Beyond::Refuse } else { Beyond::Allow };
    let counting = window.then(|| Counting::calendar(CycleUnit::Day));
    Terms { limit, beyond, counting, ..hard(0) }
}

/// What the events say of a feature, counted from zero.
fn counted(events: &[(Event, Timestamp)], feature: &Slug) -> (u64, u64) {
    let (mut used, mut open) = (0_u64, BTreeMap::new());
    for (event, _) in events {
        match event {
            Event::Reserved { id, feature: of, amount, .. } if of == feature => {
                open.insert(id.clone(), *amount);
            }
            Event::Finalised { id, feature: of, amount, .. } if of == feature => {
                assert!(open.remove(id).is_some_and(|reserved| *amount <= reserved));
                used += amount;
            }
            Event::Released { id, .. } => {
                open.remove(id);
            }
            Event::Expired { ids, .. } => open.retain(|id, _| !ids.contains(id)),
            Event::Adjusted { feature: of, units, .. } if of == feature => used -= units,
            Event::Reset { feature: of, .. } if of == feature => used = 0,
            // Other terms may begin another window.
            Event::Limited { feature: of, figures, .. } if of == feature => {
                assert!(figures.used == used || figures.used == 0);
                used = figures.used;
            }
            _ => {}
        }
    }
    (used, open.values().sum())
}

proptest! {
    // REQ: USE-06
    #[test]
    fn nothing_is_overdrawn(
        steps in prop::collection::vec((action(), 0..20_000_i64), 1..120),
    ) {
        let mut given = [terms(Some(20), true, false), terms(Some(20), true, true)];
        let mut story = Story::default();
        let named = |given: &[Terms; 2]| {
            let pairs = FEATURES.into_iter().zip(given.iter().cloned());
            pairs.collect::<Vec<_>>()
        };
        story.follows(&named(&given), at(0));
        let mut now = 0;
        for (action, wait) in steps {
            now += if wait % 3 == 0 { wait } else { wait % 50 };
            story.pass(at(now));
            let command = match action {
                Action::Reserve { id, feature, amount, ttl_seconds } => Command::Reserve(Reserve {
                    id: format!("r{id}"), feature: slug(FEATURES[feature]), amount, ttl_seconds,
                }),
                Action::Finalise { id, amount } => finalise(&format!("r{id}"), amount),
                Action::Release { id } => release(&format!("r{id}")),
                Action::Adjust { feature, units } => adjust(FEATURES[feature], units),
                Action::Terms { feature, limit, hard, window, over } => {
                    let (burst_percent, grace_seconds) = over;
                    let terms = terms(limit, hard, window);
                    given[feature] = Terms { burst_percent, grace_seconds, ..terms };
                    story.follows(&named(&given), at(now));
                    continue;
                }
            };
            // Every accepted reservation is compared with its limit by `Story::take`.
            let _ = story.at(&command, at(now));
            for feature in FEATURES {
                prop_assert_eq!(story.figures(feature), counted(&story.events, &slug(feature)));
            }
        }
        // Whatever is left alone is free in the end.
        story.pass(at(now + 300_000));
        for feature in FEATURES {
            prop_assert_eq!(story.quota(feature).reserved, 0);
        }
        prop_assert_eq!(story.state.reservations.open_count(), 0);
    }
}
