//! Composition of one process: adapters, engine and edge, from settings. No logic
//! of its own.

mod access;
mod backend;
mod bootstrap;
mod config;
mod greeting;
mod http;
mod keys;
mod logs;
mod persons;
mod process;
mod serve;
mod setup;
mod telemetry;
mod tls;

pub use config::{Config, ConfigError, Problem, Role, Roles, RunArgs, Secret};
pub use process::{RunError, run};
pub use setup::{Done, SetupError, setup};
