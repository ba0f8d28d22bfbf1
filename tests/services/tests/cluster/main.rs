//! The server as roles of a cluster, on real servers: processes of their own over one broker
//! and one node, killed, stopped and started while calls go on.

mod bad_surroundings;
mod deployment;
mod metered;
mod moving;
mod roles;
mod rolling;
mod secure;
