//! The server as roles of a cluster, on real servers: processes of their own over one broker
//! and one node, killed, stopped and started while calls go on.

mod apart;
mod authority;
mod bad_surroundings;
mod changed;
mod deployment;
mod foreign;
mod guide;
mod metered;
mod moving;
mod operators;
mod page;
#[cfg(test)]
#[path = "../programs/mod.rs"]
mod programs;
mod retention;
mod roles;
mod rolling;
mod secure;
mod secure_store;
mod storm;
mod turn;
