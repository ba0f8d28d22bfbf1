//! The files of the checkout, without what is built, cached or hidden.

use std::fs;
use std::path::Path;

use crate::process::Res;

pub(crate) struct File {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) bytes: usize,
    /// Empty when the file is not text.
    pub(crate) text: String,
}

impl File {
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether the name ends with one of these, in exactly this case.
    pub(crate) fn has_suffix(&self, suffixes: &[&str]) -> bool {
        suffixes.iter().any(|suffix| self.path.ends_with(suffix))
    }
}

pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

/// Hidden names that are part of the project; all others are tools' own.
const SHOWN: &[&str] = &[".ci", ".cargo", ".github", ".gitignore"];
/// Never part of the project, wherever they lie.
const BUILT: &[&str] = &["target", "__pycache__", "node_modules"];
/// Where a server started in the checkout keeps its data.
const DATA: &str = "data";

impl Tree {
    pub(crate) fn read(root: &Path) -> Res<Self> {
        let mut files = Vec::new();
        walk(root, "", &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { files })
    }

    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files
            .binary_search_by(|file| file.path.as_str().cmp(path))
            .ok()
            .and_then(|at| self.files.get(at))
            .or_else(|| self.files.iter().find(|file| file.path == path))
    }

    /// The folders that hold a package: a manifest one level below one of `parents`.
    pub(crate) fn packages<'a>(&'a self, parents: &'a [&str]) -> impl Iterator<Item = &'a str> {
        self.files.iter().filter_map(move |file| {
            let place = file.path.strip_suffix("/Cargo.toml")?;
            let (parent, _) = place.rsplit_once('/').unwrap_or(("", place));
            parents.contains(&parent).then_some(place)
        })
    }
}

fn walk(root: &Path, folder: &str, files: &mut Vec<File>) -> Res<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let hidden = name.starts_with('.') && !SHOWN.contains(&name.as_str());
        if hidden || BUILT.contains(&name.as_str()) || (folder.is_empty() && name == DATA) {
            continue;
        }
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if entry.file_type()?.is_dir() {
            walk(root, &path, files)?;
        } else if entry.file_type()?.is_file() {
            let bytes = fs::read(root.join(&path))?;
            let length = bytes.len();
            let text = if bytes.contains(&0) {
                String::new()
            } else {
                String::from_utf8(bytes).unwrap_or_default()
            };
            files.push(File { path, bytes: length, text });
        }
    }
    Ok(())
}
