//! Certificates of the port and of its clients.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::access::Access;
use super::reader::Reader;
use super::section::{anything, section};
use crate::tls::Files;

section! {
    /// Certificates of the port and of its clients. Files are looked at every 2 seconds, and
    /// what has changed is taken over without a restart.
    Tls "tls" {
        /// The server's certificate as PEM, followed by those between it and its authority.
        cert_file: Option<PathBuf> = None, "path", anything;
        /// The certificate's key as PEM.
        key_file: Option<PathBuf> = None, "path", anything;
        /// Authorities as PEM. A client certificate that one of them vouches for is a
        /// credential, by its subject.
        client_ca_file: Option<PathBuf> = None, "path", anything;
        /// Whether a client without a certificate is refused.
        require_client: bool = false, "", anything;
        /// Whether a proxy in front of the server does TLS, so that the port may listen
        /// beyond loopback without it.
        terminated_elsewhere: bool = false, "", anything;
    }
}

impl Tls {
    /// Where certificates are, when there are any.
    pub(crate) fn files(&self) -> Option<Files> {
        Some(Files {
            certificates: self.cert_file.clone()?,
            key: self.key_file.clone()?,
            client_authorities: self.client_ca_file.clone(),
            require_client: self.require_client,
        })
    }

    pub(super) fn check(&self, reader: &mut Reader, listen: SocketAddr, access: &Access) {
        self.check_files(reader);
        if self.terminated_elsewhere && access.trusted_proxies.is_empty() {
            let cure = "name the proxy's network in access.trusted_proxies: without it every \
                        caller seems to come from the proxy, and lists of allowed addresses see \
                        that address alone";
            reader.wrong("tls.terminated_elsewhere", "is true without trusted proxies", cure);
        }
        if listen.ip().is_loopback() {
            return;
        }
        let what = format!("{listen} is not a loopback address");
        if !access.enabled {
            let cure = "without access control only loopback is listened on, for instance \
                        127.0.0.1:7447: set access.enabled = true to listen elsewhere";
            reader.wrong("listen", what, cure);
        } else if self.cert_file.is_none() && !self.terminated_elsewhere {
            let cure = "tokens must not cross a network in clear: set tls.cert_file and \
                        tls.key_file, or tls.terminated_elsewhere = true behind a proxy that \
                        does TLS";
            reader.wrong("listen", what, cure);
        }
    }

    fn check_files(&self, reader: &mut Reader) {
        match (&self.cert_file, &self.key_file) {
            (Some(_), None) => {
                reader.wrong(
                    "tls.cert_file",
                    "is there without tls.key_file",
                    "name the key's file",
                );
            }
            (None, Some(_)) => {
                let cure = "name the certificate's file";
                reader.wrong("tls.key_file", "is there without tls.cert_file", cure);
            }
            _ => {}
        }
        if self.client_ca_file.is_some() && self.cert_file.is_none() {
            let cure = "clients can only present certificates when the server has one: set \
                        tls.cert_file and tls.key_file";
            reader.wrong("tls.client_ca_file", "is there without tls.cert_file", cure);
        }
        if self.require_client && self.client_ca_file.is_none() {
            let cure = "say with tls.client_ca_file which certificates are accepted";
            reader.wrong("tls.require_client", "is true without tls.client_ca_file", cure);
        }
        if let Some(files) = self.files()
            && let Err(error) = files.check()
        {
            let cause = core::error::Error::source(&error);
            let cause = cause.map(|it| format!(" ({it})")).unwrap_or_default();
            let is_authority = self.client_ca_file.as_deref().is_some_and(|it| error.is_of(it));
            let (key, cure) = if is_authority {
                ("tls.client_ca_file", "name a file with the certificates of authorities")
            } else {
                let cure = "name files with a certificate and the key that belongs to it";
                ("tls.cert_file", cure)
            };
            reader.wrong(key, format!("{error}{cause}"), cure);
        }
    }
}
