//! Takes the values at several paths out of JSON text in one pass, as the text they
//! are written in, so that numbers stay exact and what nobody asks for costs nothing
//! but reading over it.

use core::fmt;
use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::outline::{Outline, Place};
use crate::path::{Path, Step};

/// So many names are looked for one by one among the members; more in a map.
const ONE_BY_ONE_MAX: usize = 8;

/// A value of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// As it is written.
    Number(&'a str),
    Text(Cow<'a, str>),
    Bool(bool),
    Null,
    /// A list or an object.
    Compound,
}

/// The data cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub reason: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be JSON: {}", self.reason)
    }
}

impl core::error::Error for Unreadable {}

/// Paths that are looked up together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extractor {
    paths: Vec<Path>,
    root: Node,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    /// Index of the path that ends here.
    ends: Option<usize>,
    members: BTreeMap<String, Node>,
    items: BTreeMap<usize, Node>,
}

impl Extractor {
    /// The place of `path` among the found values; a path asked for again has the same.
    pub fn ask(&mut self, path: &Path) -> usize {
        let mut node = &mut self.root;
        for step in path.steps() {
            node = match step {
                Step::Member(name) => node.members.entry(name.clone()).or_default(),
                Step::Item(index) => node.items.entry(*index).or_default(),
            };
        }
        *node.ends.get_or_insert_with(|| {
            self.paths.push(path.clone());
            self.paths.len() - 1
        })
    }

    /// How many values are asked for.
    pub(crate) fn len(&self) -> usize {
        self.paths.len()
    }

    /// As [`extract`](Self::extract), from the outline of `data`; `found` has a place for
    /// each path, with nothing in it. None when it must be done the long way.
    pub(crate) fn find<'a>(
        &self,
        outline: &Outline,
        data: &'a str,
        found: &mut [Option<Found<'a>>],
    ) -> Option<()> {
        let root = outline.root(data)?;
        find(&self.root, outline, (root, data), found)
    }

    /// The values at all paths, by place; `None` where nothing stands. All of the text
    /// must be JSON. A member that is asked for must not stand twice.
    pub fn extract<'a>(&self, data: &'a str) -> Result<Vec<Option<Found<'a>>>, Unreadable> {
        let text = serde_json::from_str::<&RawValue>(data)
            .map_err(|error| Unreadable { reason: error.to_string() })?;
        let mut found = vec![None; self.paths.len()];
        walk(&self.root, text.get(), &mut found)
            .map_err(|error| Unreadable { reason: error.to_string() })?;
        Ok(found)
    }
}

/// Looks at the value at `place` of `data`.
fn find<'a>(
    node: &Node,
    outline: &Outline,
    (place, data): (Place, &'a str),
    found: &mut [Option<Found<'a>>],
) -> Option<()> {
    if let Some(end) = node.ends {
        *found.get_mut(end)? = Some(outline.found(place, data)?);
    }
    if outline.is_object(place) && !node.members.is_empty() {
        find_members(node, outline, (place, data), found)?;
    }
    if outline.is_list(place) && !node.items.is_empty() {
        for (index, item) in outline.children(place).enumerate() {
            if let Some(node) = node.items.get(&index) {
                find(node, outline, (item, data), found)?;
            }
        }
    }
    Some(())
}

/// A member that stands twice is for the long way.
fn find_members<'a>(
    node: &Node,
    outline: &Outline,
    (place, data): (Place, &'a str),
    found: &mut [Option<Found<'a>>],
) -> Option<()> {
    if node.members.len() <= ONE_BY_ONE_MAX {
        for (name, node) in &node.members {
            let named = |member: &Place| outline.name(*member) == name.as_bytes();
            let mut members = outline.children(place).filter(named);
            if let Some(member) = members.next() {
                if members.next().is_some() {
                    return None;
                }
                find(node, outline, (member, data), found)?;
            }
        }
        return Some(());
    }
    let mut seen = Vec::new();
    for member in outline.children(place) {
        let name = core::str::from_utf8(outline.name(member)).ok()?;
        if let Some((name, node)) = node.members.get_key_value(name) {
            if seen.contains(&name) {
                return None;
            }
            seen.push(name);
            find(node, outline, (member, data), found)?;
        }
    }
    Some(())
}

/// Looks at the value `text`, which is JSON.
fn walk<'a>(
    node: &Node,
    text: &'a str,
    found: &mut Vec<Option<Found<'a>>>,
) -> Result<(), serde_json::Error> {
    if let Some(place) = node.ends {
        found[place] = Some(read(text)?);
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    match text.as_bytes().first() {
        Some(b'{') if !node.members.is_empty() => reader.deserialize_map(Members { node, found }),
        Some(b'[') if !node.items.is_empty() => reader.deserialize_seq(Items { node, found }),
        _ => Ok(()),
    }
}

/// Members of an object at a node of the paths.
struct Members<'n, 'f, 'a> {
    node: &'n Node,
    found: &'f mut Vec<Option<Found<'a>>>,
}

/// Items of a list at a node of the paths.
struct Items<'n, 'f, 'a> {
    node: &'n Node,
    found: &'f mut Vec<Option<Found<'a>>>,
}

impl<'a> Visitor<'a> for Members<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<(), A::Error> {
        let mut seen = Vec::new();
        while let Some(name) = members.next_key::<Cow<'a, str>>()? {
            let Some((name, node)) = self.node.members.get_key_value(name.as_ref()) else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            if seen.contains(&name) {
                return Err(A::Error::custom(format!("the member {name:?} stands twice")));
            }
            seen.push(name);
            let value = members.next_value::<&'a RawValue>()?;
            walk(node, value.get(), self.found).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

impl<'a> Visitor<'a> for Items<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<(), A::Error> {
        for index in 0.. {
            let Some(node) = self.node.items.get(&index) else {
                if items.next_element::<IgnoredAny>()?.is_none() {
                    break;
                }
                continue;
            };
            let Some(value) = items.next_element::<&'a RawValue>()? else { break };
            walk(node, value.get(), self.found).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

/// One value from its text.
fn read(text: &str) -> Result<Found<'_>, serde_json::Error> {
    Ok(match text.as_bytes().first() {
        Some(b'"') => match text.get(1..text.len() - 1) {
            Some(plain) if !plain.contains('\\') => Found::Text(Cow::Borrowed(plain)),
            _ => Found::Text(Cow::Owned(serde_json::from_str(text)?)),
        },
        Some(b'{' | b'[') => Found::Compound,
        Some(b't') => Found::Bool(true),
        Some(b'f') => Found::Bool(false),
        Some(b'n') => Found::Null,
        _ => Found::Number(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extractor(paths: &[&str]) -> Extractor {
        let mut extractor = Extractor::default();
        for (place, path) in paths.iter().enumerate() {
            assert_eq!(extractor.ask(&Path::parse(path).unwrap()), place);
        }
        extractor
    }

    // REQ: USE-01
    #[test]
    fn values_are_found_as_they_are_written() {
        let extractor = extractor(&["$.n", "$.a.b", "$.a", "$.list[1].x", "$.t", "$.no", "$.z"]);
        let data = r#"{"n": 1.000000000000000000001e2, "a": {"c": [], "b": true},
            "list": [0, {"x": "a\"b"}, 3], "t": "plain", "other": {"n": 7}, "z": null}"#;
        let found = extractor.extract(data).unwrap();
        assert_eq!(
            found,
            [
                Some(Found::Number("1.000000000000000000001e2")),
                Some(Found::Bool(true)),
                Some(Found::Compound),
                Some(Found::Text(Cow::Borrowed("a\"b"))),
                Some(Found::Text(Cow::Borrowed("plain"))),
                None,
                Some(Found::Null),
            ]
        );
    }

    // REQ: USE-01
    #[test]
    fn data_of_another_shape_has_nothing_there() {
        let extractor = extractor(&["$.a.b", "$.list[3]"]);
        for data in ["null", "7", "\"text\"", "[]", "[{}]", "{\"a\":1,\"list\":{}}", "{}"] {
            assert_eq!(extractor.extract(data), Ok(vec![None, None]), "{data}");
        }
    }

    // REQ: USE-02
    #[test]
    fn what_is_no_json_is_refused() {
        let extractor = extractor(&["$.a"]);
        for data in ["", "{", "{\"a\":1", "{\"a\":NaN}", "{\"b\":01}", "{\"a\":1}}", "{'a':1}"] {
            assert!(extractor.extract(data).is_err(), "{data}");
        }
        let twice = extractor.extract("{\"a\":1,\"a\":2}").unwrap_err();
        assert!(twice.to_string().contains("\"a\" stands twice"), "{twice}");
    }
}
