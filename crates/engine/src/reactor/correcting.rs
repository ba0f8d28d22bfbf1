//! A process whose effects are records of corrections on the usage log.

use exchequer_codec::Entry;
use exchequer_codec::usage::encode_correction;
use exchequer_consumer_corrections::{Correct, Corrections};
use exchequer_kernel::{Process as _, Reaction};
use exchequer_types::StreamId;

use super::{Effect, React};
use crate::Ports;

/// Appends what [`Corrections`] asks for.
#[derive(Debug)]
pub struct Correcting(pub Corrections);

impl React for Correcting {
    fn name(&self) -> &'static str {
        Corrections::NAME
    }

    fn react(&self, entry: &Entry) -> Vec<Reaction<Effect>> {
        let reactions = self.0.react(entry).into_iter();
        reactions
            .map(|it| {
                let Correct { partition, tenant, decided_at, correction } = it.command;
                let (stream, correction) = (StreamId::Tenant(tenant), Box::new(correction));
                let command = Effect::Correct { partition, stream, decided_at, correction };
                Reaction { destination: it.destination, id: it.id, input: it.input, command }
            })
            .collect()
    }
}

/// Done when the record is durable. Appended twice, it is applied once.
pub(super) async fn correct(ports: &Ports, effect: &Effect) -> Result<(), String> {
    let Effect::Correct { partition, decided_at, correction, .. } = effect else {
        return Ok(());
    };
    let Some(usage) = &ports.usage else {
        return Err("this process has no usage log".to_owned());
    };
    let record = encode_correction(
        *decided_at,
        exchequer_proto::usage::v1::Correction::clone(correction),
        &ports.key,
    );
    usage.log.append(*partition, record).await.map(|_| ()).map_err(|fault| fault.to_string())
}
