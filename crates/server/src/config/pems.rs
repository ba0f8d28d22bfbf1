//! What TLS to brokers and to nodes has in common: files in PEM, of use with TLS alone.

use std::path::PathBuf;

use super::reader::Reader;

/// The settings of one section.
pub(super) struct Pems<'a> {
    pub(super) table: &'static str,
    pub(super) tls: bool,
    pub(super) ca_file: &'a Option<PathBuf>,
    pub(super) cert_file: &'a Option<PathBuf>,
    pub(super) key_file: &'a Option<PathBuf>,
}

impl Pems<'_> {
    pub(super) fn check(&self, reader: &mut Reader) {
        let table = self.table;
        for (key, file) in [("ca_file", self.ca_file), ("cert_file", self.cert_file)] {
            if file.is_some() && !self.tls {
                let (key, what) =
                    (format!("{table}.{key}"), format!("is given, and {table}.tls is false"));
                reader.wrong(&key, what, format!("set {table}.tls = true"));
            }
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            let what = "a certificate is of no use without its key, nor a key without its \
                        certificate";
            let cure = format!("name {table}.cert_file and {table}.key_file");
            reader.wrong(&format!("{table}.cert_file"), what, cure);
        }
        for (key, file) in
            [("ca_file", self.ca_file), ("cert_file", self.cert_file), ("key_file", self.key_file)]
        {
            let Some(file) = file else { continue };
            if let Err(error) = std::fs::read_to_string(file) {
                let what = format!("{} cannot be read: {error}", file.display());
                let cure = "name a PEM file that this user may read";
                reader.wrong(&format!("{table}.{key}"), what, cure);
            }
        }
    }
}
