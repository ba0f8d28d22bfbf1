//! Composition of one process: adapters, engine and edge, from settings. No logic
//! of its own.

mod config;
mod greeting;
mod http;
mod keys;
mod process;
mod telemetry;

pub use config::{Config, ConfigError, RunArgs};
pub use process::{RunError, run};
