//! The adapter on real brokers, which the tests start themselves.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

mod conformance;
mod faults;
mod input;
mod membership;
mod support;
mod topics;
