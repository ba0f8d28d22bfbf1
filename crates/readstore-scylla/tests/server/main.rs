//! Tests of the cluster read store on a real server: one that is started here and ends with
//! the tests, or the one that `EXCHEQUER_TEST_CQL` names.

#![cfg(test)]

mod faults;
mod keys;
mod schema;
mod store;
mod support;
mod views;
