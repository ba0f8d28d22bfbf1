//! Stamps: a document about a file keeps that file's SHA-256 in a line
//! `<!-- sha256 of PATH: HEX -->`. `tidy` refuses a stamp that no longer holds,
//! so that whoever changes the file reads the document again; `stamp` renews it.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::process::{Args, Res, root, say};
use crate::tree::Tree;

const OPEN: &str = "<!-- sha256 of ";
const CLOSE: &str = " -->";

/// Documents that must keep the stamp of a file, once they exist.
const REQUIRED: &[(&str, &str)] =
    &[("docs/reference/journal-format.md", "proto/exchequer/journal/v1/journal.proto")];

pub(crate) fn main(args: &Args) -> Res<()> {
    args.none()?;
    let root = root()?;
    for file in &Tree::read(&root)?.files {
        let renewed = renewed(&root, &file.text)?;
        if file.has_suffix(&[".md"]) && renewed != file.text {
            fs::write(root.join(&file.path), renewed)?;
            say(&format!("stamped {}", file.path));
        }
    }
    Ok(())
}

/// Stamps that are missing, or that differ from the file they name.
pub(crate) fn problems(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for file in tree.files.iter().filter(|file| file.has_suffix(&[".md"])) {
        for (number, line) in file.text.lines().enumerate() {
            let Some((path, hex)) = stamp(line) else { continue };
            let at = format!("{}:{}", file.path, number + 1);
            match tree.file(path) {
                None => problems.push(format!("{at}: the stamped file {path} does not exist")),
                Some(stamped) if sha256(stamped.text.as_bytes()) != hex => problems.push(format!(
                    "{at}: {path} has changed; bring this page up to date, then run `./x stamp`"
                )),
                Some(_) => {}
            }
        }
    }
    for (document, path) in REQUIRED {
        if let Some(file) = tree.file(document)
            && !file
                .text
                .lines()
                .any(|line| stamp(line).is_some_and(|(stamped, _)| stamped == *path))
        {
            problems.push(format!(
                "{document}: needs a line `{OPEN}{path}: 0{CLOSE}`; then run `./x stamp`"
            ));
        }
    }
    problems
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn renewed(root: &Path, text: &str) -> Res<String> {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match stamp(line.trim_end()) {
            Some((path, _)) => {
                let bytes =
                    fs::read(root.join(path)).map_err(|error| format!("{path}: {error}"))?;
                let _ = writeln!(out, "{OPEN}{path}: {}{CLOSE}", sha256(&bytes));
            }
            None => out.push_str(line),
        }
    }
    Ok(out)
}

fn stamp(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix(OPEN)?.strip_suffix(CLOSE)?.split_once(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::File;

    fn tree(page: &str) -> Tree {
        let file = |path: &str, text: &str| File {
            path: path.to_owned(),
            bytes: text.len(),
            text: text.to_owned(),
        };
        Tree { files: vec![file("docs/a.md", page), file("a.proto", "abc")] }
    }

    #[test]
    fn a_changed_file_is_named() {
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(problems(&tree(&format!("# A\n\n<!-- sha256 of a.proto: {hex} -->\n"))).is_empty());
        let stale = problems(&tree("# A\n\n<!-- sha256 of a.proto: 00 -->\n"));
        assert_eq!(stale.len(), 1);
        assert!(stale[0].starts_with("docs/a.md:3: a.proto has changed"), "{stale:?}");
    }
}
