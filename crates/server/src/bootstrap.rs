//! The deployment's first owner: a service token of the root tenant, made when nobody has
//! owned it yet, and shown by the greeting, this once.

use core::time::Duration;

use exchequer_api::authn::TokenKind;
use exchequer_api::authn::token::{NoEntropy, entropy, mint};
use exchequer_domain_access::{Bootstrap, Command as Access, Secret};
use exchequer_engine::{Behind, Platform, Submission, SubmitError, Token};
use exchequer_kernel::Status;
use exchequer_projection_access::LiveAccess;
use exchequer_tenant::Command;
use exchequer_types::{ActorId, CommandId, Hash, IdError, Issuer, StreamId, TenantId};

use crate::greeting::Presented;

const PATIENCE: Duration = Duration::from_secs(30);
/// Who acts, in the audit log, and how the command is named.
const BOOTSTRAP: &str = "bootstrap";
const COMMAND: &str = "first-owner";

/// Why the first owner could not be made. `exchequer admin token` makes a token later.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootstrapError {
    #[error(transparent)]
    Behind(#[from] Behind),
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    #[error("{0}")]
    Id(String),
    #[error("the root tenant's access control is not part of this process")]
    NoView,
    #[error("refused: {0}")]
    Refused(String),
}

/// What whoever reads the greeting has to present: the first owner's token when it is made
/// now.
pub(crate) async fn first_owner(platform: &Platform) -> Presented {
    match make(platform).await {
        Ok(Some(token)) => Presented::First(token),
        Ok(None) => Presented::Earlier,
        Err(error) => {
            tracing::warn!(%error, "no first owner: `exchequer admin token` makes a token");
            Presented::Earlier
        }
    }
}

/// The token, unless there was an owner before.
async fn make(platform: &Platform) -> Result<Option<String>, BootstrapError> {
    let root = TenantId::platform();
    let live = platform.live::<LiveAccess>().ok_or(BootstrapError::NoView)?;
    let seen = live.get(&root, &Token::default(), PATIENCE).await?;
    if seen.snapshot.state.bootstrapped {
        return Ok(None);
    }
    let minted = mint(TokenKind::Service, &entropy()?);
    let secret = Secret { hash: Hash(minted.hash.0), hint: minted.hint.clone() };
    let invalid = |error: IdError| BootstrapError::Id(error.to_string());
    let submission = Submission::new(
        StreamId::Tenant(root),
        Issuer::parse(BOOTSTRAP).map_err(invalid)?,
        CommandId::parse(COMMAND).map_err(invalid)?,
        ActorId::parse(BOOTSTRAP).map_err(invalid)?,
        Command::Access(Access::Bootstrap(Bootstrap { secret })),
    );
    let answer = platform.gateway.submit(submission, PATIENCE).await?;
    match answer.status() {
        Some(Status::Accepted) => Ok(Some(minted.text)),
        // Somebody was faster.
        Some(Status::IdentityConflict | Status::Rejected) => Ok(None),
        other => Err(BootstrapError::Refused(format!("{other:?}: {}", answer.outcome.message))),
    }
}
