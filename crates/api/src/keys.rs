//! `exchequer.system.v1.KeyService`: the master key and its rotation.

use exchequer_proto::system::v1 as pb;
use exchequer_proto::system::v1::key_service_server::KeyService;
use exchequer_vault::{Vault, VaultError};
use tonic::{Request, Response, Status, async_trait};

use crate::check::Check;
use crate::edge::Edge;
use crate::mask::Mask;
use crate::status::{self, MASTER_KEYS_FIXED, Refusal};

#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) edge: Edge,
}

type Reply<T> = Result<Response<T>, Status>;

#[async_trait]
impl KeyService for Keys {
    async fn get_keys(&self, request: Request<pb::GetKeysRequest>) -> Reply<pb::Keys> {
        let (call, it) = self.edge.receive(request)?;
        let mut check = Check::default();
        let mask = Mask::read::<pb::Keys>(&mut check, "read_mask", it.read_mask);
        let result = match check.done().and_then(|()| self.edge.vault()) {
            Ok(vault) => found(vault).await.and_then(|keys| mask.apply(keys)),
            Err(refused) => Err(refused),
        };
        call.reply(result)
    }

    async fn rotate_keys(&self, request: Request<pb::RotateKeysRequest>) -> Reply<pb::Keys> {
        let (call, _) = self.edge.receive(request)?;
        let result = self.rotate().await;
        call.reply(result)
    }
}

impl Keys {
    async fn rotate(&self) -> Result<pb::Keys, Status> {
        let vault = self.edge.vault()?;
        let rotated = vault.rotate().await.map_err(|error| match error {
            VaultError::Unsupported(text) => Refusal::new(MASTER_KEYS_FIXED, text).status(),
            error => status::of_vault(&error, "keys"),
        })?;
        tracing::info!(master = rotated.master, tenants = rotated.tenants, "master key rotated");
        found(vault).await
    }
}

async fn found(vault: &Vault) -> Result<pb::Keys, Status> {
    let master = vault.master();
    let tenants = vault.store().tenants().await;
    let tenants = tenants.map_err(|error| status::of_vault(&error, "keys"))?;
    let behind = tenants.iter().filter(|row| row.master != master).count();
    Ok(pb::Keys { master, tenants: tenants.len() as u64, tenants_behind: behind as u64 })
}
