//! Replies of accepted commands: the bytes that the log keeps are the bytes that
//! the caller gets.

use bytes::Bytes;
use exchequer_tenant::{Command, Reply};

use crate::domains::{
    access, audit, catalog, entitlements, flags, quotas, subscriptions, tenants, usage,
};

/// The serialized reply message of `command`.
pub fn encode_reply(command: &Command, reply: &Reply) -> Bytes {
    Bytes::from(match reply {
        Reply::Nothing => Vec::new(),
        Reply::Tenant(tenant) => tenants::encode_reply(tenant),
        Reply::Appended { first_seq, count } => audit::encode_reply(command, *first_seq, *count),
        Reply::Access(reply) => access::encode_reply(reply),
        Reply::Catalog(reply) => catalog::encode_reply(reply),
        Reply::Subscriptions(reply) => subscriptions::encode_reply(reply),
        Reply::Entitlements(reply) => entitlements::encode_reply(reply),
        Reply::Flags(reply) => flags::encode_reply(reply),
        Reply::Quotas(reply) => quotas::encode_reply(reply),
        Reply::Usage(reply) => usage::encode_reply(reply),
    })
}
