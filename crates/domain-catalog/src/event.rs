//! What can happen to a provider's catalogs, and to what a partition has adopted.

use exchequer_types::{Hash, Slug, TenantId};

use crate::{Content, VersionStatus};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    DraftSaved {
        catalog: Slug,
        content: Content,
    },
    DraftDiscarded {
        catalog: Slug,
    },
    /// The draft became this version.
    Published {
        catalog: Slug,
        version: u32,
        content: Content,
    },
    /// The version is not sold any more; who holds it keeps it.
    Retired {
        catalog: Slug,
        version: u32,
        hash: Hash,
    },
    /// In a partition's own stream.
    Adopted(Adoption),
}

/// What a partition learns of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    pub provider: TenantId,
    pub catalog: Slug,
    /// From 1.
    pub version: u32,
    pub status: VersionStatus,
    pub hash: Hash,
    /// None: only the status is told.
    pub content: Option<Content>,
}
