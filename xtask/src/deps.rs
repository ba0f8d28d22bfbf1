//! Who imports whom: `cargo metadata` against the layer table in
//! `deps/table.rs`. A new edge is a design decision, so a forbidden one fails
//! and the table changes in the same commit as the page that draws it.

mod table;

use std::path::Path;

use serde_json::Value;

use crate::process::{Args, Res, cargo, output, root, say};
use table::{CLIENTS, HARNESS, ROWS, Row, SERVERS};

/// A package of the workspace and what its manifest asks for.
struct Package {
    /// The folder below the root, such as `crates/kernel`.
    place: String,
    name: String,
    imports: Vec<Import>,
}

struct Import {
    package: String,
    /// Needed only by the package's own tests.
    is_dev: bool,
}

pub(crate) fn main(args: &Args) -> Res<()> {
    args.none()?;
    check()?;
    say("deps: every import agrees with the layer table");
    Ok(())
}

pub(crate) fn check() -> Res<()> {
    let packages = packages()?;
    let problems = problems(&packages);
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!(
        "imports against the layer table in xtask/src/deps/table.rs:\n  {}",
        problems.join("\n  ")
    )
    .into())
}

fn packages() -> Res<Vec<Package>> {
    let text = output(&mut cargo(&["metadata", "--no-deps", "--format-version", "1"])?)?;
    let metadata: Value = serde_json::from_str(&text)?;
    let root = root()?;
    metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|value| {
            package(&root, value).ok_or_else(|| "cargo metadata has an unknown form".into())
        })
        .collect()
}

fn package(root: &Path, value: &Value) -> Option<Package> {
    let manifest = Path::new(value["manifest_path"].as_str()?);
    let imports = value["dependencies"].as_array()?.iter().map(|import| {
        Some(Import {
            package: import["name"].as_str()?.to_owned(),
            is_dev: import["kind"].as_str() == Some("dev"),
        })
    });
    Some(Package {
        place: manifest.parent()?.strip_prefix(root).ok()?.to_string_lossy().into_owned(),
        name: value["name"].as_str()?.to_owned(),
        imports: imports.collect::<Option<_>>()?,
    })
}

fn problems(packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    for package in packages {
        if is_harness(&package.place) {
            problems.extend(harness_problems(package, packages));
            continue;
        }
        let Some(row) = row(&package.place) else {
            problems.push(format!("{} is in no row; add {} to one", package.name, package.place));
            continue;
        };
        let expected = expected_name(&package.place);
        if package.name != expected {
            problems.push(format!("{} must be named {expected}", package.place));
        }
        for import in &package.imports {
            let refusal = match packages.iter().find(|other| other.name == import.package) {
                Some(other) => refusal(package, row, other, import.is_dev),
                None => foreign_refusal(package, row, import),
            };
            if let Some(refusal) = refusal {
                problems.push(format!("{} -> {}: {refusal}", package.name, import.package));
            }
        }
    }
    problems
}

/// What tests and tools share among themselves is their own affair, but the tools are nobody's library.
fn harness_problems<'a>(
    package: &'a Package,
    packages: &'a [Package],
) -> impl Iterator<Item = String> {
    package.imports.iter().filter_map(|import| {
        let other = packages.iter().find(|other| other.name == import.package)?;
        (other.place == "xtask")
            .then(|| format!("{} -> {}: nothing imports it", package.name, import.package))
    })
}

fn refusal(package: &Package, row: &Row, other: &Package, is_dev: bool) -> Option<String> {
    if is_harness(&other.place) {
        let is_served = is_dev && row.name == "adapters" && other.place == SERVERS;
        return (!is_served).then(|| "nothing imports tests or tools".to_owned());
    }
    // An unknown place is reported once, as the other package's own problem.
    let other_row = self::row(&other.place)?;
    if is_dev {
        return None;
    }
    let is_allowed =
        |from: &str, to: &str| matches(from, &package.place) && matches(to, &other.place);
    let is_beside =
        other_row.layer == row.layer && row.beside.iter().any(|(from, to)| is_allowed(from, to));
    if other_row.layer >= row.layer && !is_beside {
        return Some(format!(
            "layer {} ({}) does not import layer {} ({})",
            row.layer, row.name, other_row.layer, other_row.name
        ));
    }
    if row.never.iter().any(|(from, to)| is_allowed(from, to)) {
        return Some(format!("layer {} ({}) never imports {}", row.layer, row.name, other.place));
    }
    None
}

fn foreign_refusal(package: &Package, row: &Row, import: &Import) -> Option<String> {
    if import.is_dev {
        return None;
    }
    if let Some(family) = row.never_foreign.iter().find(|family| is_of(family, &import.package)) {
        return Some(format!("layer {} ({}) never uses {family}", row.layer, row.name));
    }
    let (family, places) = CLIENTS.iter().find(|(family, _)| is_of(family, &import.package))?;
    if places.contains(&package.place.as_str()) {
        return None;
    }
    Some(format!("{family} is used only by {}", places.join(", ")))
}

fn row(place: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.places.iter().any(|pattern| matches(pattern, place)))
}

fn is_harness(place: &str) -> bool {
    HARNESS.iter().any(|pattern| matches(pattern, place))
}

/// A pattern is a place, or a prefix that ends with `*`.
fn matches(pattern: &str, place: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => place.starts_with(prefix),
        None => place == pattern,
    }
}

/// `tokio-util` and `rand_core` are of the families `tokio` and `rand`.
fn is_of(family: &str, package: &str) -> bool {
    package.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

fn expected_name(place: &str) -> String {
    match place.split_once('/') {
        Some(("crates" | "tests", folder)) => format!("exchequer-{folder}"),
        Some((kind, folder)) => format!("exchequer-{}-{folder}", kind.trim_end_matches('s')),
        None => format!("exchequer-{place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One package per line: `place: imports`, where `~` marks one for tests only.
    fn found(graph: &[&str]) -> Vec<String> {
        let packages: Vec<Package> = graph
            .iter()
            .map(|line| {
                let (place, imports) = line.split_once(':').unwrap();
                let imports = imports.split_whitespace().map(|word| Import {
                    package: word.trim_start_matches('~').to_owned(),
                    is_dev: word.starts_with('~'),
                });
                Package {
                    place: place.to_owned(),
                    name: expected_name(place),
                    imports: imports.collect(),
                }
            })
            .collect();
        problems(&packages)
    }

    fn allowed(graph: &[&str]) {
        assert_eq!(found(graph), Vec::<String>::new());
    }

    fn refused(graph: &[&str], text: &str) {
        let found = found(graph);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(text), "{found:?}");
    }

    #[test]
    fn downward_imports_are_allowed() {
        allowed(&[
            "crates/types:",
            "crates/kernel: exchequer-types blake3",
            "crates/domain-tenants: exchequer-kernel exchequer-types",
            "crates/tenant: exchequer-domain-tenants",
            "crates/proto: prost tonic",
            "crates/codec: exchequer-proto exchequer-tenant",
            "crates/journal: exchequer-types tokio",
            "crates/journal-local: exchequer-journal",
            "projections/tenants: exchequer-domain-tenants exchequer-codec",
            "crates/engine: exchequer-projection-tenants exchequer-journal",
            "crates/api: exchequer-engine tonic-health",
            "crates/cli: exchequer-journal-local exchequer-api",
            "crates/server: exchequer-journal-local exchequer-api exchequer-cli",
            "tests/sim: exchequer-server exchequer-types tonic",
            "tests/e2e: exchequer-sim",
        ]);
    }

    #[test]
    fn upward_and_sideways_imports_are_refused() {
        refused(
            &["crates/types: exchequer-kernel", "crates/kernel:"],
            "layer 0 (words) does not import layer 1",
        );
        refused(
            &["crates/domain-a: exchequer-domain-b", "crates/domain-b:"],
            "layer 2 (domain) does not import",
        );
        refused(&["crates/domain-a: exchequer-proto", "crates/proto:"], "does not import layer 4");
        refused(&["crates/proto: exchequer-codec", "crates/codec:"], "does not import layer 4");
        refused(
            &["crates/journal: exchequer-readstore", "crates/readstore:"],
            "does not import layer 4",
        );
        refused(
            &["crates/journal-local: exchequer-readstore-local", "crates/readstore-local:"],
            "layer 5",
        );
        refused(&["projections/a: exchequer-projection-b", "projections/b:"], "layer 6");
        refused(&["crates/engine: exchequer-api", "crates/api:"], "layer 7");
        refused(&["crates/cli: exchequer-server", "crates/server:"], "layer 8");
    }

    #[test]
    fn what_a_row_never_imports_is_refused() {
        let domain = "crates/domain-a:";
        let adapter = "crates/journal-local:";
        refused(
            &["crates/readstore-local: exchequer-domain-a", domain],
            "layer 5 (adapters) never imports crates/domain-a",
        );
        refused(
            &["projections/a: exchequer-journal-local", adapter],
            "layer 6 (views, reactions) never imports",
        );
        refused(
            &["crates/engine: exchequer-journal-local", adapter],
            "layer 7 (engines, edge) never imports",
        );
        allowed(&["crates/domain-a: exchequer-rating", "crates/rating:"]);
    }

    #[test]
    fn foreign_packages_keep_to_their_places() {
        refused(&["crates/kernel: tokio-util"], "layer 1 (kernel) never uses tokio");
        refused(&["crates/domain-a: rand_core"], "layer 2 (domain) never uses rand");
        refused(&["crates/journal-local: fjall"], "fjall is used only by crates/readstore-local");
        refused(&["crates/engine: tonic-types"], "tonic is used only by");
        allowed(&["crates/readstore-local: fjall", "crates/kernel: ~rand randomize"]);
    }

    #[test]
    fn imports_for_tests_are_free_but_not_of_tests() {
        allowed(&["crates/kernel: ~exchequer-journal-local ~tokio", "crates/journal-local:"]);
        refused(&["crates/kernel: ~exchequer-sim", "tests/sim:"], "nothing imports tests or tools");
        refused(&["tests/sim: exchequer-xtask", "xtask:"], "nothing imports it");
        allowed(&["crates/journal-kafka: ~exchequer-services", "tests/services:"]);
        allowed(&["xtask: exchequer-services", "tests/services:"]);
        refused(
            &["crates/journal-kafka: exchequer-services", "tests/services:"],
            "nothing imports tests or tools",
        );
        refused(
            &["crates/engine: ~exchequer-services", "tests/services:"],
            "nothing imports tests or tools",
        );
    }

    #[test]
    fn an_unknown_package_asks_for_a_row() {
        refused(
            &["crates/surprise:"],
            "exchequer-surprise is in no row; add crates/surprise to one",
        );
    }

    #[test]
    fn names_follow_folders() {
        let package = |place: &str, name: &str| Package {
            place: place.into(),
            name: name.into(),
            imports: vec![],
        };
        assert_eq!(
            problems(&[package("projections/audit", "exchequer-projection-audit")]),
            Vec::<String>::new()
        );
        assert_eq!(
            problems(&[package("crates/types", "types")]),
            ["crates/types must be named exchequer-types"]
        );
    }
}
