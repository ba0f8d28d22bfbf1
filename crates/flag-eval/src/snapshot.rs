//! All flags of an environment, at one version of each. Immutable: an evaluation
//! that holds it sees one state whole, whatever is changed meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::compiled::{Compiled, Look, Name};
use crate::context::{Context, Held};
use crate::decision::{DecidedBy, Decision, ErrorCode};
use crate::definition::{Kind, Plan};
use crate::table::Table;
use crate::text::Text;

/// Flags by key.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// By key.
    flags: Box<[Arc<Compiled>]>,
    table: Table,
    /// The attributes that flags ask for, each once.
    names: Box<[Text]>,
    /// By flag and name of the flag: the place in `names`.
    places: Box<[Box<[usize]>]>,
}

/// What all flags ask of a context, looked up once.
struct Found<'c> {
    /// By place in the snapshot's names.
    held: &'c [Option<&'c Held<'c>>],
    places: &'c [usize],
}

impl<'c> Look<'c> for Found<'c> {
    fn get(&self, name: Name) -> Option<&'c Held<'c>> {
        self.held[self.places[name.0]]
    }
}

impl Snapshot {
    /// Of `flags`, in any order; of two with the same key one is taken.
    pub fn of(flags: impl IntoIterator<Item = Arc<Compiled>>) -> Self {
        let mut flags: Vec<Arc<Compiled>> = flags.into_iter().collect();
        flags.sort_by(|one, two| one.key.text.cmp(&two.key.text));
        flags.dedup_by(|one, two| one.key.text == two.key.text);
        let table = Table::of(flags.iter().map(|it| it.key.hash));
        let mut names = BTreeMap::new();
        let places = flags.iter().map(|flag| {
            let places = flag.names.iter().map(|name| {
                let next = names.len();
                *names.entry(&*name.text).or_insert(next)
            });
            places.collect()
        });
        let places = places.collect();
        let mut in_order: Vec<(usize, &str)> =
            names.iter().map(|(name, at)| (*at, *name)).collect();
        in_order.sort_unstable();
        let names = in_order.into_iter().map(|(_, name)| Text::new(name)).collect();
        Self { flags: flags.into(), table, names, places }
    }

    pub fn get(&self, key: &str) -> Option<&Arc<Compiled>> {
        let place = self.table.find(crate::text::hash(key), |it| *self.flags[it].key.text == *key);
        place.map(|it| &self.flags[it])
    }

    /// What `context` is served by the flag `key`; see [`Compiled::evaluate`].
    pub fn evaluate(
        &self,
        key: &str,
        context: &Context<'_>,
        plan: Option<&dyn Plan>,
    ) -> Decision<'_> {
        match self.get(key) {
            Some(flag) => flag.evaluate(context, plan),
            None => Decision::error(ErrorCode::FlagNotFound, DecidedBy::Nothing),
        }
    }

    /// The same, for a caller who can use values of `kind` alone.
    pub fn evaluate_as(
        &self,
        key: &str,
        kind: Kind,
        context: &Context<'_>,
        plan: Option<&dyn Plan>,
    ) -> Decision<'_> {
        match self.get(key) {
            Some(flag) if flag.kind() == kind => flag.evaluate(context, plan),
            Some(_) => Decision::error(ErrorCode::TypeMismatch, DecidedBy::Nothing),
            None => Decision::error(ErrorCode::FlagNotFound, DecidedBy::Nothing),
        }
    }

    /// What `context` is served by each flag, by key, given to `each` as flag and
    /// decision. Looks the context's attributes up once for all.
    pub fn evaluate_all<'s>(
        &'s self,
        context: &Context<'_>,
        plan: Option<&dyn Plan>,
        mut each: impl FnMut(&'s Compiled, Decision<'s>),
    ) {
        let held: Vec<Option<&Held<'_>>> = self.names.iter().map(|it| context.get(it)).collect();
        for (flag, places) in self.flags.iter().zip(&self.places) {
            each(flag, flag.decide(&Found { held: &held, places }, plan));
        }
    }

    /// All flags, by key.
    pub fn flags(&self) -> impl ExactSizeIterator<Item = &Arc<Compiled>> {
        self.flags.iter()
    }

    /// About how many bytes it holds.
    pub fn weight(&self) -> usize {
        self.flags.iter().map(|it| it.weight() + 48 + it.names.len() * 8).sum()
    }
}
