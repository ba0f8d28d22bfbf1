//! Every business "no" of the domain, with its stable code.

use exchequer_kernel::Reason;
use exchequer_types::{Currency, Hash, Slug};

use crate::check::Violation;

/// Catalogs of one provider.
pub const CATALOGS_MAX: usize = 50;
/// Versions of one catalog.
pub const VERSIONS_MAX: usize = 1_000;
/// Violations that one message tells.
const VIOLATIONS_TOLD_MAX: usize = 5;

/// The codes, which never change.
pub mod codes {
    pub const CATALOG_NOT_FOUND: &str = "CATALOG_NOT_FOUND";
    pub const CATALOG_DRAFT_NOT_FOUND: &str = "CATALOG_DRAFT_NOT_FOUND";
    pub const CATALOG_VERSION_NOT_FOUND: &str = "CATALOG_VERSION_NOT_FOUND";
    pub const CATALOG_INVALID: &str = "CATALOG_INVALID";
    pub const CATALOG_UNCHANGED: &str = "CATALOG_UNCHANGED";
    pub const CATALOG_DRAFT_CHANGED: &str = "CATALOG_DRAFT_CHANGED";
    pub const CATALOG_ALREADY_RETIRED: &str = "CATALOG_ALREADY_RETIRED";
    pub const CATALOG_VERSION_RETIRED: &str = "CATALOG_VERSION_RETIRED";
    pub const CATALOGS_TOO_MANY: &str = "CATALOGS_TOO_MANY";
    pub const CATALOG_VERSIONS_TOO_MANY: &str = "CATALOG_VERSIONS_TOO_MANY";
    pub const CATALOG_ADOPTED: &str = "CATALOG_ADOPTED";
    pub const CATALOG_HASH_MISMATCH: &str = "CATALOG_HASH_MISMATCH";
    pub const PLAN_UNKNOWN: &str = "PLAN_UNKNOWN";
    pub const PRICE_UNKNOWN: &str = "PRICE_UNKNOWN";
    pub const CURRENCY_NOT_OFFERED: &str = "CURRENCY_NOT_OFFERED";
    pub const ADD_ON_UNKNOWN: &str = "ADD_ON_UNKNOWN";
    pub const ADD_ON_NOT_OFFERED: &str = "ADD_ON_NOT_OFFERED";
    pub const ADD_ON_QUANTITY_INVALID: &str = "ADD_ON_QUANTITY_INVALID";
    // Of single values of a document.
    pub const CATALOG_DUPLICATE: &str = "CATALOG_DUPLICATE";
    pub const CATALOG_REFERENCE_UNKNOWN: &str = "CATALOG_REFERENCE_UNKNOWN";
    pub const CATALOG_CYCLE: &str = "CATALOG_CYCLE";
    pub const CATALOG_GAP: &str = "CATALOG_GAP";
    pub const CATALOG_PRICE_EMPTY: &str = "CATALOG_PRICE_EMPTY";
    pub const CATALOG_AMOUNT_INVALID: &str = "CATALOG_AMOUNT_INVALID";
    pub const CATALOG_VALUE_INVALID: &str = "CATALOG_VALUE_INVALID";
    pub const CATALOG_TOO_MANY: &str = "CATALOG_TOO_MANY";
    pub const CATALOG_TOO_LARGE: &str = "CATALOG_TOO_LARGE";
}

/// Why a command was refused, or a selection came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    NotFound,
    DraftNotFound,
    VersionNotFound {
        version: u32,
    },
    Invalid {
        violations: Vec<Violation>,
    },
    /// The draft says what the draft before it, or the newest version, says already.
    Unchanged {
        hash: Hash,
        /// None: the draft.
        version: Option<u32>,
    },
    /// The draft is not the one that the caller saw.
    DraftChanged {
        hash: Hash,
    },
    AlreadyRetired {
        version: u32,
    },
    /// The version is not sold.
    VersionRetired {
        catalog: Slug,
        version: u32,
    },
    CatalogsTooMany,
    VersionsTooMany,
    /// The partition knows it already.
    Adopted,
    /// The content is not what its address says.
    HashMismatch,
    PlanUnknown {
        catalog: Slug,
        version: u32,
        plan: Slug,
    },
    PriceUnknown {
        catalog: Slug,
        version: u32,
        plan: Slug,
        price: Slug,
    },
    CurrencyNotOffered {
        price: Slug,
        currency: Currency,
        offered: Vec<Currency>,
    },
    AddOnUnknown {
        catalog: Slug,
        version: u32,
        add_on: Slug,
    },
    AddOnNotOffered {
        add_on: Slug,
        with: String,
    },
    AddOnQuantityInvalid {
        add_on: Slug,
        quantity_max: u64,
    },
}

impl Reason for Rejection {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => codes::CATALOG_NOT_FOUND,
            Self::DraftNotFound => codes::CATALOG_DRAFT_NOT_FOUND,
            Self::VersionNotFound { .. } => codes::CATALOG_VERSION_NOT_FOUND,
            Self::Invalid { .. } => codes::CATALOG_INVALID,
            Self::Unchanged { .. } => codes::CATALOG_UNCHANGED,
            Self::DraftChanged { .. } => codes::CATALOG_DRAFT_CHANGED,
            Self::AlreadyRetired { .. } => codes::CATALOG_ALREADY_RETIRED,
            Self::VersionRetired { .. } => codes::CATALOG_VERSION_RETIRED,
            Self::CatalogsTooMany => codes::CATALOGS_TOO_MANY,
            Self::VersionsTooMany => codes::CATALOG_VERSIONS_TOO_MANY,
            Self::Adopted => codes::CATALOG_ADOPTED,
            Self::HashMismatch => codes::CATALOG_HASH_MISMATCH,
            Self::PlanUnknown { .. } => codes::PLAN_UNKNOWN,
            Self::PriceUnknown { .. } => codes::PRICE_UNKNOWN,
            Self::CurrencyNotOffered { .. } => codes::CURRENCY_NOT_OFFERED,
            Self::AddOnUnknown { .. } => codes::ADD_ON_UNKNOWN,
            Self::AddOnNotOffered { .. } => codes::ADD_ON_NOT_OFFERED,
            Self::AddOnQuantityInvalid { .. } => codes::ADD_ON_QUANTITY_INVALID,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::NotFound
            | Self::DraftNotFound
            | Self::CatalogsTooMany
            | Self::VersionsTooMany => Some("catalog"),
            Self::VersionNotFound { .. }
            | Self::AlreadyRetired { .. }
            | Self::VersionRetired { .. } => Some("version"),
            Self::Invalid { .. } | Self::Unchanged { version: None, .. } => Some("document"),
            Self::DraftChanged { .. } | Self::HashMismatch => Some("hash"),
            Self::PlanUnknown { .. } => Some("plan"),
            Self::PriceUnknown { .. } => Some("price"),
            Self::CurrencyNotOffered { .. } => Some("currency"),
            Self::AddOnUnknown { .. }
            | Self::AddOnNotOffered { .. }
            | Self::AddOnQuantityInvalid { .. } => Some("add_ons"),
            Self::Unchanged { .. } | Self::Adopted => None,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::NotFound => "the provider has no catalog of this id".to_owned(),
            Self::DraftNotFound => {
                "the catalog has no draft: save one with SaveDraft first".to_owned()
            }
            Self::VersionNotFound { version } => format!("the catalog has no version {version}"),
            Self::Invalid { violations } => tell(violations),
            Self::Unchanged { version: Some(version), hash } => {
                format!(
                    "the draft says what version {version} says already (content {hash}): there is nothing to publish"
                )
            }
            Self::Unchanged { version: None, hash } => {
                format!("the draft says this already (content {hash}): there is nothing to save")
            }
            Self::DraftChanged { hash } => {
                format!(
                    "the draft is another one by now (content {hash}): read it and decide again"
                )
            }
            Self::AlreadyRetired { version } => format!("version {version} is retired already"),
            Self::VersionRetired { catalog, version } => {
                format!(
                    "version {version} of the catalog {catalog} is not sold any more: choose a published one"
                )
            }
            Self::CatalogsTooMany => format!("a provider has at most {CATALOGS_MAX} catalogs"),
            Self::VersionsTooMany => {
                format!("a catalog has at most {VERSIONS_MAX} versions: begin another catalog")
            }
            Self::Adopted => "the partition knows this of the version already".to_owned(),
            Self::HashMismatch => "the content is not what its hash says".to_owned(),
            Self::PlanUnknown { catalog, version, plan } => {
                format!("version {version} of the catalog {catalog} has no plan {plan}")
            }
            Self::PriceUnknown { catalog, version, plan, price } => format!(
                "the plan {plan} has no price {price} in version {version} of the catalog {catalog}"
            ),
            Self::CurrencyNotOffered { price, currency, offered } => {
                let offered: Vec<&str> = offered.iter().map(Currency::code).collect();
                format!(
                    "the price {price} is not offered in {currency}, but in {}",
                    offered.join(", ")
                )
            }
            Self::AddOnUnknown { catalog, version, add_on } => {
                format!("version {version} of the catalog {catalog} has no add-on {add_on}")
            }
            Self::AddOnNotOffered { add_on, with } => {
                format!("the add-on {add_on} is not offered with {with}")
            }
            Self::AddOnQuantityInvalid { add_on, quantity_max } => {
                format!("of the add-on {add_on}, 1 to {quantity_max} packs can be held")
            }
        }
    }
}

fn tell(violations: &[Violation]) -> String {
    let told = violations.iter().take(VIOLATIONS_TOLD_MAX).map(|it| {
        if it.path.is_empty() { it.message.clone() } else { format!("{}: {}", it.path, it.message) }
    });
    let mut told: Vec<String> = told.collect();
    if violations.len() > VIOLATIONS_TOLD_MAX {
        told.push(format!("and {} more", violations.len() - VIOLATIONS_TOLD_MAX));
    }
    told.join("; ")
}
