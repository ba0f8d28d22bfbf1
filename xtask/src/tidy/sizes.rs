//! Files a stranger can read in one go, and nothing large in the history.

use crate::tree::{File, Tree};

const LINES_MAX: usize = 600;
const BYTES_MAX: usize = 64 * 1024;

const WRITTEN_BY_HAND: &[&str] = &[".rs", ".py", ".proto"];

pub(super) fn problems(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for file in &tree.files {
        let lines = file.text.lines().count();
        if file.has_suffix(WRITTEN_BY_HAND) && lines > LINES_MAX {
            problems.push(format!(
                "{}: {lines} lines, at most {LINES_MAX}; split it by what it does",
                file.path
            ));
        }
        if file.bytes > BYTES_MAX && !may_be_large(file) {
            problems.push(format!("{}: {} bytes, at most {BYTES_MAX}", file.path, file.bytes));
        }
    }
    problems
}

fn may_be_large(file: &File) -> bool {
    matches!(file.name(), "LICENSE" | "Cargo.lock" | "proto.lock.json")
        || file.path.starts_with("schemas/vectors/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree;

    #[test]
    fn long_and_large_files_are_named() {
        let long = "a\n".repeat(LINES_MAX + 1);
        let large = "a".repeat(BYTES_MAX + 1);
        let found = problems(&tree(&[
            ("a.rs", &long),
            ("a.md", &long),
            ("b.json", &large),
            ("Cargo.lock", &large),
            ("schemas/vectors/chain.bin", &large),
        ]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a.rs: 601 lines") && found[1].starts_with("b.json: "));
    }
}
