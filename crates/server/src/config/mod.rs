//! Settings: defaults, then one TOML file, then `EXCHEQUER__SECTION__KEY`, then
//! the command line. Each section stands in a file of its own. Everything that is
//! wrong is named at once, with its place and what to do.

mod access;
mod cluster;
mod dump;
mod engine;
mod folder;
mod journal;
mod kafka;
mod keys;
mod limits;
mod pems;
mod reader;
mod readiness;
mod roles;
mod scylla;
mod section;
mod shutdown;
mod telemetry;
mod tls;
mod top;
mod usage;
mod value;
mod views;

use core::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use dump::Described;
pub use reader::Problem;
use reader::Reader;
pub use roles::{Role, Roles};
use section::Section;
pub(crate) use shutdown::Shutdown;
pub(crate) use telemetry::Telemetry;
pub use value::Secret;

/// What `run` takes on the command line.
#[derive(Debug, Default, Args)]
pub struct RunArgs {
    /// Folder of all data; created when absent.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Loopback address and port.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// TOML file with settings.
    #[arg(long)]
    config: Option<PathBuf>,
    /// What this process does, once or several times; everything when absent. Processes of
    /// a cluster share their roles' work; without a cluster there is one process.
    #[arg(long = "role", value_enum)]
    roles: Vec<Role>,
    /// Checks the settings, the files that they name and the data folder, and ends: 0
    /// when all is well, 1 when not, with every problem named.
    #[arg(long)]
    pub check_config: bool,
    /// Prints the settings in force as TOML, without secrets, and ends.
    #[arg(long)]
    pub dump_config: bool,
}

/// One line for each section: a field, its type, in the order in which they are shown.
macro_rules! config {
    ($($field:ident: $section:ty,)*) => {
        /// All settings of a process.
        #[derive(Clone, Debug, Default)]
        pub struct Config {
            $( pub $field: $section, )*
            /// From the command line alone: the file is the same for all processes.
            pub roles: Roles,
        }

        impl Config {
            fn read(reader: &mut Reader, roles: Roles) -> Self {
                Self { $( $field: <$section>::read(reader), )* roles }
            }

            fn described(&self) -> Vec<Described> {
                vec![ $( Described {
                    table: <$section>::TABLE,
                    about: <$section>::ABOUT,
                    fields: self.$field.fields(),
                }, )* ]
            }
        }
    };
}

config! {
    place: top::Place,
    engine: engine::Engine,
    journal: journal::Journal,
    usage: usage::Usage,
    views: views::Views,
    kafka: kafka::Kafka,
    scylla: scylla::Scylla,
    keys: keys::Keys,
    access: access::Access,
    tls: tls::Tls,
    limits: limits::Limits,
    readiness: readiness::Readiness,
    shutdown: shutdown::Shutdown,
    telemetry: telemetry::Telemetry,
}

/// Settings that a process cannot run with.
#[derive(Debug, thiserror::Error)]
#[error("{}", Lines(problems))]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

struct Lines<'a>(&'a [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings cannot be used")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl Config {
    /// Settings from all their sources.
    pub fn load(args: RunArgs) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(args.config.as_deref());
        let mut config = Self::read(&mut reader, Roles::named(&args.roles));
        if let Some(data) = args.data {
            config.place.data = data;
        }
        if let Some(listen) = args.listen {
            config.place.listen = listen;
        }
        config.check(&mut reader);
        let problems = reader.finish();
        if problems.is_empty() { Ok(config) } else { Err(ConfigError { problems }) }
    }

    /// The same for what makes a deployment ready: keys that it is about to make may be
    /// missing.
    pub(crate) fn load_for_setup(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(file);
        let config = Self::read(&mut reader, Roles::default());
        config.check_backends(&mut reader);
        let problems = reader.finish();
        if problems.is_empty() { Ok(config) } else { Err(ConfigError { problems }) }
    }

    /// What is wrong between settings that are right by themselves, and with the files
    /// that they name.
    fn check(&self, reader: &mut Reader) {
        Telemetry::check_variable(reader);
        self.telemetry.check_endpoint(reader);
        self.place.check(reader);
        self.check_backends(reader);
        self.keys.check(reader, &self.place.data);
        self.access.check(reader);
        self.tls.check(reader, self.place.listen, &self.access);
    }

    /// The settings in force, as a commented TOML file without secrets.
    pub fn dump(&self) -> String {
        dump::toml(&self.described())
    }
}

#[cfg(test)]
mod edge_tests;
#[cfg(test)]
mod tests;
