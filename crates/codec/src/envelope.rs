//! The sealed command: made by gateways, opened by deciders. One that does not
//! open is dead-lettered, never decided.

use bytes::Bytes;
use exchequer_kernel::{Forwarding, SealKey};
use exchequer_proto::journal::v1 as pb;
use exchequer_tenant::Request;
use exchequer_types::{
    ActorId, CommandId, Identity, Issuer, LogId, PartitionId, StreamId, TenantId, Timestamp,
    partition_of,
};
use prost::Message;

use crate::convert::{protected_from_proto, timestamp};
use crate::{DecodeError, decode_command};

/// A command that opened.
#[derive(Clone, Debug)]
pub struct Opened {
    pub request: Request,
    pub identity: Identity,
    pub body_digest: [u8; 8],
    pub not_after: Option<Timestamp>,
    /// Where it was first, when it was sent on.
    pub forwarding: Option<Forwarding>,
    /// The partition it belongs to.
    pub partition: PartitionId,
    /// W3C trace context of the call, when it is traced.
    pub trace_parent: Option<String>,
}

/// A record that is no command of this deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unopened {
    pub reason: UnopenedReason,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnopenedReason {
    /// Not a sealed command.
    Malformed,
    /// The MAC is not this deployment's.
    Mac,
    /// Sealed here, but not a command this version can read.
    Unreadable,
}

impl UnopenedReason {
    /// Stable code, upper snake case.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "RECORD_MALFORMED",
            Self::Mac => "RECORD_MAC_INVALID",
            Self::Unreadable => "COMMAND_UNREADABLE",
        }
    }
}

/// Seals an envelope: fills its body digest, and MACs its bytes.
pub fn seal(key: &SealKey, envelope: pb::Envelope) -> Bytes {
    seal_with_digest(key, envelope, None).0
}

/// Seals an envelope, and tells its body digest. It is computed over `digest_of`
/// instead of the payload, when that is given: a payload that was encrypted is
/// another one each time.
pub fn seal_with_digest(
    key: &SealKey,
    mut envelope: pb::Envelope,
    digest_of: Option<&[u8]>,
) -> (Bytes, [u8; 8]) {
    let parts: [&[u8]; 4] = [
        envelope.stream.as_bytes(),
        envelope.actor.as_bytes(),
        envelope.r#type.as_bytes(),
        digest_of.unwrap_or(&envelope.payload),
    ];
    let digest = key.body_digest(parts, envelope.validate_only);
    envelope.body_digest = Bytes::copy_from_slice(&digest);
    let bytes = Bytes::from(envelope.encode_to_vec());
    let mac = Bytes::copy_from_slice(&key.mac(&bytes, None));
    (sealed_bytes(bytes, None, mac), digest)
}

/// Seals a misrouted command once more, with where it was.
pub fn forward(key: &SealKey, command: &[u8], at: &Forwarding) -> Result<Bytes, DecodeError> {
    let envelope = pb::SealedCommand::decode(command)?.envelope;
    let mac = Bytes::copy_from_slice(&key.mac(&envelope, Some(at)));
    let forwarded = pb::Forwarded {
        partition: at.partition.0,
        log: Bytes::copy_from_slice(&at.log.0),
        offset: at.offset,
        received_at: at.received_at.micros(),
    };
    Ok(sealed_bytes(envelope, Some(forwarded), mac))
}

fn sealed_bytes(envelope: Bytes, forwarded: Option<pb::Forwarded>, mac: Bytes) -> Bytes {
    Bytes::from(pb::SealedCommand { envelope, forwarded, mac }.encode_to_vec())
}

/// Opens a sealed command of a deployment with `partitions` partitions.
pub fn open(key: &SealKey, command: &Bytes, partitions: u32) -> Result<Opened, Unopened> {
    let unopened =
        |reason, error: &dyn std::fmt::Display| Unopened { reason, message: error.to_string() };
    let sealed = pb::SealedCommand::decode(command.clone())
        .map_err(|error| unopened(UnopenedReason::Malformed, &error))?;
    let forwarding = forwarding(sealed.forwarded.as_ref())
        .map_err(|error| unopened(UnopenedReason::Malformed, &error))?;
    if !key.verifies(&sealed.envelope, forwarding.as_ref(), &sealed.mac) {
        let message = "the MAC is not this deployment's: only gateways may write commands";
        return Err(unopened(UnopenedReason::Mac, &message));
    }
    let envelope = pb::Envelope::decode(sealed.envelope)
        .map_err(|error| unopened(UnopenedReason::Malformed, &error))?;
    read(envelope, forwarding, partitions)
        .map_err(|error| unopened(UnopenedReason::Unreadable, &error))
}

fn forwarding(forwarded: Option<&pb::Forwarded>) -> Result<Option<Forwarding>, DecodeError> {
    let Some(it) = forwarded else { return Ok(None) };
    Ok(Some(Forwarding {
        partition: PartitionId(it.partition),
        log: LogId::from_slice(&it.log).ok_or(DecodeError::Field { field: "forwarded.log" })?,
        offset: it.offset,
        received_at: timestamp(it.received_at, "forwarded.received_at")?,
    }))
}

fn read(
    envelope: pb::Envelope,
    forwarding: Option<Forwarding>,
    partitions: u32,
) -> Result<Opened, DecodeError> {
    let field = |field| move |_| DecodeError::Field { field };
    let stream = StreamId::parse(&envelope.stream).map_err(field("stream"))?;
    let issuer = Issuer::parse(envelope.issuer).map_err(field("issuer"))?.into_string();
    let id = CommandId::parse(envelope.id).map_err(field("id"))?;
    let partition = match (&stream, envelope.partition) {
        (StreamId::Partition(own), Some(named)) if own.0 == named && named < partitions => *own,
        (StreamId::Tenant(_), None) => partition_of(envelope.stream.as_bytes(), partitions),
        _ => return Err(DecodeError::Field { field: "partition" }),
    };
    let not_after = envelope.not_after.map(|at| timestamp(at, "not_after")).transpose()?;
    let home = Some(envelope.actor_home).filter(|text| !text.is_empty());
    let home = home.map(TenantId::parse).transpose().map_err(field("actor_home"))?;
    let body_digest = envelope.body_digest.as_ref().try_into();
    Ok(Opened {
        identity: Identity::of(&envelope.stream, &issuer, id.as_str()),
        body_digest: body_digest.map_err(|_| DecodeError::Field { field: "body_digest" })?,
        not_after,
        forwarding,
        partition,
        trace_parent: Some(envelope.trace_parent).filter(|text| !text.is_empty()),
        request: Request {
            stream,
            issuer,
            id,
            actor: ActorId::parse(envelope.actor).map_err(field("actor"))?,
            home,
            claimed_at: timestamp(envelope.claimed_at, "claimed_at")?,
            expected_version: envelope.expected_version,
            validate_only: envelope.validate_only,
            origin: protected_from_proto(envelope.origin, "origin")?,
            command: decode_command(&envelope.r#type, &envelope.payload)?,
        },
    })
}
