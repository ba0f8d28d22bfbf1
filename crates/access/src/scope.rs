//! Where a grant holds, and what a call is about.

use core::fmt;

use exchequer_types::Slug;

/// Where a grant holds: the whole tenant, a project, an environment of it, a flag of
/// it, or a flag in one environment of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Scope {
    project: Option<Slug>,
    environment: Option<Slug>,
    flag: Option<Slug>,
}

/// An environment or a flag was named without its project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScopeError;

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("names an environment or a flag, so it must name their project")
    }
}

impl core::error::Error for ScopeError {}

/// What a call is about. A part that the call does not name is None: it is about all
/// of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Target<'a> {
    pub project: Option<&'a str>,
    pub environment: Option<&'a str>,
    pub flag: Option<&'a str>,
    /// The call changes what is served in production: its environment is one, or it
    /// names none and the flag is on in one.
    pub production: bool,
}

impl Scope {
    /// The whole tenant.
    pub fn tenant() -> Self {
        Self::default()
    }

    /// A project.
    pub fn project(project: Slug) -> Self {
        Self { project: Some(project), ..Self::default() }
    }

    /// The narrowest scope that these parts name.
    pub fn new(
        project: Option<Slug>,
        environment: Option<Slug>,
        flag: Option<Slug>,
    ) -> Result<Self, ScopeError> {
        if project.is_none() && (environment.is_some() || flag.is_some()) {
            return Err(ScopeError);
        }
        Ok(Self { project, environment, flag })
    }

    pub fn is_tenant(&self) -> bool {
        self.project.is_none()
    }

    pub fn parts(&self) -> (Option<&Slug>, Option<&Slug>, Option<&Slug>) {
        (self.project.as_ref(), self.environment.as_ref(), self.flag.as_ref())
    }

    /// The scope as what a call is about, in production.
    pub fn target(&self) -> Target<'_> {
        Target {
            project: self.project.as_ref().map(Slug::as_str),
            environment: self.environment.as_ref().map(Slug::as_str),
            flag: self.flag.as_ref().map(Slug::as_str),
            production: true,
        }
    }

    /// Everything in `other` lies inside.
    pub fn holds(&self, other: &Self) -> bool {
        self.covers(&other.target())
    }

    /// Something that `target` is about lies inside.
    pub fn meets(&self, target: &Target<'_>) -> bool {
        part_meets(self.project.as_ref(), target.project)
            && part_meets(self.environment.as_ref(), target.environment)
            && part_meets(self.flag.as_ref(), target.flag)
    }

    /// Everything that `target` is about lies inside.
    pub fn covers(&self, target: &Target<'_>) -> bool {
        part_covers(self.project.as_ref(), target.project)
            && part_covers(self.environment.as_ref(), target.environment)
            && part_covers(self.flag.as_ref(), target.flag)
    }
}

fn part_covers(scope: Option<&Slug>, target: Option<&str>) -> bool {
    scope.is_none_or(|scope| target == Some(scope.as_str()))
}

fn part_meets(scope: Option<&Slug>, target: Option<&str>) -> bool {
    target.is_none() || part_covers(scope, target)
}

/// `tenant`, `project shop`, `project shop, environment staging, flag dark-mode`.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(project) = &self.project else { return f.write_str("tenant") };
        write!(f, "project {project}")?;
        if let Some(environment) = &self.environment {
            write!(f, ", environment {environment}")?;
        }
        if let Some(flag) = &self.flag {
            write!(f, ", flag {flag}")?;
        }
        Ok(())
    }
}
