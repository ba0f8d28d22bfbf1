//! Projects in memory, from which flags are evaluated. A change costs no more than
//! noting which flag it concerns; who asks first afterwards compiles that flag, and
//! shares all others with the snapshot before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use exchequer_codec::Entry;
use exchequer_domain_flags::{Flags, LIMITS, Project, State, snapshot_version, weight};
use exchequer_flag_eval::{Compiled, Snapshot};
use exchequer_kernel::mutation::{self, Mutation};
use exchequer_kernel::{Decider as _, Live, Projection as _};
use exchequer_readstore::{Fault, Generation, LoadLive, Loaded, ReadStore};
use exchequer_types::{Slug, StreamId, TenantId, Timestamp};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::FlagsView;
use crate::fold::{decode, is_wanted};
use crate::query::whole;

/// Flags by project.
#[derive(Clone, Copy, Debug, Default)]
pub struct LiveFlags;

/// A project of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectKey {
    pub tenant: TenantId,
    pub project: Slug,
}

/// A project as it is evaluated: one state of it, whole.
#[derive(Debug, Default)]
pub struct LiveProject {
    /// Of one project, or none.
    state: State,
    key: Option<Slug>,
    environments: BTreeMap<Slug, Compilation>,
}

/// The flags of an environment, compiled when they are first asked for.
#[derive(Debug, Default)]
struct Compilation {
    /// What was compiled last.
    before: Option<Arc<Snapshot>>,
    /// Flags that have changed since.
    changed: BTreeSet<Slug>,
    now: OnceLock<Arc<Snapshot>>,
}

impl LiveProject {
    /// `project` with its parts; None when there is none of that key.
    fn of(key: Slug, project: Option<Project>) -> Self {
        let mut state = State::default();
        let mut environments = BTreeMap::new();
        if let Some(project) = project {
            let keys = project.environments.iter().map(|it| it.key.clone());
            environments = keys.map(|key| (key, Compilation::default())).collect();
            state.bytes = project.flags.iter().map(exchequer_domain_flags::flag_bytes).sum();
            state.projects.put(project);
        }
        Self { state, key: Some(key), environments }
    }

    /// The project. None when there is none of that key.
    pub fn project(&self) -> Option<&Project> {
        self.state.projects.get(self.key.as_ref()?)
    }

    /// The compiled flags of an environment, and the version of their snapshot. None when
    /// there is no such environment.
    pub fn environment(&self, environment: &Slug) -> Option<(Arc<Snapshot>, u64)> {
        let project = self.project()?;
        let version = snapshot_version(project, environment)?;
        let compilation = self.environments.get(environment)?;
        let compiled = compilation.now.get_or_init(|| compilation.compile(project, environment));
        Some((Arc::clone(compiled), version))
    }
}

impl Compilation {
    /// The same flags, of which `changed` are to be compiled anew.
    fn after(&self, changed: &BTreeSet<Slug>) -> Self {
        match self.now.get() {
            Some(now) => Self {
                before: Some(Arc::clone(now)),
                changed: changed.clone(),
                now: OnceLock::new(),
            },
            None => Self {
                before: self.before.clone(),
                changed: self.changed.union(changed).cloned().collect(),
                now: OnceLock::new(),
            },
        }
    }

    /// The same flags, none of them changed.
    fn unchanged(&self) -> Self {
        Self { before: self.before.clone(), changed: self.changed.clone(), now: self.now.clone() }
    }

    fn compile(&self, project: &Project, environment: &Slug) -> Arc<Snapshot> {
        let evaluated = project.flags.iter().filter(|flag| !flag.archived);
        let compiled = evaluated.filter_map(|flag| {
            let is_changed =
                self.changed.contains(&flag.key) && !mutation::active(Mutation::FlagCompiled);
            if !is_changed
                && let Some(found) = self.before.as_ref().and_then(|it| it.get(flag.key.as_str()))
            {
                return Some(Arc::clone(found));
            }
            // Nothing is stored that does not compile.
            Compiled::of(&flag.in_environment(environment), &LIMITS).ok().map(Arc::new)
        });
        Arc::new(Snapshot::of(compiled))
    }
}

impl Live for LiveFlags {
    type Entry = Entry;
    type Key = ProjectKey;
    type Snapshot = LiveProject;

    const NAME: &'static str = "flags";
    const VIEW: &'static str = FlagsView::NAME;

    fn stream(&self, key: &ProjectKey) -> StreamId {
        StreamId::Tenant(key.tenant.clone())
    }

    fn keys(&self, entry: &Entry) -> Vec<ProjectKey> {
        let wanted = entry.commit.events.iter().filter(|event| is_wanted(&event.r#type));
        let keys = wanted.filter_map(|event| {
            let tenant = TenantId::parse(event.stream.as_str()).ok()?;
            // What cannot be decoded stops the view, and the reader before it.
            let project = decode(event).ok()?.project().clone();
            Some(ProjectKey { tenant, project })
        });
        keys.collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn fold(
        &self,
        key: &ProjectKey,
        before: &LiveProject,
        entry: &Entry,
    ) -> Result<LiveProject, String> {
        let mut state = before.state.clone();
        let mut everywhere = BTreeSet::new();
        let mut within: BTreeMap<Slug, BTreeSet<Slug>> = BTreeMap::new();
        for event in &entry.commit.events {
            if event.stream != key.tenant.as_str() || !is_wanted(&event.r#type) {
                continue;
            }
            let decoded = decode(event).map_err(|error| error.to_string())?;
            if *decoded.project() != key.project {
                continue;
            }
            Flags::evolve(&mut state, &decoded, Timestamp::saturating_from_micros(event.at));
            match (decoded.environment(), decoded.flag()) {
                (None, Some(flag)) => drop(everywhere.insert(flag.clone())),
                (Some(environment), flag) => {
                    within.entry(environment.clone()).or_default().extend(flag.cloned());
                }
                (None, None) => {}
            }
        }
        let none = Compilation::default();
        let project = state.projects.get(&key.project);
        let environments = project.into_iter().flat_map(|it| it.environments.iter()).map(|it| {
            let mut changed = everywhere.clone();
            changed.extend(within.get(&it.key).into_iter().flatten().cloned());
            let before = before.environments.get(&it.key).unwrap_or(&none);
            let after =
                if changed.is_empty() { before.unchanged() } else { before.after(&changed) };
            (it.key.clone(), after)
        });
        let environments = environments.collect();
        Ok(LiveProject { state, key: Some(key.project.clone()), environments })
    }

    /// With what compiling will add.
    fn weight(&self, snapshot: &LiveProject) -> usize {
        let flags = snapshot.project().map_or(0, |it| it.flags.len());
        let compiled = snapshot.state.bytes * 2 + flags * 512;
        size_of::<LiveProject>() + weight(&snapshot.state) + snapshot.environments.len() * compiled
    }
}

impl LoadLive for LiveFlags {
    fn load<'a>(
        &'a self,
        store: &'a dyn ReadStore,
        generation: Generation,
        key: &'a ProjectKey,
    ) -> BoxFuture<'a, Result<Loaded<LiveProject>, Fault>> {
        async move {
            let project = whole(store, generation, &key.tenant, &key.project).await?;
            let snapshot = LiveProject::of(key.project.clone(), project);
            Ok(Loaded { snapshot, timestamp: None })
        }
        .boxed()
    }
}
