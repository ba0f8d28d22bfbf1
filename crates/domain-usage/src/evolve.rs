//! How events change the state. Total: what names something that is not there changes
//! nothing.

use std::sync::Arc;

use exchequer_types::{Slug, Timestamp};

use crate::state::VOIDED_KNOWN_MAX;
use crate::{Corrected, Correction, Event, Meter, Schema, State};

pub(crate) fn evolve(state: &mut State, event: &Event, at: Timestamp) {
    if event.is_of_definitions() {
        state.version += 1;
    }
    match event {
        Event::MeterCreated { rules } => {
            let meter = Meter {
                rules: rules.clone(),
                retired: false,
                version: 1,
                created_at: at,
                updated_at: at,
                rules_set_at: at,
                backfills: Vec::new(),
            };
            state.meters.insert(rules.key.clone(), Arc::new(meter));
        }
        Event::MeterUpdated { rules } => change(state, &rules.key, at, |meter| {
            meter.rules.clone_from(rules);
            meter.rules_set_at = at;
            meter.backfills.clear();
        }),
        Event::MeterRetired { meter } => change(state, meter, at, |meter| {
            meter.retired = true;
            meter.backfills.clear();
        }),
        Event::BackfillRequested { meter, backfill, .. } => {
            change(state, meter, at, |meter| meter.backfills.push(backfill.clone()));
        }
        Event::EventSchemaSet { kind, version, text } => {
            let changes = state.schemas.get(kind).map_or(0, |it| it.changes) + 1;
            let schema = Schema {
                kind: kind.clone(),
                version: *version,
                text: text.clone(),
                retired: false,
                changes,
                set_at: at,
                updated_at: at,
            };
            state.schemas.insert(kind.clone(), Arc::new(schema));
        }
        Event::EventSchemaRetired { kind } => {
            if let Some(schema) = state.schemas.get_mut(kind) {
                let schema = Arc::make_mut(schema);
                schema.retired = true;
                schema.changes += 1;
                schema.updated_at = at;
            }
        }
        Event::EventCorrected(it) => correct(&mut state.corrected, it, at),
    }
}

fn change(state: &mut State, key: &Slug, at: Timestamp, change: impl FnOnce(&mut Meter)) {
    if let Some(meter) = state.meters.get_mut(key) {
        let meter = Arc::make_mut(meter);
        change(meter);
        meter.version += 1;
        meter.updated_at = at;
    }
}

fn correct(corrected: &mut Corrected, it: &Correction, at: Timestamp) {
    corrected.count += 1;
    corrected.at = at;
    if it.data.is_none() {
        corrected.voided.push_back(Corrected::known_as(&it.source, &it.event));
        while corrected.voided.len() > VOIDED_KNOWN_MAX {
            corrected.voided.pop_front();
        }
    }
}
