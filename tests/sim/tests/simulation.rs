//! The platform on one seed after another, what is weakened noticed, and each
//! seed the same twice. Run optimised: `cargo test --release -p exchequer-sim`.

use exchequer_sim::{Mutation, letter, run, seeds_in_parallel, seeds_kept};

/// A seed that notices each mutation; `sim --mutations` finds others.
const CAUGHT_BY: [(Mutation, u64); 17] = [
    (Mutation::AnswerOffset, 1),
    (Mutation::CommandIdentity, 1),
    (Mutation::ClaimCheck, 1),
    (Mutation::ResumeLow, 1),
    (Mutation::CheckpointBatch, 1),
    (Mutation::DerivedPosition, 2),
    (Mutation::WriteBehind, 1),
    (Mutation::CursorOutcome, 2),
    (Mutation::TimersFirst, 1),
    (Mutation::FullPrice, 1),
    (Mutation::DueInstant, 1),
    (Mutation::LiveLoad, 1),
    (Mutation::GrantExpiry, 10),
    (Mutation::OwnTime, 1),
    (Mutation::OneCurrent, 1),
    (Mutation::FlagCompiled, 3),
    (Mutation::SlotsStay, 23),
];

// REQ: KER-01
// REQ: KER-02
// REQ: KER-03
// REQ: KER-05
// REQ: KER-06
// REQ: KER-08
// REQ: KER-09
// REQ: KER-13
// REQ: KER-14
// REQ: KER-16
// REQ: KER-17
#[test]
fn three_hundred_seeds_hold() {
    let failed = seeds_in_parallel(1..301, None, false, |_| {});
    let told: Vec<_> = failed.iter().map(|it| (it.seed, it.violations.first())).collect();
    assert!(told.is_empty(), "{told:#?}");
}

// REQ: KER-01
#[test]
fn every_seed_that_ever_failed_holds() {
    let kept = seeds_kept(include_str!("../seeds.txt"));
    assert!(!kept.is_empty());
    for seed in kept {
        let report = run(seed, None, false);
        assert!(report.violations.is_empty(), "seed {seed}: {:#?}", report.violations);
    }
}

#[test]
fn a_seed_is_one_course_of_events() {
    for seed in 1..21 {
        let [first, second] = [true, false].map(|keep| run(seed, None, keep));
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
        assert_eq!(first.summary, second.summary);
    }
    assert_ne!(run(3, None, false).trace_hash, run(4, None, false).trace_hash);
}

// REQ: KER-02
// REQ: KER-03
// REQ: KER-06
// REQ: KER-09
// REQ: KER-14
#[test]
fn every_weakened_rule_is_noticed() {
    assert_eq!(CAUGHT_BY.map(|(mutation, _)| mutation), Mutation::ALL);
    for (mutation, seed) in CAUGHT_BY {
        let noticed = run(seed, Some(mutation), false).violations;
        assert!(!noticed.is_empty(), "({}) {mutation:?}, seed {seed}", letter(mutation));
        assert!(run(seed, None, false).violations.is_empty(), "seed {seed} as it should be");
    }
}
