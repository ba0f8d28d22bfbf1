//! The loops: deciders, the shared tail of the journal, the gateway's side of a
//! command, projectors, reactors and the clock. Everything outside is a port.

mod clock;
pub mod decider;
mod erasures;
mod failures;
mod gateway;
mod live;
mod platform;
mod ports;
mod projector;
mod reactor;
mod readiness;
mod settings;
mod spans;
mod tables;
mod tail;
mod token;
mod view;

pub use failures::{Failure, Failures};
pub use gateway::{Answer, Gateway, Submission, SubmitError};
pub use live::{LiveKind, LiveView, Seen, live_of};
pub use platform::{Parts, Platform, Roles};
pub use ports::{EngineError, Ports};
pub use reactor::{Commanding, CursorState, Cursors, Effect, Forwarder, React};
pub use readiness::Unready;
pub use settings::{
    COMMAND_BYTES_MAX, COMMIT_BYTES_MAX, COMMIT_EVENTS_MAX, IDENTITY_WINDOW, SKEW_MAX, Settings,
};
pub use spans::TracedInput;
pub use tail::{InputId, InputKey, PartitionState, Tail, TailItem, TailListener};
pub use token::{Token, TokenError};
pub use view::{Behind, Generation, Progressed, View, ViewHandle, ViewLag, ViewOf, Views};
