//! Audit entries: canonical JSON, chained per tenant, written in the same commit
//! as the events they tell of.

use exchequer_domain_audit::Draft;
use exchequer_kernel::Ctx;
use exchequer_types::{Hash, Json, Protected, TenantId, Timestamp};
use sha2::{Digest as _, Sha256};

/// A larger entry has `before`, `after` and `context` replaced by their SHA-256.
pub const LEAF_BYTES_MAX: usize = 60 * 1024;

/// The end of a tenant's chain of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AuditHead {
    /// Of the last entry; 0 before the first.
    pub seq: u64,
    /// SHA-256 of the last entry's bytes; zero before the first.
    pub prev: Hash,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub seq: u64,
    /// Exact bytes.
    pub json: String,
}

/// What an entry tells, apart from its place in the chain.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) action: &'a str,
    pub(crate) actor: &'a str,
    /// Who appended the entry, when that is not the actor whom it names.
    pub(crate) appended_by: Option<&'a str>,
    pub(crate) resource_type: &'a str,
    pub(crate) resource_id: &'a str,
    pub(crate) before: Json,
    pub(crate) after: Json,
    pub(crate) context: Json,
    /// Null: nothing is said of a person.
    pub(crate) personal: Json,
    /// Where the call came from, encrypted.
    pub(crate) origin: Option<&'a Protected>,
    pub(crate) claimed: Timestamp,
}

impl AuditHead {
    /// Appends an entry to the chain.
    pub(crate) fn append(
        &mut self,
        tenant: &TenantId,
        issuer: &str,
        ctx: &Ctx,
        facts: Facts<'_>,
    ) -> Leaf {
        let seq = self.seq + 1;
        let mut facts = facts;
        let mut json = write(self, seq, tenant, issuer, ctx, &facts);
        if json.len() > LEAF_BYTES_MAX {
            facts.before = reduced(&facts.before);
            facts.after = reduced(&facts.after);
            facts.context = reduced(&facts.context);
            json = write(self, seq, tenant, issuer, ctx, &facts);
        }
        self.follow(seq, json.as_bytes());
        Leaf { seq, json }
    }

    /// Takes over an entry that was written before.
    pub fn follow(&mut self, seq: u64, json: &[u8]) {
        self.seq = seq;
        self.prev = Hash(Sha256::digest(json).into());
    }
}

impl Facts<'_> {
    pub(crate) fn of_draft<'a>(
        draft: &'a Draft,
        ctx: &'a Ctx,
        origin: Option<&'a Protected>,
    ) -> Facts<'a> {
        let canonical = |text: &str| {
            if text.is_empty() { Json::Null } else { Json::Canonical(text.to_owned()) }
        };
        Facts {
            action: &draft.action,
            actor: &draft.actor,
            appended_by: Some(ctx.actor.as_str()).filter(|it| *it != draft.actor),
            resource_type: &draft.resource_type,
            resource_id: &draft.resource_id,
            before: canonical(&draft.before),
            after: canonical(&draft.after),
            context: canonical(&draft.context),
            personal: personal(draft),
            origin: draft.origin.as_ref().or(origin),
            claimed: draft.occurred_at.unwrap_or(ctx.claimed_at),
        }
    }
}

fn personal(draft: &Draft) -> Json {
    if draft.personal.is_empty() {
        return Json::Null;
    }
    let fields = draft.personal.iter().map(|(name, text)| (name.clone(), text.to_json()));
    Json::Map(fields.collect())
}

fn reduced(value: &Json) -> Json {
    if *value == Json::Null {
        return Json::Null;
    }
    let digest = Hash(Sha256::digest(value.canonical().as_bytes()).into());
    Json::object([("reduced", Json::Bool(true)), ("sha256", Json::text(digest.to_hex()))])
}

/// Members in canonical order, written without building the whole as a value.
fn write(
    head: &AuditHead,
    seq: u64,
    tenant: &TenantId,
    issuer: &str,
    ctx: &Ctx,
    facts: &Facts<'_>,
) -> String {
    use core::fmt::Write as _;
    let mut out = String::with_capacity(512);
    let text = |out: &mut String, lead: &str, value: &str| {
        out.push_str(lead);
        Json::write_text(out, value);
    };
    text(&mut out, "{\"action\":", facts.action);
    text(&mut out, ",\"actor\":", facts.actor);
    out.push_str(",\"after\":");
    facts.after.write(&mut out);
    // This one, and two below, stand in an entry only when there is something to tell.
    if let Some(by) = facts.appended_by {
        text(&mut out, ",\"appended_by\":", by);
    }
    out.push_str(",\"before\":");
    facts.before.write(&mut out);
    text(&mut out, ",\"command\":{\"id\":", ctx.command_id.as_str());
    text(&mut out, ",\"issuer\":", issuer);
    out.push_str("},\"context\":");
    facts.context.write(&mut out);
    if let Some(origin) = facts.origin {
        out.push_str(",\"origin\":");
        origin.to_json().write(&mut out);
    }
    out.push_str(",\"outcome\":\"accepted\"");
    if facts.personal != Json::Null {
        out.push_str(",\"personal\":");
        facts.personal.write(&mut out);
    }
    text(&mut out, ",\"prev\":", &head.prev.to_hex());
    text(&mut out, ",\"resource\":{\"id\":", facts.resource_id);
    text(&mut out, ",\"type\":", facts.resource_type);
    // Writing to a String cannot fail.
    let _ = write!(out, "}},\"seq\":{seq}");
    text(&mut out, ",\"tenant\":", tenant.as_str());
    let _ = write!(
        out,
        ",\"time\":{{\"claimed\":\"{}\",\"recorded\":\"{}\"}},\"v\":1}}",
        facts.claimed, ctx.now
    );
    out
}
