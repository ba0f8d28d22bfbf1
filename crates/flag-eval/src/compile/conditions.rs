//! A rule's condition. What is deeper than the limit is refused before it is gone
//! into, so that no depth exhausts the stack.

use super::{Scope, boxed, check_attribute, check_key};
use crate::Number;
use crate::compiled::{Among, Node, Test, Texts};
use crate::definition::{self, Condition, Scalar};
use crate::rejection::{Found, codes};
use crate::text::Text;

impl Scope<'_> {
    pub(super) fn rule_condition(&self, condition: &Condition, found: &mut Found) -> Option<Node> {
        let mut left = self.limits.conditions_max;
        let node = found.within("condition", |it| self.condition(condition, 1, &mut left, it));
        if left == 0 {
            let message = format!("must have fewer than {} conditions", self.limits.conditions_max);
            found.refuse("condition", codes::FLAG_CONDITIONS_TOO_MANY, message);
        }
        node
    }

    /// Stops when none is `left`.
    fn condition(
        &self,
        condition: &Condition,
        depth: usize,
        left: &mut usize,
        found: &mut Found,
    ) -> Option<Node> {
        if depth > self.limits.depth_max {
            let message = format!("must be at most {} conditions deep", self.limits.depth_max);
            found.refuse("", codes::FLAG_CONDITION_TOO_DEEP, message);
            return None;
        }
        *left = left.saturating_sub(1);
        if *left == 0 {
            return None;
        }
        match condition {
            Condition::All(parts) => self.parts("all", parts, depth, left, found).map(Node::All),
            Condition::Any(parts) => self.parts("any", parts, depth, left, found).map(Node::Any),
            Condition::Not(part) => {
                let part = found.within("not", |it| self.condition(part, depth + 1, left, it));
                part.map(|it| Node::Not(Box::new(it)))
            }
            Condition::Attribute { name, test } => found.within("attribute", |found| {
                check_attribute(name, "name", found);
                Some(Node::Attribute(self.name(name), self.test(test, found)))
            }),
            Condition::Plan(plans) => {
                self.texts(plans, "plan", found);
                for (index, key) in plans.iter().enumerate() {
                    check_key(key, &format!("plan[{index}]"), found);
                }
                Some(Node::Plan(Texts::of(plans.iter().map(String::as_str))))
            }
            Condition::Entitled(feature) => {
                check_key(feature, "entitled", found);
                Some(Node::Entitled(feature.as_str().into()))
            }
        }
    }

    fn parts(
        &self,
        at: &str,
        parts: &[Condition],
        depth: usize,
        left: &mut usize,
        found: &mut Found,
    ) -> Option<Box<[Node]>> {
        if parts.is_empty() {
            found.refuse(at, codes::FLAG_LIST_INVALID, "must have at least one condition");
            return None;
        }
        let mut nodes = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            let at = format!("{at}[{index}]");
            let node = found.within(&at, |it| self.condition(part, depth + 1, left, it));
            nodes.extend(node);
            if *left == 0 {
                return None;
            }
        }
        Some(nodes.into())
    }

    fn test(&self, test: &definition::Test, found: &mut Found) -> Test {
        use definition::Test as T;
        match test {
            T::Exists => Test::Exists,
            T::Is(Scalar::Text(value)) => {
                self.texts(core::slice::from_ref(value), "is", found);
                Test::Text(Text::new(value))
            }
            T::Is(scalar) => Test::Among(among(core::slice::from_ref(scalar))),
            T::In(scalars) => {
                self.scalars(scalars, found);
                Test::Among(among(scalars))
            }
            T::Below(number) => Test::Below(*number),
            T::AtMost(number) => Test::AtMost(*number),
            T::Above(number) => Test::Above(*number),
            T::AtLeast(number) => Test::AtLeast(*number),
            T::StartsWith(them) => {
                self.texts(them, "starts_with", found);
                Test::StartsWith(boxed(them))
            }
            T::EndsWith(them) => {
                self.texts(them, "ends_with", found);
                Test::EndsWith(boxed(them))
            }
            T::Contains(them) => {
                self.texts(them, "contains", found);
                Test::Contains(boxed(them))
            }
        }
    }

    fn scalars(&self, scalars: &[Scalar], found: &mut Found) {
        let max = self.limits.value_bytes_max;
        let is_long = |it: &Scalar| matches!(it, Scalar::Text(text) if text.len() > max);
        if self.count(scalars.len(), "in", found) && scalars.iter().any(is_long) {
            let message = format!("must have at most {max} bytes each");
            found.refuse("in", codes::FLAG_VALUE_INVALID, message);
        }
    }
}

fn among(scalars: &[Scalar]) -> Among {
    let texts = scalars.iter().filter_map(|it| match it {
        Scalar::Text(text) => Some(text.as_str()),
        _ => None,
    });
    let numbers = scalars.iter().filter_map(|it| match it {
        Scalar::Number(number) => Some(*number),
        _ => None,
    });
    let booleans = scalars.iter().filter_map(|it| match it {
        Scalar::Boolean(it) => Some(*it),
        _ => None,
    });
    let mut numbers: Vec<Number> = numbers.collect();
    numbers.sort_unstable();
    Among { texts: Texts::of(texts), numbers: numbers.into(), booleans: booleans.collect() }
}
