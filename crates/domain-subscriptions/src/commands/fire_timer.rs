//! The next thing due has come.

use std::collections::BTreeMap;

use exchequer_kernel::Ctx;
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_types::Exceeded;

use crate::draft::Draft;
use crate::subscription::{Entry, Subscription, Timer};
use crate::{Event, Rejection, State, check};

/// Decides one due instant, and sets the timer for the next one. A clock that is far
/// ahead fires one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FireTimer {
    pub timer: String,
    /// Of the changes that fall due, by the entry's id: limits of what is to be held that
    /// are below what is used now.
    pub exceeded: BTreeMap<String, Vec<Exceeded>>,
}

impl FireTimer {
    /// Acts only while its timer is pending.
    pub(crate) fn decide(&self, state: &State, ctx: &Ctx) -> Result<Vec<Event>, Rejection> {
        let (subscription, timer) =
            pending(state, &self.timer).ok_or(Rejection::TimerNotPending)?;
        let mut draft = Draft::of(subscription, ctx);
        let due = if mutation::active(Mutation::DueInstant) { ctx.now } else { timer.due };
        draft.fall_due(due, |entry| self.refused(entry).map(<[_]>::to_vec))?;
        Ok(draft.finish(Some(&self.timer)))
    }

    /// The limits for which the plan of `entry` refuses the change.
    pub(crate) fn refused(&self, entry: &Entry) -> Option<&[Exceeded]> {
        let exceeded = self.exceeded.get(&entry.id)?;
        check::is_refused(&entry.holding, exceeded).then_some(exceeded)
    }
}

/// The subscription whose pending timer has this id, and the timer.
pub(crate) fn pending<'a>(state: &'a State, timer: &str) -> Option<(&'a Subscription, &'a Timer)> {
    let subscription = state.current.as_ref()?;
    let pending = subscription.timer.as_ref().filter(|it| it.id == timer)?;
    Some((subscription, pending))
}
