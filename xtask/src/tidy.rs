//! What no compiler checks. Each check reads the whole tree and names what is
//! wrong by file and line, with what to do instead.

mod markdown;
mod packages;
mod rust;
mod sizes;
mod words;

use crate::process::{Args, Res, root, say};
use crate::stamp;
use crate::tree::Tree;

type Check = fn(&Tree) -> Vec<String>;

const CHECKS: &[(&str, Check)] = &[
    ("sizes", sizes::problems),
    ("words", words::problems),
    ("code", rust::problems),
    ("requirement tags", words::tag_problems),
    ("packages", packages::problems),
    ("error pages", packages::error_page_problems),
    ("titles", markdown::title_problems),
    ("links", markdown::link_problems),
    ("stamps", stamp::problems),
];

pub(crate) fn main(args: &Args) -> Res<()> {
    args.none()?;
    check()?;
    say("tidy: nothing to tidy");
    Ok(())
}

pub(crate) fn check() -> Res<()> {
    let tree = Tree::read(&root()?)?;
    let mut problems = Vec::new();
    for (name, check) in CHECKS {
        problems.extend(check(&tree).into_iter().map(|problem| format!("{name}: {problem}")));
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!("{} to tidy:\n  {}", problems.len(), problems.join("\n  ")).into())
}

/// A tree of the given files, for tests of the checks.
#[cfg(test)]
fn tree(files: &[(&str, &str)]) -> Tree {
    let files = files.iter().map(|(path, text)| crate::tree::File {
        path: (*path).to_owned(),
        bytes: text.len(),
        text: (*text).to_owned(),
    });
    Tree { files: files.collect() }
}
