//! What is compiled answers as the definition reads, whatever the flag and the
//! context; and changes of weights move nobody who need not move.
#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside test functions")]

mod given;
mod naive;

use std::collections::BTreeSet;
use std::sync::Arc;

use exchequer_flag_eval::{
    Attribute, Compiled, Context, Decision, Limits, Number, Plan, SLOTS, Snapshot, Split, Value,
};
use proptest::prelude::*;

use given::{Customer, Fact, Person};

impl Plan for Customer {
    fn plan(&self) -> Option<&str> {
        self.plan.as_deref()
    }

    fn entitled(&self, feature: &str) -> bool {
        self.features.contains(feature)
    }
}

fn context(person: &Person) -> Context<'_> {
    let attributes = person.facts.iter().map(|(name, fact)| {
        let attribute = match fact {
            Fact::Boolean(it) => Attribute::Boolean(*it),
            Fact::Number(it) => Attribute::Number(*it),
            Fact::Text(it) => Attribute::Text(it),
            Fact::List(it) => Attribute::List(it.iter().map(String::as_str).collect()),
        };
        (name.as_str(), attribute)
    });
    Context::new(person.key.as_deref(), person.tenant.as_deref(), attributes).unwrap()
}

fn text(decision: Decision<'_>) -> String {
    format!("{:?} {:?} {:?}", decision.variant, decision.reason, decision.by)
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(1_500))]

    // REQ: FLG-04
    #[test]
    fn compiled_flags_answer_as_they_read(
        flag in given::flag(),
        person in given::person(),
        customer in proptest::option::of(given::customer()),
    ) {
        let compiled = Compiled::of(&flag, &Limits::default());
        prop_assert!(compiled.is_ok(), "{compiled:?}");
        let compiled = compiled.unwrap();
        let context = context(&person);
        let plan = customer.as_ref().map(|it| it as &dyn Plan);
        let found = text(compiled.evaluate(&context, plan));
        let others = [given::constant("a", true), given::constant("z", true)];
        let others = others.map(|it| Arc::new(Compiled::of(&it, &Limits::default()).unwrap()));
        let all = Snapshot::of(others.into_iter().chain([Arc::new(compiled)]));
        all.evaluate_all(&context, plan, |flag, decision| {
            assert!(flag.key() != "flag" || text(decision) == found);
        });
        prop_assert_eq!(found, naive::evaluate(&flag, &person, customer.as_ref()));
    }

    #[test]
    fn numbers_are_ordered_as_integers_are(one: i64, two: i64, shift in 0..300_u32) {
        let (x, y) = (Number::from(one), Number::from(two));
        prop_assert_eq!(x.cmp(&y), one.cmp(&two));
        let shifted = |number: i64| format!("{number}e-{shift}").parse::<Number>();
        let (x, y) = (shifted(one).unwrap(), shifted(two).unwrap());
        prop_assert_eq!(x.cmp(&y), one.cmp(&two));
        prop_assert_eq!(x.to_string().parse::<Number>(), Ok(x));
    }
}

proptest! {
    #![proptest_config(cases(24))]

    // REQ: FLG-05
    #[test]
    fn new_weights_move_only_those_who_must(
        steps in prop::collection::vec(given::weights(), 1..12),
    ) {
        let mut before: Option<Split> = None;
        for weights in steps {
            let wanted = Split::weighted("s", "tenant", weights.iter().map(|(v, w)| (*v, *w)));
            let after = wanted.lay_out(before.as_ref()).unwrap();
            // Whose each slot is: exactly one's, or this would panic.
            let owners = given::owners(&after);
            if let Some(before) = &before {
                for (slot, (old, new)) in given::owners(before).iter().zip(&owners).enumerate() {
                    let weight = |split: &Split, variant: &str| {
                        let share = split.shares.iter().find(|it| it.variant == variant);
                        share.map_or(0, |it| it.weight)
                    };
                    if old != new {
                        let shrinks = weight(&after, old) < weight(before, old);
                        let grows = weight(&after, new) > weight(before, new);
                        prop_assert!(shrinks && grows, "slot {}: {} to {}", slot, old, new);
                    }
                }
            }
            before = Some(after);
        }
    }

    // REQ: FLG-05
    #[test]
    fn back_to_the_old_weights_is_back_to_the_old_slots(
        from in 0..=SLOTS, steps in prop::collection::vec(0..=SLOTS, 1..8),
    ) {
        let at = |on: u32, before: Option<&Split>| {
            let weights = [("on", on), ("off", SLOTS - on)];
            Split::weighted("s", "tenant", weights).lay_out(before).unwrap()
        };
        let first = at(from, None);
        let mut now = first.clone();
        for step in steps {
            now = at(step, Some(&now));
        }
        let back = at(from, Some(&now));
        prop_assert_eq!(given::owners(&back), given::owners(&first));
    }
}

// REQ: FLG-12
#[test]
fn an_old_snapshot_answers_as_ever() {
    let on = Compiled::of(&given::constant("a", true), &Limits::default()).unwrap();
    let off = Compiled::of(&given::constant("a", false), &Limits::default()).unwrap();
    let person = Person::default();
    let context = context(&person);
    let old = Arc::new(Snapshot::of([Arc::new(on)]));
    let new = Snapshot::of([Arc::new(off)]);
    assert_eq!(old.evaluate("a", &context, None).value, Some(&Value::Boolean(true)));
    assert_eq!(new.evaluate("a", &context, None).value, Some(&Value::Boolean(false)));
    let keys: BTreeSet<&str> = old.flags().map(|it| it.key()).collect();
    assert_eq!(keys, BTreeSet::from(["a"]));
}
