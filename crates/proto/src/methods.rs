//! Who may call each method, generated from the option `access` of the contract.

/// What the option `access` of a method says. Paths are numbers of the fields on the
/// way to a string of the request; an empty path names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// `/exchequer.tenants.v1.TenantService/GetTenant`
    pub path: &'static str,
    /// The permission's word, or `member`: whoever belongs to the tenant.
    pub permission: &'static str,
    /// Empty: the permission is needed at the platform.
    pub tenant: &'static [u32],
    /// How the request calls the tenant.
    pub tenant_field: &'static str,
    pub project: &'static [u32],
    pub environment: &'static [u32],
    pub flag: &'static [u32],
    pub audit: AuditClass,
    /// A request that names no tenant means the platform.
    pub platform_by_default: bool,
    /// Each item of the request names a tenant: the service asks for each.
    pub items: bool,
    /// The reply is a stream.
    pub streams: bool,
}

/// What the audit log holds of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditClass {
    /// Refusals.
    Read,
    /// The commit that decides it, and refusals.
    Write,
    /// Refusals, and who read it.
    SensitiveRead,
    /// Refusals. Comes by the thousand.
    None,
}

// All methods, by path.
include!(concat!(env!("OUT_DIR"), "/methods.rs"));
// Request fields that the gateway encrypts, by full name.
include!(concat!(env!("OUT_DIR"), "/encrypted.rs"));
