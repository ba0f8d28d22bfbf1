//! What an environment makes of a flag, set whole. A split of the same rule, salt and
//! unit as before keeps its slots as far as the new weights allow.

use exchequer_flag_eval::{Outcome, Split, TARGETING_KEY};
use exchequer_types::Slug;

use super::{check_compiles, check_size, environment, open_flag, project};
use crate::{Environment, Event, Flag, Rejection, State, Targeting};

/// A split without a salt gets the environment's and the flag's; one without a unit
/// splits by the targeting key. Slots that it has are not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetTargeting {
    pub project: Slug,
    pub flag: Slug,
    pub environment: Slug,
    pub targeting: Targeting,
}

impl SetTargeting {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        let project = project(state, &self.project)?;
        let flag = open_flag(project, &self.flag)?;
        let environment = environment(project, &self.environment)?;
        let before = flag.targeting.get(&self.environment);
        let targeting = self.laid_out(environment, before);
        check_compiles(&self.flag, &flag.definition, &targeting, "targeting", "targeting.")?;
        if targeting == before.cloned().unwrap_or_default() {
            return Err(Rejection::Unchanged);
        }
        let mut after = flag.clone();
        after.targeting.insert(self.environment.clone(), targeting.clone());
        check_size(state, Some(flag), &after)?;
        Ok(vec![Event::TargetingSet {
            project: self.project.clone(),
            flag: self.flag.clone(),
            environment: self.environment.clone(),
            targeting,
        }])
    }

    /// With slots in all splits whose weights make a whole.
    fn laid_out(&self, environment: &Environment, before: Option<&Targeting>) -> Targeting {
        let mut targeting = self.targeting.clone();
        for rule in &mut targeting.rules {
            let before = before.and_then(|it| it.rules.iter().find(|it| it.id == rule.id));
            self.lay_out(&mut rule.outcome, environment, before.map(|it| &it.outcome));
        }
        if let Some(outcome) = &mut targeting.fallthrough {
            self.lay_out(outcome, environment, before.and_then(|it| it.fallthrough.as_ref()));
        }
        targeting
    }

    fn lay_out(&self, outcome: &mut Outcome, environment: &Environment, before: Option<&Outcome>) {
        let Outcome::Split(split) = outcome else { return };
        if split.salt.is_empty() {
            split.salt = format!("{}.{}", environment.salt, self.flag);
        }
        if split.by.is_empty() {
            TARGETING_KEY.clone_into(&mut split.by);
        }
        for share in &mut split.shares {
            share.slots.clear();
        }
        let before = match before {
            Some(Outcome::Split(before)) => Some(before),
            _ => None,
        };
        // What is wrong with the weights is told with its path when it is compiled.
        if let Ok(laid_out) = split.lay_out(before) {
            *split = laid_out;
        }
    }
}

/// The split of a rule, or of the fallthrough.
pub(super) fn split_of<'a>(
    flag: &'a Flag,
    environment: &Slug,
    rule: Option<&str>,
) -> Option<&'a Split> {
    let targeting = flag.targeting.get(environment)?;
    let outcome = match rule {
        Some(id) => targeting.rules.iter().find(|it| it.id == id).map(|it| &it.outcome),
        None => targeting.fallthrough.as_ref(),
    };
    match outcome {
        Some(Outcome::Split(split)) => Some(split),
        _ => None,
    }
}
