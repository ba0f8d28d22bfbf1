//! What the metadata of a request says, and what that of its reply does.

use core::time::Duration;
use std::sync::Arc;

use exchequer_engine::{Progressed, Token};
use exchequer_runtime::trace::TraceContext;
use exchequer_types::{ActorId, Offset, PartitionId};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Response, Status};

use crate::answers::RequestId;
use crate::guard::Caller;
use crate::observe::Note;
use crate::status::{DEADLINE_PASSED, METADATA_INVALID, Refusal};

pub(crate) const ACTOR: &str = "x-exchequer-actor";
pub(crate) const CONSISTENCY: &str = "x-exchequer-consistency";
pub(crate) const COMMAND_ID: &str = "x-exchequer-command-id";
pub(crate) const REQUEST_ID: &str = "x-exchequer-request-id";
/// The version that a write expects, as `write.expected_version`, in quotes.
const IF_MATCH: &str = "if-match";
/// The version of the resource that the reply is, in quotes.
const ETAG: &str = "etag";
const TIMEOUT: &str = "grpc-timeout";

/// Who acts when the request does not say.
const ACTOR_DEFAULT: &str = "local";
const PATIENCE_DEFAULT: Duration = Duration::from_secs(10);
const PATIENCE_MAX: Duration = Duration::from_secs(60);
/// A token of more partitions than this is not passed on.
const TOKEN_ENTRIES_MAX: usize = 64;

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) actor: ActorId,
    /// What queries must see; what the reply has seen.
    pub(crate) token: Token,
    /// For how long the caller waits.
    pub(crate) patience: Duration,
    /// The version that a write expects, when its metadata says so.
    pub(crate) if_match: Option<u64>,
    /// The version in which the guard has seen what is to be changed, when the call is
    /// allowed in that one alone.
    pub(crate) seen_version: Option<u64>,
    /// The step that this call is, when it is traced.
    pub(crate) trace: Option<TraceContext>,
    /// For the access log.
    pub(crate) note: Option<Arc<Note>>,
    /// Who calls, where access is controlled.
    pub(crate) caller: Option<Caller>,
    request_id: RequestId,
    command_id: Option<String>,
    version: Option<u64>,
}

impl Call {
    /// Reads the metadata of a request to a deployment of `partitions` partitions.
    pub(crate) fn read(
        metadata: &MetadataMap,
        partitions: u32,
        request_id: RequestId,
    ) -> Result<Self, Status> {
        let actor = text(metadata, ACTOR)?.unwrap_or(ACTOR_DEFAULT);
        let actor =
            ActorId::parse(actor).map_err(|error| invalid(ACTOR, &error.to_string()).status())?;
        let token = match text(metadata, CONSISTENCY)? {
            None => Token::default(),
            Some(token) => Token::decode(token, partitions)
                .map_err(|error| invalid(CONSISTENCY, &error.to_string()).status())?,
        };
        let patience = match text(metadata, TIMEOUT)? {
            None => PATIENCE_DEFAULT,
            // Ours ends a little earlier, so that the caller gets to know why.
            Some(timeout) => parse_timeout(timeout)
                .ok_or_else(|| invalid(TIMEOUT, "must be digits and a unit").status())?
                .mul_f64(0.95)
                .min(PATIENCE_MAX),
        };
        if patience.is_zero() {
            let message = "the deadline had passed before the call was looked at: nothing was done";
            return Err(Refusal::new(DEADLINE_PASSED, message).field(TIMEOUT).status());
        }
        if metadata.get_all(IF_MATCH).iter().count() > 1 {
            return Err(invalid(IF_MATCH, "must stand once").status());
        }
        let if_match = match text(metadata, IF_MATCH)? {
            None => None,
            Some(tag) => Some(
                parse_tag(tag)
                    .ok_or_else(|| invalid(IF_MATCH, "must be a reply's etag").status())?,
            ),
        };
        Ok(Self {
            actor,
            token,
            patience,
            if_match,
            seen_version: None,
            trace: None,
            note: None,
            caller: None,
            request_id,
            command_id: None,
            version: None,
        })
    }

    /// The reply is a resource of this version.
    pub(crate) fn is_at(&mut self, version: u64) {
        self.version = Some(version);
    }

    /// The command that this call submits.
    pub(crate) fn submits(&mut self, command_id: &str) {
        self.command_id = Some(command_id.to_owned());
    }

    /// The reply has seen everything below `offset` of `partition`.
    pub(crate) fn has_seen(&mut self, partition: PartitionId, offset: Offset) {
        let seen = &mut self.token.0;
        match seen.iter().position(|(known, _)| *known == partition) {
            Some(at) => seen[at].1 = offset.max(seen[at].1),
            None if seen.len() < TOKEN_ENTRIES_MAX => seen.push((partition, offset)),
            None => {}
        }
    }

    /// A call of its own for an item of a batch.
    pub(crate) fn of_item(&self) -> Self {
        Self {
            actor: self.actor.clone(),
            token: self.token.clone(),
            patience: self.patience,
            if_match: None,
            seen_version: self.seen_version,
            trace: self.trace,
            note: self.note.clone(),
            caller: self.caller.clone(),
            request_id: self.request_id.clone(),
            command_id: None,
            version: None,
        }
    }

    /// The reply has seen what the call of an item has.
    pub(crate) fn has_seen_with(&mut self, item: &Self) {
        for (partition, offset) in item.token.0.clone() {
            self.has_seen(partition, offset);
        }
    }

    /// The reply has seen all of `progress`.
    pub(crate) fn has_seen_all(&mut self, progress: &Progressed) {
        for (partition, offset) in (0..).map(PartitionId).zip(&progress.offsets) {
            self.has_seen(partition, *offset);
        }
    }

    /// The reply, with its metadata.
    pub(crate) fn reply<T>(self, result: Result<T, Status>) -> Result<Response<T>, Status> {
        match result {
            Ok(message) => {
                let mut response = Response::new(message);
                self.write(response.metadata_mut());
                Ok(response)
            }
            Err(mut status) => {
                self.write(status.metadata_mut());
                Err(status)
            }
        }
    }

    /// For what the call answers later on.
    pub(crate) fn request_id(&self) -> &RequestId {
        &self.request_id
    }

    fn write(&self, metadata: &mut MetadataMap) {
        let mut put = |name: &'static str, text: &str| {
            // Ours are all visible ASCII.
            if let Ok(value) = MetadataValue::try_from(text) {
                metadata.insert(name, value);
            }
        };
        if let Some(version) = self.version {
            put(ETAG, &format!("\"{version}\""));
        }
        if let Some(id) = &self.command_id {
            put(COMMAND_ID, id);
        }
        if !self.token.0.is_empty() {
            put(CONSISTENCY, &self.token.encode());
        }
    }
}

/// The version that a write expects is said twice, and not alike.
pub(crate) fn misfit_tag() -> Status {
    invalid(IF_MATCH, "must name the same version as write.expected_version").status()
}

fn text<'a>(metadata: &'a MetadataMap, name: &'static str) -> Result<Option<&'a str>, Status> {
    let value = metadata.get(name).map(MetadataValue::to_str).transpose();
    value.map_err(|_| invalid(name, "must be visible ASCII").status())
}

fn invalid(name: &'static str, text: &str) -> Refusal {
    Refusal::new(METADATA_INVALID, format!("{name}: {text}")).field(name)
}

/// A version in quotes.
fn parse_tag(tag: &str) -> Option<u64> {
    tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

/// At most 8 digits and one of H, M, S, m, u, n.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // REQ: EDG-04
    #[test]
    fn a_deadline_that_has_passed_is_told_so() {
        use tonic_types::StatusExt as _;
        for nothing in ["0n", "0H", "00000000m"] {
            let mut metadata = MetadataMap::new();
            metadata.insert(TIMEOUT, nothing.parse().unwrap());
            let refused = Call::read(&metadata, 1, RequestId("1".into())).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::DeadlineExceeded);
            let reason = refused.get_details_error_info().unwrap().reason;
            assert_eq!(reason, DEADLINE_PASSED);
        }
    }

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "S", "5", "5x", "-5S", "999999999S", "5é"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }
}
