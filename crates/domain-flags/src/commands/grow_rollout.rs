//! Other weights for a split that stands. Whoever is in a share that does not shrink
//! stays in it.

use exchequer_flag_eval::{Outcome, Split};
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_types::Slug;

use super::set_targeting::split_of;
use super::{check_compiles, check_size, environment, open_flag, project};
use crate::{Event, Rejection, State, Targeting};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrowRollout {
    pub project: Slug,
    pub flag: Slug,
    pub environment: Slug,
    /// The rule that splits; None: the fallthrough.
    pub rule: Option<String>,
    /// By variant, for all of them. They sum to 100,000.
    pub weights: Vec<(String, u32)>,
}

impl GrowRollout {
    pub(crate) fn decide(&self, state: &State) -> Result<Vec<Event>, Rejection> {
        let project = project(state, &self.project)?;
        let flag = open_flag(project, &self.flag)?;
        environment(project, &self.environment)?;
        let before = split_of(flag, &self.environment, self.rule.as_deref())
            .ok_or(Rejection::SplitNotFound)?;
        let weights = self.weights.iter().map(|(variant, weight)| (variant.as_str(), *weight));
        let split = Split::weighted(before.salt.as_str(), before.by.as_str(), weights);
        // What is wrong with the weights is told with its path when it is compiled.
        let kept = Some(before).filter(|_| !mutation::active(Mutation::SlotsStay));
        let split = split.lay_out(kept).unwrap_or(split);
        let alone =
            Targeting { fallthrough: Some(Outcome::Split(split.clone())), ..Targeting::default() };
        check_compiles(&self.flag, &flag.definition, &alone, "weights", "").map_err(renamed)?;
        if split == *before {
            return Err(Rejection::Unchanged);
        }
        let grown = Event::RolloutGrown {
            project: self.project.clone(),
            flag: self.flag.clone(),
            environment: self.environment.clone(),
            rule: self.rule.clone(),
            split,
        };
        let mut after = state.clone();
        crate::evolve::evolve(&mut after, &grown, flag.updated_at);
        if let Some(after) =
            after.projects.get(&self.project).and_then(|it| it.flags.get(&self.flag))
        {
            check_size(state, Some(flag), after)?;
        }
        Ok(vec![grown])
    }
}

/// The request has weights where the flag has shares.
fn renamed(rejection: Rejection) -> Rejection {
    match rejection {
        Rejection::Invalid { field, mut violations } => {
            for violation in &mut violations {
                violation.path = violation.path.replacen("fallthrough.split.shares", "weights", 1);
            }
            Rejection::Invalid { field, violations }
        }
        other => other,
    }
}
