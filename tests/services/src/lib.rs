//! Real servers for tests, as processes on loopback: fetched once by pinned
//! coordinates, started on free ports, ended with their value whatever happens.

mod cassandra;
pub mod clients;
mod clock;
mod error;
mod fetch;
mod folder;
mod kafka;
mod ports;
mod process;
mod relay;
mod standing;
mod wait;

pub use cassandra::{Cassandra, NodeTls, Users};
pub use clock::Clock;
pub use error::Error;
pub use fetch::{CASSANDRA, Distribution, KAFKA};
pub use folder::Folder;
pub use kafka::{BROKERS_MAX, Far, Guard, Kafka};
pub use ports::free_ports;
pub use process::{Lifetime, Process};
pub use relay::{Mending, Relay};
pub use standing::{Standing, state_dir};
pub use wait::wait_until;
