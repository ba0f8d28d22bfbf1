//! Composition of one process: adapters, engine and edge, from settings. No logic
//! of its own.

mod access;
mod bootstrap;
mod config;
mod greeting;
mod http;
mod keys;
mod logs;
mod persons;
mod process;
mod serve;
mod telemetry;
mod tls;

pub use config::{Config, ConfigError, Problem, RunArgs, Secret};
pub use process::{RunError, run};
