//! What a customer has of the provider of a flag: the one join of flags and entitlements,
//! for every evaluation.

use std::sync::Arc;

use exchequer_domain_entitlements::is_entitled;
use exchequer_flag_eval::{Context, Decision, Kind, Plan, Snapshot as FlagSnapshot};
use exchequer_projection_entitlements::Snapshot;
use exchequer_types::{Slug, TenantId, Timestamp};

/// A customer at an instant of its own time.
#[derive(Clone, Debug)]
pub struct Customer {
    snapshot: Arc<Snapshot>,
    at: Timestamp,
}

impl Customer {
    /// Of `provider`, when real time is `now`. Whoever is no customer of it has nothing of
    /// it: no plan, and no grant, that somebody else gave opens its flags.
    pub fn of(snapshot: Arc<Snapshot>, provider: &TenantId, now: Timestamp) -> Self {
        let snapshot = if snapshot.is_customer_of(provider) { snapshot } else { Arc::default() };
        Self { at: snapshot.time(now), snapshot }
    }

    /// Version of its entitlements.
    pub fn version(&self) -> u64 {
        self.snapshot.state.version
    }
}

impl Plan for Customer {
    fn plan(&self) -> Option<&str> {
        self.snapshot.state.plan.as_ref().map(|plan| plan.held.plan.plan.as_str())
    }

    fn entitled(&self, feature: &str) -> bool {
        let feature = Slug::parse(feature);
        feature.is_ok_and(|it| is_entitled(&self.snapshot.state, &it, self.at))
    }
}

/// What `flag` answers. `kind`: the kind that the caller can use; None: any.
pub fn evaluate<'a>(
    flags: &'a FlagSnapshot,
    flag: &str,
    kind: Option<Kind>,
    context: &Context<'_>,
    customer: Option<&Customer>,
) -> Decision<'a> {
    let plan = customer.map(|it| it as &dyn Plan);
    match kind {
        Some(kind) => flags.evaluate_as(flag, kind, context, plan),
        None => flags.evaluate(flag, context, plan),
    }
}
