//! Field masks: which fields of a resource a reply has, and which an update sets. A mask
//! is checked against the descriptors once and applied to encoded bytes, so that one
//! implementation serves every message.

mod schema;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;

use prost::Message;
use prost_types::FieldMask;

use crate::check::Check;
use crate::resources::Resource;
use crate::status::{self, FIELD_MASK_INVALID};
use tonic::Status;

pub(crate) use schema::fields as fields_of;
pub(crate) use wire::Parts;

/// Of one mask.
const PATHS_MAX: usize = 100;
/// Names in a refusal.
const NAMES_TOLD_MAX: usize = 40;

/// Some fields of a message; by default all.
#[derive(Debug, Default)]
pub(crate) struct Mask {
    /// None: all.
    root: Option<Tree>,
}

/// Fields by number, and what is wanted below each: all of it when empty.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tree(BTreeMap<u32, Tree>);

impl Mask {
    /// The fields of `R` that `mask` names; all when it is absent, empty or `*`. What
    /// it names wrongly is told to `check`, each path at its place below `field`.
    pub(crate) fn read<R: Resource>(
        check: &mut Check,
        field: &str,
        mask: Option<FieldMask>,
    ) -> Self {
        let paths = mask.unwrap_or_default().paths;
        if paths.is_empty() || paths.iter().any(|it| it == "*") {
            return Self::default();
        }
        if paths.len() > PATHS_MAX {
            let text = format!("must have at most {PATHS_MAX} paths");
            check.refuse(FIELD_MASK_INVALID, &format!("{field}.paths"), text);
            return Self::default();
        }
        let mut tree = Tree::default();
        for (index, path) in paths.iter().enumerate() {
            if let Err(text) = tree.add(R::NAME, path) {
                check.refuse(FIELD_MASK_INVALID, &format!("{field}.paths[{index}]"), text);
            }
        }
        Self { root: Some(tree) }
    }

    /// `it` with the fields of the mask alone.
    pub(crate) fn apply<M: Message + Default>(&self, it: M) -> Result<M, Status> {
        let Some(tree) = &self.root else { return Ok(it) };
        let kept = tree.kept(&it.encode_to_vec());
        M::decode(kept.as_slice()).map_err(|error| status::internal("mask", &error.to_string()))
    }

    /// [`Mask::apply`] for each of a list.
    pub(crate) fn apply_all<M: Message + Default>(&self, list: Vec<M>) -> Result<Vec<M>, Status> {
        if self.root.is_none() {
            return Ok(list);
        }
        list.into_iter().map(|it| self.apply(it)).collect()
    }
}

impl Tree {
    /// Or says what the path must be.
    fn add(&mut self, message: &str, path: &str) -> Result<(), String> {
        let (name, rest) = match path.split_once('.') {
            Some((name, rest)) => (name, Some(rest)),
            None => (path, None),
        };
        let fields = fields_of(message).ok_or("must end at a field that has no parts")?;
        let Some(field) = fields.get(name) else {
            let mut known: Vec<&str> =
                fields.keys().map(String::as_str).take(NAMES_TOLD_MAX).collect();
            if fields.len() > known.len() {
                known.push("others");
            }
            return Err(format!("must name one of {}", known.join(", ")));
        };
        let is_known = self.0.contains_key(&field.number);
        let below = self.0.entry(field.number).or_default();
        match (rest, &field.message) {
            // The whole field, whatever else of it is named.
            (None, _) => below.0.clear(),
            (Some(_), _) if is_known && below.0.is_empty() => {}
            (Some(_), Some(_)) if field.is_repeated => {
                return Err(format!("must end at the list {name}: its items come whole"));
            }
            (Some(rest), Some(inner)) => below.add(inner, rest)?,
            (Some(_), None) => return Err(format!("must end at {name}, which has no parts")),
        }
        Ok(())
    }

    fn kept(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for part in Parts(bytes) {
            match (self.0.get(&part.number), part.body) {
                (None, _) => {}
                (Some(below), Some(body)) if !below.0.is_empty() => {
                    wire::put(&mut out, part.number, &below.kept(body));
                }
                (Some(_), _) => out.extend_from_slice(part.whole),
            }
        }
        out
    }
}
