//! What an event comes to for the meters of its type: each meter counts it, leaves
//! it out by its filters, or cannot use it, and then says which value is at fault.

use core::fmt;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use blake3::hazmat::{ContextKey, HasherExt as _, hash_derive_key_context};
use exchequer_types::Quantity;

use crate::extract::{Extractor, Found, Unreadable};
use crate::meter::{Aggregation, Meter};
use crate::outline::Outline;

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

/// So many values are held without a list.
const FOUND_FEW: usize = 12;

/// What an event comes to at a meter: nothing when a filter does not hold.
pub(crate) type Visited<'g, 'a> = Result<Option<(Value, &'g [Cow<'a, str>])>, Unusable>;

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

    /// Tells `each` meter of events of type `kind` what `data` comes to there: its value and
    /// its groups, none when a filter does not hold.
    pub(crate) fn visit<'m, 'a>(
        &'m self,
        kind: &str,
        data: &'a str,
        outline: &mut Outline,
        mut each: impl FnMut(&'m Arc<Meter>, Visited<'_, 'a>),
    ) -> Result<(), Unreadable> {
        let Some(own) = self.by_type.get(kind) else { return Ok(()) };
        outline.read(data);
        let (mut few, mut many) = ([const { None }; FOUND_FEW], Vec::new());
        let found = if own.extractor.len() <= FOUND_FEW {
            few.get_mut(..own.extractor.len()).unwrap_or_default()
        } else {
            many.resize(own.extractor.len(), None);
            many.as_mut_slice()
        };
        let mut long;
        let found = if own.extractor.find(outline, data, found).is_some() {
            &*found
        } else {
            long = own.extractor.extract(data)?;
            long.as_mut_slice()
        };
        let mut groups = Vec::new();
        for it in &own.meters {
            groups.clear();
            let read = it.measure(found, &mut groups);
            each(&it.meter, read.map(|value| value.map(|value| (value, groups.as_slice()))));
        }
        Ok(())
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
        let mut groups = Vec::new();
        match self.measure(found, &mut groups) {
            Ok(Some(value)) => Reading::Counted(Measured { value, groups }),
            Ok(None) => Reading::Filtered,
            Err(unusable) => Reading::Unusable(unusable),
        }
    }

    /// The value; the groups are put behind `groups`. None: a filter does not hold.
    fn measure<'a>(
        &self,
        found: &[Option<Found<'a>>],
        groups: &mut Vec<Cow<'a, str>>,
    ) -> Result<Option<Value>, Unusable> {
        let at = |place: usize| found.get(place).and_then(Option::as_ref);
        let holds = |(filter, place): (&crate::Filter, &usize)| filter.test.holds(at(*place));
        if !self.meter.filters.iter().zip(&self.filters).all(holds) {
            return Ok(None);
        }
        let value = match (&self.meter.value, self.value) {
            (Some(path), Some(place)) => value(self.meter.aggregation, at(place))
                .map_err(|reason| Unusable { field: path.to_string(), reason })?,
            _ => Value::Number(Quantity::ONE),
        };
        for (group, place) in self.meter.group_by.iter().zip(&self.groups) {
            let text = group_text(at(*place));
            let text = text.map_err(|reason| Unusable { field: group.path.to_string(), reason })?;
            groups.push(text);
        }
        Ok(Some(value))
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

static MEMBER_KEY: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context("exchequer unique count member v1"));

fn member(found: &Found<'_>) -> Result<[u8; 16], String> {
    let (tag, text) = match found {
        Found::Text(text) => (b'"', text.to_string()),
        Found::Number(text) => {
            (b'0', Quantity::parse(text).map_err(|error| error.to_string())?.to_string())
        }
        Found::Bool(value) => (b'b', value.to_string()),
        found => return Err(format!("must be a text, a number or a truth, not {}", kind(found))),
    };
    let mut hasher = blake3::Hasher::new_from_context_key(&MEMBER_KEY);
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
