//! Where keys lie.

use std::path::{Path, PathBuf};

use exchequer_vault_local::{LocalKms, MASTER_FILE};

use super::reader::Reader;
use super::section::{anything, at_least, section};
use super::value::Secret;

section! {
    /// Where keys lie.
    Keys "keys" {
        /// File with the deployment's key, 32 bytes. Without it `keys/deployment.key` in
        /// the data folder, which is made at the first start.
        deployment_file: Option<PathBuf> = None, "path", anything;
        /// Master keys that wrap the keys of persons, as `<version>:<64 hexadecimal
        /// digits>`, several with commas between them; the highest version is current.
        /// Without it they are in a file.
        master: Secret = Secret::default(), "text", anything;
        /// File of the master keys, to which a rotation adds. Without it
        /// `keys/master.keys` in the data folder, which is made at the first start.
        master_path: Option<PathBuf> = None, "path", anything;
        /// Whether a process starts without the keys of persons although there is a
        /// journal. They are lost then for ever: what it says of persons until now is shown
        /// as erased. Take it away after that start.
        accept_loss: bool = false, "", anything;
        /// Keys of persons; each takes about 250 bytes of memory.
        persons_max: usize = 2_000_000, "keys", at_least(1);
    }
}

impl Keys {
    /// Keys that are there already must be such that a process can start with them.
    pub(super) fn check(&self, reader: &mut Reader, data: &Path) {
        self.check_deployment(reader, data);
        self.check_master(reader, data);
    }

    fn check_deployment(&self, reader: &mut Reader, data: &Path) {
        let own = data.join("keys/deployment.key");
        let path = match &self.deployment_file {
            None if !own.exists() => return,
            named => named.as_ref().unwrap_or(&own),
        };
        if let Err(error) = crate::keys::check(path) {
            let cure = "name the file with this deployment's key, which is 32 bytes";
            reader.wrong("keys.deployment_file", error.to_string(), cure);
        }
    }

    fn check_master(&self, reader: &mut Reader, data: &Path) {
        if let Some(text) = self.master.expose() {
            if self.master_path.is_some() {
                let what = "is given, and keys.master_path too";
                reader.wrong("keys.master", what, "give one of them");
            }
            if let Err(error) = LocalKms::from_text(text) {
                let cure = "write them as <version>:<64 hexadecimal digits>, with commas between";
                reader.wrong("keys.master", error.to_string(), cure);
            }
            return;
        }
        let path = self.master_path.clone().unwrap_or_else(|| data.join("keys").join(MASTER_FILE));
        // It is made at the first start, and missed only where something is wrapped by it.
        if !path.exists() {
            return;
        }
        if let Err(error) = LocalKms::from_file(&path, true) {
            let cause = core::error::Error::source(&error).map(|it| format!(" ({it})"));
            let what = format!("{error}{}", cause.unwrap_or_default());
            reader.wrong("keys.master_path", what, "put the master keys back as they were");
        }
    }
}
