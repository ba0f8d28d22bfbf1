//! The checkers. They read the journal from zero with every rule in force, and
//! share no state with the engine.
//!
//! - SIM-1 the chain of every partition verifies: no record breaks it.
//! - SIM-2 nothing acknowledged is lost: each answer stands in the accepted
//!   journal, at its place, with the same bytes, for the command that was asked.
//! - SIM-3 nothing is decided twice: no position of an input log, and no identity
//!   within its window.
//! - SIM-4 every outcome, event and entry is what the rules give in that order.
//! - SIM-5 no command but a wake is decided while a timer of its stream is due.
//! - SIM-6 each accepted write has its audit entry; the entries of a tenant chain.
//! - SIM-7 state written behind is the fold of the events up to its position.
//! - SIM-8 each view equals a fold from zero, counts included.
//! - SIM-9 every partition has adopted every provider's latest profile, and every version
//!   of its catalogs.
//! - SIM-10 every input that landed has an outcome; what went astray was sent on.
//! - SIM-11 no tenant starves: everyone is answered.
//! - SIM-12 no loop stops or panics.
//! - SIM-13 no timer is left pending long after it was due.
//! - SIM-14 a query with a reply's token sees what was written.
//! - SIM-15 at rest no gateway counts a command as undecided, so that caps hold
//!   nobody back, and no reader of a generation that is not read is left.
//! - SIM-16 a tenant has at most one current subscription, and one trial ever; nothing
//!   happens to a subscription that has ended.
//! - SIM-17 every second of a subscription's life lies in exactly one part of it,
//!   trial, paid or paused, whose bounds are those of the calendar.
//! - SIM-18 the charges of a period net to the price of what was held in it, second
//!   by second, within half a minor unit for each line.
//! - SIM-19 a tenant may use what its plan, packs and grants give it, by a reason that
//!   is still true, and nothing else.
//! - SIM-20 the pending timers of a stream are those of what is due in it: one for a
//!   subscription, one for each grant that expires. No id is given out twice.
//! - SIM-21 what a gateway answers from memory is what follows from the events up to
//!   the positions that the answer names.
//!   That holds for what a tenant may use and for what a flag serves.
//! - SIM-22 a sandbox's events carry its own time, and nothing falls due in it but
//!   where its clock is moved.
//! - SIM-23 each slot of a rollout belongs to one variant, and nobody is moved whose
//!   variant has not less than before.
//! - SIM-24 a tenant that somebody owns is owned by somebody from then on; a secret that
//!   was revoked, has expired or was rotated away is never accepted again, and one that was
//!   not is; who or what is gone leaves nothing behind.
//! - SIM-25 every acknowledged record of usage stands in the log as it was sent, and lies in
//!   exactly one accepted seal; at rest the seals reach the end of the log.
//! - SIM-26 fates, counts, root and revisions of a seal are what its records come to by the
//!   published format and by what it and the seals before it name; what is taken over never
//!   goes back; an event that finds a meter later is counted.
//! - SIM-27 each figure of usage, of all subjects, by group or by subject, in each window, is
//!   the sum from zero over the log up to the seals that the answer names: at rest, from the
//!   rows alone, and whenever somebody asked, whoever fought over the partition.
//! - SIM-28 lists, counts by hour and places of seals tell of every record once.
//! - SIM-29 what stood on another partition than its own was sent on, and takes its identity
//!   at most once.
//! - SIM-40 no limit is overdrawn by a reservation: what is held is what reservations come
//!   to, and at most what is given.
//! - SIM-41 a reservation begins once and ends once.
//! - SIM-42 what is reserved is free again when its time is over, and not before.

mod answers;
mod audit;
pub(crate) mod chain;
mod charges;
pub(crate) mod decide;
mod domains;
mod entitled;
mod flags;
mod happened;
mod lives;
mod oracle;
mod quotas;
mod rest;
mod shadow;
mod staff;
mod timers;
mod views;

use exchequer_types::PartitionId;

use crate::world::World;

/// The accepted journal, one line an input.
pub(crate) fn describe(world: &World) -> Vec<String> {
    let chains =
        (0..world.plan.partitions).map(|partition| chain::read(world, PartitionId(partition)));
    chains
        .flat_map(|chain| chain.entries.into_iter().flat_map(|entry| chain::describe(&entry)))
        .collect()
}

/// All partitions, folded from zero.
pub(crate) fn chains(world: &World) -> Vec<chain::Chain> {
    (0..world.plan.partitions).map(|partition| chain::read(world, PartitionId(partition))).collect()
}

/// Everything that does not hold, when all has come to rest.
pub(crate) fn check(world: &World) -> Vec<String> {
    let mut violations = Vec::new();
    let chains = chains(world);
    for chain in &chains {
        violations.extend(chain.breaks.iter().cloned());
    }
    answers::check(world, &chains, &mut violations);
    let mut folded = Vec::new();
    for chain in &chains {
        audit::check(chain, &mut violations);
        timers::check(world, chain, &mut violations);
        folded.push(oracle::check(world, chain, &mut violations));
    }
    if !violations.is_empty() {
        // What follows would differ for the same reason.
        return violations;
    }
    rest::check(world, &chains, &folded, &mut violations);
    domains::check(world, &chains, &folded, &mut violations);
    quotas::check(world, &chains, &folded, &mut violations);
    violations.extend(views::check(world, &chains));
    violations
}
