//! What is the same of a flag in all environments. What a caller sent and cannot be
//! read is told with its path.

use exchequer_domain_flags::{Definition, Dialect};
use exchequer_flag_eval::{Kind, Value, Variant};
use exchequer_proto::flags::v1 as pb;
use pb::value::Kind as V;

use super::{MisfitKind, at, each, misfit, required};
use crate::domains::catalog::Misfit;

/// A kind that is not given is boolean here: where it matters, callers check it first.
pub fn definition_from_proto(it: Option<pb::Definition>) -> Result<Definition, Misfit> {
    let it = required(it)?;
    let kind = match pb::Kind::try_from(it.kind) {
        Ok(pb::Kind::Unspecified) => Some(Kind::Boolean),
        _ => kind_from_proto(it.kind),
    };
    let kind = kind.ok_or_else(|| misfit(MisfitKind::Enum, "must be one of the kinds"));
    Ok(Definition {
        name: it.name,
        description: it.description,
        tags: it.tags,
        kind: kind.map_err(at("kind"))?,
        variants: each(it.variants, "variants", variant_from_proto)?,
        default_variant: it.default_variant,
        off_variant: it.off_variant,
    })
}

fn variant_from_proto(it: pb::Variant) -> Result<Variant, Misfit> {
    let value = required(it.value.and_then(|it| it.kind)).map_err(at("value"))?;
    let value = match value {
        V::Boolean(it) => Value::Boolean(it),
        V::Text(it) => Value::Text(it),
    };
    Ok(Variant { key: it.key, value })
}

pub(super) fn definition_to_proto(it: &Definition) -> pb::Definition {
    let variant =
        |it: &Variant| pb::Variant { key: it.key.clone(), value: Some(value_to_proto(&it.value)) };
    pb::Definition {
        name: it.name.clone(),
        description: it.description.clone(),
        tags: it.tags.clone(),
        kind: kind_to_proto(it.kind).into(),
        variants: it.variants.iter().map(variant).collect(),
        default_variant: it.default_variant.clone(),
        off_variant: it.off_variant.clone(),
    }
}

pub fn value_to_proto(value: &Value) -> pb::Value {
    let kind = match value {
        Value::Boolean(it) => V::Boolean(*it),
        Value::Text(it) => V::Text(it.clone()),
    };
    pb::Value { kind: Some(kind) }
}

pub(super) fn kind_to_proto(kind: Kind) -> pb::Kind {
    match kind {
        Kind::Boolean => pb::Kind::Boolean,
        Kind::Text => pb::Kind::String,
    }
}

/// None for a number that is no kind.
pub fn kind_from_proto(kind: i32) -> Option<Kind> {
    match pb::Kind::try_from(kind).ok()? {
        pb::Kind::Unspecified => None,
        pb::Kind::Boolean => Some(Kind::Boolean),
        pb::Kind::String => Some(Kind::Text),
    }
}

pub(super) fn dialect_to_proto(dialect: Dialect) -> pb::Dialect {
    match dialect {
        Dialect::FractionalV2 => pb::Dialect::FractionalV2,
    }
}

/// None for a number that is no dialect.
pub fn dialect_from_proto(dialect: i32) -> Option<Dialect> {
    match pb::Dialect::try_from(dialect).ok()? {
        pb::Dialect::Unspecified => None,
        pb::Dialect::FractionalV2 => Some(Dialect::FractionalV2),
    }
}
