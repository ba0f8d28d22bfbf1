//! Who is let in, put together from the settings.

use std::sync::Arc;

use exchequer_api::authn::{Authenticator, Issuers, PlatformDirectory, ProofKey, Trust};
use exchequer_api::guard::Access;
use exchequer_api::limits::{Limits, PlatformLimits};
use exchequer_engine::Platform;

use crate::backend::Backend;
use crate::config::Config;

/// Access control of a running platform; None when it is turned off. Uses of credentials
/// are written down from now on, as those of this process.
pub(crate) fn open(config: &Config, backend: &Backend, platform: &Platform) -> Option<Access> {
    if !config.access.enabled {
        tracing::warn!("access control is off: whoever reaches the port may do everything");
        return None;
    }
    let runtime = &platform.ports.runtime;
    let trust = Trust {
        proof: Some(ProofKey::new(&backend.deployment_key)),
        issuers: Issuers::new(config.access.issuers(), Arc::clone(runtime)),
        certificates: config.tls.client_ca_file.is_some(),
        proxies: config.access.proxies(),
    };
    let directory = Arc::new(PlatformDirectory { platform: platform.clone() });
    let authenticator = Authenticator::new(directory, trust, Arc::clone(runtime));
    authenticator.uses().write_behind(&platform.ports, &backend.process);
    let tenants = Arc::new(PlatformLimits::new(platform.clone()));
    let limits = Limits::new(config.limits.defaults(), tenants, Arc::clone(runtime));
    Some(Access { authenticator: Arc::new(authenticator), limits })
}
