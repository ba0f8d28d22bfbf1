//! SIM-5 and SIM-13: timers are decided before the next command of their stream,
//! in due order, and in the end none is left behind.

use std::collections::{BTreeMap, BTreeSet};

use exchequer_codec::{WAKE, decode_event, status_of};
use exchequer_domain_tenants as tenants;
use exchequer_kernel::{Status, Timers};
use exchequer_proto::journal::v1 as pb;
use exchequer_tenant::Event;
use exchequer_types::Timestamp;

use super::chain::{Chain, envelope};
use crate::world::World;

/// How late the clock may be at rest.
const LATE_MICROS_MAX: u64 = 60_000_000;

#[derive(Default)]
struct Stream {
    timers: Timers,
    is_parked: bool,
    /// It lives in a time of its own, which SIM-22 looks at.
    is_sandbox: bool,
}

pub(crate) fn check(world: &World, chain: &Chain, violations: &mut Vec<String>) {
    let mut streams: BTreeMap<String, Stream> = BTreeMap::new();
    let mut now = Timestamp::MIN;
    for entry in &chain.entries {
        let place = format!("partition {}, offset {}", chain.partition, entry.offset);
        let mut events = entry.commit.events.iter().peekable();
        let inputs = entry.commit.inputs.iter().zip(&entry.commit.outcomes);
        for (index, (input, outcome)) in (0_u32..).zip(inputs) {
            now = now.max(Timestamp::saturating_from_micros(input.appended_at));
            let stream = envelope(input).map(|it| it.stream).unwrap_or_default();
            // The release of a parked stream is decided before its timers.
            let was_parked = streams.get(&stream).is_some_and(|stream| stream.is_parked);
            let mut fired: BTreeSet<Timestamp> = BTreeSet::new();
            while let Some(event) = events.next_if(|event| event.input == index) {
                let stream = streams.entry(event.stream.clone()).or_default();
                if !event.timer.is_empty() {
                    let at = Timestamp::saturating_from_micros(event.at);
                    let is_early = at > now && !stream.is_sandbox;
                    if fired.last().is_some_and(|last| *last > at) || is_early {
                        violations.push(format!("SIM-5 {place}: a timer out of its order"));
                    }
                    fired.insert(at);
                }
                stream.follow(event);
            }
            let Some(envelope) = envelope(input) else { continue };
            let stream = streams.entry(envelope.stream.clone()).or_default();
            let due = stream.timers.first_due(now).map(|(due, id)| (due, id.to_owned()));
            // A wake decides as much as one command may, and leaves the rest to the next.
            let is_exempt = was_parked || envelope.r#type == WAKE;
            if let Some((due, id)) = due.filter(|_| is_decided(outcome) && !is_exempt) {
                violations.push(format!(
                    "SIM-5 {place}: {} of {} was decided at {now}, before timer {id} due at {due}",
                    envelope.id, envelope.stream
                ));
                return;
            }
        }
    }
    let late = core::time::Duration::from_micros(LATE_MICROS_MAX);
    let until = world.sim.now().saturating_sub(late);
    for (id, stream) in streams.iter().filter(|(_, stream)| !stream.is_parked) {
        if let Some((due, timer)) = stream.timers.first_due(until) {
            violations.push(format!("SIM-13 timer {timer} of {id} is pending since {due}"));
        }
    }
}

fn is_decided(outcome: &pb::Outcome) -> bool {
    matches!(
        status_of(outcome),
        Some(Status::Accepted | Status::Rejected | Status::VersionConflict | Status::NotAdopted)
    )
}

impl Stream {
    fn follow(&mut self, event: &pb::Event) {
        match decode_event(&event.stream, &event.r#type, &event.payload) {
            Ok(Event::TimerSet { id, due, own_time: false }) => self.timers.set(&id, due),
            Ok(Event::TimerCleared { id, .. }) => self.timers.clear(&id),
            Ok(Event::Tenants(tenants::Event::Created { test_clock, .. })) => {
                self.is_sandbox = test_clock.is_some();
            }
            Ok(Event::Parked { .. }) => self.is_parked = true,
            Ok(Event::Released { .. }) => self.is_parked = false,
            _ => {}
        }
    }
}
