//! The layer table, as `ARCHITECTURE.md` draws it. A package imports rows with a
//! lower number, and what its own row says. Places are folders below the root;
//! one that ends with `*` stands for all that begin so.

pub(super) struct Row {
    pub(super) layer: u8,
    pub(super) name: &'static str,
    pub(super) places: &'static [&'static str],
    /// Edges allowed inside the row.
    pub(super) beside: &'static [(&'static str, &'static str)],
    /// Edges to lower rows that are forbidden all the same.
    pub(super) never: &'static [(&'static str, &'static str)],
    /// Families of foreign packages that the row does without.
    pub(super) never_foreign: &'static [&'static str],
}

pub(super) const ROWS: &[Row] = &[
    Row {
        layer: 0,
        name: "words",
        places: &["crates/types"],
        beside: &[],
        never: &[],
        never_foreign: IMPURE,
    },
    Row {
        layer: 1,
        name: "kernel",
        places: &["crates/kernel"],
        beside: &[],
        never: &[],
        never_foreign: IMPURE,
    },
    Row {
        layer: 2,
        name: "domain",
        places: &[
            "crates/domain-*",
            "crates/rating",
            "crates/metering",
            "crates/flag-eval",
            "crates/access",
            "crates/audit-tree",
        ],
        beside: &[
            ("crates/domain-*", "crates/rating"),
            ("crates/domain-*", "crates/metering"),
            ("crates/domain-*", "crates/flag-eval"),
            ("crates/domain-*", "crates/access"),
            ("crates/domain-*", "crates/audit-tree"),
        ],
        never: &[],
        never_foreign: IMPURE,
    },
    Row {
        layer: 3,
        name: "root",
        places: &["crates/tenant"],
        beside: &[],
        never: &[],
        never_foreign: IMPURE,
    },
    Row {
        layer: 4,
        name: "wire, ports",
        places: &[
            "crates/proto",
            "crates/codec",
            "crates/catalog-file",
            "crates/event-schema",
            "crates/journal",
            "crates/readstore",
            "crates/vault",
            "crates/outbound",
            "crates/runtime",
        ],
        beside: &[("crates/codec", "crates/proto")],
        never: &[],
        never_foreign: &[],
    },
    Row {
        layer: 5,
        name: "adapters",
        places: &[
            "crates/journal-local",
            "crates/journal-kafka",
            "crates/readstore-local",
            "crates/readstore-scylla",
            "crates/vault-local",
            "crates/outbound-*",
        ],
        beside: &[],
        never: &[("crates/*", "crates/domain-*"), ("crates/*", "crates/tenant")],
        never_foreign: &[],
    },
    Row {
        layer: 6,
        name: "views, reactions",
        places: &["projections/*", "consumers/*"],
        beside: &[],
        never: NO_ADAPTERS,
        never_foreign: &[],
    },
    Row {
        layer: 7,
        name: "engines, edge",
        places: &["crates/engine", "crates/api"],
        beside: &[("crates/api", "crates/engine")],
        never: NO_ADAPTERS,
        never_foreign: &[],
    },
    Row {
        layer: 8,
        name: "binaries",
        places: &["crates/server", "crates/cli"],
        beside: &[("crates/server", "crates/cli")],
        never: &[],
        never_foreign: &[],
    },
];

/// Packages that may import anything, and that nothing else imports.
pub(super) const HARNESS: &[&str] = &["tests/*", "xtask"];

/// Starts real servers: the tests of adapters need them.
pub(super) const SERVERS: &str = "tests/services";

/// What would bring I/O, threads, clocks or randomness into decisions.
const IMPURE: &[&str] =
    &["fjall", "futures", "hyper", "prost", "rand", "reqwest", "tokio", "tonic"];

const NO_ADAPTERS: &[(&str, &str)] = &[
    ("*", "crates/journal-local"),
    ("*", "crates/journal-kafka"),
    ("*", "crates/readstore-local"),
    ("*", "crates/readstore-scylla"),
    ("*", "crates/vault-local"),
    ("*", "crates/outbound-*"),
];

/// Client libraries and the only places that use them.
pub(super) const CLIENTS: &[(&str, &[&str])] = &[
    ("fjall", &["crates/readstore-local"]),
    ("openssl", &["crates/readstore-scylla"]),
    ("rdkafka", &["crates/journal-kafka"]),
    ("scylla", &["crates/readstore-scylla"]),
    ("tonic", &["crates/proto", "crates/api", "crates/server", "crates/cli"]),
];
