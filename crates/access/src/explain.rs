//! Why: every grant that was looked at, and what it said.

use exchequer_types::{Slug, Timestamp};

use crate::{Grant, Permission, Policy, Principal, Rule, Target};

/// One grant of a principal, and what it says to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look<'p> {
    pub grant: &'p Grant,
    pub team: Option<&'p Slug>,
    pub rule: Rule<'p>,
}

impl Policy {
    /// All grants of `who` with what each says, in the order in which they are asked.
    pub fn explain<'p>(
        &'p self,
        who: &Principal,
        permission: Permission,
        target: &Target<'_>,
        now: Timestamp,
    ) -> Vec<Look<'p>> {
        let look = |(held, team): (&'p crate::policy::Held, Option<&'p Slug>)| Look {
            grant: &held.grant,
            team,
            rule: held.judge(team, permission, target, now),
        };
        self.held(who).map(look).collect()
    }
}
