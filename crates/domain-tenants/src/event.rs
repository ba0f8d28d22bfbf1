//! All events of the domain.

use std::collections::BTreeMap;

use exchequer_types::{ProviderProfile, TenantId, Timestamp};

/// What happened to a tenant, or to what a partition knows of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Created {
        id: TenantId,
        /// None for the root.
        parent: Option<TenantId>,
        /// Of the parent's profile it was decided with; 0 for the root.
        parent_version: u64,
        depth: u32,
        name: String,
        settings: BTreeMap<String, String>,
        provider: bool,
        /// The tenant is a sandbox, whose own time begins here.
        test_clock: Option<Timestamp>,
    },
    Renamed {
        name: String,
    },
    SettingsChanged {
        set: BTreeMap<String, String>,
        unset: Vec<String>,
    },
    Promoted,
    Suspended {
        reason: String,
    },
    Reinstated,
    Closed {
        reason: String,
        /// The closing timer that this ends.
        timer: Option<String>,
        by_timer: bool,
    },
    ClosingScheduled {
        timer: String,
        at: Timestamp,
    },
    ClosingCancelled {
        timer: String,
    },
    /// A sandbox's own time was moved.
    ClockAdvanced {
        to: Timestamp,
    },
    /// What the partitions are to adopt.
    ProviderProfiled(ProviderProfile),
    /// In a partition's own stream.
    ProviderAdopted(ProviderProfile),
}
