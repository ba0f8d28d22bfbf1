//! What of a list its caller may see: all of it, or what lies where its grants hold. Only
//! for permissions to read, for which it does not matter what is production.

use std::sync::Arc;

use exchequer_access::{Permission, Place, Policy, Target, Verdict};
use exchequer_types::Timestamp;
use tonic::Status;

use super::caller::Caller;
use super::judge::{About, Denied, Judge};
use super::rules::Need;

/// Lets through what the caller may see.
#[derive(Debug)]
pub(crate) enum Sieve {
    All,
    Part {
        policy: Arc<Policy>,
        place: Place,
        permission: Permission,
        now: Timestamp,
    },
    /// What was allowed a moment ago is so no more.
    Nothing,
}

impl Judge {
    /// What `caller` may see of a list about `about`. Everything where access is not
    /// controlled, and so nobody is a caller.
    pub(crate) async fn sieve(
        &self,
        caller: Option<&Caller>,
        permission: Permission,
        about: &About<'_>,
    ) -> Result<Sieve, Status> {
        let Some(caller) = caller else { return Ok(Sieve::All) };
        match self.judge(caller, Need::Permission(permission), about).await {
            Ok(()) => return Ok(Sieve::All),
            Err(Denied::Unavailable) => return Err(super::unavailable().status()),
            Err(_) => {}
        }
        let snapshot = self.directory.access_of(about.tenant).await;
        let snapshot = snapshot.map_err(|_| super::unavailable().status())?;
        if self.policy(caller, about.tenant, &snapshot).is_none() {
            return Ok(Sieve::Nothing);
        }
        let policy = Arc::clone(snapshot.policy());
        let now = self.now();
        Ok(match policy.place(&caller.principal) {
            Some(place) => Sieve::Part { policy, place, permission, now },
            None => Sieve::Nothing,
        })
    }
}

type Decide = for<'p> fn(&'p Policy, Place, Permission, &Target<'_>, Timestamp) -> Verdict<'p>;

impl Sieve {
    /// All of it may be seen: the project, the environment of it, or the flag.
    pub(crate) fn shows(
        &self,
        project: Option<&str>,
        environment: Option<&str>,
        flag: Option<&str>,
    ) -> bool {
        self.test(&target(project, environment, flag), Policy::decide_at)
    }

    /// Some of it may be.
    pub(crate) fn shows_part(
        &self,
        project: Option<&str>,
        environment: Option<&str>,
        flag: Option<&str>,
    ) -> bool {
        self.test(&target(project, environment, flag), Policy::decide_part_at)
    }

    fn test(&self, target: &Target<'_>, decide: Decide) -> bool {
        match self {
            Self::All => true,
            Self::Part { policy, place, permission, now } => {
                decide(policy, *place, *permission, target, *now).allowed
            }
            Self::Nothing => false,
        }
    }
}

fn target<'a>(
    project: Option<&'a str>,
    environment: Option<&'a str>,
    flag: Option<&'a str>,
) -> Target<'a> {
    Target { project, environment, flag, production: false }
}
