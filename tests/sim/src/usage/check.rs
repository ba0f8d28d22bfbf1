//! SIM-25 to SIM-29, when all has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use exchequer_metering::Grain;
use exchequer_projection_usage::{
    Answer, Kept, Kind, LiveUsage, Position, QueryError, Wanted, listed, query, reconcile, seal_of,
};
use exchequer_proto::usage::v1 as pb;
use exchequer_readstore::MemoryStore;
use exchequer_types::{PartitionId, Period, Quantity, Timestamp};
use futures::FutureExt as _;
use prost::Message as _;

use super::model::{self, Amount, Change, Partition};
use super::procs::Procs;
use super::{Asked, Course, What, tenant};
use crate::exec::lock;

/// Items of one page of a list.
const PAGE: usize = 7;
const STORM: &str = "in the storm";
/// What was taken back is gone from these at once.
const SUBTRACTED: [pb::Aggregation; 3] =
    [pb::Aggregation::Count, pb::Aggregation::Sum, pb::Aggregation::Average];

/// What the checkers found, and one line of numbers.
pub(super) struct Checked {
    pub(super) violations: Vec<String>,
    pub(super) summary: String,
}

pub(super) fn check(course: &Course, procs: &Procs) -> Checked {
    let count = course.world.plan.partitions;
    let all: Vec<Partition> = (0..count).map(|it| model::walk(course, PartitionId(it))).collect();
    let mut violations: Vec<String> = all.iter().flat_map(|it| it.violations.clone()).collect();
    let glances = lock(&course.glances).clone();
    let records: usize = all.iter().map(|it| it.fated.len()).sum();
    let seals: usize = all.iter().map(|it| it.seals.len()).sum();
    let claims: usize = all.iter().map(|it| it.claims).sum();
    let revisions: usize = all.iter().map(|it| it.revisions).sum();
    let changes: usize = all.iter().map(|it| it.changes.len()).sum();
    let mut fates = BTreeMap::<&str, u64>::new();
    for it in all.iter().flat_map(|it| &it.fated) {
        *fates.entry(it.kind.as_str()).or_default() += 1;
    }
    let summary = format!(
        "{records} records, {seals} seals, {claims} claims, {revisions} revisions, {changes} changes, {} glances, {fates:?}",
        glances.len()
    );
    if violations.is_empty() {
        acknowledged(course, &all, &mut violations);
        identities(&all, &mut violations);
        for glance in &glances {
            let told = figures_of(&glance.answer);
            compare(STORM, &all, &glance.asked, &told, &glance.answer.positions, &mut violations);
        }
        views(course, procs, &all, &mut violations);
    }
    Checked { violations, summary }
}

/// SIM-25: what was acknowledged stands in the log, under a seal.
fn acknowledged(course: &Course, all: &[Partition], violations: &mut Vec<String>) {
    let body =
        |bytes: &bytes::Bytes| pb::UsageRecord::decode(bytes.clone()).ok().and_then(|it| it.body);
    for it in lock(&course.acknowledged).iter() {
        let records = course.world.usage.records(it.partition);
        let sealed = all[it.partition.index()].fated.len();
        let Some(first) = it.offset.map(|it| it as usize) else { continue };
        for (at, sent) in (first..).zip(&it.records) {
            if records.get(at).and_then(body) != body(sent) {
                violations.push(format!(
                    "SIM-25 {at} of {} was acknowledged: {:?} and not {:?}",
                    it.partition,
                    body(sent),
                    records.get(at).and_then(body)
                ));
            }
            if at >= sealed {
                violations.push(format!("SIM-25 {} of {} has no fate", at, it.partition));
            }
        }
    }
}

/// SIM-29: of what was sent on, one copy is the first under its identity, or none.
fn identities(all: &[Partition], violations: &mut Vec<String>) {
    let takes = |kind: Kind| matches!(kind, Kind::Fate(fate) if fate.takes_identity());
    let mut copies = BTreeMap::<(u32, u64), Vec<Kind>>::new();
    for it in all.iter().flat_map(|it| &it.fated) {
        if let Some(from) = it.sent_on {
            copies.entry(from).or_default().push(it.kind);
        }
    }
    for (partition, own) in (0..).zip(all) {
        for (offset, it) in (0..).zip(&own.fated) {
            let is_astray = it.kind == Kind::Fate(exchequer_metering::Fate::Forwarded);
            let copies = copies.get(&(partition, offset)).map(Vec::as_slice).unwrap_or_default();
            let name = format!("record {offset} of usage partition {partition}");
            if is_astray && copies.is_empty() {
                violations.push(format!("SIM-29 {name} was not sent on"));
            }
            if copies.iter().filter(|it| takes(**it)).count() > 1 {
                violations.push(format!("SIM-29 {name} was sent on and counts twice: {copies:?}"));
            }
        }
    }
}

/// SIM-27 and SIM-28: all that can be asked, from rows and memory and from rows alone.
fn views(course: &Course, procs: &Procs, all: &[Partition], violations: &mut Vec<String>) {
    let store = course.world.store_now();
    let rows = LiveUsage::new(course.world.plan.partitions);
    let platform = procs.platform(0).and_then(|(_, platform)| platform.meters);
    let live = platform.as_ref().map_or(&rows, |meters| &meters.live);
    let ends: Vec<u64> = all.iter().map(|it| it.seals.last().map_or(0, |it| it.seq)).collect();
    for (from, live) in [("from rows and memory", live), ("from rows", &rows)] {
        figures((from, live), &store, course, all, &ends, violations);
        lists((from, live), &store, course, all, violations);
        places((from, live), &store, all, violations);
    }
}

fn figures(
    (from, live): (&str, &LiveUsage),
    store: &MemoryStore,
    course: &Course,
    all: &[Partition],
    ends: &[u64],
    violations: &mut Vec<String>,
) {
    for asked in questions(course, all) {
        let found = query(store, live, &asked.query()).now_or_never();
        match found {
            Some(Ok(answer)) => {
                let seals: Vec<u64> = answer.positions.iter().map(|it| it.seal).collect();
                // An empty seal adds nothing that would have to be written.
                if from == "from rows and memory" && seals != ends {
                    violations.push(format!("SIM-27 {from}: at seals {seals:?}, not {ends:?}"));
                }
                let told = figures_of(&answer);
                compare(from, all, &asked, &told, &answer.positions, violations);
            }
            Some(Err(QueryError::UnknownGroup { .. })) => {}
            other => violations.push(format!("SIM-27 {from}: {asked:?} is answered by {other:?}")),
        }
    }
}

/// All meters that ever counted something, in all windows.
fn questions(course: &Course, all: &[Partition]) -> Vec<Asked> {
    let mut known = BTreeSet::new();
    for change in all.iter().flat_map(|it| &it.changes) {
        let it = &change.what;
        let names: Vec<String> = it.groups.keys().cloned().collect();
        known.insert((it.tenant.clone(), it.meter.clone(), it.version, names));
    }
    let mut asked = Vec::new();
    for number in 0..course.shaped.tenants {
        let tenant = tenant(number);
        for (_, meter, version, names) in known.iter().filter(|it| it.0 == tenant.as_str()) {
            for step in Kept::ALL {
                for what in [What::Total, What::Groups(names.clone()), What::EachSubject] {
                    let (tenant, meter) = (tenant.clone(), meter.clone());
                    asked.push(Asked { tenant, meter, version: *version, step, what });
                }
            }
        }
    }
    asked
}

/// By window and values.
type Key = (i64, i64, Vec<String>);
type Told = BTreeMap<Key, Option<Quantity>>;

fn figures_of(answer: &Answer) -> Told {
    let windows = answer.windows.iter();
    let each = windows.flat_map(|it| {
        let (start, end) = (it.window.start.micros(), it.window.end.micros());
        it.groups.iter().map(move |figure| ((start, end, figure.values.clone()), figure.figure))
    });
    each.collect()
}

fn compare(
    from: &str,
    all: &[Partition],
    asked: &Asked,
    told: &Told,
    positions: &[Position],
    violations: &mut Vec<String>,
) {
    let expected = expected(all, asked, positions, from != STORM);
    let keys: BTreeSet<_> = told.keys().chain(expected.keys()).collect();
    for key in keys {
        let found = told.get(key).copied().flatten();
        let Some(wanted) = expected.get(key).copied().unwrap_or(Some(None)) else { continue };
        // Of what was taken back nothing may be left, or a zero.
        let is_gone = wanted.is_none() && found.is_none_or(|it| it == Quantity::ZERO);
        if found != wanted && !is_gone {
            let seals: Vec<u64> = positions.iter().map(|it| it.seal).collect();
            violations.push(format!(
                "SIM-27 {from}, at seals {seals:?}: {asked:?}, {key:?}: {found:?}, not {wanted:?}"
            ));
            return;
        }
    }
}

fn window(kept: Kept, at: i64, period: Option<(i64, i64)>) -> Option<(i64, i64)> {
    let grain = match kept {
        Kept::Minute => Grain::Minute,
        Kept::Hour => Grain::Hour,
        Kept::Day => Grain::Day,
        Kept::Month => Grain::Month,
        Kept::Period => return period,
    };
    let Period { start, end } = grain.window(Timestamp::saturating_from_micros(at));
    Some((start.micros(), end.micros()))
}

/// What is known of a figure: none while it can't be told; its quantity, or that it has none.
type Expected = Option<Figure>;
/// A quantity, or none where there is no event.
type Figure = Option<Quantity>;

/// The figures as the model tells them, of the seals up to `positions`.
fn expected(
    all: &[Partition],
    asked: &Asked,
    positions: &[Position],
    at_rest: bool,
) -> BTreeMap<Key, Expected> {
    let (from, to) = asked.range();
    let mut parts = BTreeMap::<(i64, i64, Vec<String>), Vec<&Change>>::new();
    for (own, position) in all.iter().zip(positions) {
        for change in own.changes.iter().filter(|it| it.seal <= position.seal) {
            let it = &change.what;
            let is_asked = it.tenant == asked.tenant.as_str()
                && it.meter == asked.meter
                && it.version == asked.version;
            let values = match &asked.what {
                What::Total => Vec::new(),
                What::Groups(names) => names
                    .iter()
                    .map(|name| it.groups.get(name).cloned().unwrap_or_default())
                    .collect(),
                // Events without a subject are nobody's.
                What::EachSubject if it.subject.is_empty() => continue,
                What::EachSubject => vec![it.subject.clone()],
                What::Subject(subject) if *subject == it.subject => Vec::new(),
                What::Subject(_) => continue,
            };
            let Some((start, end)) = window(asked.step, it.time, it.period).filter(|_| is_asked)
            else {
                continue;
            };
            if from.micros() <= start && start < to.micros() {
                parts.entry((start, end, values)).or_default().push(change);
            }
        }
    }
    if at_rest {
        return parts.into_iter().map(|(key, changes)| (key, Some(figure(&changes)))).collect();
    }
    // What can't be subtracted from is put together anew behind the next write.
    let is_settled = |changes: &[&Change]| {
        changes.iter().all(|it| it.adds || SUBTRACTED.contains(&it.what.aggregation()))
    };
    let told = |changes: &[&Change]| is_settled(changes).then(|| figure(changes));
    parts.into_iter().map(|(key, changes)| (key, told(&changes))).collect()
}

fn figure(changes: &[&Change]) -> Option<Quantity> {
    let aggregation = changes.first().map(|it| it.what.aggregation())?;
    let number = |it: &&&Change| match it.what.value {
        Amount::Number(units) => units,
        Amount::Member(_) => 0,
    };
    let signed = |it: &&Change| if it.adds { number(&it) } else { -number(&it) };
    let count: i64 = changes.iter().map(|it| if it.adds { 1 } else { -1 }).sum();
    let stays = |it: &&&Change| {
        let same = |other: &&&Change| other.what == it.what;
        let (come, gone) = (changes.iter().filter(same), changes.iter().filter(same));
        come.filter(|it| it.adds).count() > gone.filter(|it| !it.adds).count()
    };
    let added = || changes.iter().filter(|it| it.adds).filter(stays);
    let sum: i128 = changes.iter().map(signed).sum();
    match aggregation {
        _ if count == 0 && SUBTRACTED.contains(&aggregation) => None,
        pb::Aggregation::Count => Some(Quantity::whole(count.unsigned_abs())),
        pb::Aggregation::Sum => Some(Quantity::from_units(sum)),
        pb::Aggregation::Average => {
            let (count, twice) = (i128::from(count), sum.abs() * 2 + i128::from(count));
            Some(Quantity::from_units(twice.div_euclid(count * 2) * sum.signum()))
        }
        pb::Aggregation::Min => added().map(|it| number(&it)).min().map(Quantity::from_units),
        pb::Aggregation::Max => added().map(|it| number(&it)).max().map(Quantity::from_units),
        pb::Aggregation::Last => {
            let last = added().max_by_key(|it| (it.what.time, it.what.place));
            last.map(|it| Quantity::from_units(number(&it)))
        }
        pb::Aggregation::UniqueCount => {
            let members: BTreeSet<_> = added().map(|it| &it.what.value).collect();
            (!members.is_empty()).then(|| Quantity::whole(members.len() as u64))
        }
        pb::Aggregation::Unspecified => None,
    }
}

/// By kind and place.
type Items = BTreeSet<(Kind, i64, u32, u64)>;

fn lists(
    (from, live): (&str, &LiveUsage),
    store: &MemoryStore,
    course: &Course,
    all: &[Partition],
    violations: &mut Vec<String>,
) {
    let names = (0..course.shaped.tenants).map(|it| tenant(it).to_string());
    for name in names.chain(["nobody".to_owned()]) {
        let (mut items, mut counts) = (Items::new(), BTreeMap::new());
        for (partition, own) in (0..).zip(all) {
            for (offset, it) in (0..).zip(&own.fated).filter(|(_, it)| it.name.0 == name) {
                let at = it.received_at.micros();
                let hour = at - at.rem_euclid(3_600_000_000);
                *counts.entry((hour, it.kind)).or_insert(0) += 1;
                if it.matched {
                    items.insert((Kind::Matched, at, partition, offset));
                    *counts.entry((hour, Kind::Matched)).or_insert(0) += 1;
                } else if it.kind.is_listed() {
                    items.insert((it.kind, at, partition, offset));
                }
            }
        }
        match pages(store, live, &name) {
            Ok(found) if found == items => {}
            Ok(found) => violations.push(format!(
                "SIM-28 {from}: the lists of {name} lack {:?} and have {:?}",
                items.difference(&found).take(3).collect::<Vec<_>>(),
                found.difference(&items).take(3).collect::<Vec<_>>()
            )),
            Err(error) => violations.push(format!("SIM-28 {from}: the lists of {name}: {error}")),
        }
        let (first, last) = (Timestamp::MIN, Timestamp::MAX);
        let found = reconcile(store, live, &name, first, last).now_or_never();
        let Some(Ok((hours, _))) = found else {
            violations.push(format!("SIM-28 {from}: nothing is told of the hours of {name}"));
            continue;
        };
        let told = hours.iter().flat_map(|(hour, counts)| {
            let kinds = Kind::ALL.into_iter().filter(|kind| kind.as_str() != "unusable");
            kinds.map(|kind| ((hour.micros(), kind), counts.of(kind)))
        });
        let told: BTreeMap<_, u64> = told.filter(|(_, count)| *count > 0).collect();
        if told != counts {
            violations.push(format!("SIM-28 {from}: {name} has by hour {told:?}, not {counts:?}"));
        }
    }
}

fn pages(store: &MemoryStore, live: &LiveUsage, name: &str) -> Result<Items, String> {
    let (mut items, mut after) = (Items::new(), None);
    loop {
        let wanted = Wanted {
            tenant: name,
            kinds: &Kind::ALL,
            from: Timestamp::saturating_from_micros(crate::exec::EPOCH_MICROS - 3_600_000_000),
            to: Timestamp::saturating_from_micros(crate::exec::EPOCH_MICROS + 800 * 86_400_000_000),
            after,
            limit: PAGE,
        };
        let page = listed(store, live, &wanted, &|_| true).now_or_never();
        let page = page.ok_or("waits")?.map_err(|error| error.to_string())?;
        for it in page.items {
            let place = (it.kind, it.received_at.micros(), it.source_partition, it.offset);
            // What one meter counts and another cannot use is told beside its fate.
            if it.kind.as_str() == "unusable" {
                continue;
            }
            if !items.insert(place) {
                return Err(format!("{place:?} comes twice"));
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(items),
        }
    }
}

/// Which seal tells of each record.
fn places(
    (from, live): (&str, &LiveUsage),
    store: &MemoryStore,
    all: &[Partition],
    violations: &mut Vec<String>,
) {
    for (partition, own) in (0..).zip(all) {
        for seal in own.seals.iter().filter(|it| it.from < it.to) {
            for offset in seal.from..seal.to {
                let found = seal_of(store, live, PartitionId(partition), offset).now_or_never();
                let told = found.and_then(Result::ok).flatten();
                let is_it = told.is_some_and(|it| {
                    (it.seq, it.offset, it.from, it.to, it.through.micros())
                        == (seal.seq, seal.offset, seal.from, seal.to, seal.through)
                });
                if !is_it {
                    violations.push(format!(
                        "SIM-28 {from}: record {offset} of usage partition {partition} is said to be in {told:?}, not {seal:?}"
                    ));
                    return;
                }
            }
        }
    }
}
