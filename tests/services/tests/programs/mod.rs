//! The programs that a guide prints, as files, and how they are run.

use std::fs;
use std::path::{Path, PathBuf};

use exchequer_services::clients;

/// A guide whose programs stand in a folder.
pub(crate) struct Guide {
    folder: PathBuf,
}

/// What a program said.
pub(crate) struct Said {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Before each program stands its name: the next fenced block is the file.
const NAME: &str = "<!-- file: ";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Guide {
    pub(crate) fn read(page: &str, folder: &Path) -> Self {
        let page = fs::read_to_string(root().join(page)).unwrap();
        for part in page.split(NAME).skip(1) {
            let (name, rest) = part.split_once(" -->").unwrap();
            let (_, rest) = rest.split_once("```").unwrap();
            let (_, rest) = rest.split_once('\n').unwrap();
            let (text, _) = rest.split_once("\n```").unwrap();
            fs::write(folder.join(name), format!("{text}\n")).unwrap();
        }
        Self { folder: folder.to_owned() }
    }

    /// Runs a program of the guide, which must succeed.
    pub(crate) fn run(&self, name: &str, bootstrap: &str) -> Said {
        let program = self.folder.join(name);
        said(name, &run(&program, bootstrap, &[]))
    }
}

/// Runs a program of the tests, which must succeed, and tells what it printed.
pub(crate) fn run_own(name: &str, bootstrap: &str, arguments: &[&str]) -> String {
    let program = root().join("tests/services/clients").join(name);
    said(name, &run(&program, bootstrap, arguments)).stdout
}

fn run(program: &Path, bootstrap: &str, arguments: &[&str]) -> std::process::Output {
    let output = if program.extension().is_some_and(|it| it == "java") {
        clients::java(bootstrap, program)
    } else {
        clients::python(bootstrap, program, arguments)
    };
    output.unwrap()
}

fn said(name: &str, output: &std::process::Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{name}: {stdout}{stderr}");
    Said { stdout, stderr }
}
