//! Other weights for a split that stands. Whoever is in a share that does not shrink
//! stays in it.

use exchequer_flag_eval::{Outcome, Share, Split, Violation, codes};
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
        self.check_complete(before)?;
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

impl GrowRollout {
    /// A variant is taken out of a split by the weight 0, never by leaving it out.
    fn check_complete(&self, before: &Split) -> Result<(), Rejection> {
        let is_named = |share: &&Share| self.weights.iter().any(|(it, _)| *it == share.variant);
        let missing = before.shares.iter().filter(|share| !is_named(share));
        let missing: Vec<&str> = missing.map(|share| share.variant.as_str()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let message = format!(
            "must name every variant of the split: {} is missing; 0 serves a variant to nobody",
            missing.join(", ")
        );
        let (path, code) = ("weights".to_owned(), codes::FLAG_WEIGHTS_INVALID);
        Err(Rejection::Invalid {
            field: "weights",
            violations: vec![Violation { path, code, message }],
        })
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
