//! The policy of one tenant: built once from its members, teams, roles and grants,
//! immutable, and asked on every call.

use std::collections::{BTreeMap, BTreeSet};

use exchequer_types::{ActorId, Slug, Timestamp};

use crate::permission::Bits;
use crate::{BuiltIn, Finest, Grant, Permission, Principal, RoleDef, Scope, Target};

/// Teams nested deeper than this give nothing.
pub const TEAM_DEPTH_MAX: usize = 8;

/// What a policy is built from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Source {
    pub members: BTreeSet<ActorId>,
    /// Ids of the tenant's tokens and keys.
    pub credentials: BTreeSet<String>,
    pub teams: BTreeMap<Slug, TeamDef>,
    /// The tenant's own; those built in are always there, and win over one of their name.
    pub roles: BTreeMap<Slug, RoleDef>,
    /// One that names an unknown role or principal gives nothing.
    pub grants: Vec<Grant>,
}

/// A team: members, and teams whose members are its members too.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TeamDef {
    pub members: BTreeSet<ActorId>,
    pub teams: BTreeSet<Slug>,
}

/// Who may do what in one tenant.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Whoever belongs to the tenant is here, with or without grants.
    places: BTreeMap<Principal, Place>,
    holders: Vec<Holder>,
    teams: Vec<Team>,
    /// The tenant has a provider, to whom some permissions belong.
    has_provider: bool,
}

/// Where a principal stands in the policy that said so. It means nothing in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(usize);

/// What one member or credential has.
#[derive(Clone, Debug, Default)]
struct Holder {
    own: Vec<Held>,
    /// Places in `Policy::teams` of all teams it belongs to, directly or through others.
    teams: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Team {
    key: Slug,
    held: Vec<Held>,
}

/// A grant with what its role was when the policy was built.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) grant: Grant,
    bits: Bits,
    in_production: bool,
}

/// The answer, with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'p> {
    pub allowed: bool,
    pub rule: Rule<'p>,
}

/// What decided: the grant that allows, or the lack. Of several lacks the one nearest
/// to being allowed; they stand in that order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule<'p> {
    /// It does not belong to the tenant.
    NotMember,
    /// The permission belongs to the tenant's provider.
    ProviderOnly,
    /// No grant of it has the permission.
    NoGrant,
    /// One had, and has expired.
    Expired { grant: &'p str },
    /// One has, elsewhere.
    OutOfScope { grant: &'p str },
    /// One has, outside production.
    OutsideProduction { grant: &'p str },
    /// A tenant above: it has `tenants.act_as` there through `act_as`, but not the
    /// permission; or the other way round.
    AboveIncomplete,
    /// As staff of the direct provider, with `billing.operate` there.
    BillingOperate { grant: &'p str },
    /// From a tenant above, where it has the permission and `tenants.act_as`.
    ActAs { grant: &'p str },
    /// A grant gives it, to the team when there is one.
    Granted { grant: &'p str, team: Option<&'p Slug> },
}

impl<'p> Rule<'p> {
    /// Stable, for error metadata and audit entries.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotMember => "NOT_MEMBER",
            Self::ProviderOnly => "PROVIDER_ONLY",
            Self::NoGrant => "NO_GRANT",
            Self::Expired { .. } => "EXPIRED",
            Self::OutOfScope { .. } => "OUT_OF_SCOPE",
            Self::OutsideProduction { .. } => "OUTSIDE_PRODUCTION",
            Self::AboveIncomplete => "ABOVE_INCOMPLETE",
            Self::BillingOperate { .. } => "BILLING_OPERATE",
            Self::ActAs { .. } => "ACT_AS",
            Self::Granted { .. } => "GRANTED",
        }
    }

    /// The grant that decided.
    pub const fn grant(&self) -> Option<&'p str> {
        match self {
            Self::NotMember | Self::ProviderOnly | Self::NoGrant | Self::AboveIncomplete => None,
            Self::Expired { grant }
            | Self::OutOfScope { grant }
            | Self::OutsideProduction { grant }
            | Self::BillingOperate { grant }
            | Self::ActAs { grant }
            | Self::Granted { grant, .. } => Some(grant),
        }
    }

    /// The team through which the grant came.
    pub const fn team(&self) -> Option<&'p Slug> {
        match self {
            Self::Granted { team, .. } => *team,
            _ => None,
        }
    }
}

impl<'p> Verdict<'p> {
    pub(crate) const fn yes(rule: Rule<'p>) -> Self {
        Self { allowed: true, rule }
    }

    pub(crate) const fn no(rule: Rule<'p>) -> Self {
        Self { allowed: false, rule }
    }

    /// The caller stands in no relation to the tenant, and must not learn that it exists.
    pub fn hides(&self) -> bool {
        !self.allowed && self.rule == Rule::NotMember
    }
}

impl Policy {
    /// Resolves roles and nested teams. Cycles of teams and unknown names are harmless.
    pub fn build(source: Source) -> Self {
        let roles = roles(&source.roles);
        let mut policy = Self::default();
        let mut holders: BTreeMap<Principal, Holder> = BTreeMap::new();
        let members = source.members.iter().cloned().map(Principal::Member);
        let credentials = source.credentials.iter().cloned().map(Principal::Credential);
        for principal in members.chain(credentials) {
            holders.insert(principal, Holder::default());
        }
        let mut places: BTreeMap<&Slug, usize> = BTreeMap::new();
        for (place, key) in source.teams.keys().enumerate() {
            places.insert(key, place);
            policy.teams.push(Team { key: key.clone(), held: Vec::new() });
        }
        for (key, place) in &places {
            for member in everyone_in(&source.teams, key) {
                if let Some(holder) = holders.get_mut(&Principal::Member(member.clone())) {
                    holder.teams.push(*place);
                }
            }
        }
        for grant in source.grants {
            let Some((bits, in_production)) = roles.get(&grant.role).copied() else { continue };
            let to = match &grant.principal {
                Principal::Team(team) => {
                    places.get(team).and_then(|it| policy.teams.get_mut(*it)).map(|it| &mut it.held)
                }
                principal => holders.get_mut(principal).map(|it| &mut it.own),
            };
            if let Some(held) = to {
                held.push(Held { grant, bits, in_production });
            }
        }
        for (index, (principal, holder)) in holders.into_iter().enumerate() {
            policy.places.insert(principal, Place(index));
            policy.holders.push(holder);
        }
        policy
    }

    /// The policy of a tenant that has a provider, as all but the platform have: its own
    /// grants do not give what is its provider's to do.
    #[must_use]
    pub fn below_provider(self, has_provider: bool) -> Self {
        Self { has_provider, ..self }
    }

    /// It belongs to the tenant.
    pub fn knows(&self, who: &Principal) -> bool {
        self.places.contains_key(who)
    }

    /// Where it stands, for whoever asks about it again and again. None when it does not
    /// belong to the tenant.
    pub fn place(&self, who: &Principal) -> Option<Place> {
        self.places.get(who).copied()
    }

    /// Decides by the tenant's own grants. Does not allocate.
    pub fn decide<'p>(
        &'p self,
        who: &Principal,
        permission: Permission,
        target: &Target<'_>,
        now: Timestamp,
    ) -> Verdict<'p> {
        match self.place(who) {
            Some(place) => self.decide_at(place, permission, target, now),
            None => Verdict::no(Rule::NotMember),
        }
    }

    /// The same for whoever stands at `place` of this policy.
    pub fn decide_at<'p>(
        &'p self,
        place: Place,
        permission: Permission,
        target: &Target<'_>,
        now: Timestamp,
    ) -> Verdict<'p> {
        self.judge_at(place, permission, target, now, Scope::covers)
    }

    /// Decides about a part of what `target` is about, whichever that is: about lists, of
    /// which everybody sees what they may.
    pub fn decide_part_at<'p>(
        &'p self,
        place: Place,
        permission: Permission,
        target: &Target<'_>,
        now: Timestamp,
    ) -> Verdict<'p> {
        self.judge_at(place, permission, target, now, Scope::meets)
    }

    fn judge_at<'p>(
        &'p self,
        place: Place,
        permission: Permission,
        target: &Target<'_>,
        now: Timestamp,
        fits: fn(&Scope, &Target<'_>) -> bool,
    ) -> Verdict<'p> {
        let Some(holder) = self.holders.get(place.0) else { return Verdict::no(Rule::NotMember) };
        if self.has_provider && permission.of_provider() {
            return Verdict::no(Rule::ProviderOnly);
        }
        let mut nearest = Rule::NoGrant;
        for (held, team) in self.all_of(holder) {
            let rule = held.judge_by(team, permission, target, now, fits);
            if matches!(rule, Rule::Granted { .. }) {
                return Verdict::yes(rule);
            }
            nearest = nearest.max(rule);
        }
        Verdict::no(nearest)
    }

    /// All grants of `who`, those of its teams after its own.
    pub(crate) fn held<'p>(
        &'p self,
        who: &Principal,
    ) -> impl Iterator<Item = (&'p Held, Option<&'p Slug>)> {
        let holder = self.place(who).and_then(|it| self.holders.get(it.0));
        holder.into_iter().flat_map(|holder| self.all_of(holder))
    }

    fn all_of<'p>(
        &'p self,
        holder: &'p Holder,
    ) -> impl Iterator<Item = (&'p Held, Option<&'p Slug>)> {
        let of_teams = holder.teams.iter().filter_map(|place| self.teams.get(*place));
        let of_teams = of_teams.flat_map(|team| team.held.iter().map(|it| (it, Some(&team.key))));
        holder.own.iter().map(|it| (it, None)).chain(of_teams)
    }
}

impl Held {
    pub(crate) fn judge<'p>(
        &'p self,
        team: Option<&'p Slug>,
        permission: Permission,
        target: &Target<'_>,
        now: Timestamp,
    ) -> Rule<'p> {
        self.judge_by(team, permission, target, now, Scope::covers)
    }

    /// `fits`: what a scope must be to a target.
    fn judge_by<'p>(
        &'p self,
        team: Option<&'p Slug>,
        permission: Permission,
        target: &Target<'_>,
        now: Timestamp,
        fits: fn(&Scope, &Target<'_>) -> bool,
    ) -> Rule<'p> {
        let grant = self.grant.id.as_str();
        if !self.bits.has(permission) {
            Rule::NoGrant
        } else if self.grant.has_expired(now) {
            Rule::Expired { grant }
        } else if permission.finest() != Finest::Shared && !fits(&self.grant.scope, target) {
            Rule::OutOfScope { grant }
        } else if target.production && permission.changes_flags() && !self.in_production {
            Rule::OutsideProduction { grant }
        } else {
            Rule::Granted { grant, team }
        }
    }
}

fn roles(own: &BTreeMap<Slug, RoleDef>) -> BTreeMap<Slug, (Bits, bool)> {
    let of = |role: &RoleDef| (role.permissions.iter().collect(), role.in_production);
    let mut roles: BTreeMap<_, _> = own.iter().map(|(key, role)| (key.clone(), of(role))).collect();
    for built_in in BuiltIn::ALL {
        if let Ok(key) = Slug::parse(built_in.as_str()) {
            roles.insert(key, of(&built_in.role()));
        }
    }
    roles
}

/// The members of `team` and of the teams inside it.
fn everyone_in<'a>(teams: &'a BTreeMap<Slug, TeamDef>, team: &'a Slug) -> BTreeSet<&'a ActorId> {
    let mut seen = BTreeSet::from([team]);
    let mut level = vec![team];
    let mut members = BTreeSet::new();
    for _ in 0..TEAM_DEPTH_MAX {
        let mut inside = Vec::new();
        for def in level.iter().filter_map(|key| teams.get(*key)) {
            members.extend(&def.members);
            inside.extend(def.teams.iter().filter(|key| seen.insert(key)));
        }
        level = inside;
    }
    members
}
