//! What an event comes to for the meters of its type: each meter counts it, leaves
//! it out by its filters, or cannot use it, and then says which value is at fault.

use core::fmt;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_types::Quantity;

use crate::extract::{Extractor, Found, Unreadable};
use crate::meter::{Aggregation, Meter};

/// The longest value of a group, in bytes.
pub const GROUP_BYTES_MAX: usize = 128;

/// What one event adds to a meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured<'a> {
    pub value: Value,
    /// One for each group-by, in their order; empty where nothing stands.
    pub groups: Vec<Cow<'a, str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    Number(Quantity),
    /// Stands for a value that is counted once: the first 16 bytes of its BLAKE3 in key
    /// derivation mode, with its kind. That two values share them is left out of account,
    /// as it is for every hash of the log.
    Member([u8; 16]),
}

/// What became of an event at one meter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading<'a> {
    Counted(Measured<'a>),
    /// A filter does not hold.
    Filtered,
    Unusable(Unusable),
}

/// A value that a meter cannot use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Its path in the data.
    pub field: String,
    pub reason: String,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.reason)
    }
}

/// All meters of one tenant's provider that are in force, ready to read events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meters {
    by_type: BTreeMap<String, Arc<OfType>>,
}

/// Meters of one event type, which is read once for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OfType {
    extractor: Extractor,
    meters: Vec<Compiled>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Compiled {
    meter: Arc<Meter>,
    /// Places among the extracted values.
    value: Option<usize>,
    groups: Vec<usize>,
    filters: Vec<usize>,
}

impl Meters {
    pub fn new(meters: impl IntoIterator<Item = Meter>) -> Self {
        Self::behind(&Self::default(), meters)
    }

    /// The same, sharing with `before` what has not changed since: many versions of a
    /// provider's meters are kept, and most change one of them.
    pub fn behind(before: &Self, meters: impl IntoIterator<Item = Meter>) -> Self {
        let mut of_types: BTreeMap<String, Vec<Meter>> = BTreeMap::new();
        for meter in meters {
            of_types.entry(meter.event_type.clone()).or_default().push(meter);
        }
        let by_type = of_types.into_iter().map(|(kind, meters)| {
            let known = before.by_type.get(&kind).filter(|it| it.has(&meters)).map(Arc::clone);
            (kind, known.unwrap_or_else(|| Arc::new(OfType::new(meters))))
        });
        Self { by_type: by_type.collect() }
    }

    /// Do both share the meters of events of type `kind`, or have none of it?
    pub(crate) fn shares(&self, other: &Self, kind: &str) -> bool {
        match (self.by_type.get(kind), other.by_type.get(kind)) {
            (None, None) => true,
            (Some(own), Some(others)) => Arc::ptr_eq(own, others),
            _ => false,
        }
    }

    /// What `data` comes to at each meter of events of type `kind`; none when no meter
    /// counts such events.
    pub fn read<'m, 'a>(
        &'m self,
        kind: &str,
        data: &'a str,
    ) -> Result<impl Iterator<Item = (&'m Arc<Meter>, Reading<'a>)>, Unreadable> {
        let own = self.by_type.get(kind);
        let found = own.map(|own| own.extractor.extract(data)).transpose()?.unwrap_or_default();
        let meters = own.map(|own| own.meters.as_slice()).unwrap_or_default();
        Ok(meters.iter().map(move |it| (&it.meter, it.read(&found))))
    }

    /// Do its meters count events of type `kind`?
    pub fn counts(&self, kind: &str) -> bool {
        self.by_type.contains_key(kind)
    }

    /// All meters, by the type of their events.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Meter>> {
        self.by_type.values().flat_map(|own| own.meters.iter().map(|it| &it.meter))
    }
}

impl OfType {
    fn new(meters: Vec<Meter>) -> Self {
        let mut own = Self::default();
        for meter in meters {
            let value = meter.value.as_ref().map(|path| own.extractor.ask(path));
            let groups = meter.group_by.iter().map(|it| own.extractor.ask(&it.path)).collect();
            let filters = meter.filters.iter().map(|it| own.extractor.ask(&it.path)).collect();
            own.meters.push(Compiled { meter: Arc::new(meter), value, groups, filters });
        }
        own
    }

    fn has(&self, meters: &[Meter]) -> bool {
        self.meters.iter().map(|it| it.meter.as_ref()).eq(meters)
    }
}

impl Compiled {
    fn read<'a>(&self, found: &[Option<Found<'a>>]) -> Reading<'a> {
        let at = |place: usize| found.get(place).and_then(Option::as_ref);
        let holds = |(filter, place): (&crate::Filter, &usize)| filter.test.holds(at(*place));
        if !self.meter.filters.iter().zip(&self.filters).all(holds) {
            return Reading::Filtered;
        }
        let value = match (&self.meter.value, self.value) {
            (Some(path), Some(place)) => value(self.meter.aggregation, at(place))
                .map_err(|reason| Unusable { field: path.to_string(), reason }),
            _ => Ok(Value::Number(Quantity::ONE)),
        };
        let groups = self.meter.group_by.iter().zip(&self.groups).map(|(group, place)| {
            let text = group_text(at(*place));
            text.map_err(|reason| Unusable { field: group.path.to_string(), reason })
        });
        let groups: Result<Vec<_>, _> = groups.collect();
        match (value, groups) {
            (Ok(value), Ok(groups)) => Reading::Counted(Measured { value, groups }),
            (Err(unusable), _) | (_, Err(unusable)) => Reading::Unusable(unusable),
        }
    }
}

fn value(aggregation: Aggregation, found: Option<&Found<'_>>) -> Result<Value, String> {
    let found = found.ok_or_else(|| "is missing".to_owned())?;
    if aggregation == Aggregation::UniqueCount {
        return member(found).map(Value::Member);
    }
    match found {
        Found::Number(text) => {
            Quantity::parse(text).map(Value::Number).map_err(|error| error.to_string())
        }
        found => Err(format!("must be a number, not {}", kind(found))),
    }
}

fn member(found: &Found<'_>) -> Result<[u8; 16], String> {
    let (tag, text) = match found {
        Found::Text(text) => (b'"', text.to_string()),
        Found::Number(text) => {
            (b'0', Quantity::parse(text).map_err(|error| error.to_string())?.to_string())
        }
        Found::Bool(value) => (b'b', value.to_string()),
        found => return Err(format!("must be a text, a number or a truth, not {}", kind(found))),
    };
    let mut hasher = blake3::Hasher::new_derive_key("exchequer unique count member v1");
    let hash = *hasher.update(&[tag]).update(text.as_bytes()).finalize().as_bytes();
    Ok(core::array::from_fn(|at| hash[at]))
}

fn group_text<'a>(found: Option<&Found<'a>>) -> Result<Cow<'a, str>, String> {
    let text = match found {
        None | Some(Found::Null) => Cow::Borrowed(""),
        Some(Found::Text(text)) => text.clone(),
        Some(Found::Bool(true)) => Cow::Borrowed("true"),
        Some(Found::Bool(false)) => Cow::Borrowed("false"),
        Some(Found::Number(text)) => {
            Cow::Owned(Quantity::parse(text).map_err(|error| error.to_string())?.to_string())
        }
        Some(found @ Found::Compound) => {
            return Err(format!("must be a text, a number or a truth, not {}", kind(found)));
        }
    };
    if text.len() > GROUP_BYTES_MAX {
        return Err(format!("must have at most {GROUP_BYTES_MAX} bytes to group by"));
    }
    Ok(text)
}

fn kind(found: &Found<'_>) -> &'static str {
    match found {
        Found::Number(_) => "a number",
        Found::Text(_) => "a text",
        Found::Bool(_) => "a truth",
        Found::Null => "null",
        Found::Compound => "a list or an object",
    }
}
