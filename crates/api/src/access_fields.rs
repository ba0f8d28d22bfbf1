//! Fields of requests about access control: who, what, where, and from where.

use std::collections::BTreeSet;

use exchequer_access::{AddressRange, Permission, Principal, Scope, admits};
use exchequer_codec::{principal_from_proto, scope_from_proto};
use exchequer_domain_access::{ADDRESSES_MAX, codes};
use exchequer_proto::access::v1 as pb;
use exchequer_types::{ActorId, Slug};

use crate::check::Check;
use crate::guard::Caller;
use crate::status::{FIELD_MISSING, ID_INVALID, VALUE_INVALID};

/// Members, teams or permissions of one request.
const NAMED_MAX: usize = 1_000;
/// Of a person's name or e-mail address.
const PERSON_CHARS_MAX: usize = 320;

pub(crate) fn actor(check: &mut Check, field: &str, text: String) -> Option<ActorId> {
    let parsed = ActorId::parse(text);
    parsed.map_err(|error| check.refuse(ID_INVALID, field, error.to_string())).ok()
}

pub(crate) fn actors(check: &mut Check, field: &str, texts: Vec<String>) -> BTreeSet<ActorId> {
    named(check, field, texts, actor)
}

pub(crate) fn slugs(check: &mut Check, field: &str, texts: Vec<String>) -> BTreeSet<Slug> {
    named(check, field, texts, Check::slug)
}

/// A name or address of a person; the bytes are checked, for they cannot be later.
pub(crate) fn person_text(check: &mut Check, field: &str, text: String) -> String {
    if text.chars().count() > PERSON_CHARS_MAX || text.chars().any(char::is_control) {
        let told = format!(
            "must have at most {PERSON_CHARS_MAX} characters, none of them control characters"
        );
        check.refuse(VALUE_INVALID, field, told);
    }
    text
}

/// In the order given.
pub(crate) fn permissions(check: &mut Check, field: &str, texts: &[String]) -> Vec<Permission> {
    if texts.len() > NAMED_MAX {
        check.refuse(VALUE_INVALID, field, format!("must name at most {NAMED_MAX}"));
    }
    let texts = texts.iter().take(NAMED_MAX).enumerate();
    let found =
        texts.filter_map(|(index, text)| permission(check, &format!("{field}[{index}]"), text));
    found.collect()
}

pub(crate) fn permission(check: &mut Check, field: &str, text: &str) -> Option<Permission> {
    let parsed = Permission::parse(text);
    let told = "must be a permission: ListPermissions names all of them";
    parsed.map_err(|_| check.refuse(VALUE_INVALID, field, told)).ok()
}

pub(crate) fn principal(
    check: &mut Check,
    field: &str,
    it: Option<pb::Principal>,
) -> Option<Principal> {
    if it.as_ref().is_none_or(|it| it.principal.is_none()) {
        check.refuse(FIELD_MISSING, field, "must be given: a member, a team or a credential");
        return None;
    }
    let text = "must be the id of a member or credential, or the key of a team";
    principal_from_proto(it).map_err(|_| check.refuse(ID_INVALID, field, text)).ok()
}

/// The whole tenant when absent.
pub(crate) fn scope(check: &mut Check, field: &str, it: Option<pb::Scope>) -> Scope {
    let text = "must name keys, and their project when it names an environment or a flag";
    let parsed = scope_from_proto(it);
    parsed.map_err(|_| check.refuse(ID_INVALID, field, text)).unwrap_or_else(|()| Scope::tenant())
}

pub(crate) fn networks(check: &mut Check, field: &str, texts: &[String]) -> Vec<AddressRange> {
    if texts.len() > ADDRESSES_MAX {
        let text = format!("must be at most {ADDRESSES_MAX} networks");
        check.refuse(codes::ADDRESSES_INVALID, field, text);
    }
    let texts = texts.iter().take(ADDRESSES_MAX).enumerate();
    let networks = texts.filter_map(|(index, text)| {
        let refuse = |error: exchequer_access::AddressRangeError| {
            let field = format!("{field}[{index}]");
            check.refuse(codes::ADDRESSES_INVALID, &field, error.to_string());
        };
        AddressRange::parse(text).map_err(refuse).ok()
    });
    networks.collect()
}

/// Whoever sets a list that binds them must not lock themselves out.
pub(crate) fn admits_itself(check: &mut Check, networks: &[AddressRange], caller: &Caller) {
    if !admits(networks, caller.address) {
        let text =
            format!("must hold {}, from where this call came, unless forced", caller.address);
        check.refuse(codes::ADDRESSES_INVALID, "networks", text);
    }
}

/// As requests call a field of a command.
pub(crate) fn rename(field: &str) -> String {
    field.to_owned()
}

fn named<T: Ord>(
    check: &mut Check,
    field: &str,
    texts: Vec<String>,
    parse: impl Fn(&mut Check, &str, String) -> Option<T>,
) -> BTreeSet<T> {
    if texts.len() > NAMED_MAX {
        check.refuse(VALUE_INVALID, field, format!("must name at most {NAMED_MAX}"));
    }
    let texts = texts.into_iter().take(NAMED_MAX).enumerate();
    let found = texts.filter_map(|(index, text)| parse(check, &format!("{field}[{index}]"), text));
    found.collect()
}
