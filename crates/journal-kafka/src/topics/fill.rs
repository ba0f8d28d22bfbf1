//! Topics to which another log's records are carried: what may be looked at before, and
//! the note that keeps every process away until all of it is there.

use rdkafka::consumer::Consumer as _;

use super::check::{Use, check_for, reach};
use super::known::{self, Known, Moved, Note};
use super::spec::Spec;
use crate::SetupError;
use crate::client;
use crate::settings::Settings;

/// The same as [`super::check`], and takes topics that are being filled as well. Blocks.
pub fn check_to_fill(settings: &Settings, specs: &[Spec]) -> Result<Vec<Known>, SetupError> {
    check_for(settings, specs, Use::Filling)
}

/// Which of `specs` have a record, or had one. Blocks.
pub fn holding_records(settings: &Settings, specs: &[Spec]) -> Result<Vec<String>, SetupError> {
    let consumer = reach(settings)?;
    let mut holding = Vec::new();
    for spec in specs {
        let name = settings.named(&spec.name);
        for partition in 0..spec.partitions {
            let ends = client::watermarks(&consumer, &name, partition, settings.request_wait());
            let (_, end) = ends.map_err(|error| {
                let last = consumer.context().last();
                let doing = "ask for the end of a partition";
                SetupError::of(doing, &settings.bootstrap, last.as_deref(), &error)
            })?;
            if end > 0 {
                holding.push(name);
                break;
            }
        }
    }
    Ok(holding)
}

/// Writes down how far a topic is with what is carried to it; none: nothing is. Blocks.
pub fn note_moved(
    settings: &Settings,
    known: &Known,
    moved: Option<Moved>,
) -> Result<(), SetupError> {
    let Known { spec, id, .. } = known;
    let note = Note { id: *id, partitions: spec.partitions, moved };
    known::write(settings, &settings.named(&spec.name), note)
}
