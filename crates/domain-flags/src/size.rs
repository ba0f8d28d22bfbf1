//! How large a flag is, for bounds and for caches: its texts and a little for each
//! part, close to what it takes on the wire.

use exchequer_flag_eval::{
    Condition, Gate, Outcome, Rule, Scalar, Split, Target, Test, Value, Variant,
};

use crate::{Flag, State, Targeting};

/// What each part takes beside its texts.
const PART_BYTES: usize = 8;

/// Bytes of a flag with all its environments.
pub fn flag_bytes(flag: &Flag) -> usize {
    let it = &flag.definition;
    let own = [flag.key.as_str(), &it.name, &it.description, &it.default_variant, &it.off_variant];
    let own: usize = own.iter().map(|text| text.len() + PART_BYTES).sum();
    let variants: usize = it.variants.iter().map(variant).sum();
    let targeting = flag.targeting.iter().map(|(key, it)| key.as_str().len() + targeting(it));
    own + texts(&it.tags) + variants + targeting.sum::<usize>()
}

/// About how many bytes the state holds.
pub fn weight(state: &State) -> usize {
    // In memory each part takes several times its text.
    let projects =
        state.projects.iter().map(|it| 512 + it.environments.len() * 256 + it.flags.len() * 512);
    state.bytes * 4 + projects.sum::<usize>()
}

fn texts(texts: &[String]) -> usize {
    texts.iter().map(|it| it.len() + PART_BYTES).sum()
}

fn variant(variant: &Variant) -> usize {
    let value = match &variant.value {
        Value::Boolean(_) => 1,
        Value::Text(text) => text.len(),
    };
    PART_BYTES + variant.key.len() + value
}

fn targeting(it: &Targeting) -> usize {
    let off = it.off_variant.as_ref().map_or(0, String::len);
    let gate =
        it.gate.as_ref().map_or(0, |Gate { features, plans }| texts(features) + texts(plans));
    let targets = it.targets.iter().map(|Target { variant, attribute, values }| {
        PART_BYTES + variant.len() + attribute.len() + texts(values)
    });
    let rules = it.rules.iter().map(|Rule { id, condition: it, outcome: serve }| {
        PART_BYTES + id.len() + condition(it) + outcome(serve)
    });
    let fallthrough = it.fallthrough.as_ref().map_or(0, outcome);
    PART_BYTES + off + gate + targets.sum::<usize>() + rules.sum::<usize>() + fallthrough
}

fn outcome(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Variant(variant) => PART_BYTES + variant.len(),
        Outcome::Split(Split { salt, by, shares }) => {
            let shares = shares.iter().map(|it| PART_BYTES + it.variant.len() + it.slots.len() * 8);
            PART_BYTES + salt.len() + by.len() + shares.sum::<usize>()
        }
    }
}

fn condition(it: &Condition) -> usize {
    PART_BYTES
        + match it {
            Condition::All(parts) | Condition::Any(parts) => parts.iter().map(condition).sum(),
            Condition::Not(part) => condition(part),
            Condition::Attribute { name, test: it } => name.len() + test(it),
            Condition::Plan(plans) => texts(plans),
            Condition::Entitled(feature) => feature.len(),
        }
}

fn test(test: &Test) -> usize {
    match test {
        Test::Is(it) => scalar(it),
        Test::In(them) => them.iter().map(scalar).sum(),
        Test::StartsWith(them) | Test::EndsWith(them) | Test::Contains(them) => texts(them),
        _ => PART_BYTES,
    }
}

fn scalar(scalar: &Scalar) -> usize {
    match scalar {
        Scalar::Text(text) => PART_BYTES + text.len(),
        Scalar::Boolean(_) | Scalar::Number(_) => PART_BYTES,
    }
}
