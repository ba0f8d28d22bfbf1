//! The files under `schemas/store/` make exactly the tables that are declared. They are only
//! added to: a table or a column that is new goes into another file.

#![cfg(test)]

/// The server's own list.
#[path = "../../../crates/server/src/backend/tables.rs"]
mod tables;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use exchequer_readstore_scylla::{MIGRATIONS, create_table, differences};
use sha2::{Digest as _, Sha256};

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// Names of tables that the sources declare outside of tests.
fn written() -> BTreeSet<String> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut texts = Vec::new();
    sources(&root.join("crates/engine/src"), &mut texts);
    for entry in std::fs::read_dir(root.join("projections")).unwrap() {
        sources(&entry.unwrap().path().join("src"), &mut texts);
    }
    let declarations = texts.iter().flat_map(|text| text.split(": Table =").skip(1));
    declarations
        .filter_map(|text| text.split_once("name: \"")?.1.split_once('"'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

// REQ: KER-11
#[test]
fn the_files_make_the_declared_tables() {
    let texts = MIGRATIONS.iter().map(|it| it.text.as_ref());
    let declared = tables::tables();
    let problems = differences(&declared, texts).unwrap();
    let statements: Vec<String> = declared
        .iter()
        .filter(|table| problems.contains(&format!("table {} is missing", table.name)))
        .copied()
        .map(create_table)
        .collect();
    assert!(
        problems.is_empty(),
        "{problems:#?}\nA released file never changes: add the next one under schemas/store/ and name it in MIGRATIONS.\n{}",
        statements.join("\n")
    );
}

// REQ: KER-11
#[test]
fn a_file_that_is_there_never_changes() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas"));
    let mut found = String::new();
    for folder in ["keys", "store"] {
        let mut names: Vec<_> = std::fs::read_dir(root.join(folder))
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .filter(|it| Path::new(it).extension().is_some_and(|it| it == "cql"))
            .collect();
        names.sort();
        for name in names {
            let bytes = std::fs::read(root.join(folder).join(&name)).unwrap();
            for byte in Sha256::digest(&bytes) {
                let _ = write!(found, "{byte:02x}");
            }
            let _ = writeln!(found, "  {folder}/{name}");
        }
    }
    let kept = std::fs::read_to_string(root.join("released.sha256")).unwrap();
    assert_eq!(
        found, kept,
        "schemas/released.sha256 lists each file as `sha256sum` does: add the line of a new \
         one; what is in use somewhere is not changed, but followed by another file"
    );
}

// REQ: KER-11
#[test]
fn every_table_of_the_sources_is_known() {
    let declared: BTreeSet<_> =
        tables::tables().iter().map(|table| table.name.to_owned()).collect();
    assert_eq!(declared, written());
}

/// The two columns that every table has beside its own.
// REQ: KER-07
#[test]
fn no_table_has_a_column_by_the_name_of_a_common_one() {
    for table in tables::tables() {
        let columns = [table.partition_key, table.clustering, table.columns].concat();
        let names: BTreeSet<_> = columns.iter().map(|column| column.name).collect();
        assert_eq!(names.len(), columns.len(), "{}", table.name);
        assert!(!names.contains("row_generation") && !names.contains("row_position"));
    }
}
