//! What the metadata of a request says, and what that of its reply does.

use core::time::Duration;

use exchequer_engine::{Progressed, Token};
use exchequer_types::{ActorId, Offset, PartitionId};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Response, Status};

use crate::status::{METADATA_INVALID, Refusal};

pub(crate) const ACTOR: &str = "x-exchequer-actor";
pub(crate) const CONSISTENCY: &str = "x-exchequer-consistency";
pub(crate) const COMMAND_ID: &str = "x-exchequer-command-id";
pub(crate) const REQUEST_ID: &str = "x-exchequer-request-id";
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
    request_id: String,
    command_id: Option<String>,
}

impl Call {
    /// Reads the metadata of a request to a deployment of `partitions` partitions.
    pub(crate) fn read(
        metadata: &MetadataMap,
        partitions: u32,
        request_id: String,
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
        Ok(Self { actor, token, patience, request_id, command_id: None })
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
                tracing::debug!(
                    request_id = self.request_id,
                    code = ?status.code(),
                    message = status.message(),
                    "refused"
                );
                self.write(status.metadata_mut());
                Err(status)
            }
        }
    }

    fn write(&self, metadata: &mut MetadataMap) {
        let mut put = |name: &'static str, text: &str| {
            // Ours are all visible ASCII.
            if let Ok(value) = MetadataValue::try_from(text) {
                metadata.insert(name, value);
            }
        };
        put(REQUEST_ID, &self.request_id);
        if let Some(id) = &self.command_id {
            put(COMMAND_ID, id);
        }
        if !self.token.0.is_empty() {
            put(CONSISTENCY, &self.token.encode());
        }
    }
}

fn text<'a>(metadata: &'a MetadataMap, name: &'static str) -> Result<Option<&'a str>, Status> {
    let value = metadata.get(name).map(MetadataValue::to_str).transpose();
    value.map_err(|_| invalid(name, "must be visible ASCII").status())
}

fn invalid(name: &'static str, text: &str) -> Refusal {
    Refusal::new(METADATA_INVALID, format!("{name}: {text}")).field(name)
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

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "S", "5", "5x", "-5S", "999999999S", "5é"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }
}
