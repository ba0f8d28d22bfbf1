//! Entries that applications append to a tenant's audit log. The entries
//! themselves are written by the tenant root, which owns the chain; this domain
//! says whether they may be.

#![deny(clippy::as_conversions, clippy::float_arithmetic)]

mod append;
mod rejection;

pub use append::{
    Append, Draft, ENTRIES_MAX, PERSONAL_BYTES_MAX, PERSONAL_FIELDS_MAX, RESERVED, is_reserved,
};
pub use rejection::{Rejection, codes};

use exchequer_kernel::{Ctx, Decider};
use exchequer_types::Timestamp;

/// The domain's rules.
#[derive(Clone, Copy, Debug)]
pub struct Audit;

/// The domain keeps no state: the chain is the root's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct State;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Append(Append),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// `count` entries were appended.
    Appended { count: u32 },
}

impl Decider for Audit {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(_: &State, command: &Command, _: &Ctx) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Append(it) => it.decide(),
        }
    }

    fn evolve(_: &mut State, _: &Event, _: Timestamp) {}
}
