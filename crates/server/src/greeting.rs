//! What a person sees who started the program: where it is, and what to try.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use exchequer_engine::Platform;
use exchequer_projection_tenants as tenants_view;
use exchequer_types::TenantId;

const EXAMPLES_MAX: u32 = 100;

/// The text, with calls that work as they stand.
pub(crate) async fn text(platform: &Platform, address: SocketAddr, data: &Path) -> String {
    let tenant = free_tenant(platform).await;
    let data = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "Exchequer {version} is ready\n\n  \
         address  {address}\n  \
         data     {data}\n\n\
         Try:\n\n  \
         grpcurl -plaintext -d '{{\"id\":\"{tenant}\",\"name\":\"Acme\"}}' {address} \
         exchequer.tenants.v1.TenantService/CreateTenant\n\n  \
         grpcurl -plaintext -d '{{\"tenant\":\"{tenant}\"}}' {address} \
         exchequer.audit.v1.AuditService/ListEntries\n\n  \
         curl http://{address}/readyz\n\n",
        version = env!("CARGO_PKG_VERSION"),
        data = data.display(),
    );
    out
}

/// An id that is not taken, so that the first call creates it.
async fn free_tenant(platform: &Platform) -> String {
    let generation = platform.view("tenants").map_or(1, |view| view.active().number);
    let names = core::iter::once("acme".to_owned());
    for name in names.chain((2..EXAMPLES_MAX).map(|number| format!("acme-{number}"))) {
        let Ok(id) = TenantId::parse(name.as_str()) else { continue };
        let found = tenants_view::get(platform.ports.store.as_ref(), generation, &id).await;
        if !matches!(found, Ok(Some(_))) {
            return name;
        }
    }
    "acme".to_owned()
}
