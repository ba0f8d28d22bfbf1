//! Commands that a page prints, and where they are run.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use exchequer_e2e::{Res, ensure, program};
use exchequer_services::{Folder, Lifetime, Process};

/// When its standard input ends, which it does with this program: ends whatever in its group
/// still starts servers, and then those that stand.
const KEEPER: &str =
    "cat >/dev/null; trap '' TERM; kill -TERM 0; exec cargo xtask services down >/dev/null";

/// The text between this heading and the next of its kind.
pub(crate) fn section(page: &'static str, heading: &str) -> Res<&'static str> {
    let (_, behind) = page.split_once(&format!("\n{heading}\n")).ok_or(heading)?;
    let kind = format!("\n{} ", heading.split(' ').next().unwrap_or_default());
    Ok(behind.split(&kind).next().unwrap_or(behind))
}

/// The blocks of one language.
pub(crate) fn blocks(text: &'static str, language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).filter_map(|it| it.split("```").next()).collect()
}

/// The lines of all shell blocks that begin so.
pub(crate) fn commands(text: &'static str, begin: &str) -> Vec<&'static str> {
    let lines = blocks(text, "sh").into_iter().flat_map(str::lines).map(str::trim);
    lines.filter(|it| it.starts_with(begin)).collect()
}

/// A folder in which `exchequer` is the program, and the addresses of this run.
pub(crate) struct Shell {
    folder: Folder,
    ours: Vec<(String, String)>,
}

impl Shell {
    pub(crate) fn new(name: &str, ours: Vec<(String, String)>) -> Res<Self> {
        Ok(Self { folder: Folder::temporary(name)?, ours })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file that is printed.
    pub(crate) fn write(&self, name: &str, printed: &str) -> Res<()> {
        Ok(fs::write(self.path().join(name), self.here(printed))?)
    }

    fn here(&self, printed: &str) -> String {
        self.ours.iter().fold(printed.to_owned(), |text, (theirs, our)| text.replace(theirs, our))
    }

    fn line(&self, printed: &str) -> Res<String> {
        let program = program()?;
        let programs = program.parent().unwrap_or_else(|| Path::new(".")).display().to_string();
        let folder = self.path().display();
        let line = self.here(printed);
        // Nothing of whoever runs the tests is read.
        let home = format!("export HOME='{folder}' XDG_DATA_HOME='{folder}/data'");
        Ok(format!("export PATH='{programs}':\"$PATH\"; {home}; cd '{folder}' && {line}"))
    }

    /// Runs a line to its end, which must be a good one.
    pub(crate) fn run(&self, printed: &str) -> Res<String> {
        finished(printed, Command::new("sh").args(["-c", &self.line(printed)?]))
    }

    /// Starts a line that goes on.
    pub(crate) fn start(&self, name: &str, printed: &str) -> Res<Process> {
        let line = self.line(&format!("exec {printed}"))?;
        let words = ["sh".to_owned(), "-c".to_owned(), line];
        Ok(Process::start(&words, self.path(), name, Lifetime::Owned)?)
    }
}

/// What a line said that must end well.
fn finished(line: &str, command: &mut Command) -> Res<String> {
    let done = command.output()?;
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure(done.status.success(), || format!("{line}: {}: {said}", done.status))?;
    Ok(said)
}

/// Servers that commands start and end. They end with the value too, and with this program.
pub(crate) struct Standing {
    folder: Folder,
    keeper: Child,
    open: Option<ChildStdin>,
    pub(crate) brokers: String,
    pub(crate) node: String,
}

impl Standing {
    /// Runs the lines that start brokers and a node.
    pub(crate) fn up(brokers: &str, node: &str) -> Res<Self> {
        let folder = Folder::temporary("standing")?;
        let mut keeper = in_tree(&folder, KEEPER);
        let mut keeper = keeper.process_group(0).stdin(Stdio::piped()).spawn()?;
        let open = keeper.stdin.take();
        let mut it = Self { folder, keeper, open, brokers: String::new(), node: String::new() };
        (it.brokers, it.node) = (it.address(brokers, "kafka")?, it.address(node, "cassandra")?);
        Ok(it)
    }

    fn address(&self, line: &str, server: &str) -> Res<String> {
        let said = self.run(line)?;
        let address = said.lines().find_map(|it| it.strip_prefix(server)).map(str::trim);
        Ok(address.ok_or_else(|| format!("{line} said: {said}"))?.to_owned())
    }

    /// Runs a line in the tree, which must end well.
    pub(crate) fn run(&self, line: &str) -> Res<String> {
        let group = i32::try_from(self.keeper.id())?;
        finished(line, in_tree(&self.folder, line).process_group(group))
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        drop(self.open.take());
        let ended = self.keeper.wait();
        if !std::thread::panicking() {
            // Their ids are kept by it, in the folder.
            assert!(ended.is_ok_and(|it| it.success()), "servers were left standing");
        }
    }
}

fn in_tree(standing: &Folder, line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]).env("EXCHEQUER_STANDING_DIR", standing.path());
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    command
}
