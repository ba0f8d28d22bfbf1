//! Server programs as jars: fetched with Maven by the coordinates of a `pom.xml`,
//! each file checked against a list, and kept outside of the checkout.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

use sha2::{Digest as _, Sha256};

use crate::Error;

const PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";
const JAVA_VERSION_MIN: u32 = 17;

static ONE: Mutex<()> = Mutex::new(());

/// What a server consists of.
#[derive(Clone, Copy, Debug)]
pub struct Distribution {
    pub name: &'static str,
    pom: &'static str,
    /// Lines of `SHA-256  FILE`, as `sha256sum` writes them.
    sums: &'static str,
}

pub const KAFKA: Distribution = Distribution {
    name: "kafka",
    pom: include_str!("../kafka/pom.xml"),
    sums: include_str!("../kafka/jars.sha256"),
};

pub const CASSANDRA: Distribution = Distribution {
    name: "cassandra",
    pom: include_str!("../cassandra/pom.xml"),
    sums: include_str!("../cassandra/jars.sha256"),
};

impl Distribution {
    /// The folder of the jars, fetched if they are not there yet.
    pub fn jars(&self) -> Result<PathBuf, Error> {
        check_java()?;
        // One fetch at a time in this process; others use folders of their own.
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = hex(&Sha256::digest([self.pom, self.sums].concat()));
        let folder = cache_dir()?.join(format!("{}-{}", self.name, &digest[..16]));
        if folder.is_dir() {
            return Ok(folder);
        }
        let fetched = self.fetch()?;
        self.check(&fetched)?;
        // Another process may have been quicker with the same files.
        if let Err(error) = fs::rename(&fetched, &folder)
            && !folder.is_dir()
        {
            return Err(Error::io("move the jars to", &folder, &error));
        }
        let _ = fs::remove_dir_all(fetched.with_extension("maven"));
        Ok(folder)
    }

    /// The text that `jars.sha256` should hold for what the coordinates give now.
    pub fn checksums(&self) -> Result<String, Error> {
        check_java()?;
        let fetched = self.fetch()?;
        let mut text = String::new();
        for (file, sum) in sums_of(&fetched)? {
            let _ = writeln!(text, "{sum}  {file}");
        }
        let _ = fs::remove_dir_all(fetched.with_extension("maven"));
        let _ = fs::remove_dir_all(&fetched);
        Ok(text)
    }

    /// Fetches into a folder that only this process uses.
    fn fetch(&self) -> Result<PathBuf, Error> {
        let cache = cache_dir()?;
        let folder = cache.join(format!("{}-{}.part", self.name, std::process::id()));
        let maven = folder.with_extension("maven");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&maven).map_err(|error| Error::io("make", &maven, &error))?;
        let pom = maven.join("pom.xml");
        fs::write(&pom, self.pom).map_err(|error| Error::io("write", &pom, &error))?;
        eprintln!("fetching Apache {} with Maven", self.name);
        let output = Command::new("mvn")
            .args(["--quiet", "--batch-mode", "--file"])
            .arg(&pom)
            .arg(format!("-Dmaven.repo.local={}", maven.join("repository").display()))
            .arg(PLUGIN)
            .arg(format!("-DoutputDirectory={}", folder.display()))
            .stdin(Stdio::null())
            .output()
            .map_err(|_| Error::new(missing("Maven", "maven")))?;
        if output.status.success() {
            return Ok(folder);
        }
        let said = String::from_utf8_lossy(&output.stdout);
        let first = said.lines().find(|line| line.contains("ERROR")).unwrap_or("no reason given");
        Err(Error::new(format!(
            "Apache {} could not be fetched ({first}); Maven Central must be reachable once, \
             through ~/.m2/settings.xml if there is a mirror",
            self.name
        )))
    }

    fn check(&self, folder: &Path) -> Result<(), Error> {
        let expected: BTreeMap<String, String> = self
            .sums
            .lines()
            .filter_map(|line| line.split_once("  "))
            .map(|(sum, file)| (file.to_owned(), sum.to_owned()))
            .collect();
        let found = sums_of(folder)?;
        let wrong = |(file, sum): &(&String, &String)| found.get(*file) != Some(*sum);
        if let Some((file, _)) = expected.iter().find(wrong) {
            return Err(self.mismatch(file, "is missing or has another checksum"));
        }
        match found.keys().find(|file| !expected.contains_key(*file)) {
            Some(file) => Err(self.mismatch(file, "is not in the list")),
            None => Ok(()),
        }
    }

    fn mismatch(&self, file: &str, what: &str) -> Error {
        let name = self.name;
        Error::new(format!(
            "{file} {what} (tests/services/{name}/jars.sha256); whoever serves Maven Central \
             here has other files, or pom.xml changed: `cargo xtask services checksums {name}`"
        ))
    }
}

/// `EXCHEQUER_SERVICES_DIR`, or the place for such things below the user's cache folder.
pub(crate) fn cache_dir() -> Result<PathBuf, Error> {
    let given = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = given("EXCHEQUER_SERVICES_DIR")
        .or_else(|| given("XDG_CACHE_HOME").map(|cache| cache.join("exchequer/services")))
        .or_else(|| given("HOME").map(|home| home.join(".cache/exchequer/services")))
        .unwrap_or_else(|| env::temp_dir().join("exchequer-services"));
    fs::create_dir_all(&folder).map_err(|error| Error::io("make", &folder, &error))?;
    Ok(folder)
}

/// `openjdk version "17.0.21" 2026-10-20` on the first line of standard error.
fn check_java() -> Result<(), Error> {
    let output = Command::new("java")
        .arg("-version")
        .stdin(Stdio::null())
        .output()
        .map_err(|_| Error::new(missing("a Java runtime", "openjdk-17-jre-headless")))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let version = said.split('"').nth(1).and_then(|version| version.split('.').next());
    match version.and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if major >= JAVA_VERSION_MIN => Ok(()),
        _ => Err(Error::new(format!(
            "Java {JAVA_VERSION_MIN} or newer is needed, and `java -version` says {}",
            version.unwrap_or("nothing")
        ))),
    }
}

fn missing(what: &str, package: &str) -> String {
    format!(
        "{what} is missing; on Debian: sudo apt-get install -y --no-install-recommends {package}"
    )
}

fn sums_of(folder: &Path) -> Result<BTreeMap<String, String>, Error> {
    let failed = |error: std::io::Error| Error::io("read", folder, &error);
    let mut sums = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let bytes = fs::read(entry.path()).map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        sums.insert(name, hex(&Sha256::digest(bytes)));
    }
    Ok(sums)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
