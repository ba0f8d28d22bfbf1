//! An operator's calls to a running server.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use exchequer_proto::access::v1 as access;
use exchequer_proto::access::v1::credential_service_client::CredentialServiceClient;
use exchequer_proto::common::v1::WriteOptions;
use exchequer_proto::journal::v1 as pbj;
use exchequer_proto::system::v1 as pb;
use exchequer_proto::system::v1::system_service_client::SystemServiceClient;
use serde_json::{Value, json};
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::connect::{Caller, Connection, connect};
use crate::keys::Keys;
use crate::output::{say, say_json};
use crate::status;

pub(crate) const PAGE_SIZE: u32 = 1_000;
/// Dead letters carry their records.
const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Debug, Args)]
pub struct Admin {
    /// Where the server listens: `host:port`, with `https://` before it for TLS.
    #[arg(long = "server", alias = "address", global = true, default_value = "127.0.0.1:7447")]
    address: String,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    caller: Caller,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Creates the topics of a cluster, from the settings of its processes, and for a new
    /// deployment the keys that they name. May be repeated.
    Init(Settings),
    /// Brings the keyspace of a cluster up to this program. May be repeated, once at a time.
    Migrate(Settings),
    /// Carries the logs and keys of a data folder, or of a backup, to a cluster whose topics
    /// and tables are ready and new. No server may run on the folder. When it is cut short,
    /// the same command goes on where it was.
    MigrateLog {
        #[command(flatten)]
        with: Settings,
        /// The keys of persons, from `exchequer admin keys backup`: when they are not in the
        /// folder, as with a backup.
        #[arg(long)]
        persons: Option<PathBuf>,
        /// The keys of persons are lost: what the journal says of persons is shown as erased.
        #[arg(long, conflicts_with = "persons")]
        without_persons: bool,
    },
    /// Partitions and their owners, views and cursors.
    Status,
    /// Builds a view anew beside the old one, then swaps.
    Rebuild { view: String },
    /// Lists records that were not decided.
    DeadLetters,
    /// Submits a dead letter again.
    Replay { id: String },
    /// Lists tenants that are parked after an internal error.
    Parked,
    /// Lets a parked tenant go on.
    Release {
        tenant: String,
        /// For the tenant's audit log.
        #[arg(long, default_value = "")]
        reason: String,
        /// Made by the server when absent.
        #[arg(long, default_value = "")]
        command_id: String,
    },
    /// The keys under which what is said of persons is kept.
    Keys {
        #[command(subcommand)]
        what: Keys,
    },
    /// Makes a service token and prints its secret, this once. With the deployment's key it
    /// needs no other token.
    Token {
        /// Whose token it is to be.
        #[arg(long, default_value = ROOT)]
        tenant: String,
        /// What it is for.
        #[arg(long, default_value = "made by exchequer admin token")]
        name: String,
        /// What it may do, once or several times. The owner's rights when absent, and at
        /// the root the operator's too.
        #[arg(long = "role")]
        roles: Vec<String>,
    },
}

/// Which settings a tool works with: those of the processes.
#[derive(Debug, Args)]
struct Settings {
    /// TOML file with settings.
    #[arg(long)]
    config: Option<PathBuf>,
}

/// What is done with a deployment's settings, and needs no running server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setup {
    Topics,
    Store,
    Logs(Moving),
}

/// What is carried from a data folder to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moving {
    /// The data folder, or a backup's.
    pub data: PathBuf,
    /// A backup of the keys of persons, in place of those in the folder.
    pub persons: Option<PathBuf>,
    /// Go on without them.
    pub without_persons: bool,
}

impl Admin {
    /// What is to be set up, with which settings, and whether JSON is asked for.
    pub(crate) fn setup(&self) -> Option<(Setup, Option<PathBuf>, bool)> {
        match &self.what {
            What::Init(with) => Some((Setup::Topics, with.config.clone(), self.json)),
            What::Migrate(with) => Some((Setup::Store, with.config.clone(), self.json)),
            What::MigrateLog { with, persons, without_persons } => {
                let (persons, without_persons) = (persons.clone(), *without_persons);
                let data = self.caller.data().to_owned();
                let moving = Moving { data, persons, without_persons };
                Some((Setup::Logs(moving), with.config.clone(), self.json))
            }
            _ => None,
        }
    }
}

/// The tenant whose operators run the deployment.
const ROOT: &str = "platform";

pub(crate) type Client = SystemServiceClient<Connection>;
pub(crate) type Done = Result<(), Box<dyn Error>>;

pub(crate) async fn run(args: Admin) -> Result<ExitCode, Box<dyn Error>> {
    if let What::Keys { what } = &args.what
        && let Some(done) = what.offline(args.caller.data(), args.json)
    {
        return done.map(|()| ExitCode::SUCCESS);
    }
    let connection = connect(&args.address, &args.caller).await?;
    let mut client =
        SystemServiceClient::new(connection.clone()).max_decoding_message_size(REPLY_BYTES_MAX);
    let client = &mut client;
    match args.what {
        What::Init(_) | What::Migrate(_) | What::MigrateLog { .. } => {
            Err("the server's program alone knows its settings".into())
        }
        What::Status => status::show(client, args.json).await,
        What::Rebuild { view } => rebuild(client, args.json, view).await,
        What::DeadLetters => dead_letters(client, args.json).await,
        What::Replay { id } => replay(client, args.json, id).await,
        What::Parked => parked(client, args.json).await,
        What::Release { tenant, reason, command_id } => {
            let write = Some(WriteOptions { command_id, ..WriteOptions::default() });
            let released = pb::ReleaseTenantRequest { tenant: tenant.clone(), reason, write };
            client.release_tenant(released).await.map_err(refused)?;
            tell(args.json, &json!({ "released": tenant }), || {
                say(&format!("released {tenant}"));
            })
        }
        What::Keys { what } => what.online(connection, args.json, |it| refused(it).into()).await,
        What::Token { tenant, name, roles } => {
            token(connection, args.json, tenant, name, roles).await
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

async fn token(
    connection: Connection,
    json: bool,
    tenant: String,
    name: String,
    mut roles: Vec<String>,
) -> Done {
    if roles.is_empty() {
        let defaults: &[&str] = if tenant == ROOT { &["owner", "operator"] } else { &["owner"] };
        roles = defaults.iter().map(|role| (*role).to_owned()).collect();
    }
    let request = access::CreateCredentialRequest {
        tenant,
        kind: access::CredentialKind::Service.into(),
        name,
        grants: roles.into_iter().map(|role| access::RoleGrant { role, scope: None }).collect(),
        ..access::CreateCredentialRequest::default()
    };
    let mut client = CredentialServiceClient::new(connection);
    let made = client.create_credential(request).await.map_err(refused)?.into_inner();
    let id = made.credential.unwrap_or_default().id;
    // The token alone, so that a shell can take it: TOKEN=$(exchequer admin token).
    tell(json, &json!({ "id": id, "token": made.secret }), || say(&made.secret))
}

async fn rebuild(client: &mut Client, json: bool, view: String) -> Done {
    let request = pb::RebuildViewRequest { view: view.clone() };
    let generation = client.rebuild_view(request).await.map_err(refused)?.into_inner().generation;
    tell(json, &json!({ "view": view, "generation": generation }), || {
        say(&format!(
            "generation {generation} of {view} is being built: see `exchequer admin status`"
        ));
    })
}

async fn dead_letters(client: &mut Client, json: bool) -> Done {
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request =
            pb::ListDeadLettersRequest { page_size: PAGE_SIZE, page_token, ..<_>::default() };
        let page = client.list_dead_letters(request).await.map_err(refused)?.into_inner();
        found.extend(page.dead_letters.into_iter().map(|mut it| {
            // Only its size is shown.
            it.message = format!("{} ({} bytes)", it.message, it.record.len());
            it.record = Vec::new();
            it
        }));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let values: Vec<Value> = found
        .iter()
        .map(|it| {
            json!({
                "id": it.id, "reason": it.reason, "message": it.message, "stream": it.stream,
                "type": it.r#type, "recorded_at": time(it.recorded_at.as_ref()),
            })
        })
        .collect();
    tell(json, &Value::Array(values), || {
        for it in &found {
            let at = time(it.recorded_at.as_ref());
            say(&format!("{}  {at}  {}  {} {}", it.id, it.reason, it.stream, it.r#type));
            say(&format!("    {}", it.message));
        }
        say(&format!("{} dead letters", found.len()));
    })
}

async fn replay(client: &mut Client, json: bool, id: String) -> Done {
    let request = pb::ReplayDeadLetterRequest { id: id.clone() };
    let outcome = client.replay_dead_letter(request).await.map_err(refused)?.into_inner().outcome;
    let outcome = outcome.unwrap_or_default();
    let status = pbj::OutcomeStatus::try_from(outcome.status).unwrap_or_default();
    let word = status.as_str_name().trim_start_matches("OUTCOME_STATUS_").to_lowercase();
    let value = json!({
        "id": id, "status": word, "code": outcome.code, "message": outcome.message,
    });
    tell(json, &value, || say(&format!("{id}: {word} {} {}", outcome.code, outcome.message)))
}

async fn parked(client: &mut Client, json: bool) -> Done {
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request =
            pb::ListParkedTenantsRequest { page_size: PAGE_SIZE, page_token, ..<_>::default() };
        let page = client.list_parked_tenants(request).await.map_err(refused)?.into_inner();
        found.extend(page.tenants);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let values: Vec<Value> = found
        .iter()
        .map(|it| {
            let at = time(it.parked_at.as_ref());
            json!({ "tenant": it.tenant, "reason": it.reason, "parked_at": at })
        })
        .collect();
    tell(json, &Value::Array(values), || {
        for it in &found {
            say(&format!("{}  {}  {}", it.tenant, time(it.parked_at.as_ref()), it.reason));
        }
        say(&format!("{} parked tenants", found.len()));
    })
}

pub(crate) fn tell(as_json: bool, value: &Value, show: impl FnOnce()) -> Done {
    if as_json {
        return say_json(value);
    }
    show();
    Ok(())
}

fn time(at: Option<&prost_types::Timestamp>) -> String {
    let micros = at.map_or(0, |at| at.seconds * 1_000_000 + i64::from(at.nanos / 1_000));
    exchequer_types::Timestamp::saturating_from_micros(micros).to_string()
}

pub(crate) fn refused(status: Status) -> String {
    let code = status.get_details_error_info().map(|info| info.reason);
    // Not the server's words, but the library's about the connection.
    if code.is_none() && status.source().is_some() {
        let text = "the connection ended without an answer: where the server does TLS, write \
                    https:// before its address";
        return text.to_owned();
    }
    format!("{}: {}", code.unwrap_or_else(|| status.code().to_string()), status.message())
}
