//! Any number of changes in any period of any zone nets to the price of what was held.
#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside test functions")]

mod support;

use exchequer_rating::{Held, Line, change, full, held_price, net, price, prorate, unused};
use exchequer_types::{Anchor, Cycle, Holding, Period, Proration, Ratio, Timestamp, Zone, split};
use proptest::prelude::*;
use support::{at, holding, with, with_add_on};

const POLICIES: [Proration; 4] =
    [Proration::BySecond, Proration::ByDay, Proration::None, Proration::Full];

/// A holding at one of a few prices; each price has the same terms wherever it occurs.
fn holdings(policies: &'static [Proration]) -> impl Strategy<Value = Holding> {
    let plan = prop_oneof![
        Just(("free", 0, 0)),
        Just(("basic", 999, 0)),
        Just(("team", 0, 1_299)),
        Just(("pro", 4_999, 777)),
        Just(("max", 12_345_678_901, 1)),
    ];
    let add_ons = prop::collection::btree_map(
        prop_oneof![Just("storage"), Just("sso"), Just("support")],
        1_u64..5,
        0..3,
    );
    let terms = (plan, prop::sample::select(policies));
    (terms, 1_u64..500, add_ons).prop_map(|(((plan, flat, seat), policy), seats, add_ons)| {
        let name = format!("{plan}-{policy:?}").to_lowercase();
        let held = with(policy, holding(&name, flat, seat, seats));
        add_ons.into_iter().fold(held, |held, (name, quantity)| {
            // Only what is called support costs more with a dearer plan.
            let more = if name == "support" { flat % 1_000 } else { 0 };
            with_add_on(name, 333 + more, quantity, held)
        })
    })
}

fn zones() -> impl Strategy<Value = Zone> {
    prop::sample::select(Zone::all().collect::<Vec<_>>())
}

/// A period somewhere in 2000 to 2050.
fn periods() -> impl Strategy<Value = (Period, Zone)> {
    let start = at("2000-01-01T00:00:00Z").micros()..at("2050-01-01T00:00:00Z").micros();
    let cycle = prop_oneof![
        Just("month"),
        Just("year"),
        Just("week"),
        Just("2 days"),
        Just("3 months"),
        Just("30 days"),
    ];
    (start, zones(), cycle, 0_u32..30).prop_filter_map("a period", |(start, zone, cycle, n)| {
        let anchor = Anchor::of(Timestamp::from_micros(start).unwrap(), zone);
        Some((anchor.period(Cycle::parse(cycle).unwrap(), n)?, zone))
    })
}

/// Instants in the period in order, given as parts of a million of it.
fn inside(period: Period, parts: &[i64]) -> Vec<Timestamp> {
    let micros = i128::from(period.end.micros() - period.start.micros());
    let mut instants: Vec<_> = parts
        .iter()
        .map(|part| i64::try_from(micros * i128::from(*part) / 1_000_000).unwrap())
        .map(|passed| Timestamp::from_micros(period.start.micros() + passed).unwrap())
        .collect();
    instants.sort_unstable();
    instants
}

/// The lines of a period in which each holding followed the one before.
fn lines(history: &[Held<'_>], until: Timestamp, period: Period, zone: Zone) -> Vec<Line> {
    let mut all = full(history[0].holding, period).unwrap();
    for pair in history.windows(2) {
        let (old, new) = (pair[0].holding, pair[1].holding);
        all.extend(change(old, new, pair[1].from, period, zone).unwrap());
    }
    if until < period.end {
        all.extend(unused(history.last().unwrap().holding, until, period, zone).unwrap());
    }
    all
}

fn history<'a>(held: &'a [Holding], start: Timestamp, instants: &[Timestamp]) -> Vec<Held<'a>> {
    let from = core::iter::once(start).chain(instants.iter().copied());
    held.iter().zip(from).map(|(holding, from)| Held { from, holding }).collect()
}

/// The second in which an instant lies.
fn second(at: Timestamp) -> i128 {
    i128::from(at.micros().div_euclid(1_000_000))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    // REQ: BIL-05
    #[test]
    fn the_lines_of_a_period_net_to_what_was_held(
        (period, zone) in periods(),
        held in prop::collection::vec(holdings(&POLICIES), 1..12),
        parts in prop::collection::vec(0_i64..=1_000_000, 12),
        ends_early: bool,
    ) {
        let instants = inside(period, &parts[..held.len()]);
        let until = if ends_early { instants[held.len() - 1] } else { period.end };
        let history = history(&held, period.start, &instants);
        let lines = lines(&history, until, period, zone);
        let net = net(&history, until, period, zone, &lines).unwrap();
        prop_assert!(net.is_right(), "{net:?}");
    }

    // REQ: BIL-05
    #[test]
    fn by_second_it_is_the_price_of_every_second(
        (period, zone) in periods(),
        held in prop::collection::vec(holdings(&[Proration::BySecond]), 1..12),
        parts in prop::collection::vec(0_i64..=1_000_000, 12),
    ) {
        let instants = inside(period, &parts[..held.len()]);
        let until = instants[held.len() - 1];
        let history = history(&held, period.start, &instants);
        let ends = history.iter().skip(1).map(|it| it.from).chain([until]);
        let sum: i128 = history.iter().zip(ends).map(|(stay, end)| {
            i128::from(price(stay.holding).unwrap()) * (second(end) - second(stay.from))
        }).sum();
        let expected = Ratio::new(sum, second(period.end) - second(period.start)).unwrap();
        prop_assert_eq!(held_price(&history, until, period, zone), Ok(expected));
    }

    // REQ: BIL-05
    #[test]
    fn there_and_back_at_once_nets_to_nothing(
        (period, zone) in periods(),
        one in holdings(&[Proration::BySecond, Proration::ByDay]),
        other in holdings(&[Proration::BySecond, Proration::ByDay]),
        part in 0_i64..=1_000_000,
    ) {
        let other = with(one.offer.proration, other);
        let at = inside(period, &[part])[0];
        let mut all = change(&one, &other, at, period, zone).unwrap();
        all.extend(change(&other, &one, at, period, zone).unwrap());
        prop_assert_eq!(all.iter().map(|it| it.amount).sum::<i64>(), 0);
    }

    // REQ: BIL-05
    #[test]
    fn there_and_back_later_is_the_price_of_the_stay(
        (period, zone) in periods(),
        one in holdings(&[Proration::BySecond]),
        other in holdings(&[Proration::BySecond]),
        parts in prop::collection::vec(0_i64..=1_000_000, 2),
    ) {
        let instants = inside(period, &parts);
        let mut all = change(&one, &other, instants[0], period, zone).unwrap();
        all.extend(change(&other, &one, instants[1], period, zone).unwrap());
        let more = i128::from(price(&other).unwrap()) - i128::from(price(&one).unwrap());
        let stayed = second(instants[1]) - second(instants[0]);
        let exact = Ratio::new(more * stayed, second(period.end) - second(period.start)).unwrap();
        let sum: i128 = all.iter().map(|it| i128::from(it.amount)).sum();
        let off = (sum * exact.den() - exact.num()).abs();
        let lines = i128::try_from(all.len()).unwrap();
        prop_assert!(2 * off <= lines * exact.den(), "{} {}", sum, exact);
    }

    // REQ: BIL-05
    #[test]
    fn a_share_never_exceeds_its_whole_and_never_grows(
        (period, zone) in periods(),
        amount: i64,
        policy in prop::sample::select(&POLICIES[..2]),
        parts in prop::collection::vec(0_i64..=1_000_000, 2),
    ) {
        let shares = inside(period, &parts)
            .into_iter()
            .map(|at| prorate(amount, policy, at, period, zone))
            .collect::<Result<Vec<_>, _>>();
        // The credit of the least amount there is does not fit when all of it is left.
        let Ok(shares) = shares else {
            prop_assert_eq!(amount, i64::MIN);
            return Ok(());
        };
        // A clock that is put back over midnight gives a date back.
        let again = u64::from(policy == Proration::ByDay);
        prop_assert!(shares.iter().all(|it| it.num <= it.den));
        prop_assert!(shares[1].num <= shares[0].num + again);
        prop_assert!(shares[0].rest.unsigned_abs() <= amount.unsigned_abs());
        prop_assert!(shares.iter().all(|it| it.unused == -it.rest));
    }

    // REQ: BIL-05
    #[test]
    fn a_line_split_over_its_seats_sums_to_the_line(
        (period, zone) in periods(), seats in 1_u64..400, part in 0_i64..=1_000_000,
    ) {
        let held = holding("team", 0, 1_299, seats);
        let at = inside(period, &[part])[0];
        for line in unused(&held, at, period, zone).unwrap() {
            let seats = vec![1; usize::try_from(line.quantity).unwrap()];
            let parts = split(line.amount, &seats).unwrap();
            prop_assert_eq!(parts.iter().sum::<i64>(), line.amount);
        }
    }
}
