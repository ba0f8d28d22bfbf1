//! The vault for what is said of persons, from files of the data folder: the keys
//! of persons, and the master keys that wrap them.

use std::sync::Arc;

use exchequer_runtime::{Runtime as _, TokioRuntime};
use exchequer_vault::{KeyStore, Vault, VaultError};
use exchequer_vault_local::{
    IfMissing, LocalKeys, LocalKms, MASTER_FILE, OpenError, Options, OsEntropy,
};

use crate::config::Config;

/// Without its keys a deployment does not start.
#[derive(Debug, thiserror::Error)]
pub enum PersonsError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("persons' keys cannot be used")]
    Vault(#[from] VaultError),
}

/// Opens both, and wraps anew what an older master key wraps. Where there is a journal
/// with `records`, the persons' keys have been there: a start without them is refused
/// unless the settings accept the loss.
pub(crate) async fn open(
    config: &Config,
    runtime: &TokioRuntime,
    records: u64,
) -> Result<(Vault, Arc<LocalKeys>), PersonsError> {
    let folder = config.place.data.join("keys");
    let if_missing = match records {
        _ if config.keys.accept_loss => IfMissing::Accept,
        0 => IfMissing::Create,
        _ => IfMissing::Refuse,
    };
    let options = Options { keys_max: config.keys.persons_max, if_missing };
    let (keys, found) = LocalKeys::open(&folder, options)?;
    if config.keys.accept_loss {
        tell_accepted(found.created && records > 0);
    }
    if let Some(aside) = &found.torn_file {
        let (bytes, kept_as) = (found.torn_bytes, aside.display());
        tracing::warn!(bytes, %kept_as, "a torn tail of the persons' keys was cut off");
    }
    let keys = Arc::new(keys);
    let kms = master_keys(config, !keys.is_empty())?;
    let (store, clock): (Arc<dyn KeyStore>, _) = (Arc::<LocalKeys>::clone(&keys), runtime.clone());
    let clock = Arc::new(move || clock.now());
    let vault = Vault::new(store, Arc::new(kms), Arc::new(OsEntropy), clock);
    vault.check().await?;
    let tenants = vault.rewrap().await?;
    if tenants > 0 {
        tracing::info!(tenants, "tenants' keys are wrapped by the newest master key");
    }
    Ok((vault, keys))
}

/// A vault over keys that gateways share. The master keys are copies, so nothing is wrapped
/// anew before an operator says that every gateway has them.
#[cfg(feature = "cluster")]
pub(crate) async fn open_shared(
    config: &Config,
    runtime: &TokioRuntime,
    store: Arc<dyn KeyStore>,
) -> Result<Vault, PersonsError> {
    let kms = master_keys(config, true)?.shared();
    let clock = runtime.clone();
    let clock = Arc::new(move || clock.now());
    let vault = Vault::new(store, Arc::new(kms), Arc::new(OsEntropy), clock);
    vault.check().await?;
    Ok(vault)
}

/// Do the master keys of the settings unwrap what is kept? Nothing is locked or changed.
pub(crate) async fn check(config: &Config) -> Result<(), PersonsError> {
    let keys = exchequer_vault_local::peek(&config.place.data.join("keys"))?;
    if keys.tenants().is_empty() {
        return Ok(());
    }
    let kms = master_keys(config, true)?;
    let clock = TokioRuntime::default();
    let clock = Arc::new(move || clock.now());
    Vault::new(Arc::new(keys), Arc::new(kms), Arc::new(OsEntropy), clock).check().await?;
    Ok(())
}

/// Do the master keys of the settings unwrap these keys?
#[cfg(feature = "cluster")]
pub(crate) async fn check_rows(
    config: &Config,
    keys: exchequer_vault::MemoryKeys,
) -> Result<(), PersonsError> {
    let kms = master_keys(config, true)?;
    let clock = TokioRuntime::default();
    let clock = Arc::new(move || clock.now());
    Vault::new(Arc::new(keys), Arc::new(kms), Arc::new(OsEntropy), clock).check().await?;
    Ok(())
}

/// Makes the master keys' file in `path`, for a deployment that is new.
#[cfg(feature = "cluster")]
pub(crate) fn make_master(path: &std::path::Path) -> Result<(), PersonsError> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    LocalKms::from_file(&path, false)?;
    Ok(())
}

/// Made when there are none, unless something `is_used`.
fn master_keys(config: &Config, is_used: bool) -> Result<LocalKms, OpenError> {
    if let Some(text) = config.keys.master.expose() {
        return LocalKms::from_text(text);
    }
    let path = config.keys.master_path.clone();
    let path = path.unwrap_or_else(|| config.place.data.join("keys").join(MASTER_FILE));
    LocalKms::from_file(&path, is_used)
}

fn tell_accepted(is_lost: bool) {
    if is_lost {
        tracing::warn!(
            "the persons' keys are lost: what the journal says of persons until now is shown as \
             erased"
        );
    }
    tracing::warn!("take keys.accept_loss away: with it a later loss goes unnoticed");
}
