//! The edge as clients meet it: services over a loopback port, on top of the
//! whole platform on in-memory ports.

#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside test functions")]

mod audit;
mod bad_input;
mod catalogs;
mod conventions;
mod entitlements;
mod every;
mod failing_store;
mod flags;
mod guard;
mod ingest;
mod meters;
mod personal;
mod quota_kinds;
mod quota_thresholds;
mod quotas;
mod sandbox;
mod subscriptions;
mod system;
mod tenants;
mod usage;
mod world;
