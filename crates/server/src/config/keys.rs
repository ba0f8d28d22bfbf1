//! Where keys lie.

use std::path::PathBuf;

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
        /// Keys of persons; each takes about 250 bytes of memory.
        persons_max: usize = 2_000_000, "keys", at_least(1);
    }
}

impl Keys {
    /// A file that is named must hold a key.
    pub(super) fn check(&self, reader: &mut Reader) {
        let Some(path) = &self.deployment_file else { return };
        if let Err(error) = crate::keys::check(path) {
            let cure = "name the file with this deployment's key, which is 32 bytes";
            reader.wrong("keys.deployment_file", error.to_string(), cure);
        }
    }
}
