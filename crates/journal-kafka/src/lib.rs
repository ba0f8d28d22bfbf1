//! The logs on Apache Kafka: the journal, the input lanes and outlets behind their ports,
//! the topics that hold them, and the group that shares partitions among writers.

mod appender;
mod catch_up;
mod client;
mod error;
mod input;
mod journal;
mod members;
mod membership;
mod outlet;
mod partition;
mod ring;
mod settings;
mod tail;
mod topic;
pub mod topics;
mod watch;

pub use client::{ClientFigures, Figures};
pub use error::{SetupError, SetupKind};
pub use input::KafkaInput;
pub use journal::KafkaJournal;
pub use members::members;
pub use membership::{KafkaMembership, NotOwner};
pub use outlet::KafkaOutlet;
pub use settings::{Compression, Mechanism, Options, Security, Settings, Stopped};
