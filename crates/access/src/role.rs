//! Roles: named sets of permissions. Those built in have the meaning that the
//! reference page states, and cannot be changed.

use std::collections::BTreeSet;

use crate::Permission;
use Permission as P;

/// A named set of permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleDef {
    pub name: String,
    pub permissions: BTreeSet<Permission>,
    /// What changes flags is allowed in production too. Custom roles always have it.
    pub in_production: bool,
}

impl RoleDef {
    /// A custom role.
    pub fn new(name: impl Into<String>, permissions: BTreeSet<Permission>) -> Self {
        Self { name: name.into(), permissions, in_production: true }
    }
}

/// Roles that every tenant has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BuiltIn {
    Owner,
    Admin,
    ProjectAdmin,
    Developer,
    Viewer,
    /// Staff of a provider, and of the deployment when granted at the platform.
    Operator,
    /// What a server-side SDK key holds in its environment.
    ServerSdk,
    /// What a client-side SDK key, which is public, holds in its environment.
    ClientSdk,
}

impl BuiltIn {
    pub const ALL: &'static [Self] = &[
        Self::Owner,
        Self::Admin,
        Self::ProjectAdmin,
        Self::Developer,
        Self::Viewer,
        Self::Operator,
        Self::ServerSdk,
        Self::ClientSdk,
    ];

    /// The id by which grants call it. No custom role may have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::ProjectAdmin => "project-admin",
            Self::Developer => "developer",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::ServerSdk => "server-sdk",
            Self::ClientSdk => "client-sdk",
        }
    }

    pub fn parse(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|it| it.as_str() == id)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "Owner",
            Self::Admin => "Admin",
            Self::ProjectAdmin => "Project admin",
            Self::Developer => "Developer",
            Self::Viewer => "Viewer",
            Self::Operator => "Operator",
            Self::ServerSdk => "Server-side SDK",
            Self::ClientSdk => "Client-side SDK",
        }
    }

    pub const fn describe(self) -> &'static str {
        match self {
            Self::Owner => {
                "Everything of the tenant: billing, all projects, members, deletion. Not what belongs to its provider."
            }
            Self::Admin => {
                "Members and projects; reads usage. No billing, and cannot close the tenant."
            }
            Self::ProjectAdmin => {
                "Everything in the assigned projects, in all their environments, and their members. Grant it for a project."
            }
            Self::Developer => {
                "Creates and edits flags outside production, reads production. No members."
            }
            Self::Viewer => "Reads flags and settings, changes nothing.",
            Self::Operator => {
                "Staff of a provider: creates, suspends and acts in tenants below, and serves direct customers. At the platform, also runs the deployment."
            }
            Self::ServerSdk => "What a server-side SDK key holds in its environment.",
            Self::ClientSdk => "What a client-side SDK key holds in its environment.",
        }
    }

    /// It can be granted by name; the others come with keys.
    pub const fn grantable(self) -> bool {
        !matches!(self, Self::ServerSdk | Self::ClientSdk)
    }

    /// What changes flags is allowed in production too.
    pub const fn in_production(self) -> bool {
        !matches!(self, Self::Developer)
    }

    pub const fn permissions(self) -> &'static [Permission] {
        match self {
            Self::Owner => OWNER,
            Self::Admin => ADMIN,
            Self::ProjectAdmin => PROJECT_ADMIN,
            Self::Developer => DEVELOPER,
            Self::Viewer => VIEWER,
            Self::Operator => OPERATOR,
            Self::ServerSdk => &[P::FlagsRead, P::FlagsEvaluate],
            Self::ClientSdk => &[P::FlagsEvaluate],
        }
    }

    pub fn role(self) -> RoleDef {
        RoleDef {
            name: self.name().to_owned(),
            permissions: self.permissions().iter().copied().collect(),
            in_production: self.in_production(),
        }
    }
}

const OWNER: &[Permission] = &[
    P::TenantsRead,
    P::TenantsCreate,
    P::TenantsList,
    P::TenantsUpdate,
    P::TenantsClose,
    P::SettingsEdit,
    P::MembersRead,
    P::MembersManage,
    P::RolesManage,
    P::CredentialsRead,
    P::CredentialsManage,
    P::CatalogRead,
    P::CatalogEdit,
    P::BillingRead,
    P::BillingManage,
    P::UsageRead,
    P::UsageIngest,
    P::EntitlementsRead,
    P::EntitlementsCheck,
    P::ProjectsRead,
    P::ProjectsManage,
    P::EnvironmentsManage,
    P::FlagsRead,
    P::FlagsCreate,
    P::FlagsEdit,
    P::FlagsToggle,
    P::FlagsDelete,
    P::FlagsEvaluate,
    P::ChangesApprove,
    P::AnalyticsRead,
    P::AuditRead,
    P::AuditAppend,
    P::PersonsErase,
];

const ADMIN: &[Permission] = &[
    P::TenantsRead,
    P::TenantsUpdate,
    P::SettingsEdit,
    P::MembersRead,
    P::MembersManage,
    P::RolesManage,
    P::CredentialsRead,
    P::CredentialsManage,
    P::UsageRead,
    P::EntitlementsRead,
    P::EntitlementsCheck,
    P::ProjectsRead,
    P::ProjectsManage,
    P::EnvironmentsManage,
    P::FlagsRead,
    P::FlagsCreate,
    P::FlagsEdit,
    P::FlagsToggle,
    P::FlagsDelete,
    P::FlagsEvaluate,
    P::ChangesApprove,
    P::AnalyticsRead,
    P::AuditRead,
];

const PROJECT_ADMIN: &[Permission] = &[
    P::TenantsRead,
    P::MembersRead,
    P::MembersManage,
    P::CredentialsRead,
    P::CredentialsManage,
    P::ProjectsRead,
    P::ProjectsManage,
    P::EnvironmentsManage,
    P::FlagsRead,
    P::FlagsCreate,
    P::FlagsEdit,
    P::FlagsToggle,
    P::FlagsDelete,
    P::FlagsEvaluate,
    P::ChangesApprove,
    P::AnalyticsRead,
];

const DEVELOPER: &[Permission] = &[
    P::TenantsRead,
    P::ProjectsRead,
    P::FlagsRead,
    P::FlagsCreate,
    P::FlagsEdit,
    P::FlagsToggle,
    P::FlagsEvaluate,
    P::AnalyticsRead,
];

const VIEWER: &[Permission] = &[P::TenantsRead, P::ProjectsRead, P::FlagsRead];

const OPERATOR: &[Permission] = &[
    P::TenantsRead,
    P::TenantsCreate,
    P::TenantsList,
    P::TenantsSuspend,
    P::TenantsActAs,
    P::BillingOperate,
    P::UsageIngest,
    P::UsageManage,
    P::EntitlementsRead,
    P::EntitlementsCheck,
    P::EntitlementsManage,
    P::SystemRead,
    P::SystemOperate,
];
