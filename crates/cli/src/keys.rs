//! The keys under which what is said of persons is kept: their own backup, and the
//! master key's rotation.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use exchequer_proto::system::v1 as pb;
use exchequer_proto::system::v1::key_service_client::KeyServiceClient;
use exchequer_vault_local::{self as keys, BackedUp};
use serde_json::json;
use tonic::Status;

use crate::connect::Connection;
use crate::output::{say, say_json};

type Done = Result<(), Box<dyn Error>>;

/// Where the keys lie in a data folder.
const FOLDER: &str = "keys";

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Shows the master key in use, and how many tenants' keys an older one wraps.
    Show,
    /// Makes a new master key the current one, or takes up the one that was added to the
    /// file, and wraps all tenants' keys anew under it.
    Rotate,
    /// Copies the keys of persons, also while a server is running. The master keys are not
    /// in it: keep those apart.
    Backup {
        /// A new file for the backup.
        #[arg(long)]
        to: PathBuf,
    },
    /// Puts a backup of the keys back, where there are none. Who was erased since stays
    /// erased.
    Restore {
        /// The backup's file.
        #[arg(long)]
        from: PathBuf,
    },
}

impl Keys {
    /// What needs no server.
    pub(crate) fn offline(&self, data: &Path, json: bool) -> Option<Done> {
        let folder = data.join(FOLDER);
        let (done, path) = match self {
            Self::Show | Self::Rotate => return None,
            Self::Backup { to } => (keys::backup(&folder, to), to),
            Self::Restore { from } => (keys::restore(from, &folder), &folder),
        };
        Some(done.map_err(Into::into).and_then(|it| copied(it, path, json)))
    }

    /// What a server is asked for.
    pub(crate) async fn online(
        &self,
        connection: Connection,
        json: bool,
        refused: fn(Status) -> Box<dyn Error>,
    ) -> Done {
        let mut client = KeyServiceClient::new(connection);
        let reply = match self {
            Self::Rotate => client.rotate_keys(pb::RotateKeysRequest {}).await,
            _ => client.get_keys(pb::GetKeysRequest::default()).await,
        };
        let pb::Keys { master, tenants, tenants_behind } = reply.map_err(refused)?.into_inner();
        if json {
            return say_json(&json!({
                "master": master, "tenants": tenants, "tenants_behind": tenants_behind,
            }));
        }
        say(&format!("master key {master} wraps the keys of {} tenants", tenants - tenants_behind));
        if tenants_behind > 0 {
            say(&format!("{tenants_behind} tenants have their key under an older one still"));
        } else {
            say("older master keys are needed for older backups of the keys alone");
        }
        Ok(())
    }
}

fn copied(it: BackedUp, path: &Path, json: bool) -> Done {
    let BackedUp { tenants, persons, erased, bytes } = it;
    if json {
        return say_json(&json!({
            "tenants": tenants, "persons": persons, "erased": erased, "bytes": bytes,
        }));
    }
    say(&format!(
        "{tenants} tenants, keys of {persons} persons, {erased} erased, {bytes} bytes: {}",
        path.display()
    ));
    Ok(())
}
