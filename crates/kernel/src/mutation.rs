//! One weakened rule at a time, to prove that the simulation's checkers notice.
//! Without the feature `mutations`, which only the simulation's build has,
//! every question is answered "no" at compile time.

/// A rule that can be weakened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// (a) An acknowledgement at any offset counts as acceptance.
    AnswerOffset,
    /// (b) The index of identities is not asked.
    CommandIdentity,
    /// (c) A commit counts although its claim is not the current one.
    ClaimCheck,
    /// (d) Resume after the last input decided instead of at `low`.
    ResumeLow,
    /// (e) The checkpoint is written before the rows, not with them.
    CheckpointBatch,
    /// (f) A derived row ignores its position.
    DerivedPosition,
    /// (g) State is written behind before it is accepted.
    WriteBehind,
    /// (h) A cursor passes an event when its command is sent.
    CursorOutcome,
    /// (i) A command is decided before the timers that are due.
    TimersFirst,
    /// (j) A change prorates what is prorated already, instead of the full price.
    FullPrice,
    /// (k) What falls due is decided at the command's time, not at its own instant.
    DueInstant,
    /// (l) A snapshot in memory misses what comes while it is loaded.
    LiveLoad,
    /// (m) A grant counts until its timer is decided.
    GrantExpiry,
    /// (n) The wall clock wakes a sandbox.
    OwnTime,
    /// (o) A tenant subscribes although it has a subscription.
    OneCurrent,
    /// (p) A flag that was changed is not compiled anew.
    FlagCompiled,
    /// (q) A rollout that grows is laid out anew.
    SlotsStay,
    /// (r) The last owner of a tenant may leave it.
    OwnerStays,
    /// (s) A credential is accepted although it has ended.
    CredentialEnds,
    /// (t) A meter takes a seal for accepted although another one's claim came first.
    SealFence,
    /// (u) The index of identities keeps the latest position of an identity, not the first.
    FirstPosition,
    /// (v) Records are judged by definitions of which the seal says nothing.
    UnnamedDefinitions,
    /// (w) A row of usage adds what it holds already.
    AdditivePosition,
    /// (x) What stands on another partition than its own is counted there.
    CountedAstray,
    /// (y) What is reserved does not count against a limit.
    ReservedHolds,
}

impl Mutation {
    pub const ALL: [Self; 25] = [
        Self::AnswerOffset,
        Self::CommandIdentity,
        Self::ClaimCheck,
        Self::ResumeLow,
        Self::CheckpointBatch,
        Self::DerivedPosition,
        Self::WriteBehind,
        Self::CursorOutcome,
        Self::TimersFirst,
        Self::FullPrice,
        Self::DueInstant,
        Self::LiveLoad,
        Self::GrantExpiry,
        Self::OwnTime,
        Self::OneCurrent,
        Self::FlagCompiled,
        Self::SlotsStay,
        Self::OwnerStays,
        Self::CredentialEnds,
        Self::SealFence,
        Self::FirstPosition,
        Self::UnnamedDefinitions,
        Self::AdditivePosition,
        Self::CountedAstray,
        Self::ReservedHolds,
    ];

    /// Is it a rule of meters? The simulation's course of usage notices it.
    pub const fn is_of_usage(self) -> bool {
        matches!(
            self,
            Self::SealFence
                | Self::FirstPosition
                | Self::UnnamedDefinitions
                | Self::AdditivePosition
                | Self::CountedAstray
        )
    }

    /// Is it a rule of deciding? The simulation's checkers decide by the same weakened
    /// rule then, so that only what they know apart from the rules can notice.
    pub const fn is_of_rules(self) -> bool {
        matches!(
            self,
            Self::FullPrice
                | Self::DueInstant
                | Self::GrantExpiry
                | Self::OwnTime
                | Self::OneCurrent
                | Self::SlotsStay
                | Self::OwnerStays
                | Self::CredentialEnds
                | Self::ReservedHolds
        )
    }
}

#[cfg(feature = "mutations")]
mod switch {
    use core::cell::{Cell, RefCell};

    use super::Mutation;

    std::thread_local! {
        static ACTIVE: Cell<Option<Mutation>> = const { Cell::new(None) };
        static POISON: RefCell<Option<String>> = const { RefCell::new(None) };
    }

    /// Weakens `mutation` on this thread, or nothing.
    pub fn set(mutation: Option<Mutation>) {
        ACTIVE.set(mutation);
    }

    /// Is `mutation` weakened on this thread?
    pub fn active(mutation: Mutation) -> bool {
        ACTIVE.get() == Some(mutation)
    }

    /// Lets deciding the command of this id panic on this thread, or none.
    pub fn poison(command: Option<&str>) {
        POISON.set(command.map(str::to_owned));
    }

    /// Is the command of this id to panic?
    pub fn is_poisoned(command: &str) -> bool {
        POISON.with_borrow(|poison| poison.as_deref() == Some(command))
    }
}

#[cfg(feature = "mutations")]
pub use switch::{active, is_poisoned, poison, set};

/// Is `mutation` weakened?
#[cfg(not(feature = "mutations"))]
pub const fn active(_: Mutation) -> bool {
    false
}

/// Is the command of this id to panic?
#[cfg(not(feature = "mutations"))]
pub const fn is_poisoned(_: &str) -> bool {
    false
}
