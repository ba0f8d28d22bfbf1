//! Schemas of events as a meter checks them: whoever holds definitions is handed what
//! compiles them, so that nothing here knows JSON Schema.

use core::fmt;
use std::sync::Arc;

/// A provider's schema of a type of events, as a seal names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptedSchema {
    /// CloudEvents `type`.
    pub kind: String,
    /// From 1.
    pub version: u32,
    /// JSON Schema, as it was given.
    pub text: String,
}

/// Data does not keep to its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFault {
    /// Path of the value at fault, as `$.tokens`.
    pub field: String,
    pub reason: String,
}

/// A schema that was compiled.
pub trait DataCheck: Send + Sync + fmt::Debug {
    /// The first value of `data`, which is JSON, that does not keep to the schema.
    fn check(&self, data: &str) -> Result<(), DataFault>;
}

/// Compiles schemas.
pub trait Schemas: Send + Sync + fmt::Debug {
    /// None of one that cannot be compiled: events are not checked against it then. What
    /// the service takes in can be.
    fn compile(&self, text: &str) -> Option<Arc<dyn DataCheck>>;
}

/// Compiles none, so that nothing is checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSchemas;

impl Schemas for NoSchemas {
    fn compile(&self, _: &str) -> Option<Arc<dyn DataCheck>> {
        None
    }
}

/// A schema in force.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    adopted: AdoptedSchema,
    compiled: Option<Arc<dyn DataCheck>>,
}

impl Checked {
    pub(crate) fn new(adopted: AdoptedSchema, schemas: &dyn Schemas) -> Self {
        let compiled = schemas.compile(&adopted.text);
        Self { adopted, compiled }
    }

    pub(crate) fn is(&self, adopted: &AdoptedSchema) -> bool {
        self.adopted == *adopted
    }

    pub(crate) fn check(&self, data: &str) -> Result<(), DataFault> {
        self.compiled.as_ref().map_or(Ok(()), |it| it.check(data))
    }
}

impl PartialEq for Checked {
    fn eq(&self, other: &Self) -> bool {
        self.adopted == other.adopted
    }
}

impl Eq for Checked {}
