//! Readers written in Python from the published pages, and libraries that others wrote,
//! run in environments of their own that are kept until their requirements change.

use std::fs;
use std::path::PathBuf;

use crate::artefacts::development;
use crate::forward::SERVER_VARIABLE;
use crate::process::{Res, cache_dir, command, root, run, say, stream};
use crate::stamp::sha256;
use crate::tally::{Counter, Tally};

const TESTS: &str = "tests/interop";
/// Packages for Node.
const NODE: &str = "tests/interop/js";
/// Where the tests find them.
const NODE_MODULES_VARIABLE: &str = "EXCHEQUER_NODE_MODULES";

pub(crate) fn job() -> Res<Tally> {
    let built = development()?;
    let python = environment()?;
    let modules = node_modules()?;
    let mut command = command(python)?;
    command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS]);
    command.env("PYTHONDONTWRITEBYTECODE", "1").env(NODE_MODULES_VARIABLE, modules);
    if let Ok(server) = built.program("exchequer") {
        command.env(SERVER_VARIABLE, server);
    }
    let mut counter = Counter::default();
    let succeeded = stream(&mut command, |line| {
        say(line);
        counter.pytest(line);
    })?;
    Ok(counter.finish(succeeded))
}

/// The environment's interpreter. A marker is written last, so a broken installation is made anew.
fn environment() -> Res<PathBuf> {
    let requirements = root()?.join(TESTS).join("requirements.txt");
    let text =
        fs::read(&requirements).map_err(|error| format!("{TESTS}/requirements.txt: {error}"))?;
    let folder = cache_dir()?.join(format!("python-{}", &sha256(&text)[..16]));
    let python = folder.join("bin/python");
    let marker = folder.join("complete");
    if marker.is_file() && python.exists() {
        return Ok(python);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    say("making the Python environment");
    run(command("python3")?.args(["-m", "venv"]).arg(&folder))?;
    run(command(&python)?
        .args(["-m", "pip", "install", "--quiet", "--requirement"])
        .arg(&requirements))?;
    fs::write(marker, "")?;
    Ok(python)
}

/// The folder of the packages for Node, as their lock file says. The marker likewise.
fn node_modules() -> Res<PathBuf> {
    const LOCK: &str = "package-lock.json";
    let from = root()?.join(NODE);
    let lock = fs::read(from.join(LOCK)).map_err(|error| format!("{NODE}/{LOCK}: {error}"))?;
    let folder = cache_dir()?.join(format!("node-{}", &sha256(&lock)[..16]));
    let (modules, marker) = (folder.join("node_modules"), folder.join("complete"));
    if marker.is_file() && modules.is_dir() {
        return Ok(modules);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    say("fetching the packages for Node");
    fs::create_dir_all(&folder)?;
    for file in ["package.json", LOCK] {
        fs::copy(from.join(file), folder.join(file))?;
    }
    let arguments = ["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"];
    run(command("npm")?.args(arguments).current_dir(&folder))?;
    fs::write(marker, "")?;
    Ok(modules)
}
