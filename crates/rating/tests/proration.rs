//! What a change credits and charges, with figures that anyone can compute again.
#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside test functions")]

mod support;

use exchequer_rating::{
    Held, Line, LineComponent, LineKind, RatingError, change, full, net, price, prorate, unused,
};
use exchequer_types::{
    Currency, Cycle, Holding, Period, Proration, Ratio, Rounding, Timestamp, Zone,
};
use support::{at, holding, slug, with, with_add_on};

/// Thirty days of UTC.
fn june() -> Period {
    Period { start: at("2026-06-01T00:00:00Z"), end: at("2026-07-01T00:00:00Z") }
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000).unwrap()
}

fn amounts(lines: &[Line]) -> Vec<i64> {
    assert!(lines.iter().all(Line::adds_up), "{lines:?}");
    lines.iter().map(|line| line.amount).collect()
}

fn changed(old: &Holding, new: &Holding, instant: &str) -> Vec<i64> {
    amounts(&change(old, new, at(instant), june(), Zone::UTC).unwrap())
}

// REQ: BIL-05
#[test]
fn from_ten_to_twenty_half_way() {
    let (old, new) = (holding("basic", 1_000, 0, 1), holding("pro", 2_000, 0, 1));
    assert_eq!(changed(&old, &new, "2026-06-16T00:00:00Z"), [-500, 1_000]);
}

// REQ: BIL-05
#[test]
fn a_thousand_with_881112_of_2419200_seconds_left() {
    let period = Period { start: seconds(1_487_030_400), end: seconds(1_489_449_600) };
    let lines = unused(&holding("pro", 1_000, 0, 1), seconds(1_488_568_488), period, Zone::UTC);
    let lines = lines.unwrap();
    assert_eq!(
        lines,
        [Line {
            kind: LineKind::Credit,
            component: LineComponent::Flat,
            quantity: 1,
            unit_amount: 1_000,
            full_amount: 1_000,
            from: seconds(1_488_568_488),
            to: seconds(1_489_449_600),
            policy: Proration::BySecond,
            rounding: Rounding::HalfAwayFromZero,
            num: 881_112,
            den: 2_419_200,
            amount: -364,
        }]
    );
    let new = holding("max", 10_000, 0, 1);
    let renewed: i64 = amounts(&full(&new, period).unwrap()).iter().sum();
    assert_eq!(renewed + lines[0].amount, 9_636);
}

// REQ: BIL-05
#[test]
fn from_five_to_twenty_after_one_of_thirty_days_and_back() {
    let (old, new) = (holding("basic", 500, 0, 1), holding("pro", 2_000, 0, 1));
    assert_eq!(changed(&old, &new, "2026-06-02T00:00:00Z"), [-483, 1_933]);
    let back = changed(&new, &old, "2026-06-02T00:00:00Z");
    assert_eq!((back.as_slice(), back.iter().sum()), ([-1_933, 483].as_slice(), -1_450));
}

// REQ: BIL-05
#[test]
fn the_second_upgrade_credits_the_plan_and_not_the_earlier_line() {
    let [one, two, three] = [("a", 10_000), ("b", 99_800), ("c", 150_000)]
        .map(|(plan, amount)| holding(plan, amount, 0, 1));
    let first = changed(&one, &two, "2026-06-13T00:00:00Z");
    let second = changed(&two, &three, "2026-06-15T00:00:00Z");
    assert_eq!(first, [-6_000, 59_880]);
    // 16 of 30 days of 998.00, not of the 598.80 charged two days ago.
    assert_eq!(second, [-53_227, 80_000]);
}

// REQ: BIL-05
#[test]
fn the_whole_is_the_period_and_not_what_was_left_after_the_last_change() {
    let quarter = Period { start: at("2026-01-01T00:00:00Z"), end: at("2026-04-01T00:00:00Z") };
    let holding = |seats| {
        let mut it = holding("team", 0, 9_000, seats);
        it.offer.cycle = Cycle::parse("3 months").unwrap();
        it
    };
    let change = |old, new, instant| {
        change(&holding(old), &holding(new), at(instant), quarter, Zone::UTC).unwrap()
    };
    let first = change(1, 2, "2026-02-14T00:00:00Z");
    let second = change(2, 3, "2026-03-18T00:00:00Z");
    assert!(first.iter().chain(&second).all(|line| line.den == 90 * 86_400));
    assert_eq!(amounts(&first), [-4_600, 9_200]);
    assert_eq!(amounts(&second), [-2_800, 4_200]);
}

// REQ: BIL-05
#[test]
fn parts_that_stay_have_no_line_and_credits_come_first() {
    let old = with_add_on("storage", 500, 2, holding("team", 1_000, 300, 5));
    let mut new = with_add_on("storage", 500, 3, holding("team", 1_000, 300, 10));
    new = with_add_on("sso", 900, 1, new);
    let lines = change(&old, &new, at("2026-06-16T00:00:00Z"), june(), Zone::UTC).unwrap();
    let brief: Vec<_> = lines.iter().map(|it| (it.component.clone(), it.quantity)).collect();
    let storage = LineComponent::AddOn(slug("storage"));
    let sso = LineComponent::AddOn(slug("sso"));
    assert_eq!(
        brief,
        [
            (LineComponent::PerSeat, 5),
            (storage.clone(), 2),
            (LineComponent::PerSeat, 10),
            (storage, 3),
            (sso, 1),
        ]
    );
    assert_eq!(amounts(&lines), [-750, -500, 1_500, 750, 450]);
    assert!(lines.iter().all(|it| it.from == at("2026-06-16T00:00:00Z") && it.to == june().end));
    assert_eq!(changed(&old, &old, "2026-06-16T00:00:00Z"), []);
    // The same amounts under another plan are lines: they say what was paid for.
    let other = holding("club", 1_000, 300, 5);
    assert_eq!(changed(&old, &other, "2026-06-16T00:00:00Z"), [-500, -750, -500, 500, 750]);
}

// REQ: BIL-05
#[test]
fn a_whole_period_is_charged_part_by_part() {
    let held = with_add_on("storage", 500, 2, holding("team", 1_000, 300, 5));
    let lines = full(&held, june()).unwrap();
    assert_eq!(amounts(&lines), [1_000, 1_500, 1_000]);
    assert_eq!(price(&held), Ok(3_500));
    assert!(lines.iter().all(|it| (it.from, it.to) == (june().start, june().end)));
    assert!(lines.iter().all(|it| (it.num, it.den) == (1, 1) && it.kind == LineKind::Charge));
    // What costs nothing has no line.
    assert_eq!(full(&holding("free", 0, 0, 3), june()), Ok(Vec::new()));
}

// REQ: BIL-05
#[test]
fn by_day_the_day_of_the_change_belongs_to_the_new_holding() {
    let old = with(Proration::ByDay, holding("basic", 3_000, 0, 1));
    let new = with(Proration::ByDay, holding("pro", 6_000, 0, 1));
    for instant in ["2026-06-10T00:00:00Z", "2026-06-10T12:34:56.789Z", "2026-06-10T23:59:59Z"] {
        // The 10th to the 30th.
        assert_eq!(changed(&old, &new, instant), [-2_100, 4_200], "{instant}");
    }
    // On the first day all of it, on the last one day.
    assert_eq!(changed(&old, &new, "2026-06-01T18:00:00Z"), [-3_000, 6_000]);
    assert_eq!(changed(&old, &new, "2026-06-30T18:00:00Z"), [-100, 200]);
}

// REQ: BIL-05
#[test]
fn by_day_counts_dates_of_the_zone_whatever_their_hours() {
    let ratio = |zone: &str, instant, start, end| {
        let period = Period { start: at(start), end: at(end) };
        let zone = Zone::parse(zone).unwrap();
        let it = prorate(3_100, Proration::ByDay, at(instant), period, zone).unwrap();
        (it.num, it.den)
    };
    // March in Berlin has an hour less, October one more; both have 31 days.
    let march = ("2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z");
    assert_eq!(ratio("Europe/Berlin", "2026-03-29T12:00:00Z", march.0, march.1), (3, 31));
    assert_eq!(ratio("Europe/Berlin", "2026-03-29T22:30:00Z", march.0, march.1), (2, 31));
    let october = ("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z");
    assert_eq!(ratio("Europe/Berlin", "2026-10-25T22:59:59Z", october.0, october.1), (7, 31));
    assert_eq!(ratio("Europe/Berlin", "2026-10-25T23:00:00Z", october.0, october.1), (6, 31));
    // The same instants are other dates in Kathmandu.
    assert_eq!(ratio("Asia/Kathmandu", "2026-10-25T18:14:59Z", october.0, october.1), (7, 31));
    assert_eq!(ratio("Asia/Kathmandu", "2026-10-25T18:15:00Z", october.0, october.1), (6, 31));
    // From ten to ten: the date on which it ends belongs to the next period.
    let tens = ("2026-01-31T10:00:00Z", "2026-02-28T10:00:00Z");
    assert_eq!(ratio("UTC", "2026-01-31T10:00:00Z", tens.0, tens.1), (28, 28));
    assert_eq!(ratio("UTC", "2026-02-27T23:00:00Z", tens.0, tens.1), (1, 28));
    assert_eq!(ratio("UTC", "2026-02-28T09:00:00Z", tens.0, tens.1), (0, 28));
    // A period within one date is charged whole to what is held last.
    let hours = ("2026-01-31T10:00:00Z", "2026-01-31T15:00:00Z");
    assert_eq!(ratio("UTC", "2026-01-31T12:00:00Z", hours.0, hours.1), (1, 1));
}

// REQ: BIL-05
#[test]
fn by_second_a_second_belongs_to_what_is_held_when_it_has_begun() {
    let period =
        Period { start: at("2026-06-01T00:00:00.900Z"), end: at("2026-06-01T00:01:40.900Z") };
    let share = |instant: &str| {
        let it = prorate(100, Proration::BySecond, at(instant), period, Zone::UTC).unwrap();
        (it.num, it.den, it.unused, it.rest)
    };
    assert_eq!(share("2026-06-01T00:00:00.950Z"), (100, 100, -100, 100));
    assert_eq!(share("2026-06-01T00:00:01.000Z"), (99, 100, -99, 99));
    assert_eq!(share("2026-06-01T00:00:01.999999Z"), (99, 100, -99, 99));
    assert_eq!(share("2026-06-01T00:01:40.900Z"), (0, 100, 0, 0));
    let ratio = prorate(1, Proration::BySecond, at("2026-06-01T00:01:15Z"), period, Zone::UTC);
    assert_eq!(ratio.unwrap().ratio(), Ratio::new(1, 4));
}

#[test]
fn halves_go_away_from_zero_on_both_sides() {
    let half = at("2026-06-16T00:00:00Z");
    for (amount, rest) in [(5, 3), (7, 4), (-5, -3), (-7, -4)] {
        let it = prorate(amount, Proration::BySecond, half, june(), Zone::UTC).unwrap();
        assert_eq!((it.unused, it.rest), (-rest, rest), "{amount}");
    }
}

// REQ: BIL-05
#[test]
fn none_neither_credits_nor_charges() {
    let (old, new) = (holding("basic", 3_000, 0, 1), holding("pro", 6_000, 0, 1));
    let [old_none, new_none] = [&old, &new].map(|it| with(Proration::None, it.clone()));
    assert_eq!(changed(&old, &new_none, "2026-06-16T00:00:00Z"), []);
    assert_eq!(changed(&old_none, &new_none, "2026-06-16T00:00:00Z"), []);
    let at = at("2026-06-16T00:00:00Z");
    assert_eq!(unused(&old_none, at, june(), Zone::UTC), Ok(Vec::new()));
    let it = prorate(3_000, Proration::None, at, june(), Zone::UTC).unwrap();
    assert_eq!((it.num, it.den, it.unused, it.rest), (0, 1, 0, 0));
    // The first period and each renewal are charged all the same.
    assert_eq!(amounts(&full(&new_none, june()).unwrap()), [6_000]);
}

// REQ: BIL-05
#[test]
fn what_was_never_charged_is_never_credited() {
    let cheap = holding("basic", 1_000, 0, 1);
    let dear = with(Proration::None, holding("vip", 100_000, 0, 1));
    // To the dear plan without a charge, and back: the charge for the rest, and no credit.
    assert_eq!(changed(&cheap, &dear, "2026-06-02T00:00:00Z"), []);
    assert_eq!(changed(&dear, &cheap, "2026-06-16T00:00:00Z"), [500]);
}

// REQ: BIL-05
#[test]
fn full_charges_whole_what_is_new_and_credits_nothing() {
    let full = |it| with(Proration::Full, it);
    let old = holding("basic", 3_000, 0, 1);
    let five = full(holding("pro", 6_000, 500, 5));
    assert_eq!(changed(&old, &five, "2026-06-16T00:00:00Z"), [6_000, 2_500]);
    // Of the same price, what is added; what is taken away gives nothing back.
    let eight = full(with_add_on("sso", 900, 2, holding("pro", 6_000, 500, 8)));
    let lines = change(&five, &eight, at("2026-06-20T00:00:00Z"), june(), Zone::UTC).unwrap();
    assert_eq!(lines.iter().map(|it| it.quantity).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(amounts(&lines), [1_500, 1_800]);
    assert_eq!(changed(&eight, &five, "2026-06-21T00:00:00Z"), []);
    assert_eq!(unused(&five, at("2026-06-22T00:00:00Z"), june(), Zone::UTC), Ok(Vec::new()));
    // Away from it nothing is credited.
    assert_eq!(changed(&five, &old, "2026-06-16T00:00:00Z"), [1_500]);
}

// REQ: BIL-05
#[test]
fn a_change_goes_by_the_policy_of_what_is_changed_to() {
    let old = holding("basic", 3_000, 0, 1);
    let new = with(Proration::ByDay, holding("pro", 6_000, 0, 1));
    assert_eq!(changed(&old, &new, "2026-06-16T12:00:00Z"), [-1_500, 3_000]);
    assert_eq!(changed(&new, &old, "2026-06-16T12:00:00Z"), [-2_900, 1_450]);
}

#[test]
fn what_cannot_be_rated_is_told() {
    let (old, new) = (holding("basic", 1_000, 0, 1), holding("pro", 2_000, 0, 1));
    let (half, zone) = (at("2026-06-16T00:00:00Z"), Zone::UTC);
    let early = at("2026-05-31T23:59:59Z");
    let outside = RatingError::OutsidePeriod { at: early, period: june() };
    assert_eq!(change(&old, &new, early, june(), zone), Err(outside));
    let late = at("2026-07-01T00:00:00.000001Z");
    let outside = RatingError::OutsidePeriod { at: late, period: june() };
    assert_eq!(unused(&old, late, june(), zone), Err(outside));
    let period = Period { start: half, end: half };
    assert_eq!(unused(&old, half, period, zone), Err(RatingError::EmptyPeriod { period }));

    let mut other = new.clone();
    other.offer.currency = Currency::parse("VND").unwrap();
    let (held, wanted) = (old.offer.currency, other.offer.currency);
    let mismatch = RatingError::CurrencyMismatch { held, wanted };
    assert_eq!(change(&old, &other, half, june(), zone), Err(mismatch));
    let mut other = new.clone();
    other.offer.cycle = Cycle::YEAR;
    let mismatch = RatingError::CycleMismatch { held: Cycle::MONTH, wanted: Cycle::YEAR };
    assert_eq!(change(&old, &other, half, june(), zone), Err(mismatch));

    let many = holding("team", 0, 1_000_000, 10_000_000_000_000);
    assert_eq!(full(&many, june()), Err(RatingError::Overflow));
    assert_eq!(change(&old, &many, half, june(), zone), Err(RatingError::Overflow));
    // Each part fits, their sum does not.
    let sum = holding("team", i64::MAX, 1, 1);
    assert_eq!(price(&sum), Err(RatingError::Overflow));
    assert_eq!(full(&sum, june()), Err(RatingError::Overflow));
    assert_eq!(change(&old, &sum, half, june(), zone), Err(RatingError::Overflow));
}

/// The checker of periods must notice what is wrong with them.
// REQ: BIL-05
#[test]
fn a_wrong_period_is_noticed() {
    let [basic, pro] = [("basic", 1_000), ("pro", 2_000)].map(|(it, flat)| holding(it, flat, 0, 1));
    let half = at("2026-06-16T00:00:00Z");
    let history =
        [Held { from: june().start, holding: &basic }, Held { from: half, holding: &pro }];
    let mut lines = full(&basic, june()).unwrap();
    lines.extend(change(&basic, &pro, half, june(), Zone::UTC).unwrap());
    let is_right = |history: &[Held<'_>], lines: &[Line]| {
        net(history, june().end, june(), Zone::UTC, lines).unwrap().is_right()
    };
    assert!(is_right(&history, &lines));
    assert!(!is_right(&history, &lines[1..]), "the first charge is missing");
    assert!(!is_right(&history, &lines[..2]), "the charge of the rest is missing");
    assert!(!is_right(&history[..1], &lines), "nothing was changed");
    let mut off = lines.clone();
    off[1].amount += 1;
    assert!(!is_right(&history, &off), "a line does not add up");
    let mut early = lines.clone();
    early[2].from = june().start;
    assert!(!is_right(&history, &early), "the working is of another instant");
    let ended = net(&history, half, june(), Zone::UTC, &lines).unwrap();
    assert!(!ended.is_right(), "the rest is charged though it was given up");
}
