//! What every package has, and a page for every error code.

use crate::codegen::error_codes;
use crate::tree::Tree;

const PARENTS: &[&str] = &["crates", "projections", "consumers", "tests", ""];
const DOCUMENTED: &[&str] = &["crates", "projections", "consumers"];

/// A workspace of its own, because it is compiled with other flags.
const OWN_WORKSPACE: &str = "tests/fuzz";

/// Lines of every manifest; a package that is not published by accident is one of them.
const INHERITED: &[&str] = &[
    "version.workspace = true",
    "edition.workspace = true",
    "license.workspace = true",
    "publish.workspace = true",
];

pub(super) fn problems(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for place in tree.packages(PARENTS).filter(|place| *place != OWN_WORKSPACE) {
        let manifest = format!("{place}/Cargo.toml");
        let text = tree.file(&manifest).map_or("", |file| file.text.as_str());
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        if !lines.windows(2).any(|pair| pair == ["[lints]", "workspace = true"]) {
            problems.push(format!("{manifest}: needs [lints] with workspace = true"));
        }
        for line in INHERITED.iter().filter(|line| !lines.contains(line)) {
            problems.push(format!("{manifest}: needs {line}"));
        }
    }
    for place in tree.packages(DOCUMENTED) {
        let page = format!("{place}/README.md");
        if tree.file(&page).is_none() {
            problems
                .push(format!("{page} is missing: what the package owns, and what it does not"));
        }
    }
    problems
}

pub(super) fn error_page_problems(tree: &Tree) -> Vec<String> {
    let codes = error_codes(tree);
    let page = |code: &str| format!("docs/errors/{code}.md");
    let mut problems: Vec<String> = codes
        .iter()
        .filter(|(code, _)| tree.file(&page(code)).is_none())
        .map(|(code, place)| format!("{} is missing, for the code in {place}", page(code)))
        .collect();
    for file in &tree.files {
        let Some(code) =
            file.path.strip_prefix("docs/errors/").and_then(|name| name.strip_suffix(".md"))
        else {
            continue;
        };
        if code != "README" && !codes.contains_key(code) {
            problems.push(format!("{}: no rejection and no status has this code", file.path));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree;

    #[test]
    fn manifests_inherit_and_packages_have_a_page() {
        let good = format!("[package]\n{}\n\n[lints]\nworkspace = true\n", INHERITED.join("\n"));
        let found = problems(&tree(&[
            ("crates/a/Cargo.toml", &good),
            ("crates/a/README.md", "# a\n"),
            ("tests/sim/Cargo.toml", &good),
            ("tests/fuzz/Cargo.toml", ""),
            ("xtask/Cargo.toml", &good.replace("publish.workspace = true", "publish = true")),
            ("consumers/b/Cargo.toml", &good.replace("[lints]", "[lint]")),
        ]));
        assert_eq!(
            found,
            [
                "xtask/Cargo.toml: needs publish.workspace = true",
                "consumers/b/Cargo.toml: needs [lints] with workspace = true",
                "consumers/b/README.md is missing: what the package owns, and what it does not",
            ]
        );
    }

    #[test]
    fn codes_and_pages_belong_together() {
        let found = error_page_problems(&tree(&[
            (
                "crates/domain-a/src/rejection.rs",
                "pub const A: &str = \"A_ONE\";\npub const B: &str = \"B_TWO\";",
            ),
            ("docs/errors/A_ONE.md", "# A_ONE\n"),
            ("docs/errors/GONE.md", "# GONE\n"),
            ("docs/errors/README.md", "# Errors\n"),
        ]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("docs/errors/B_TWO.md is missing")
                && found[1].starts_with("docs/errors/GONE.md")
        );
    }
}
