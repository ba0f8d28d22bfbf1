//! Commands by type name and version. A stored example of each lies under
//! `schemas/commands/`.

use bytes::Bytes;
use exchequer_proto::journal::v1 as pbk;
use exchequer_tenant::Command;
use prost::Message;

use crate::DecodeError;
use crate::domains::{
    access, audit, catalog, domain_of, entitlements, flags, quotas, subscriptions, tenants, usage,
};

/// Type name of a wake, which decides what is due and keeps no identity.
pub const WAKE: &str = "kernel.wake.v1";
const LOOKUP: &str = "kernel.lookup.v1";
const RELEASE: &str = "kernel.release.v1";

/// Every command type and version that was ever sent.
pub fn command_types() -> Vec<&'static str> {
    let domains = [
        &[WAKE, LOOKUP, RELEASE],
        tenants::COMMANDS,
        access::COMMANDS,
        audit::COMMANDS,
        catalog::COMMANDS,
        subscriptions::COMMANDS,
        entitlements::COMMANDS,
        flags::COMMANDS,
        quotas::COMMANDS,
        usage::COMMANDS,
    ];
    domains.concat()
}

/// The command's type name and payload. None for what is never sent: a timer's
/// own command, and one with what it names looked up.
pub fn encode_command(command: &Command) -> Option<(&'static str, Bytes)> {
    let (kind, payload) = match command {
        Command::Wake => (WAKE, pbk::Wake {}.encode_to_vec()),
        Command::Lookup { issuer, id } => {
            (LOOKUP, pbk::Lookup { issuer: issuer.clone(), id: id.clone() }.encode_to_vec())
        }
        Command::Release { reason } => {
            (RELEASE, pbk::Release { reason: reason.clone() }.encode_to_vec())
        }
        Command::Create(create) => tenants::encode_create(create),
        Command::Tenants(command) => tenants::encode_command(command)?,
        Command::Access(command) => access::encode_command(command)?,
        Command::Audit(command) => audit::encode_command(command),
        Command::Catalog(command) => catalog::encode_command(command)?,
        Command::Subscribe(command) => subscriptions::encode_subscribe(command),
        Command::ChangeSubscription(command) => subscriptions::encode_change(command),
        Command::AmendChange(command) => subscriptions::encode_amend(command),
        Command::Subscriptions(command) => subscriptions::encode_command(command)?,
        Command::Entitlements(command) => entitlements::encode_command(command)?,
        Command::Flags(command) => flags::encode_command(command)?,
        Command::Quotas(command) => quotas::encode_command(command)?,
        Command::Usage(command) => usage::encode_command(command)?,
    };
    Some((kind, Bytes::from(payload)))
}

/// The command of a type name and payload.
pub fn decode_command(kind: &str, payload: &[u8]) -> Result<Command, DecodeError> {
    match domain_of(kind) {
        "kernel" => decode_kernel(kind, payload),
        "tenants" => tenants::decode_command(kind, payload),
        "access" => access::decode_command(kind, payload),
        "audit" => audit::decode_command(kind, payload),
        "catalog" => catalog::decode_command(kind, payload),
        "subscriptions" => subscriptions::decode_command(kind, payload),
        "entitlements" => entitlements::decode_command(kind, payload),
        "flags" => flags::decode_command(kind, payload),
        "quotas" => quotas::decode_command(kind, payload),
        "usage" => usage::decode_command(kind, payload),
        _ => Err(DecodeError::UnknownType(kind.to_owned())),
    }
}

fn decode_kernel(kind: &str, payload: &[u8]) -> Result<Command, DecodeError> {
    Ok(match kind {
        WAKE => {
            pbk::Wake::decode(payload)?;
            Command::Wake
        }
        LOOKUP => {
            let it = pbk::Lookup::decode(payload)?;
            Command::Lookup { issuer: it.issuer, id: it.id }
        }
        RELEASE => Command::Release { reason: pbk::Release::decode(payload)?.reason },
        _ => return Err(DecodeError::UnknownType(kind.to_owned())),
    })
}
