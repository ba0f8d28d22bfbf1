//! What a decision costs in process, without any platform: a line of proration, a
//! flag with three conditions and a percentage, and 350 flags for one context.

use std::hint::black_box;
use std::time::Instant;

use exchequer_flag_eval::{
    Attribute, Condition, Context, Flag, Kind, Limits, Number, Outcome, Rule, Scalar, Snapshot,
    Split, Test, Value, Variant, compile,
};
use exchequer_rating::prorate;
use exchequer_types::{Period, Proration, Timestamp, Zone};

use crate::report::Figure;
use crate::{Args, Failure};

const ROUNDS: u32 = 7;
const FLAGS: usize = 350;

/// Nanoseconds of one call: the median of several rounds.
fn nanoseconds(calls: u32, mut call: impl FnMut(u32)) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            (0..calls).for_each(&mut call);
            began.elapsed().as_nanos() as f64 / f64::from(calls)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

pub(crate) fn proration(args: &Args) -> Result<Vec<Figure>, Failure> {
    let calls = u32::try_from(1_000_000 * args.scale)?;
    let second = |seconds: i64| Timestamp::saturating_from_micros(seconds * 1_000_000);
    let period = Period { start: second(1_487_030_400), end: second(1_489_449_600) };
    let by = |policy: Proration| {
        nanoseconds(calls, |n| {
            let at = second(1_487_030_400 + i64::from(n % 2_419_200));
            let line = prorate(black_box(1_000), policy, at, period, Zone::UTC);
            black_box(line.is_ok());
        })
    };
    let name = "proration";
    Ok(vec![
        Figure::new(
            name,
            "one line by the second, ns",
            by(Proration::BySecond),
            Some(("<", 100.0)),
        ),
        Figure::new(name, "one line by the day, ns", by(Proration::ByDay), None),
    ])
}

pub(crate) fn flags(args: &Args) -> Result<Vec<Figure>, Failure> {
    let calls = u32::try_from(1_000_000 * args.scale)?;
    let snapshot = snapshot()?;
    let attributes = [
        ("user.country", Attribute::Text("VN")),
        ("user.age", Attribute::Number(Number::from(41))),
        ("user.email", Attribute::Text("ann@example.com")),
        ("user.language", Attribute::Text("vi")),
        ("device.model", Attribute::Text("phone")),
        ("session.count", Attribute::Number(Number::from(12))),
    ];
    let context = Context::new(Some("user-8841"), Some("acme"), attributes)?;
    let one = nanoseconds(calls, |_| {
        black_box(snapshot.evaluate(black_box("flag-7"), &context, None));
    });
    let all = nanoseconds(calls / 100, |_| {
        for flag in snapshot.flags() {
            black_box(flag.evaluate(&context, None));
        }
    });
    let name = "flags";
    Ok(vec![
        Figure::new(name, "one flag, 3 conditions and a percentage, ns", one, Some(("<", 150.0))),
        Figure::new(name, "350 such flags for one context, us", all / 1_000.0, Some(("<", 20.0))),
    ])
}

fn snapshot() -> Result<Snapshot, Failure> {
    let flags: Vec<Flag> = (0..FLAGS).map(flag).collect();
    compile(&flags, &Limits::default()).map_err(|wrong| format!("{wrong:?}").into())
}

fn flag(number: usize) -> Flag {
    let leaf = |name: &str, test| Condition::Attribute { name: name.to_owned(), test };
    let countries = ["TH", "LA", "VN"].map(|it| Scalar::Text(it.to_owned()));
    let condition = Condition::All(vec![
        leaf("user.country", Test::In(countries.to_vec())),
        leaf("user.age", Test::AtLeast(Number::from(18))),
        Condition::Not(Box::new(leaf("user.email", Test::EndsWith(vec!["@test".to_owned()])))),
    ]);
    let variant = |key: &str, value| Variant { key: key.to_owned(), value: Value::Boolean(value) };
    let split = Split::weighted(
        format!("salt-{number}"),
        "targeting_key",
        [("on", 10_000), ("off", 90_000)],
    );
    Flag {
        key: format!("flag-{number}"),
        kind: Kind::Boolean,
        variants: vec![variant("on", true), variant("off", false)],
        enabled: true,
        off_variant: "off".to_owned(),
        gate: None,
        targets: Vec::new(),
        rules: vec![Rule { id: "grown-ups".to_owned(), condition, outcome: Outcome::Split(split) }],
        fallthrough: Outcome::Variant("off".to_owned()),
    }
}
