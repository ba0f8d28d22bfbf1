//! What a store tells of usage: answers to everything that can be asked, and the rows that
//! do not depend on how much was written at once.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeSet;

use exchequer_e2e::Res;
use exchequer_metering::Grain;
use exchequer_projection_usage::{
    Figures, GENERATION, Kept, Kind, LiveUsage, Query, Step, TOP_MAX, USAGE_CHECKPOINTS,
    USAGE_COMMON, USAGE_FATES, USAGE_LISTED, USAGE_SEALS, USAGE_SETS, USAGE_WINDOWS, Wanted,
    listed, query, reconcile,
};
use exchequer_readstore::{MemoryStore, ReadStore, Row, Table};
use exchequer_readstore_scylla::ScyllaReadStore;
use exchequer_types::{Hash, TenantId, Timestamp};

use crate::usage::{MODEL, TOKENS, USERS};
use crate::world::PARTITIONS;

/// Which figures stand in which row depends on what was written together.
pub(crate) const FIGURES: &[&Table] = &[&USAGE_COMMON, &USAGE_WINDOWS, &USAGE_SETS];
/// The same however it was written.
pub(crate) const ROWS: &[&Table] = &[&USAGE_CHECKPOINTS, &USAGE_FATES, &USAGE_LISTED, &USAGE_SEALS];
/// Of a checkpoint, the place in the log. A seal that adds nothing waits in memory for the
/// next one that does, and the rest tells of who wrote it.
const PLACE: usize = 1;
const LISTED_MAX: usize = 1_000_000;
/// No tenant of a run has billing periods.
const KEPT: [Kept; 4] = [Kept::Minute, Kept::Hour, Kept::Day, Kept::Month];

/// A store of usage in which everything is written.
pub(crate) enum Told<'a> {
    Memory(&'a MemoryStore),
    Deployment(&'a ScyllaReadStore),
}

/// Which of a meter's figures.
#[derive(Clone, Copy, Debug)]
enum By {
    Nothing,
    Model,
    Subject,
}

/// What is asked of a tenant's figures.
#[derive(Clone, Copy, Debug)]
struct Question {
    meter: &'static str,
    by: By,
    kept: Kept,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {:?} and {:?}", self.meter, self.by, self.kept)
    }
}

impl Told<'_> {
    /// What differs from what the other one tells of these tenants between two times; empty
    /// when all is the same.
    pub(crate) async fn compare(
        &self,
        other: &Told<'_>,
        tenants: impl Iterator<Item = &String>,
        times: (Timestamp, Timestamp),
    ) -> Res<Vec<String>> {
        let mut wrong = Vec::new();
        for table in ROWS {
            let both = (self.rows(table).await?, other.rows(table).await?);
            wrong.extend(difference(table.name, &both.0, &both.1));
        }
        let mut unanswered: BTreeSet<String> = questions().map(|it| it.to_string()).collect();
        for tenant in tenants {
            for asked in questions() {
                let here = self.figures(tenant, asked, times).await?;
                let there = other.figures(tenant, asked, times).await?;
                wrong.extend(difference(&format!("{tenant}, {asked}"), &here, &there));
                if !here.is_empty() {
                    unanswered.remove(&asked.to_string());
                }
            }
            let both = (self.fates(tenant, times).await?, other.fates(tenant, times).await?);
            wrong.extend(difference(&format!("{tenant}, fates"), &both.0, &both.1));
        }
        wrong.extend(unanswered.iter().map(|it| format!("nobody has {it}: nothing is compared")));
        Ok(wrong)
    }

    fn store(&self) -> &dyn ReadStore {
        match self {
            Self::Memory(store) => *store,
            Self::Deployment(store) => *store,
        }
    }

    async fn rows(&self, table: &'static Table) -> Res<Vec<String>> {
        let rows = match self {
            Self::Memory(store) => store.snapshot(table, GENERATION),
            Self::Deployment(store) => store.snapshot(table, GENERATION).await?,
        };
        let shown = |mut row: Row| {
            if table.name == USAGE_CHECKPOINTS.name {
                row.values = vec![row.values.swap_remove(PLACE)];
            }
            format!("{:?} {:?}", row.key, row.values)
        };
        Ok(rows.into_iter().map(shown).collect())
    }

    /// Windows of a meter, each with all of its figures.
    async fn figures(
        &self,
        tenant: &str,
        Question { meter, by, kept }: Question,
        times: (Timestamp, Timestamp),
    ) -> Res<Vec<String>> {
        let tenant = TenantId::parse(tenant)?;
        let (from, to) = whole(kept, times);
        let asked = Query {
            tenant: &tenant,
            meter,
            version: None,
            from,
            to,
            step: Step::Of(kept),
            subject: None,
            by_subject: matches!(by, By::Subject),
            group_by: if matches!(by, By::Model) { vec![MODEL.to_owned()] } else { Vec::new() },
            filters: Vec::new(),
            top: TOP_MAX,
            lateness: Duration::ZERO,
            seen: &[],
        };
        // Nothing is held in memory: what is told is what is written.
        let answer = query(self.store(), &LiveUsage::new(PARTITIONS), &asked).await?;
        // Whether one is open still depends on the last seal that adds nothing.
        let shown = |it: &Figures| format!("{:?} {} {:?}", it.window, it.version, it.groups);
        Ok(answer.windows.iter().map(shown).collect())
    }

    /// What was not simply counted, and how many records of each hour had which fate.
    async fn fates(&self, tenant: &str, times: (Timestamp, Timestamp)) -> Res<Vec<String>> {
        let (from, to) = whole(Kept::Hour, times);
        let live = LiveUsage::new(PARTITIONS);
        let wanted = Wanted { tenant, kinds: &Kind::ALL, from, to, after: None, limit: LISTED_MAX };
        let list = listed(self.store(), &live, &wanted, &|_| true).await?;
        let (hours, _) = reconcile(self.store(), &live, tenant, from, to).await?;
        let items = list.items.iter().map(|it| format!("{it:?}"));
        Ok(items.chain(hours.iter().map(|it| format!("{it:?}"))).collect())
    }
}

/// Everything that can be asked of a tenant's meters in a run.
fn questions() -> impl Iterator<Item = Question> {
    let (tokens, users) = (TOKENS, USERS);
    let of_meters = [
        (tokens, By::Nothing),
        (tokens, By::Model),
        (tokens, By::Subject),
        (users, By::Nothing),
        (users, By::Subject),
    ];
    let each = move |(meter, by)| KEPT.map(|kept| Question { meter, by, kept });
    of_meters.into_iter().flat_map(each)
}

/// The windows in which these times are.
fn whole(kept: Kept, (from, to): (Timestamp, Timestamp)) -> (Timestamp, Timestamp) {
    let grain = match kept {
        Kept::Minute => Grain::Minute,
        Kept::Hour => Grain::Hour,
        Kept::Day => Grain::Day,
        Kept::Month | Kept::Period => Grain::Month,
    };
    (grain.window(from).start, grain.window(to).end)
}

/// What is not the same, and where it begins; none when the hashes of both are one.
fn difference(what: &str, here: &[String], there: &[String]) -> Option<String> {
    let hash = |all: &[String]| Hash::blake3(all.join("\n").as_bytes());
    if hash(here) == hash(there) {
        return None;
    }
    let (told, wanted) = (there.len(), here.len());
    let at = here.iter().zip(there).take_while(|(here, there)| here == there).count();
    let (here, there) = (here.get(at), there.get(at));
    Some(format!("{what}: {told} told, must be {wanted}; {at} is {there:?}, must be {here:?}"))
}
