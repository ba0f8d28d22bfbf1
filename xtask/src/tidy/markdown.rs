//! Pages: one title each, and no link into the tree that leads nowhere.

use crate::tree::{File, Tree};

pub(super) fn title_problems(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for file in pages(tree) {
        let titles = prose(&file.text).filter(|(_, line)| line.starts_with("# ")).count();
        if titles != 1 {
            problems.push(format!("{}: {titles} titles (`# `), needs exactly one", file.path));
        }
    }
    problems
}

pub(super) fn link_problems(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for file in pages(tree) {
        for (number, line) in prose(&file.text) {
            for target in targets(line) {
                if !resolves(tree, &file.path, target) {
                    problems.push(format!("{}:{}: {target} leads nowhere", file.path, number + 1));
                }
            }
        }
    }
    problems
}

fn pages(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| file.has_suffix(&[".md"]))
}

/// The lines outside of code blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_block = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_block ^= is_fence;
        !in_block && !is_fence
    })
}

/// What stands in `](…)`, outside of inline code.
fn targets(line: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    for text in line.split('`').step_by(2) {
        for (at, _) in text.match_indices("](") {
            let rest = &text[at + 2..];
            if let Some(target) = rest.split(')').next() {
                targets.push(target.split(" \"").next().unwrap_or(target));
            }
        }
    }
    targets
}

fn resolves(tree: &Tree, page: &str, target: &str) -> bool {
    let target = target.split('#').next().unwrap_or_default();
    if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return true;
    }
    let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return false;
                }
            }
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    let folder = format!("{path}/");
    path.is_empty()
        || tree.files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree;

    #[test]
    fn one_title_outside_of_code() {
        let found = title_problems(&tree(&[
            ("a.md", "# A\n\n```sh\n# a comment\n```\n"),
            ("b.md", "## B\n"),
            ("c.md", "# C\n# D\n"),
        ]));
        assert_eq!(
            found,
            [
                "b.md: 0 titles (`# `), needs exactly one",
                "c.md: 2 titles (`# `), needs exactly one"
            ]
        );
    }

    #[test]
    fn links_lead_somewhere() {
        let page = "# A\n[b](b.md#part) [c](../c/) [up](../README.md) [web](https://example.com/x) [here](#a)\n\
                    `[not](a link)` [lost](lost.md) ![out](../../out.png)\n";
        let found = link_problems(&tree(&[
            ("docs/a.md", page),
            ("docs/b.md", "# B"),
            ("c/x.rs", ""),
            ("README.md", "# R"),
        ]));
        assert_eq!(
            found,
            ["docs/a.md:3: lost.md leads nowhere", "docs/a.md:3: ../../out.png leads nowhere"]
        );
    }
}
