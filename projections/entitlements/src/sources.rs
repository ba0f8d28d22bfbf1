//! What gives a tenant a feature, as rows for people: one for each feature of the plan, of
//! an add-on and of a grant, and one for what is in use. They are derived from the
//! tenant's own row, which keeps the position of each, so that rows that were lost on the
//! way are written again by a replay.

use std::collections::BTreeMap;

use exchequer_domain_entitlements::{Grant, State};
use exchequer_proto::entitlements::v1 as pb;
use exchequer_readstore::{Column, Key, Kind, RowSet, Table, Value};
use exchequer_types::{Allowance, Timestamp};

/// Rows that are not there any more whose positions are kept, by tenant; the oldest give way.
/// More than one batch can take away.
const GONE_MAX: usize = 1_024;
/// Instead of an instant, or a number, that there is not.
const NONE: i64 = -1;

/// By tenant, then by feature and by what gives it.
pub static ENTITLEMENT_SOURCES: Table = Table {
    name: "entitlement_sources",
    partition_key: &[text("tenant")],
    // plan, add-on:<id>, grant:<id>, or use: so much is in use.
    clustering: &[text("feature"), text("source")],
    // In the order of `Source::values`.
    columns: &[
        // on, unlimited, per seat, or units.
        text("gives"),
        // Of units; of an add-on for each pack. Below 0 when there is no number.
        int("units"),
        // Of an add-on, else 1.
        int("packs"),
        // Of a grant: trial, promotional, manual, beta or add-on.
        text("kind"),
        text("reason"),
        // Microseconds since the Unix epoch, as all instants; below 0 when there is none.
        int("since"),
        int("expires_at"),
        int("ended_at"),
        // expiry, revocation or closing.
        text("ended_by"),
        text("ended_reason"),
    ],
};

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

/// Feature and source.
type SourceKey = (String, String);

/// When each row was last written, or taken away.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Marks(BTreeMap<SourceKey, Mark>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    position: u64,
    is_gone: bool,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source<'a> {
    gives: &'static str,
    units: Option<u64>,
    packs: u64,
    since: Option<Timestamp>,
    grant: Option<&'a Grant>,
}

impl Marks {
    pub(crate) fn from_proto(marks: Vec<pb::SourceMark>) -> Self {
        let mark = |it: &pb::SourceMark| Mark { position: it.position, is_gone: it.gone };
        Self(marks.into_iter().map(|it| (mark(&it), it)).map(keyed).collect())
    }

    pub(crate) fn to_proto(&self) -> Vec<pb::SourceMark> {
        let mark = |((feature, source), mark): (&SourceKey, &Mark)| pb::SourceMark {
            feature: feature.clone(),
            source: source.clone(),
            position: mark.position,
            gone: mark.is_gone,
        };
        self.0.iter().map(mark).collect()
    }

    /// Writes what is another one in `after` than in `before`, by the event at `position`.
    pub(crate) fn turn(
        &mut self,
        tenant: &str,
        before: &State,
        after: &State,
        position: u64,
        rows: &mut RowSet,
    ) {
        let (old, new) = (sources(before), sources(after));
        for (key, source) in &new {
            if old.get(key) != Some(source) {
                rows.put(&ENTITLEMENT_SOURCES, row_key(tenant, key), source.values(), position);
                self.0.insert(key.clone(), Mark { position, is_gone: false });
            }
        }
        for key in old.into_keys().filter(|key| !new.contains_key(key)) {
            rows.delete(&ENTITLEMENT_SOURCES, row_key(tenant, &key), position);
            self.0.insert(key, Mark { position, is_gone: true });
        }
        self.trim();
    }

    /// Writes everything once more, each at its own position.
    pub(crate) fn write_again(&self, tenant: &str, state: &State, rows: &mut RowSet) {
        let present = sources(state);
        for (key, mark) in &self.0 {
            let row = row_key(tenant, key);
            match present.get(key) {
                Some(it) if !mark.is_gone => {
                    rows.put(&ENTITLEMENT_SOURCES, row, it.values(), mark.position);
                }
                _ => rows.delete(&ENTITLEMENT_SOURCES, row, mark.position),
            }
        }
    }

    fn trim(&mut self) {
        let gone = self.0.iter().filter(|(_, mark)| mark.is_gone);
        let mut gone: Vec<(u64, SourceKey)> =
            gone.map(|(key, mark)| (mark.position, key.clone())).collect();
        let surplus = gone.len().saturating_sub(GONE_MAX);
        gone.sort_unstable();
        for (_, key) in gone.into_iter().take(surplus) {
            self.0.remove(&key);
        }
    }
}

fn keyed((mark, it): (Mark, pb::SourceMark)) -> (SourceKey, Mark) {
    ((it.feature, it.source), mark)
}

impl Source<'_> {
    fn values(&self) -> Vec<Value> {
        let grant = self.grant;
        let ended = grant.and_then(|it| it.ended.as_ref());
        let expiry = grant.and_then(|it| it.expiry.as_ref());
        let words = |text: Option<&str>| Value::text(text.unwrap_or_default());
        vec![
            Value::text(self.gives),
            self.units.map_or(Value::Int(NONE), Value::uint),
            Value::uint(self.packs),
            words(grant.map(|it| it.kind.word())),
            words(grant.map(|it| it.reason.as_str())),
            instant(self.since),
            instant(expiry.map(|it| it.at)),
            instant(ended.map(|it| it.at)),
            words(ended.map(|it| it.by.word())),
            words(ended.and_then(|it| it.by.reason())),
        ]
    }

    fn of(allowance: Allowance, packs: u64, since: Timestamp) -> Self {
        let (gives, units) = match allowance {
            Allowance::On => ("on", None),
            Allowance::Unlimited => ("unlimited", None),
            Allowance::Seats => ("per seat", None),
            Allowance::Limit(units) => ("units", Some(units)),
        };
        Source { gives, units, packs, since: Some(since), grant: None }
    }
}

fn sources(state: &State) -> BTreeMap<SourceKey, Source<'_>> {
    use exchequer_domain_entitlements::Amount;
    let mut found = BTreeMap::new();
    if let Some(given) = &state.plan {
        let since = given.held.since;
        for (feature, allowance) in &given.content.plan {
            let key = (feature.to_string(), "plan".to_owned());
            found.insert(key, Source::of(*allowance, 1, since));
        }
        for (add_on, included) in &given.content.add_ons {
            let packs = given.held.add_ons.get(add_on).copied().unwrap_or_default();
            for (feature, allowance) in included {
                let key = (feature.to_string(), format!("add-on:{add_on}"));
                found.insert(key, Source::of(*allowance, packs, since));
            }
        }
    }
    for grant in state.grants.values() {
        let (gives, units) = match grant.amount {
            Amount::On => ("on", None),
            Amount::Unlimited => ("unlimited", None),
            Amount::Units(units) => ("units", Some(units)),
        };
        let (since, grant) = (Some(grant.granted_at), Some(grant.as_ref()));
        let it = Source { gives, units, packs: 1, since, grant };
        if let Some(grant) = grant {
            found.insert((grant.feature.to_string(), format!("grant:{}", grant.id)), it);
        }
    }
    for (feature, used) in state.used.iter() {
        let it = Source { gives: "units", units: Some(*used), packs: 1, since: None, grant: None };
        found.insert((feature.to_string(), "use".to_owned()), it);
    }
    found
}

fn row_key(tenant: &str, (feature, source): &SourceKey) -> Key {
    Key {
        partition: vec![Value::text(tenant)],
        clustering: vec![Value::text(feature), Value::text(source)],
    }
}

fn instant(at: Option<Timestamp>) -> Value {
    Value::Int(at.map_or(NONE, Timestamp::micros))
}
