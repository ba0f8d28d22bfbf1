//! What a person sees who started the program: where it is, the first token, and what
//! to try.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use exchequer_engine::Platform;
use exchequer_projection_tenants as tenants_view;
use exchequer_types::TenantId;

use crate::config::{Config, Roles};

const EXAMPLES_MAX: u32 = 100;

/// Where the deployment lives, and what shows that a tool may act for it.
#[derive(Debug)]
pub(crate) struct Home {
    /// Lines that say where it is.
    lines: String,
    /// Of `exchequer admin`.
    flag: String,
}

impl Home {
    pub(crate) fn of(config: &Config) -> Self {
        if config.is_cluster() {
            let (bootstrap, nodes) = (&config.kafka.bootstrap, config.scylla.nodes.join(","));
            let key = config.keys.deployment_file.clone().unwrap_or_default();
            return Self {
                lines: format!("  logs     {bootstrap}\n  views    {nodes}\n"),
                flag: format!("--deployment-key '{}'", absolute(&key).display()),
            };
        }
        let data = absolute(&config.place.data);
        let data = data.display();
        Self { lines: format!("  data     {data}\n"), flag: format!("--data '{data}'") }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Of a process that answers no calls.
pub(crate) fn of_roles(roles: &Roles, address: SocketAddr) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "Exchequer {version} ({roles}) is ready\n\n  address  {address}\n\nTry:\n\n  \
         curl http://{address}/readyz\n\n"
    )
}

/// What the calls to try have to present.
#[derive(Debug)]
pub(crate) enum Presented {
    /// Access control is off.
    Nothing,
    /// The owner's first token, which is shown this once.
    First(String),
    /// What an earlier start has shown.
    Earlier,
}

/// The text, with calls that work as they stand.
pub(crate) async fn text(
    platform: &Platform,
    address: SocketAddr,
    home: &Home,
    presented: &Presented,
) -> String {
    let tenant = free_tenant(platform).await;
    let Home { lines, flag } = home;
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "Exchequer {version} is ready\n\n  address  {address}\n{lines}",
        version = env!("CARGO_PKG_VERSION"),
    );
    let bearer = match presented {
        Presented::Nothing => {
            out.push_str("  access   control is off: whoever reaches the port may do everything\n");
            ""
        }
        Presented::First(token) => {
            let _ = write!(
                out,
                "  token    {token}\n\n\
                 This token may do everything, and is shown this once: keep it.\n",
            );
            " -H \"authorization: Bearer $TOKEN\""
        }
        Presented::Earlier => " -H \"authorization: Bearer $TOKEN\"",
    };
    out.push_str("\nTry:\n\n");
    match presented {
        Presented::Nothing => {}
        Presented::First(token) => {
            let _ = write!(out, "  export TOKEN={token}\n\n");
        }
        Presented::Earlier => {
            let program = std::env::current_exe().ok();
            let program = program.as_deref().unwrap_or_else(|| Path::new("exchequer")).display();
            let _ = write!(
                out,
                "  # TOKEN is what the first start has shown. To make another:\n  \
                 export TOKEN=$('{program}' admin token --address {address} {flag})\n\n",
            );
        }
    }
    let _ = write!(
        out,
        "  grpcurl -plaintext{bearer} -d '{{\"id\":\"{tenant}\",\"name\":\"Acme\"}}' {address} \
         exchequer.tenants.v1.TenantService/CreateTenant\n\n  \
         grpcurl -plaintext{bearer} -d '{{\"tenant\":\"{tenant}\"}}' {address} \
         exchequer.audit.v1.AuditService/ListEntries\n\n  \
         curl http://{address}/readyz\n\n",
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
