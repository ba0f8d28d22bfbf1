//! The contract of a process: events in, commands out, and nothing else.

/// Turns what happened into commands for other streams. Pure; the runtime
/// submits the commands and passes the event only when each one's outcome is in
/// the journal.
pub trait Process {
    /// What it reads.
    type Entry;
    /// What it asks for.
    type Command;

    /// Its issuer and the name of its cursors. Never changes.
    const NAME: &'static str;

    /// The commands that follow from `entry`, with their destinations.
    fn react(&self, entry: &Self::Entry) -> Vec<Reaction<Self::Command>>;
}

/// One command that a process asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaction<C> {
    /// Names the cursor: a slow destination delays only itself.
    pub destination: u32,
    /// Derived from the event, so that reacting twice asks once.
    pub id: String,
    /// Index in the commit of the input that it follows from.
    pub input: u32,
    pub command: C,
}
