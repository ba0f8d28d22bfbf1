//! JSON Schema for the data of events: what a type's events must look like. A schema
//! comes from a tenant, so compiling and checking are bounded, and nothing is fetched.

mod cache;
mod meters;
mod rejection;
mod rules;
mod schema;
#[cfg(test)]
mod tests;

pub use cache::{Cache, SCHEMAS_MAX};
pub use rejection::{Rejection, codes};
pub use rules::{DEPTH_MAX, NODES_MAX, SCHEMA_BYTES_MAX, VISITS_MAX};
pub use schema::{Schema, VIOLATIONS_MAX, Violation};
