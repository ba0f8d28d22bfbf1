//! Soft limits compared with what meters measure: which percentages are to be told of. Pure;
//! where the figures come from is a trait.

use exchequer_domain_quotas::{Command, NoteThreshold, State, reaches};
use exchequer_types::{Period, Quantity, Slug, TenantId, Timestamp};
use futures::future::BoxFuture;

/// The issuer of the commands. Never changes.
pub const NAME: &str = "thresholds";
const MICROS_PER_MINUTE: i64 = 60_000_000;

/// What meters measure.
pub trait Figures: Send + Sync {
    /// What `meter` has counted for the tenant in `window`, of everything that is durable.
    /// Without a window: since it was made. None when there is no such meter, or nothing is
    /// known of it yet. An error is for the log; it is asked again.
    fn measured<'a>(
        &'a self,
        tenant: &'a TenantId,
        meter: &'a Slug,
        window: Option<Period>,
    ) -> BoxFuture<'a, Result<Option<Quantity>, String>>;
}

/// One percentage that is to be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The command's id.
    pub id: String,
    pub command: Command,
}

/// A window of a soft limit whose use is measured, in which there is something left to be
/// told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    pub feature: Slug,
    pub meter: Slug,
    /// None: counting never begins anew.
    pub window: Option<Period>,
    limit: u64,
    /// Percentages that nobody was told of.
    open: Vec<u32>,
    /// Of the instant, since the epoch. A percentage may have to be told of anew in the same
    /// window at the same limit: a plan went up and down, a sandbox's clock moved on. The
    /// first telling would be the answer for days if it had the same id.
    minute: i64,
}

impl Watched {
    /// What there is to compare of the feature at `now`, in the tenant's time: the window that
    /// ended last, whose events nobody may have compared before it did, and the present one.
    pub fn of(state: &State, feature: &Slug, now: Timestamp) -> Vec<Self> {
        let quota = state.quota(feature).filter(|it| it.terms.is_metered());
        let Some(quota) = quota.map(|it| it.at(now)) else { return Vec::new() };
        let limit = quota.terms.limit.filter(|limit| *limit > 0);
        let (Some(limit), Some(meter)) = (limit, &quota.terms.meter) else { return Vec::new() };
        let minute = now.micros().div_euclid(MICROS_PER_MINUTE);
        let of = |window: Option<Period>, noted: &[u32]| {
            let all = quota.terms.thresholds.iter().copied();
            let open: Vec<u32> = all.filter(|it| !noted.contains(it)).collect();
            let (feature, meter) = (feature.clone(), meter.clone());
            (!open.is_empty()).then_some(Self { feature, meter, window, limit, open, minute })
        };
        let before = quota.before.as_ref().and_then(|it| of(Some(it.window), &it.noted));
        before.into_iter().chain(of(quota.window, &quota.noted)).collect()
    }

    /// What is to be told when so much is measured, lowest percentage first.
    pub fn notes(&self, used: Quantity) -> Vec<Note> {
        let reached = self.open.iter().filter(|percent| reaches(used, self.limit, **percent));
        let window_start = self.window.map(|it| it.start);
        let notes = reached.map(|percent| Note {
            id: format!(
                "{}/{}/{percent}/{}/{}",
                self.feature,
                window_start.map_or(0, Timestamp::micros),
                self.limit,
                self.minute
            ),
            command: Command::NoteThreshold(NoteThreshold {
                feature: self.feature.clone(),
                window_start,
                percent: *percent,
                used,
            }),
        });
        notes.collect()
    }
}

/// When the first window of the tenant's limits whose use is measured ends: it is looked at
/// again then, as events may lie ahead of it.
pub fn next_end(state: &State, now: Timestamp) -> Option<Timestamp> {
    let metered = state.quotas().filter(|it| it.terms.is_metered());
    metered.filter_map(|it| it.at(now).resets_at()).min()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use exchequer_domain_quotas::{Beyond, Counting, Event, Figures as Taken, Terms};
    use exchequer_types::CycleUnit;
    use futures::FutureExt as _;

    use super::*;

    const DAY: i64 = 86_400;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::saturating_from_micros(seconds * 1_000_000)
    }

    fn slug(text: &str) -> Slug {
        Slug::parse(text).unwrap()
    }

    fn soft() -> Terms {
        Terms {
            limit: Some(10),
            beyond: Beyond::Bill,
            counting: Some(Counting::calendar(CycleUnit::Day)),
            meter: Some(slug("ai-queries")),
            thresholds: vec![50, 80, 100],
            ..Terms::default()
        }
    }

    fn state(terms: Terms, noted: &[u32]) -> State {
        let mut state = State::default();
        state.take_figures(&Event::Limited {
            feature: slug("queries"),
            window: terms.counting.and_then(|it| it.window_at(at(0))),
            terms: Arc::new(terms),
            figures: Taken::default(),
            noted: noted.to_vec(),
        });
        state
    }

    /// What a meter would say, by tenant and window.
    struct Told(BTreeMap<(String, i64), &'static str>);

    impl Figures for Told {
        fn measured<'a>(
            &'a self,
            tenant: &'a TenantId,
            meter: &'a Slug,
            window: Option<Period>,
        ) -> BoxFuture<'a, Result<Option<Quantity>, String>> {
            assert_eq!(meter.as_str(), "ai-queries");
            let start = window.map_or(0, |it| it.start.micros() / 1_000_000);
            let told = self.0.get(&(tenant.to_string(), start)).copied();
            async move { Ok(told.map(|it| Quantity::parse(it).unwrap())) }.boxed()
        }
    }

    fn ids(state: &State, now: Timestamp, figures: &Told) -> Vec<String> {
        let tenant = TenantId::parse("acme").unwrap();
        let mut ids = Vec::new();
        for watched in Watched::of(state, &slug("queries"), now) {
            let measured = figures.measured(&tenant, &watched.meter, watched.window);
            let Ok(Some(used)) = measured.now_or_never().unwrap() else { continue };
            ids.extend(watched.notes(used).into_iter().map(|it| it.id));
        }
        ids
    }

    // REQ: USE-06
    #[test]
    fn each_percentage_is_told_of_in_its_window() {
        let figures = Told(BTreeMap::from([
            (("acme".to_owned(), 0), "7.9"),
            (("acme".to_owned(), DAY), "12"),
        ]));
        assert_eq!(ids(&state(soft(), &[]), at(5), &figures), ["queries/0/50/10/0"]);
        let later = ids(&state(soft(), &[]), at(60), &figures);
        assert_eq!(later, ["queries/0/50/10/1"], "not the same command for ever");
        assert_eq!(ids(&state(soft(), &[50]), at(5), &figures), Vec::<String>::new());
        let tomorrow = ids(&state(soft(), &[50]), at(DAY + 5), &figures);
        let start = "86400000000";
        let all = [50, 80, 100].map(|percent| format!("queries/{start}/{percent}/10/{}", DAY / 60));
        assert_eq!(tomorrow, all, "another window, in which nothing was told of yet");
    }

    // REQ: USE-06
    #[test]
    fn a_window_that_ended_before_anybody_looked_is_told_of_all_the_same() {
        let figures = Told(BTreeMap::from([(("acme".to_owned(), 0), "9")]));
        let later = ids(&state(soft(), &[50]), at(3 * DAY), &figures);
        assert_eq!(later, [format!("queries/0/80/10/{}", 3 * DAY / 60)]);
        let all = state(soft(), &[50, 80, 100]);
        assert!(ids(&all, at(3 * DAY), &figures).is_empty());
        assert_eq!(next_end(&all, at(5)), Some(at(DAY)));
        assert_eq!(next_end(&all, at(3 * DAY)), Some(at(4 * DAY)));
        assert_eq!(next_end(&State::default(), at(5)), None);
    }

    // REQ: USE-06
    #[test]
    fn only_soft_limits_that_are_measured_are_watched() {
        let watched = |terms: Terms, noted: &[u32]| {
            !Watched::of(&state(terms, noted), &slug("queries"), at(5)).is_empty()
        };
        assert!(watched(soft(), &[]));
        assert!(!watched(soft(), &[50, 80, 100]), "all was told of");
        assert!(!watched(Terms { beyond: Beyond::Refuse, ..soft() }, &[]));
        assert!(!watched(Terms { meter: None, ..soft() }, &[]));
        assert!(!watched(Terms { limit: None, ..soft() }, &[]));
        assert!(!watched(Terms { limit: Some(0), ..soft() }, &[]));
        assert!(Watched::of(&State::default(), &slug("queries"), at(5)).is_empty());
        let gauge =
            Watched::of(&state(Terms { counting: None, ..soft() }, &[]), &slug("queries"), at(5));
        assert_eq!(gauge.len(), 1, "it never ends");
        let notes = gauge[0].notes(Quantity::whole(5));
        assert_eq!(notes[0].id, "queries/0/50/10/0");
    }
}
