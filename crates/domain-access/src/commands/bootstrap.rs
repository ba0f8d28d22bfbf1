//! The root tenant gets its first owner at the deployment's first start.

use exchequer_access::{BuiltIn, Principal, Scope};
use exchequer_kernel::Ctx;
use exchequer_types::{Slug, TenantId};

use super::check_secret;
use crate::{CredentialKind, Event, Rejection, Secret, State};

const NAME: &str = "first owner";

/// A service token of the root tenant with the roles owner and operator, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    pub secret: Secret,
}

impl Bootstrap {
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        if ctx.tenant != TenantId::platform() {
            return Err(Rejection::NotRoot);
        }
        if state.bootstrapped {
            return Err(Rejection::AlreadyBootstrapped);
        }
        check_secret(state, &self.secret)?;
        let id = ctx.mint("crd_", 0);
        let mut events = vec![
            Event::Bootstrapped { credential: id.clone() },
            Event::CredentialCreated {
                id: id.clone(),
                kind: CredentialKind::Service,
                name: NAME.to_owned(),
                secret: self.secret.clone(),
                expiry: None,
                addresses: Vec::new(),
                requests_per_minute: None,
            },
        ];
        for (index, built_in) in (1..).zip([BuiltIn::Owner, BuiltIn::Operator]) {
            let role = Slug::parse(built_in.as_str());
            events.push(Event::RoleGranted {
                id: ctx.mint("rgr_", index),
                principal: Principal::Credential(id.clone()),
                role: role.map_err(|_| Rejection::RoleNotFound { field: "role" })?,
                scope: Scope::tenant(),
                expiry: None,
            });
        }
        Ok(events)
    }
}
