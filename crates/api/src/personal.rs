//! What is said of persons, on its way in and out: encrypted before a command is
//! made of it, read again when somebody who may see it asks. Nothing behind the
//! edge ever has it in clear.

use exchequer_proto::audit::v1 as pba;
use exchequer_proto::journal::v1 as pb;
use exchequer_types::{Protected, StreamId, TenantId};
use exchequer_vault::{Vault, VaultError};
use prost::Message as _;
use serde_json::Value;
use tonic::Status;

use crate::call::Call;
use crate::edge::Edge;
use crate::guard::Origin;
use crate::status;

/// Where `Envelope.origin` is encrypted for.
pub(crate) const ORIGIN: &str = "journal.origin";
/// Where an entry's personal field is, before its name.
const ENTRY_FIELD: &str = "audit.entry.";

/// The place of an entry's personal field.
pub(crate) fn entry_field(name: &str) -> String {
    format!("{ENTRY_FIELD}{name}")
}

/// As it is encrypted.
pub(crate) fn encode_origin(origin: &Origin) -> Vec<u8> {
    let (address, agent) = (origin.address.to_string(), origin.agent.clone());
    pb::Origin { address, agent }.encode_to_vec()
}

impl Edge {
    /// The vault, without which nothing personal is taken.
    pub(crate) fn vault(&self) -> Result<&Vault, Status> {
        let vault = self.platform.vault.as_ref();
        let none = || VaultError::Unavailable("this process has no key store".to_owned());
        vault.ok_or_else(|| status::of_vault(&none(), "vault"))
    }

    /// Encrypts what `field` says of `subject`. None when it says nothing.
    pub(crate) async fn protect(
        &self,
        tenant: &TenantId,
        subject: &str,
        field: &str,
        text: String,
    ) -> Result<Option<Protected>, Status> {
        if text.is_empty() {
            return Ok(None);
        }
        let protected = self.vault()?.protect(tenant, subject, field, &text).await;
        protected.map(Some).map_err(|error| status::of_vault(&error, field))
    }

    /// Stands for `text` in a command's digest: the same for the same text, until the
    /// person is erased. Empty for an empty one.
    pub(crate) async fn tag(
        &self,
        tenant: &TenantId,
        subject: &str,
        field: &str,
        text: &str,
    ) -> Result<String, Status> {
        if text.is_empty() {
            return Ok(String::new());
        }
        let tag = self.vault()?.tag(tenant, subject, field, text).await;
        let tag = tag.map_err(|error| status::of_vault(&error, field))?;
        Ok(format!("{:032x}", u128::from_be_bytes(tag)))
    }

    /// Reads what `field` says. None when nothing was said, or nobody can read it any
    /// more.
    pub(crate) async fn reveal(
        &self,
        tenant: &TenantId,
        field: &str,
        protected: Option<&Protected>,
    ) -> Result<Option<String>, Status> {
        let Some(protected) = protected else { return Ok(None) };
        let revealed = self.vault()?.reveal(tenant, field, protected).await;
        revealed.map_err(|error| status::of_vault(&error, field))
    }

    /// Where the call comes from, encrypted under its actor's key. None where access is
    /// not controlled: then nobody knows who the actor is.
    pub(crate) async fn origin(
        &self,
        call: &Call,
        stream: &StreamId,
    ) -> Result<Option<Protected>, Status> {
        let (Some(caller), StreamId::Tenant(tenant)) = (&call.caller, stream) else {
            return Ok(None);
        };
        let Some(vault) = &self.platform.vault else { return Ok(None) };
        let clear = encode_origin(&caller.origin());
        let protected = vault.protect_bytes(tenant, call.actor.as_str(), ORIGIN, &clear).await;
        protected.map(Some).map_err(|error| status::of_vault(&error, ORIGIN))
    }

    /// Adds to an entry what its bytes have encrypted.
    pub(crate) async fn reveal_entry(&self, entry: &mut pba::Entry) -> Result<(), Status> {
        // Most have none; a text of somebody's own may look so, and is parsed in vain.
        let marks = ["\"personal\":{", "\"origin\":{", "\"appended_by\":"];
        if !marks.iter().any(|mark| entry.json.contains(mark)) {
            return Ok(());
        }
        let Ok(Value::Object(members)) = serde_json::from_str(&entry.json) else {
            return Err(status::internal("audit", "an entry is no JSON"));
        };
        let Ok(tenant) = TenantId::parse(entry.tenant.as_str()) else { return Ok(()) };
        if let Some(Value::Object(fields)) = members.get("personal") {
            for (name, value) in fields {
                entry.personal.push(self.entry_text(&tenant, name, value).await?);
            }
        }
        if let Some(origin) = members.get("origin") {
            entry.origin = Some(self.entry_origin(&tenant, origin).await?);
        }
        if let Some(Value::String(by)) = members.get("appended_by") {
            entry.appended_by.clone_from(by);
        }
        Ok(())
    }

    async fn entry_text(
        &self,
        tenant: &TenantId,
        name: &str,
        value: &Value,
    ) -> Result<pba::PersonalField, Status> {
        let protected = protected(value)?;
        let text = self.reveal(tenant, &entry_field(name), Some(&protected)).await?;
        let erased = text.is_none();
        let text = text.unwrap_or_default();
        Ok(pba::PersonalField { name: name.to_owned(), text, erased })
    }

    async fn entry_origin(
        &self,
        tenant: &TenantId,
        value: &Value,
    ) -> Result<pba::CallOrigin, Status> {
        let protected = protected(value)?;
        let clear = self.vault()?.reveal_bytes(tenant, ORIGIN, &protected).await;
        let clear = clear.map_err(|error| status::of_vault(&error, ORIGIN))?;
        let Some(clear) = clear else {
            return Ok(pba::CallOrigin { erased: true, ..pba::CallOrigin::default() });
        };
        let origin = pb::Origin::decode(clear.as_slice());
        let origin = origin.map_err(|_| status::of_vault(&VaultError::Misfit, ORIGIN))?;
        Ok(pba::CallOrigin { address: origin.address, agent: origin.agent, erased: false })
    }
}

/// An encrypted field as an entry's JSON has it.
fn protected(value: &Value) -> Result<Protected, Status> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let found = text("key").zip(text("text"));
    let found = found.and_then(|(key, text)| Protected::from_texts(key, text));
    found.ok_or_else(|| status::internal("audit", "an entry's encrypted field is malformed"))
}
