//! TLS of the port: certificates from files, renewed while the process runs, and
//! connections that know whom they come from.

mod conn;
mod files;
mod incoming;
mod live;
mod names;
#[cfg(test)]
mod tests;

pub(crate) use files::{Files, TlsError};
pub(crate) use incoming::incoming;
pub(crate) use live::{Live, watch};
