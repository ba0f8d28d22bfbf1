//! Schemas as meters check them: by the same rules as at the gate.

use std::sync::Arc;

use exchequer_metering::{DataCheck, DataFault, Schemas};

use crate::cache::Cache;
use crate::schema::Schema;

impl Schemas for Cache {
    fn compile(&self, text: &str) -> Option<Arc<dyn DataCheck>> {
        let schema: Arc<dyn DataCheck> = self.schema(text).ok()?;
        Some(schema)
    }
}

impl DataCheck for Schema {
    fn check(&self, data: &str) -> Result<(), DataFault> {
        let first = Schema::check(self, data).into_iter().next();
        first.map_or(Ok(()), |it| Err(DataFault { field: it.field, reason: it.message }))
    }
}
