//! The closed list of permissions: what each allows, and how finely it can be
//! granted. A method of the contract names exactly one of them.

use core::fmt;

/// How fine a scope can be for a permission to be useful in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finest {
    /// Granted in any scope, it holds for the whole tenant: it concerns what all
    /// members share.
    Shared,
    /// For the whole tenant only.
    Tenant,
    Project,
    Environment,
    Flag,
}

impl Finest {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Tenant => "tenant",
            Self::Project => "project",
            Self::Environment => "environment",
            Self::Flag => "flag",
        }
    }
}

macro_rules! permissions {
    ($($bit:literal $name:ident $word:literal $finest:ident $describe:literal)*) => {
        /// What a role may allow. The order is that of the reference page.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Permission {
            $(#[doc = $describe] $name,)*
        }

        impl Permission {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word by which roles and the contract call it, such as `flags.edit`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What it allows, in one sentence.
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$name => $describe,)* }
            }

            /// The finest scope in which it can be granted usefully.
            pub const fn finest(self) -> Finest {
                match self { $(Self::$name => Finest::$finest,)* }
            }

            pub(crate) const fn bit(self) -> u64 {
                match self { $(Self::$name => 1 << $bit,)* }
            }
        }
    };
}

permissions! {
    0 TenantsRead "tenants.read" Shared "Read the tenant itself: its name, status and settings."
    1 TenantsCreate "tenants.create" Tenant "Create customers of the tenant."
    39 TenantsList "tenants.list" Tenant "List the customers of the tenant."
    2 TenantsUpdate "tenants.update" Tenant "Rename the tenant and step the clock of its sandboxes."
    3 TenantsSuspend "tenants.suspend" Tenant "Suspend, reinstate and promote tenants below; never its own."
    4 TenantsClose "tenants.close" Tenant "Close the tenant, at once or on a date, and cancel that."
    5 TenantsActAs "tenants.act_as" Tenant "Use one's other permissions in every tenant below."
    6 SettingsEdit "settings.edit" Tenant "Change the tenant's settings and its list of allowed addresses."
    7 MembersRead "members.read" Project "Read members, teams, roles and grants."
    8 MembersManage "members.manage" Project "Add and remove members and teams, and grant roles that one has."
    9 RolesManage "roles.manage" Tenant "Create, change and delete custom roles."
    10 CredentialsRead "credentials.read" Environment "Read tokens and keys, without their secrets."
    11 CredentialsManage "credentials.manage" Environment "Create, rotate, change and revoke tokens and keys."
    12 CatalogRead "catalog.read" Tenant "Read the tenant's own catalogs, drafts too."
    13 CatalogEdit "catalog.edit" Tenant "Draft, publish and retire catalogs."
    14 BillingRead "billing.read" Tenant "Read the subscription, its scheduled changes and charges."
    15 BillingManage "billing.manage" Tenant "Start, change, pause and cancel the subscription."
    16 BillingOperate "billing.operate" Tenant "As staff of a provider, use the billing, usage and entitlement methods of its direct customers."
    17 UsageRead "usage.read" Tenant "Read usage."
    18 UsageIngest "usage.ingest" Tenant "Send usage events."
    19 UsageManage "usage.manage" Tenant "Report and correct the use of tenants below; never of its own."
    20 EntitlementsRead "entitlements.read" Tenant "List what the tenant may use, and why."
    21 EntitlementsCheck "entitlements.check" Tenant "Ask whether the tenant may use a feature."
    22 EntitlementsManage "entitlements.manage" Tenant "Grant entitlements to tenants below, and revoke them; never its own."
    23 ProjectsRead "projects.read" Environment "Read projects and environments."
    24 ProjectsManage "projects.manage" Project "Create and change projects."
    25 EnvironmentsManage "environments.manage" Environment "Create and change environments."
    26 FlagsRead "flags.read" Flag "Read flags with their targeting."
    27 FlagsCreate "flags.create" Flag "Create flags."
    28 FlagsEdit "flags.edit" Flag "Change flags and their targeting."
    29 FlagsToggle "flags.toggle" Flag "Turn flags on and off."
    30 FlagsDelete "flags.delete" Flag "Archive and restore flags."
    31 FlagsEvaluate "flags.evaluate" Flag "Evaluate flags."
    32 ChangesApprove "changes.approve" Flag "Approve changes that wait for approval."
    33 AnalyticsRead "analytics.read" Flag "Read analytics."
    34 AuditRead "audit.read" Tenant "Read and follow the audit log."
    35 AuditAppend "audit.append" Tenant "Append entries to the audit log."
    36 PersonsErase "persons.erase" Tenant "Erase a person's data."
    37 SystemRead "system.read" Tenant "Read the deployment's status, outcomes and dead letters; counts at the platform alone."
    38 SystemOperate "system.operate" Tenant "Rebuild views, replay dead letters and release parked tenants; counts at the platform alone."
}

/// No permission is called so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPermission;

impl fmt::Display for UnknownPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is no permission: see docs/reference/permissions.md")
    }
}

impl core::error::Error for UnknownPermission {}

impl Permission {
    pub fn parse(word: &str) -> Result<Self, UnknownPermission> {
        Self::ALL.iter().copied().find(|it| it.as_str() == word).ok_or(UnknownPermission)
    }

    /// It can be granted for less than the whole tenant.
    pub const fn scopable(self) -> bool {
        !matches!(self.finest(), Finest::Tenant)
    }

    /// It belongs to a tenant's providers: a tenant's own grants never give it for the
    /// tenant itself, except at the platform, which has no provider.
    pub const fn of_provider(self) -> bool {
        matches!(self, Self::TenantsSuspend | Self::UsageManage | Self::EntitlementsManage)
    }

    /// `billing.operate` gives it for a provider's direct customers.
    pub const fn of_customers(self) -> bool {
        matches!(
            self,
            Self::TenantsRead
                | Self::BillingRead
                | Self::BillingManage
                | Self::UsageRead
                | Self::UsageIngest
                | Self::UsageManage
                | Self::EntitlementsRead
                | Self::EntitlementsCheck
                | Self::EntitlementsManage
        )
    }

    /// It changes what end users meet, so that a role that stays out of production
    /// does not give it there.
    pub const fn changes_flags(self) -> bool {
        matches!(
            self,
            Self::FlagsCreate
                | Self::FlagsEdit
                | Self::FlagsToggle
                | Self::FlagsDelete
                | Self::ChangesApprove
        )
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Permissions as bits, so that asking is one instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Bits(u64);

const _: () = assert!(Permission::ALL.len() <= 64, "permissions fit the bits of a u64");

impl Bits {
    pub(crate) const fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }
}

impl<'a> FromIterator<&'a Permission> for Bits {
    fn from_iter<I: IntoIterator<Item = &'a Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |bits, it| bits | it.bit()))
    }
}
