//! Starts the server as a process, uses it over its port, kills it, damages its
//! folder, fills its disk, and says what of the answers it gave is not there.

mod answer;
pub mod bearer;
pub mod check;
pub mod client;
mod ledger;
mod random;
pub mod raw;
pub mod segment;
mod server;
mod small_disk;
mod space;
pub mod wait;
mod writers;

pub use answer::{Answer, Rejection, reason};
pub use bearer::Bearer;
pub use client::{Client, Sent};
pub use ledger::{Answered, Ledger};
pub use random::Random;
pub use server::{Finished, Server, program, run, run_with};
pub use small_disk::SmallDisk;
pub use space::Space;
pub use writers::{Load, write_until};

/// What went wrong, in words.
pub type Failure = Box<dyn core::error::Error + Send + Sync>;

/// What a step gives, or what went wrong.
pub type Res<T> = Result<T, Failure>;

/// `Err` with these words, unless `holds`.
pub fn ensure(holds: bool, words: impl FnOnce() -> String) -> Res<()> {
    if holds { Ok(()) } else { Err(words().into()) }
}
