//! A figure of one tenant, meter and stretch of time, put together from what each sealed
//! event adds.

use std::collections::BTreeMap;
use std::sync::Arc;

use exchequer_metering::{Aggregation, Bucket, Contribution, Meter, Place, Sign};
use exchequer_types::{Offset, Period, QuantityError, Slug, TenantId};
use serde::Serialize;

use super::seals::SealAt;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub tenant: TenantId,
    pub meter: Slug,
    /// Of event time.
    pub period: Period,
}

/// A figure, and what it was computed from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FigureReport {
    pub tenant: String,
    pub meter: String,
    pub start: String,
    pub end: String,
    /// One for each version that counted, ascending: versions are never added up.
    pub versions: Vec<VersionReport>,
    /// Seals whose events add something.
    pub seals: Vec<SealReport>,
    /// Why a part could not be added, if that is so.
    pub problem: Option<String>,
}

/// What one version of the meter comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VersionReport {
    pub version: u32,
    pub aggregation: &'static str,
    pub unit: String,
    pub events: u64,
    /// Absent where no event has a value.
    pub figure: Option<String>,
    pub group_by: Vec<String>,
    pub groups: Vec<GroupReport>,
}

/// What one group comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupReport {
    /// In the order of `group_by`.
    pub group: Vec<String>,
    pub figure: Option<String>,
}

/// A seal that was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SealReport {
    pub partition: u32,
    /// In the partition of the seals.
    pub offset: Offset,
    pub seq: u64,
    pub hash: String,
}

/// A figure in the making.
#[derive(Debug)]
pub(super) struct Figure {
    asked: Asked,
    versions: BTreeMap<u32, Version>,
    seals: Vec<SealReport>,
    problem: Option<String>,
}

#[derive(Debug)]
struct Version {
    meter: Arc<Meter>,
    events: u64,
    groups: BTreeMap<Arc<[Arc<str>]>, Group>,
}

/// What was added to one group.
#[derive(Debug)]
enum Group {
    /// From which a part can be taken away.
    Whole(Bucket),
    /// By event, where nothing can be taken away from the whole.
    Parts(BTreeMap<Place, Bucket>),
}

impl Group {
    fn of(aggregation: Aggregation) -> Self {
        match aggregation {
            Aggregation::Count | Aggregation::Sum | Aggregation::Average => {
                Self::Whole(Bucket::empty(aggregation))
            }
            _ => Self::Parts(BTreeMap::new()),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Bucket> {
        let (whole, parts) = match self {
            Self::Whole(whole) => (Some(whole), None),
            Self::Parts(parts) => (None, Some(parts.values())),
        };
        whole.into_iter().chain(parts.into_iter().flatten())
    }

    fn add(&mut self, place: Place, part: Bucket) -> Result<(), String> {
        match self {
            Self::Whole(whole) => whole.add(part).map_err(|error| error.to_string()),
            Self::Parts(parts) => {
                parts.insert(place, part);
                Ok(())
            }
        }
    }

    /// What a corrected event had added is taken away again.
    fn take_back(&mut self, place: Place, part: &Bucket) -> Result<(), String> {
        let bucket = match self {
            Self::Whole(bucket) => bucket,
            Self::Parts(parts) => {
                parts.remove(&place);
                return Ok(());
            }
        };
        let less = |one: u64, other: u64| {
            one.checked_sub(other).ok_or_else(|| "more was taken back than was counted".to_owned())
        };
        let taken = |error: QuantityError| error.to_string();
        match (bucket, part) {
            (Bucket::Count(count), Bucket::Count(one)) => *count = less(*count, *one)?,
            (Bucket::Sum(sum), Bucket::Sum(one)) => *sum = sum.checked_sub(*one).map_err(taken)?,
            (
                Bucket::Average { sum, count },
                Bucket::Average { sum: one_sum, count: one_count },
            ) => {
                *sum = sum.checked_sub(*one_sum).map_err(taken)?;
                *count = less(*count, *one_count)?;
            }
            _ => return Err("parts of two aggregations cannot be put together".to_owned()),
        }
        Ok(())
    }
}

impl Figure {
    pub(super) fn new(asked: &Asked) -> Self {
        let asked = asked.clone();
        Self { asked, versions: BTreeMap::new(), seals: Vec::new(), problem: None }
    }

    /// Adds what of `contributions` belongs to the figure. All are of `seal`.
    pub(super) fn add(&mut self, partition: u32, seal: &SealAt, contributions: &[Contribution]) {
        let mut is_used = false;
        for it in contributions {
            // Periods are asked for by their ends, and those are told of events' own times.
            if it.sign.is_of_period() || !is_asked(&self.asked, it) {
                continue;
            }
            is_used = true;
            if let Err(error) = self.add_one(it) {
                self.problem.get_or_insert(error);
            }
        }
        if is_used {
            let (offset, seq) = (seal.offset, seal.seal.seq);
            self.seals.push(SealReport { partition, offset, seq, hash: seal.hash.to_hex() });
        }
    }

    fn add_one(&mut self, it: &Contribution) -> Result<(), String> {
        let aggregation = it.meter.aggregation;
        let version = self.versions.entry(it.meter.version).or_insert_with(|| Version {
            meter: Arc::clone(&it.meter),
            events: 0,
            groups: BTreeMap::new(),
        });
        let group = version.groups.entry(Arc::clone(&it.groups));
        let group = group.or_insert_with(|| Group::of(aggregation));
        let part = it.bucket().map_err(|error| error.to_string())?;
        match it.sign {
            Sign::Adds => {
                version.events += 1;
                group.add(it.place, part)
            }
            Sign::MovesIn | Sign::MovesOut => Ok(()),
            Sign::TakesBack => {
                version.events = version.events.saturating_sub(1);
                group.take_back(it.place, &part)
            }
        }
    }

    pub(super) fn report(self) -> FigureReport {
        let mut problem = self.problem;
        let versions = self.versions.into_iter().map(|(version, it)| {
            let mut whole = Bucket::empty(it.meter.aggregation);
            let figure = |bucket: &Bucket| bucket.figure().map(|it| it.to_string());
            let mut groups = Vec::new();
            for (group, parts) in &it.groups {
                let mut bucket = Bucket::empty(it.meter.aggregation);
                for part in parts.iter() {
                    let added = bucket.add(part.clone()).and_then(|()| whole.add(part.clone()));
                    if let Err(error) = added {
                        problem.get_or_insert_with(|| error.to_string());
                    }
                }
                let group = group.iter().map(ToString::to_string).collect();
                groups.push(GroupReport { group, figure: figure(&bucket) });
            }
            VersionReport {
                version,
                aggregation: it.meter.aggregation.as_str(),
                unit: it.meter.unit.clone(),
                events: it.events,
                figure: figure(&whole),
                group_by: it.meter.group_by.iter().map(|it| it.name.to_string()).collect(),
                groups,
            }
        });
        let versions = versions.collect();
        FigureReport {
            tenant: self.asked.tenant.to_string(),
            meter: self.asked.meter.to_string(),
            start: self.asked.period.start.to_string(),
            end: self.asked.period.end.to_string(),
            versions,
            seals: self.seals,
            problem,
        }
    }
}

fn is_asked(asked: &Asked, it: &Contribution) -> bool {
    *it.tenant == asked.tenant && it.meter.key == asked.meter && asked.period.contains(it.time)
}
