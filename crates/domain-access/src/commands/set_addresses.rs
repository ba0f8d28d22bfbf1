//! From where the tenant may be called.

use exchequer_access::AddressRange;

use super::check_addresses;
use crate::{Event, Rejection, State};

/// Replaces the list. Empty: from everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAddresses {
    pub addresses: Vec<AddressRange>,
}

impl SetAddresses {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        check_addresses(&self.addresses)?;
        if *state.addresses == self.addresses {
            return Err(Rejection::Unchanged);
        }
        Ok(vec![Event::AddressesSet { addresses: self.addresses.clone() }])
    }
}
