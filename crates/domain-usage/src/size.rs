//! How large definitions are, for bounds and for caches: their texts and a little for
//! each part, close to what they take on the wire.

use exchequer_metering::{Filter, Meter as Rules, Path, Scalar, Step, Test};

use crate::State;

/// What each part takes beside its texts.
const PART_BYTES: usize = 8;

/// Bytes of a meter's rules.
pub fn rules_bytes(rules: &Rules) -> usize {
    let own = [rules.key.as_str(), &rules.event_type, &rules.unit];
    let own: usize = own.iter().map(|text| text.len() + PART_BYTES).sum();
    let groups = rules.group_by.iter().map(|it| it.name.as_str().len() + path(&it.path));
    own + rules.value.as_ref().map_or(0, path)
        + groups.sum::<usize>()
        + rules.filters.iter().map(filter).sum::<usize>()
}

/// Bytes of a schema with its type.
pub fn schema_bytes(kind: &str, text: &str) -> usize {
    PART_BYTES + kind.len() + text.len()
}

/// About how many bytes the state holds.
pub fn weight(state: &State) -> usize {
    // In memory each part takes several times its text.
    let meters = state.meters.values().map(|it| 512 + rules_bytes(&it.rules) * 4);
    let schemas = state.schemas.values().map(|it| 256 + schema_bytes(&it.kind, &it.text));
    meters.sum::<usize>() + schemas.sum::<usize>() + state.corrected.voided.len() * 32
}

fn path(path: &Path) -> usize {
    let step = |step: &Step| match step {
        Step::Member(name) => name.len() + PART_BYTES,
        Step::Item(_) => PART_BYTES,
    };
    path.steps().iter().map(step).sum()
}

fn filter(filter: &Filter) -> usize {
    let values = match &filter.test {
        Test::In(values) | Test::NotIn(values) => values.iter().map(scalar).sum(),
        _ => PART_BYTES,
    };
    path(&filter.path) + values
}

fn scalar(scalar: &Scalar) -> usize {
    match scalar {
        Scalar::Text(text) => PART_BYTES + text.len(),
        Scalar::Number(_) | Scalar::Bool(_) => PART_BYTES,
    }
}
