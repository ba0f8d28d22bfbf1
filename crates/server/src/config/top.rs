//! What stands outside of all tables: where the data is, and where to listen.

use std::net::SocketAddr;
use std::path::PathBuf;

use exchequer_cli::default_data_dir;

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
