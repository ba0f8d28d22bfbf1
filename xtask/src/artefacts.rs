//! What cargo built: programs and test programs, by the folder of their package.
//! Every job that needs development builds asks for the same set, so that cargo
//! resolves features once and compiles nothing twice.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::{Res, cargo, root, stream};
use crate::services::{ADAPTERS, SERVERS};

/// One executable.
#[derive(Debug)]
pub(crate) struct Artefact {
    /// The package's folder below the root, such as `crates/kernel`.
    pub(crate) place: String,
    pub(crate) target: String,
    pub(crate) is_test: bool,
    pub(crate) executable: PathBuf,
}

pub(crate) struct Built {
    pub(crate) artefacts: Vec<Artefact>,
    /// False when some package did not build; the others are there.
    pub(crate) complete: bool,
}

impl Built {
    pub(crate) fn program(&self, name: &str) -> Res<&Path> {
        self.artefacts
            .iter()
            .find(|artefact| !artefact.is_test && artefact.target == name)
            .map(|artefact| artefact.executable.as_path())
            .ok_or_else(|| format!("no program named {name} was built").into())
    }

    pub(crate) fn tests(&self) -> impl Iterator<Item = &Artefact> {
        self.artefacts.iter().filter(|artefact| artefact.is_test)
    }
}

/// The packages that only make sense optimised, or that can switch rules off in what
/// they build upon: no feature of theirs may reach the programs that are shipped.
pub(crate) const APART: &[&str] = &["exchequer-sim", "exchequer-scenarios", "exchequer-bench"];

/// All programs and test programs of the workspace in the development profile.
pub(crate) fn development() -> Res<Built> {
    let mut args = vec!["--workspace", "--lib", "--bins", "--tests", "--keep-going"];
    for package in APART.iter().chain(ADAPTERS).chain(&[SERVERS]) {
        args.extend(["--exclude", package]);
    }
    build(&args)
}

pub(crate) fn build(args: &[&str]) -> Res<Built> {
    let mut command = cargo(&["build", "--message-format=json-render-diagnostics"])?;
    command.args(args);
    let root = root()?;
    let mut artefacts = Vec::new();
    let complete = stream(&mut command, |line| artefacts.extend(artefact(&root, line)))?;
    artefacts
        .sort_by(|a, b| (&a.place, &a.target, a.is_test).cmp(&(&b.place, &b.target, b.is_test)));
    Ok(Built { artefacts, complete })
}

fn artefact(root: &Path, line: &str) -> Option<Artefact> {
    let message: Value = serde_json::from_str(line).ok()?;
    let executable = message["executable"].as_str()?;
    let manifest = Path::new(message["manifest_path"].as_str()?);
    let place = manifest.parent()?.strip_prefix(root).ok()?;
    Some(Artefact {
        place: place.to_string_lossy().into_owned(),
        target: message["target"]["name"].as_str()?.to_owned(),
        is_test: message["profile"]["test"].as_bool()?,
        executable: PathBuf::from(executable),
    })
}
