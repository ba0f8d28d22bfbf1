//! The contract's rules as the guard asks them: by path, compiled once at the start.

use exchequer_access::Permission;
use exchequer_proto::{METHODS, Method};

use super::content::Content;
use crate::hashed::ByWord;
use crate::usage::EVENTS_PATH;

/// Instead of a permission: whoever belongs to the tenant.
const MEMBER: &str = "member";
/// Of anyone's business: says nothing about any tenant.
pub(crate) const OPEN: [&str; 3] = [
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// Paths that stand for a method beside its own.
const ALSO: [(&str, &str); 1] = [(EVENTS_PATH, "/exchequer.usage.v1.IngestService/PublishEvents")];

/// What a method asks of its caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) method: &'static Method,
    pub(crate) need: Need,
    /// What it leaves to the request.
    pub(super) content: Content,
}

/// What a caller needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// To belong to the tenant.
    Member,
    Permission(Permission),
}

impl Need {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Member => MEMBER,
            Self::Permission(permission) => permission.as_str(),
        }
    }
}

/// The contract asks for a permission that there is not: a bug of the build.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} asks for {permission}, which is no permission")]
pub struct RuleError {
    path: &'static str,
    permission: &'static str,
}

/// The rules of all methods.
#[derive(Debug)]
pub(crate) struct Rules(ByWord<Rule>);

/// What is known of a path.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'a> {
    /// Anyone may call it.
    Open,
    Rule(&'a Rule),
    /// Not ours: nobody may call it.
    Nothing,
}

impl Rules {
    pub(crate) fn compile() -> Result<Self, RuleError> {
        let compiled = METHODS.iter().map(|method| {
            let (path, permission) = (method.path, method.permission);
            let need = match permission {
                MEMBER => Need::Member,
                word => Need::Permission(
                    Permission::parse(word).map_err(|_| RuleError { path, permission })?,
                ),
            };
            Ok((path, Rule { method, need, content: Content::of(path) }))
        });
        let mut rules: ByWord<Rule> = compiled.collect::<Result<_, _>>()?;
        for (path, method) in ALSO {
            if let Some(rule) = rules.get(method).copied() {
                rules.insert(path, rule);
            }
        }
        Ok(Self(rules))
    }

    pub(crate) fn of(&self, path: &str) -> Found<'_> {
        match self.0.get(path) {
            Some(rule) => Found::Rule(rule),
            None if OPEN.iter().any(|open| path.starts_with(open)) => Found::Open,
            None => Found::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // REQ: IAM-09
    #[test]
    fn every_method_of_the_contract_has_a_rule_and_nothing_else_is_let_through() {
        let rules = Rules::compile().unwrap();
        assert_eq!(rules.0.len(), METHODS.len() + ALSO.len());
        let found = |path| match rules.of(path) {
            Found::Open => "open",
            Found::Rule(rule) => rule.need.as_str(),
            Found::Nothing => "nothing",
        };
        assert_eq!(found("/exchequer.tenants.v1.TenantService/GetTenant"), "tenants.read");
        assert_eq!(
            found("/exchequer.subscriptions.v1.SubscriptionService/ListCharges"),
            "billing.read"
        );
        assert_eq!(found("/grpc.health.v1.Health/Check"), "open");
        assert_eq!(found("/v1/events"), "usage.ingest");
        for closed in [
            "",
            "/",
            "/exchequer.tenants.v1.TenantService/",
            "/exchequer.tenants.v1.TenantService/GetTenant/",
            "/exchequer.tenants.v1.TenantService/gettenant",
            "//exchequer.tenants.v1.TenantService/GetTenant",
            "/grpc.health.v1.Healthy/Check",
        ] {
            assert_eq!(found(closed), "nothing", "{closed}");
        }
    }
}
