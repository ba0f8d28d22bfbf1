//! The answer to a command, as its caller gets it.

use exchequer_codec::status_word;
use exchequer_engine::Answer;
use exchequer_kernel::Status;
use exchequer_proto::tenants::v1 as pbt;
use exchequer_types::Timestamp;
use prost::Message as _;

use super::subscriptions;
use super::text::sheet;
use crate::world::World;

/// An answer to the command of the line `verb` as its caller gets it, and when it was
/// decided.
pub(crate) fn answer(world: &World, verb: &str, answer: &Answer) -> Result<String, String> {
    let gateway = world.platform()?.gateway.clone();
    let (partition, place) = (answer.partition, answer.place);
    let commit = world.ask(async move { gateway.commit_at(partition, place.offset).await });
    world.executor.settle();
    let commit = commit.take().and_then(Result::ok).flatten();
    let decided = commit.map(|it| Timestamp::saturating_from_micros(it.now).to_string());
    let outcome = &answer.outcome;
    let is_unknown = answer.status() == Some(Status::Unknown);
    let is_of_subscription = verb == "subscribe" || verb.contains("_subscription");
    let reply = if is_of_subscription { None } else { tenant(&outcome.reply) };
    let mut out = sheet(&[
        ("outcome", answer.status().map_or("unknown", status_word).to_owned()),
        ("code", outcome.code.clone()),
        ("field", outcome.field.clone()),
        ("message", outcome.message.clone()),
        ("version", if outcome.version == 0 { String::new() } else { outcome.version.to_string() }),
        ("reply", reply.unwrap_or_default()),
        (if is_unknown { "as of" } else { "decided" }, decided.unwrap_or_default()),
        ("commit", format!("{}-{}, command {}", partition, place.offset, place.index)),
    ]);
    if is_of_subscription && outcome.code.is_empty() {
        out.push_str(&subscriptions::reply(&outcome.reply)?);
    }
    Ok(out)
}

fn tenant(reply: &bytes::Bytes) -> Option<String> {
    let it = pbt::Tenant::decode(reply.clone()).ok().filter(|it| it.created_at.is_some())?;
    let status = it.status().as_str_name().trim_start_matches("TENANT_STATUS_").to_lowercase();
    Some(format!("tenant {} \"{}\", {status}, version {}", it.id, it.name, it.version))
}
