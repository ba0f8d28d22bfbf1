//! Files that are generated from others and kept in the tree, so that a reader
//! needs no tool and a review shows what a change does to them.

mod clippy;
mod errors;
mod metrics;
mod permissions;
mod settings;

use std::fs;

pub(crate) use errors::declared as error_codes;

use crate::process::{Args, Res, root, say};
use crate::tree::Tree;

/// A generated file: its path, and what must stand in it.
type Output = (String, String);

pub(crate) fn main(args: &Args) -> Res<()> {
    if args.only_flag("--check")? {
        check()?;
        say("codegen: every generated file is current");
        return Ok(());
    }
    let root = root()?;
    let tree = Tree::read(&root)?;
    for (path, text) in stale(&tree)? {
        let path = root.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, text)?;
        say(&format!("wrote {}", path.strip_prefix(&root)?.display()));
    }
    Ok(())
}

pub(crate) fn check() -> Res<()> {
    let stale: Vec<String> =
        stale(&Tree::read(&root()?)?)?.into_iter().map(|(path, _)| path).collect();
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!("stale, run `./x codegen`: {}", stale.join(", ")).into())
}

fn stale(tree: &Tree) -> Res<Vec<Output>> {
    let mut outputs = outputs(tree)?;
    outputs.retain(|(path, text)| tree.file(path).is_none_or(|file| file.text != *text));
    Ok(outputs)
}

fn outputs(tree: &Tree) -> Res<Vec<Output>> {
    let mut outputs = clippy::outputs(tree)?;
    outputs.extend(errors::output(tree));
    outputs.extend(metrics::output(tree)?);
    outputs.push(permissions::output()?);
    outputs.extend(settings::output(tree)?);
    Ok(outputs)
}
