//! A dead letter, submitted again. The operator vouches for the record: its
//! envelope is sealed anew, so that a wrong MAC, or a way it went astray, is mended.

use bytes::Bytes;
use exchequer_codec::{Opened, open, seal};
use exchequer_engine::Ports;
use exchequer_journal::Lane;
use exchequer_projection_dead_letters::DeadLetter;
use exchequer_proto::journal::v1 as pb;
use prost::Message as _;
use tonic::Status;

use crate::status::{RECORD_MALFORMED, RECORD_TOO_LARGE, Refusal};

/// A dead letter as it is to be submitted.
#[derive(Debug)]
pub(crate) struct Mended {
    pub(crate) opened: Opened,
    pub(crate) sealed: Bytes,
    pub(crate) lane: Lane,
}

/// Seals the letter's command anew, if it is one.
pub(crate) fn mend(ports: &Ports, letter: &DeadLetter) -> Result<Mended, Status> {
    if letter.record.is_empty() {
        let message = "the record was too large to be kept: submit its command in parts";
        return Err(Refusal::new(RECORD_TOO_LARGE, message).field("id").status());
    }
    let mut envelope = pb::SealedCommand::decode(letter.record.clone())
        .and_then(|sealed| pb::Envelope::decode(sealed.envelope))
        .map_err(|_| {
            Refusal::new(RECORD_MALFORMED, "the record is no command").field("id").status()
        })?;
    envelope.replay_of = letter.id.to_string();
    let lane = if envelope.issuer == "api" { Lane::Commands } else { Lane::Internal };
    let sealed = seal(&ports.key, envelope);
    let opened = open(&ports.key, &sealed, ports.journal.partitions());
    let opened =
        opened.map_err(|why| Refusal::new(why.reason.code(), why.message).field("id").status())?;
    Ok(Mended { opened, sealed, lane })
}
