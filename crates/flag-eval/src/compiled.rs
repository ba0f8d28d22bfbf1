//! A flag as it is evaluated: names are resolved to places, texts carry their
//! hashes, salts are hashed already. Nothing here can fail.

use crate::context::{Context, Held};
use crate::decision::{DecidedBy, Decision, ErrorCode, Reason};
use crate::definition::{Kind, Plan, Value};
use crate::slots::Murmur;
use crate::table::Table;
use crate::text::{Text, TextRef};
use crate::{Number, Variant};

/// A flag that was checked, ready to be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    pub(crate) key: Text,
    /// The attributes that the flag asks for, each once.
    pub(crate) names: Box<[Text]>,
    pub(crate) kind: Kind,
    pub(crate) variants: Box<[Variant]>,
    pub(crate) enabled: bool,
    pub(crate) off: usize,
    pub(crate) gate: Option<Gate>,
    pub(crate) targets: Box<[Target]>,
    pub(crate) rules: Box<[Rule]>,
    pub(crate) fallthrough: Serve,
}

/// An attribute: its place among the flag's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) usize);

/// Where a flag finds the attributes of a context.
pub(crate) trait Look<'c> {
    fn get(&self, name: Name) -> Option<&'c Held<'c>>;
}

/// In the context itself, by name.
struct ByName<'c> {
    names: &'c [Text],
    context: &'c Context<'c>,
}

impl<'c> Look<'c> for ByName<'c> {
    fn get(&self, name: Name) -> Option<&'c Held<'c>> {
        self.context.get(&self.names[name.0])
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    pub(crate) features: Box<[Box<str>]>,
    pub(crate) plans: Texts,
}

/// All individuals of one attribute, with their variants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) attribute: Name,
    pub(crate) values: Texts,
    /// By place among `values`: the definition's target, and its variant.
    pub(crate) serve: Box<[(usize, usize)]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) id: Box<str>,
    pub(crate) condition: Node,
    pub(crate) serve: Serve,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Serve {
    Variant(usize),
    Split(Split),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    /// Of the salt and the colon behind it.
    pub(crate) salted: Murmur,
    pub(crate) by: Name,
    /// The end of each range of slots, upwards, and whose it is.
    pub(crate) ends: Box<[(u32, usize)]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    All(Box<[Node]>),
    Any(Box<[Node]>),
    Not(Box<Node>),
    Attribute(Name, Test),
    Plan(Texts),
    Entitled(Box<str>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Exists,
    Text(Text),
    /// One of these, whatever its type.
    Among(Among),
    Below(Number),
    AtMost(Number),
    Above(Number),
    AtLeast(Number),
    StartsWith(Box<[Box<str>]>),
    EndsWith(Box<[Box<str>]>),
    Contains(Box<[Box<str>]>),
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Among {
    pub(crate) texts: Texts,
    pub(crate) numbers: Box<[Number]>,
    pub(crate) booleans: Box<[bool]>,
}

/// A set of texts.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Texts {
    texts: Box<[Text]>,
    /// Empty for a set that is short.
    table: Table,
}

/// A shorter set is searched from end to end.
const TABLE_TEXTS_MIN: usize = 9;

impl Texts {
    pub(crate) fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let texts: Box<[Text]> = texts.into_iter().map(Text::new).collect();
        let table = if texts.len() < TABLE_TEXTS_MIN {
            Table::default()
        } else {
            Table::of(texts.iter().map(|it| it.hash))
        };
        Self { texts, table }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    fn find(&self, text: TextRef<'_>) -> Option<usize> {
        if self.texts.len() < TABLE_TEXTS_MIN {
            return self.texts.iter().position(|it| it.is(text));
        }
        self.table.find(text.hash, |place| self.texts[place].is(text))
    }
}

impl Compiled {
    pub fn key(&self) -> &str {
        &self.key.text
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What `context` is served. `plan` is of the customer that it names; None when it
    /// names none.
    pub fn evaluate(&self, context: &Context<'_>, plan: Option<&dyn Plan>) -> Decision<'_> {
        self.decide(&ByName { names: &self.names, context }, plan)
    }

    pub(crate) fn decide<'c>(
        &self,
        context: &impl Look<'c>,
        plan: Option<&dyn Plan>,
    ) -> Decision<'_> {
        if !self.enabled {
            return self.serve(self.off, Reason::Disabled, DecidedBy::Nothing);
        }
        if let Some(gate) = &self.gate
            && !gate.is_open(plan)
        {
            return self.serve(self.off, Reason::PlanRestriction, DecidedBy::Gate);
        }
        if let Some((index, variant)) = self.target(context) {
            return self.serve(variant, Reason::TargetingMatch, DecidedBy::Target { index });
        }
        for (index, rule) in self.rules.iter().enumerate() {
            if rule.condition.test(context, plan) != Some(true) {
                continue;
            }
            let by = DecidedBy::Rule { index, id: &rule.id };
            match &rule.serve {
                Serve::Variant(variant) => {
                    return self.serve(*variant, Reason::TargetingMatch, by);
                }
                // Without its unit a split matches as little as a condition would.
                Serve::Split(split) => {
                    if let Some(variant) = split.variant(context) {
                        return self.serve(variant, Reason::Split, by);
                    }
                }
            }
        }
        self.fall_through(context)
    }

    fn fall_through<'c>(&self, context: &impl Look<'c>) -> Decision<'_> {
        let by = DecidedBy::Fallthrough;
        match &self.fallthrough {
            Serve::Variant(variant) if self.targets.is_empty() && self.rules.is_empty() => {
                self.serve(*variant, Reason::Static, by)
            }
            Serve::Variant(variant) => self.serve(*variant, Reason::Default, by),
            Serve::Split(split) => match split.variant(context) {
                Some(variant) => self.serve(variant, Reason::Split, by),
                None => Decision::error(ErrorCode::TargetingKeyMissing, by),
            },
        }
    }

    fn serve<'s>(&'s self, variant: usize, reason: Reason, by: DecidedBy<'s>) -> Decision<'s> {
        let variant = &self.variants[variant];
        Decision { value: Some(&variant.value), variant: Some(&variant.key), reason, by }
    }

    /// The first target of the definition that names the context, and its variant.
    fn target<'c>(&self, context: &impl Look<'c>) -> Option<(usize, usize)> {
        let found = self.targets.iter().filter_map(|target| {
            let Held::Text(text) = context.get(target.attribute)? else { return None };
            target.values.find(*text).map(|place| target.serve[place])
        });
        found.min()
    }

    /// About how many bytes it holds.
    pub fn weight(&self) -> usize {
        let texts = |texts: &Texts| texts.texts.iter().map(|it| it.text.len() + 72).sum::<usize>();
        let variants: usize = self.variants.iter().map(|it| it.key.len() + size(&it.value)).sum();
        let targets: usize = self.targets.iter().map(|it| texts(&it.values) + 96).sum();
        let rules: usize = self.rules.iter().map(|it| it.id.len() + weight(&it.condition)).sum();
        let names: usize = self.names.iter().map(|it| it.text.len() + 24).sum();
        256 + self.key.text.len() + names + variants + targets + rules
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Boolean(_) => 64,
        Value::Text(text) => 64 + text.len(),
    }
}

fn weight(node: &Node) -> usize {
    let texts = |texts: &Texts| texts.texts.iter().map(|it| it.text.len() + 72).sum::<usize>();
    let parts = |parts: &[Box<str>]| parts.iter().map(|it| it.len() + 16).sum::<usize>();
    128 + match node {
        Node::All(nodes) | Node::Any(nodes) => nodes.iter().map(weight).sum(),
        Node::Not(node) => weight(node),
        Node::Plan(plans) => texts(plans),
        Node::Entitled(feature) => feature.len(),
        Node::Attribute(_, test) => match test {
            Test::Among(among) => texts(&among.texts) + among.numbers.len() * 16,
            Test::StartsWith(them) | Test::EndsWith(them) | Test::Contains(them) => parts(them),
            Test::Text(it) => it.text.len(),
            _ => 0,
        },
    }
}

impl Gate {
    fn is_open(&self, plan: Option<&dyn Plan>) -> bool {
        let Some(plan) = plan else { return false };
        let has_plan = self.plans.is_empty()
            || plan.plan().is_some_and(|it| self.plans.find(TextRef::new(it)).is_some());
        has_plan && self.features.iter().all(|it| plan.entitled(it))
    }
}

impl Split {
    /// None when the context lacks the unit, or it is a list.
    fn variant<'c>(&self, context: &impl Look<'c>) -> Option<usize> {
        let mut hash = self.salted;
        match context.get(self.by)? {
            Held::Text(unit) => hash.write(unit.text.as_bytes()),
            Held::Number(unit) => hash.write_display(unit),
            Held::Boolean(unit) => hash.write_display(unit),
            Held::List(_) => return None,
        }
        let slot = hash.slot();
        let at = self.ends.partition_point(|(end, _)| *end <= slot);
        self.ends.get(at).map(|(_, variant)| *variant)
    }
}

impl Node {
    /// None: unknown, as what it needs is missing or of a type it cannot test.
    fn test<'c>(&self, context: &impl Look<'c>, plan: Option<&dyn Plan>) -> Option<bool> {
        match self {
            Self::Attribute(name, test) => test.of(context.get(*name)),
            Self::All(nodes) => first(nodes, context, plan, false),
            Self::Any(nodes) => first(nodes, context, plan, true),
            Self::Not(node) => node.test(context, plan).map(|it| !it),
            Self::Plan(plans) => Some(plans.find(TextRef::new(plan?.plan()?)).is_some()),
            Self::Entitled(feature) => Some(plan?.entitled(feature)),
        }
    }
}

/// `decisive` if one of `nodes` is; else unknown if one is; else the other.
fn first<'c>(
    nodes: &[Node],
    context: &impl Look<'c>,
    plan: Option<&dyn Plan>,
    decisive: bool,
) -> Option<bool> {
    let mut result = Some(!decisive);
    for node in nodes {
        match node.test(context, plan) {
            Some(it) if it == decisive => return Some(decisive),
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

impl Test {
    fn of(&self, held: Option<&Held<'_>>) -> Option<bool> {
        if let Self::Exists = self {
            return Some(held.is_some());
        }
        match held? {
            Held::Text(text) => self.of_text(*text),
            Held::Number(number) => self.of_number(number),
            Held::Boolean(it) => match self {
                Self::Among(among) if !among.booleans.is_empty() => {
                    Some(among.booleans.contains(it))
                }
                _ => None,
            },
            Held::List(items) => {
                let is_for_text = self.of_text(TextRef::new("")).is_some();
                is_for_text.then(|| items.iter().any(|it| self.of_text(*it) == Some(true)))
            }
        }
    }

    fn of_text(&self, text: TextRef<'_>) -> Option<bool> {
        match self {
            Self::Text(it) => Some(it.is(text)),
            Self::Among(among) if !among.texts.is_empty() => Some(among.texts.find(text).is_some()),
            Self::StartsWith(them) => Some(them.iter().any(|it| text.text.starts_with(&**it))),
            Self::EndsWith(them) => Some(them.iter().any(|it| text.text.ends_with(&**it))),
            Self::Contains(them) => Some(them.iter().any(|it| text.text.contains(&**it))),
            _ => None,
        }
    }

    fn of_number(&self, number: &Number) -> Option<bool> {
        match self {
            Self::Below(it) => Some(number < it),
            Self::AtMost(it) => Some(number <= it),
            Self::Above(it) => Some(number > it),
            Self::AtLeast(it) => Some(number >= it),
            Self::Among(among) if !among.numbers.is_empty() => {
                Some(among.numbers.binary_search(number).is_ok())
            }
            _ => None,
        }
    }
}
