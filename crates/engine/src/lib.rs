//! The loops: deciders, the shared tail of the journal, the gateway's side of a
//! command, projectors, reactors and the clock. Everything outside is a port.

mod audit_topic;
mod backoff;
mod clock;
pub mod decider;
mod erasures;
mod failures;
mod gateway;
mod identities;
mod intake;
mod live;
pub mod meter;
mod outlets;
mod platform;
mod ports;
mod projector;
mod reactor;
mod readiness;
mod settings;
mod sharing;
mod spans;
mod tables;
mod tail;
mod thresholds;
mod token;
mod view;

pub use failures::{Failure, Failures, ToldFailure, failures_of};
pub use gateway::{Answer, Gateway, Submission, SubmitError};
pub use intake::UsageIntake;
pub use live::{LiveKind, LiveView, Seen, live_of};
pub use outlets::Outlets;
pub use platform::{Parts, Platform, Roles};
pub use ports::{EngineError, Ports, UsagePorts};
pub use reactor::{
    Commanding, Correcting, CursorState, Cursors, Effect, Forwarder, React, written_cursor,
};
pub use readiness::Unready;
pub use settings::{
    COMMAND_BYTES_MAX, COMMIT_BYTES_MAX, COMMIT_EVENTS_MAX, IDENTITY_WINDOW, SKEW_MAX, Settings,
    UsageSettings,
};
pub use spans::TracedInput;
pub use tables::TABLES;
pub use tail::{InputId, InputKey, PartitionState, Tail, TailItem, TailListener};
pub use thresholds::MeterFigures;
pub use token::{Token, TokenError, UsageToken};
pub use view::{Behind, Generation, Progressed, View, ViewHandle, ViewLag, ViewOf, Views};
