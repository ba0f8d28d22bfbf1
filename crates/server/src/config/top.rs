//! What stands outside of all tables: where the data is, and where to listen.

use std::net::SocketAddr;
use std::path::PathBuf;

use exchequer_cli::default_data_dir;

use super::reader::Reader;
use super::section::{anything, section};

section! {
    /// Where the process works.
    Place "" {
        /// Folder of all data; created when absent.
        data: PathBuf = default_data_dir() => "\"~/.local/share/exchequer\"", "path", anything;
        /// Address and port of gRPC and of the pages for metrics and readiness.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 7447)) => "\"127.0.0.1:7447\"", "address", anything;
    }
}

impl Place {
    /// What is there under the data folder's name must be a folder.
    pub(super) fn check(&self, reader: &mut Reader) {
        if self.data.exists() && !self.data.is_dir() {
            let what = format!("{} is no folder", self.data.display());
            reader.wrong("data", what, "name a folder, which may be new");
        }
    }
}
