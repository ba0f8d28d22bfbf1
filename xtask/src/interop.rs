//! Readers written in Python from the published pages, run in an environment of
//! their own that is kept until its requirements change.

use std::fs;
use std::path::PathBuf;

use crate::artefacts::development;
use crate::forward::SERVER_VARIABLE;
use crate::process::{Res, cache_dir, command, root, run, say, stream};
use crate::stamp::sha256;
use crate::tally::{Counter, Tally};

const TESTS: &str = "tests/interop";

pub(crate) fn job() -> Res<Tally> {
    let built = development()?;
    let python = environment()?;
    let mut command = command(python)?;
    command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS]);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
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
