//! What settings of a cluster need of each other: both backends together, brokers and
//! nodes, and keys that every process has alike.

use super::roles::Role;
use super::{Config, Problem, Reader};

/// Is this program built with the clients of a cluster?
const HAS_CLIENTS: bool = cfg!(feature = "cluster");

impl Config {
    /// Are the logs on Kafka and the views on ScyllaDB?
    pub(crate) fn is_cluster(&self) -> bool {
        self.journal.backend == "kafka"
    }

    pub(super) fn check_backends(&self, reader: &mut Reader) {
        let (logs, views) = (self.is_cluster(), self.views.backend == "scylla");
        if logs != views {
            let (key, what, cure) = if logs {
                let what = "is \"embedded\", and journal.backend is \"kafka\"";
                (
                    "views.backend",
                    what,
                    "processes that share logs share views: set it to \"scylla\"",
                )
            } else {
                let what = "is \"embedded\", and views.backend is \"scylla\"";
                ("journal.backend", what, "set it to \"kafka\", or views.backend to \"embedded\"")
            };
            reader.wrong(key, what, cure);
        }
        if !logs && !views {
            if !self.roles.is_all() {
                let cure = "leave it out: a data folder is one process's, which does everything";
                reader.note(Problem {
                    key: String::new(),
                    place: "--role".to_owned(),
                    what: "roles are shared on a cluster alone".to_owned(),
                    cure: cure.to_owned(),
                });
            }
            return;
        }
        if !HAS_CLIENTS {
            let cure = "run one that is: cargo build --release --features cluster";
            reader.wrong(
                "journal.backend",
                "this program is built without a cluster's clients",
                cure,
            );
        }
        self.kafka.check(reader);
        self.scylla.check(reader);
        self.check_shared_keys(reader);
    }

    /// What one process makes for itself, another one would not know.
    fn check_shared_keys(&self, reader: &mut Reader) {
        if self.keys.deployment_file.is_none() {
            let cure = "name a file with the deployment's key, the same for every process; \
                        `exchequer admin init` makes it for a new deployment";
            reader.wrong("keys.deployment_file", "is missing", cure);
        }
        let has_master = self.keys.master.expose().is_some() || self.keys.master_path.is_some();
        if self.roles.has(Role::Gateway) && !has_master {
            let cure = "give every gateway the same master keys, here or with keys.master; \
                        `exchequer admin init` makes the file for a new deployment";
            reader.wrong("keys.master_path", "is missing", cure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigError, RunArgs};

    const BOTH: &str = "[journal]\nbackend = \"kafka\"\n[views]\nbackend = \"scylla\"\n";

    fn load(text: &str, roles: Vec<Role>) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cluster.toml");
        std::fs::write(dir.path().join("key"), [7; 32]).unwrap();
        let text = text.replace("DIR", &dir.path().display().to_string());
        std::fs::write(&path, text).unwrap();
        Config::load(RunArgs { config: Some(path), roles, ..RunArgs::default() })
    }

    /// What is wrong, without what is wrong with this build alone.
    fn said(text: &str) -> Vec<String> {
        let problems = load(text, Vec::new()).map_or_else(|it| it.problems, |_| Vec::new());
        let said = problems.iter().map(ToString::to_string);
        said.filter(|it| !it.contains("built without")).collect()
    }

    // REQ: KER-07
    #[test]
    fn a_whole_cluster_is_taken_where_the_program_has_its_clients() {
        let whole = format!(
            "{BOTH}[kafka]\nbootstrap = \"a:9092\"\n[scylla]\nnodes = [\"b:9042\"]\n\
             [keys]\ndeployment_file = \"DIR/key\"\nmaster = \"1:{}\"\n",
            "ab".repeat(32)
        );
        assert_eq!(said(&whole), [""; 0]);
        match load(&whole, vec![Role::Decider, Role::Meter]) {
            Ok(config) => {
                assert!(HAS_CLIENTS && config.is_cluster());
                assert_eq!(config.roles.to_string(), "decider, meter");
            }
            Err(refused) => {
                let refused = refused.to_string();
                assert!(!HAS_CLIENTS && refused.contains("--features cluster"), "{refused}");
            }
        }
    }

    // REQ: KER-07
    #[test]
    fn what_is_missing_is_named_with_what_to_do() {
        let all = said(BOTH).join("\n");
        for key in ["kafka.bootstrap", "scylla.nodes", "keys.deployment_file", "keys.master_path"] {
            assert!(all.contains(&format!("{key}: ")), "{key} is not in {all}");
        }
        let half = said("[journal]\nbackend = \"kafka\"\n").join("\n");
        assert!(half.contains("views.backend: ") && half.contains("\"scylla\""), "{half}");
        let half = said("[views]\nbackend = \"scylla\"\n").join("\n");
        assert!(half.contains("journal.backend: "), "{half}");
        let role = load("", vec![Role::Gateway]).unwrap_err().to_string();
        assert!(role.contains("--role") && role.contains("leave it out"), "{role}");
    }

    // REQ: KER-07
    #[test]
    fn passwords_do_not_cross_a_network_in_clear() {
        let kafka = |text: &str| said(&format!("{BOTH}[kafka]\n{text}")).join("\n");
        let plain = "sasl_mechanism = \"PLAIN\"\nsasl_user = \"u\"\nsasl_password = \"hunter2\"\n";
        assert!(kafka(plain).contains("kafka.tls: "), "{}", kafka(plain));
        assert!(!kafka(&format!("{plain}tls = true\n")).contains("kafka.tls"));
        assert!(!kafka(plain).contains("hunter2"));
        assert!(kafka("sasl_user = \"u\"\n").contains("kafka.sasl_mechanism: "));
        assert!(kafka("sasl_mechanism = \"SCRAM-SHA-512\"\n").contains("sasl_password_file"));
        assert!(kafka("ca_file = \"DIR/key\"\n").contains("set kafka.tls = true"));
        assert!(kafka("prefix = \"a b\"\n").contains("kafka.prefix: "));
        let store = |text: &str| said(&format!("{BOTH}[scylla]\n{text}")).join("\n");
        let user = "user = \"u\"\npassword = \"hunter2\"\n";
        let far = format!("nodes = [\"127.0.0.1:9042\", \"store-1:9042\"]\n{user}");
        assert!(store(&far).contains("scylla.tls: "), "{}", store(&far));
        assert!(!store(&far).contains("hunter2"));
        assert!(!store(&format!("{far}tls = true\n")).contains("scylla.tls"));
        let near = format!("nodes = [\"127.0.0.1:9042\", \"[::1]:9042\"]\n{user}");
        assert!(!store(&near).contains("scylla.tls"), "{}", store(&near));
        assert!(store("ca_file = \"DIR/key\"\n").contains("set scylla.tls = true"));
        assert!(store("certificate_name = \"a\"\n").contains("set scylla.tls = true"));
        assert!(store("tls = true\nkey_file = \"DIR/key\"\n").contains("scylla.cert_file: "));
        assert!(store("tls = true\nca_file = \"DIR/no\"\n").contains("scylla.ca_file: "));
    }
}
