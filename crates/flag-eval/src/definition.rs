//! What a flag is in one environment, as its owner writes it. Nothing here is
//! checked: [`compile`](crate::compile) does that, and says all that is wrong.

use crate::{Number, Split};

/// A flag, as one environment has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// `[a-z0-9][a-z0-9-]{0,62}`.
    pub key: String,
    pub kind: Kind,
    /// At least one, by distinct keys.
    pub variants: Vec<Variant>,
    /// Off: everyone gets `off_variant`.
    pub enabled: bool,
    pub off_variant: String,
    /// What a customer's plan must include; else everyone there gets `off_variant`.
    pub gate: Option<Gate>,
    /// Asked before the rules.
    pub targets: Vec<Target>,
    /// In order: the first that matches decides.
    pub rules: Vec<Rule>,
    /// When no rule matches.
    pub fallthrough: Outcome,
}

/// The type of a flag's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Boolean,
    Text,
}

/// A value that a flag can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// `[a-z0-9][a-z0-9-]{0,62}`.
    pub key: String,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Boolean(bool),
    Text(String),
}

impl Value {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Boolean(_) => Kind::Boolean,
            Self::Text(_) => Kind::Text,
        }
    }
}

/// Individuals who get a variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub variant: String,
    /// The attribute that names them: `targeting_key`, `tenant`, or one of the
    /// caller's own.
    pub attribute: String,
    pub values: Vec<String>,
}

/// A condition, and what follows when it is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `[a-z0-9][a-z0-9-]{0,62}`, distinct within the flag.
    pub id: String,
    pub condition: Condition,
    pub outcome: Outcome,
}

/// True, false, or unknown: see the README.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// At least one.
    All(Vec<Condition>),
    /// At least one.
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Attribute {
        name: String,
        test: Test,
    },
    /// The customer's plan is one of these.
    Plan(Vec<String>),
    /// The customer is entitled to this feature.
    Entitled(String),
}

/// A test of an attribute. Of a list, it is true when it is of one of its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// The attribute is there, whatever it is.
    Exists,
    Is(Scalar),
    /// At least one.
    In(Vec<Scalar>),
    Below(Number),
    AtMost(Number),
    Above(Number),
    AtLeast(Number),
    /// With one of these, at least one; compared byte by byte, as are the next two.
    StartsWith(Vec<String>),
    EndsWith(Vec<String>),
    Contains(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    Boolean(bool),
    Number(Number),
    Text(String),
}

/// What a context is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Variant(String),
    Split(Split),
}

/// What a customer's plan must include.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Gate {
    /// The customer must be entitled to every one of them.
    pub features: Vec<String>,
    /// When there are any, the customer's plan must be one of them.
    pub plans: Vec<String>,
}

/// What a customer has, as the evaluation asks for it.
pub trait Plan {
    /// None when the customer has no plan.
    fn plan(&self) -> Option<&str>;
    /// Is the customer entitled to `feature`?
    fn entitled(&self, feature: &str) -> bool;
}
