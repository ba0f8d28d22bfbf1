//! Soft limits compared with what meters measure: which percentages are to be told of. Pure;
//! where the figures come from is a trait.

use exchequer_domain_quotas::{Command, NoteThreshold, Quota, State, reaches};
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

/// A soft limit whose use is measured, as it is at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    pub quota: Quota,
    pub meter: Slug,
    /// Of the instant, since the epoch. A percentage may have to be told of anew in the same
    /// window at the same limit: a plan went up and down, a sandbox's clock moved on. The
    /// first telling would be the answer for days if it had the same id.
    minute: i64,
}

impl Watched {
    /// The feature's quota at `now`. None when it is not measured, or nothing is left to be
    /// told of in this window.
    pub fn of(state: &State, feature: &Slug, now: Timestamp) -> Option<Self> {
        let quota = state.quota(feature).filter(|it| it.terms.is_metered())?.at(now);
        let meter = quota.terms.meter.clone()?;
        let has_news = quota.terms.thresholds.iter().any(|it| !quota.noted.contains(it));
        let has_limit = quota.terms.limit.is_some_and(|limit| limit > 0);
        let minute = now.micros().div_euclid(MICROS_PER_MINUTE);
        (has_news && has_limit).then_some(Self { quota, meter, minute })
    }

    /// What is to be told when so much is measured, lowest percentage first.
    pub fn notes(&self, used: Quantity) -> Vec<Note> {
        let quota = &self.quota;
        let Some(limit) = quota.terms.limit else { return Vec::new() };
        let reached =
            quota.terms.thresholds.iter().filter(|percent| {
                !quota.noted.contains(percent) && reaches(used, limit, **percent)
            });
        let window_start = quota.window.map(|it| it.start);
        let notes = reached.map(|percent| Note {
            id: format!(
                "{}/{}/{percent}/{limit}/{}",
                quota.feature,
                window_start.map_or(0, Timestamp::micros),
                self.minute
            ),
            command: Command::NoteThreshold(NoteThreshold {
                feature: quota.feature.clone(),
                window_start,
                percent: *percent,
                used,
            }),
        });
        notes.collect()
    }
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
        let Some(watched) = Watched::of(state, &slug("queries"), now) else { return vec![] };
        let tenant = TenantId::parse("acme").unwrap();
        let window = watched.quota.window;
        let measured = figures.measured(&tenant, &watched.meter, window).now_or_never();
        let Ok(Some(used)) = measured.unwrap() else { return vec![] };
        watched.notes(used).into_iter().map(|it| it.id).collect()
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
        assert!(ids(&state(soft(), &[]), at(3 * DAY), &figures).is_empty(), "nothing measured");
    }

    // REQ: USE-06
    #[test]
    fn only_soft_limits_that_are_measured_are_watched() {
        let watched = |terms: Terms, noted: &[u32]| {
            Watched::of(&state(terms, noted), &slug("queries"), at(5)).is_some()
        };
        assert!(watched(soft(), &[]));
        assert!(!watched(soft(), &[50, 80, 100]), "all was told of");
        assert!(!watched(Terms { beyond: Beyond::Refuse, ..soft() }, &[]));
        assert!(!watched(Terms { meter: None, ..soft() }, &[]));
        assert!(!watched(Terms { limit: None, ..soft() }, &[]));
        assert!(!watched(Terms { limit: Some(0), ..soft() }, &[]));
        assert!(Watched::of(&State::default(), &slug("queries"), at(5)).is_none());
        let gauge =
            Watched::of(&state(Terms { counting: None, ..soft() }, &[]), &slug("queries"), at(5));
        let notes = gauge.unwrap().notes(Quantity::whole(5));
        assert_eq!(notes[0].id, "queries/0/50/10/0");
    }
}
