//! A tenant's name.

use super::check_name;
use crate::{Event, Rejection, Tenant};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    pub name: String,
}

impl Rename {
    pub(crate) fn decide(&self, tenant: &Tenant) -> Result<Vec<Event>, Rejection> {
        check_name(&self.name)?;
        if self.name == tenant.name {
            return Err(Rejection::Unchanged);
        }
        Ok(vec![Event::Renamed { name: self.name.clone() }])
    }
}
