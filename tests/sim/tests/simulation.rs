//! The platform on one seed after another, what is weakened noticed, and each
//! seed the same twice. Run optimised: `cargo test --release -p exchequer-sim`.

use exchequer_sim::{Mutation, letter, run, seeds_in_parallel, seeds_kept};

/// The seed from which one is looked for that notices each mutation, and the invariant by
/// which it does; `sim --mutations` finds others. What a seed does changes with the program,
/// so a few behind it are tried too.
const CAUGHT_BY: [(Mutation, u64, &str); 25] = [
    (Mutation::AnswerOffset, 1, "SIM-12"),
    (Mutation::CommandIdentity, 1, "SIM-2"),
    (Mutation::ClaimCheck, 5, "SIM-1"),
    (Mutation::ResumeLow, 6, "SIM-15"),
    (Mutation::CheckpointBatch, 15, "SIM-14"),
    (Mutation::DerivedPosition, 11, "SIM-8"),
    (Mutation::WriteBehind, 3, "SIM-11"),
    (Mutation::CursorOutcome, 1, "SIM-9"),
    (Mutation::TimersFirst, 1, "SIM-4"),
    (Mutation::FullPrice, 4, "SIM-18"),
    (Mutation::DueInstant, 2, "SIM-17"),
    (Mutation::LiveLoad, 1, "SIM-21"),
    (Mutation::GrantExpiry, 18, "SIM-21"),
    (Mutation::OwnTime, 1, "SIM-5"),
    (Mutation::OneCurrent, 1, "SIM-16"),
    (Mutation::FlagCompiled, 3, "SIM-21"),
    (Mutation::SlotsStay, 27, "SIM-23"),
    (Mutation::OwnerStays, 1, "SIM-24"),
    (Mutation::CredentialEnds, 1, "SIM-24"),
    (Mutation::SealFence, 14, "SIM-28"),
    (Mutation::FirstPosition, 1, "SIM-26"),
    (Mutation::UnnamedDefinitions, 4, "SIM-26"),
    (Mutation::AdditivePosition, 9, "SIM-27"),
    (Mutation::CountedAstray, 2, "SIM-26"),
    (Mutation::ReservedHolds, 6, "SIM-40"),
];

/// Seeds that are tried for each mutation.
const SEEDS_TRIED: u64 = 40;

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
// REQ: BIL-03
// REQ: BIL-04
// REQ: BIL-05
// REQ: BIL-19
// REQ: BIL-21
// REQ: BIL-22
// REQ: BIL-30
// REQ: ENT-01
// REQ: FLG-05
// REQ: FLG-09
// REQ: FLG-12
// REQ: IAM-09
// REQ: IAM-13
// REQ: USE-01
// REQ: USE-02
// REQ: USE-03
// REQ: USE-04
// REQ: USE-05
// REQ: USE-08
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
        let violations = run(seed, None, false).violations;
        assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
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
    assert_eq!(CAUGHT_BY.map(|(mutation, ..)| mutation), Mutation::ALL);
    for (mutation, first, by) in CAUGHT_BY {
        let by = format!("{by} ");
        let notices = |seed: &u64| {
            let noticed = run(*seed, Some(mutation), false).violations;
            noticed.iter().any(|it| it.starts_with(&by))
        };
        let seed = (first..first + SEEDS_TRIED).find(notices);
        let letter = letter(mutation);
        let seed = seed.unwrap_or_else(|| panic!("({letter}) no seed from {first} on notices it"));
        assert!(run(seed, None, false).violations.is_empty(), "seed {seed} as it should be");
    }
}
