//! The same through the program itself, set up as the guide says: one process, with the roles
//! that a command goes through, or with all.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use exchequer_e2e::Bearer;
use exchequer_proto::access::v1 as access;
use exchequer_proto::access::v1::credential_service_client::CredentialServiceClient;
use exchequer_proto::tenants::v1 as tenants;
use exchequer_proto::tenants::v1::tenant_service_client::TenantServiceClient;
use exchequer_services::{Folder, Lifetime, Process};
use tonic::transport::Channel;

use super::servers::Servers;
use crate::Failure;
use crate::server::{CONNECTIONS, TENANTS, appends, with};

/// Commands after which a gateway has read what it keeps of every tenant.
const SEEN: usize = 20_000;
const START_WAIT_MAX: Duration = Duration::from_secs(60);

/// Commands/s by a thousand callers of a process with `roles`; with all where none is named.
pub(super) async fn rate(
    servers: &Servers,
    prefix: &str,
    roles: &[&str],
    commands: usize,
) -> Result<f64, Failure> {
    let folder = Folder::temporary("bench-cluster")?;
    let config = folder.path().join("exchequer.toml");
    std::fs::write(&config, settings(servers, prefix, folder.path()))?;
    for word in ["init", "migrate"] {
        admin(&config, word)?;
    }
    let start = |roles: &[&str], name: &str| -> Result<Process, Failure> {
        let (program, config) = (program()?, config.display().to_string());
        let run = [program.as_str(), "run", "--config", &config, "--listen", "127.0.0.1:0"];
        let roles = roles.iter().flat_map(|role| ["--role", role]);
        let words: Vec<String> = run.into_iter().chain(roles).map(str::to_owned).collect();
        Ok(Process::start(&words, folder.path(), name, Lifetime::Owned)?)
    };
    let mut process = start(roles, "server")?;
    // Who may call is read from views once, and followed from then on.
    let mut rest =
        if roles.is_empty() { None } else { Some(start(&["projector", "consumer"], "rest")?) };
    process.wait_for_line("is ready", START_WAIT_MAX)?;
    process.wait_for_line("curl http://", START_WAIT_MAX)?;
    let said = std::fs::read_to_string(process.log())?;
    let address = said.lines().find_map(|line| line.trim().strip_prefix("address  "));
    let address = address.ok_or("no address in the greeting")?;
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(Channel::from_shared(format!("http://{address}"))?.connect().await?);
    }
    let bearer = Bearer::of_deployment(folder.path()).map_err(|error| error.to_string())?;
    let mut client = CredentialServiceClient::with_interceptor(channels[0].clone(), bearer);
    let create = access::CreateCredentialRequest {
        tenant: "platform".to_owned(),
        kind: access::CredentialKind::Service.into(),
        name: "bench".to_owned(),
        grants: ["owner", "operator"]
            .map(|role| access::RoleGrant { role: role.to_owned(), scope: None })
            .to_vec(),
        ..<_>::default()
    };
    let made = client.create_credential(create).await?.into_inner();
    let bearer = format!("Bearer {}", made.secret).parse()?;
    let mut client = TenantServiceClient::new(channels[0].clone());
    for n in 0..TENANTS {
        let request = tenants::CreateTenantRequest {
            id: format!("t{n}"),
            name: "T".to_owned(),
            ..<_>::default()
        };
        client.create_tenant(with(&bearer, request)).await?;
    }
    appends(&channels, &bearer, SEEN).await?;
    if let Some(rest) = &mut rest {
        rest.stop()?;
    }
    // Servers that have just started compile themselves for a while.
    appends(&channels, &bearer, 4 * commands).await?;
    let elapsed = appends(&channels, &bearer, commands).await?;
    process.stop()?;
    Ok(commands as f64 / elapsed.as_secs_f64())
}

fn program() -> Result<String, Failure> {
    let program = std::env::var("EXCHEQUER_BIN");
    Ok(program.map_err(|_| "EXCHEQUER_BIN names the server, built with its feature `cluster`")?)
}

fn settings(servers: &Servers, prefix: &str, folder: &Path) -> String {
    let keys = folder.join("keys");
    let (keys, bootstrap, node) =
        (keys.display(), servers.kafka.bootstrap(), servers.store.address());
    format!(
        "[journal]\nbackend = \"kafka\"\npartitions = 1\n\
         [views]\nbackend = \"scylla\"\n\
         [kafka]\nbootstrap = \"{bootstrap}\"\nprefix = \"{prefix}-\"\nreplicas = 1\n\
         [scylla]\nnodes = [\"{node}\"]\nkeyspace = \"{prefix}\"\n\
         replication_factor = 1\nrequest_timeout_ms = 30000\n\
         [keys]\ndeployment_file = \"{keys}/deployment.key\"\nmaster_path = \"{keys}/master.keys\"\n\
         [limits]\nrequests_per_minute = 60000000\n"
    )
}

fn admin(config: &Path, word: &str) -> Result<(), Failure> {
    let done = Command::new(program()?).args(["admin", word, "--config"]).arg(config).output()?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    Err(format!("exchequer admin {word}: {said}").into())
}
