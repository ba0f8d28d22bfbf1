//! Certificates and keys from files, as a configuration that connections are
//! accepted with. Files that do not belong together make none.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exchequer_types::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::names;

/// Files of certificates and keys are not read beyond this.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// What is spoken on a connection, the preferred first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where certificates and keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    /// The server's certificate and those between it and its authority, as PEM.
    pub(crate) certificates: PathBuf,
    /// The key of the first certificate, as PEM.
    pub(crate) key: PathBuf,
    /// Authorities whose certificates clients may present, as PEM.
    pub(crate) client_authorities: Option<PathBuf>,
    /// A client without a certificate is not let in.
    pub(crate) require_client: bool,
}

/// What the files hold.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Contents {
    certificates: Vec<u8>,
    key: Vec<u8>,
    client_authorities: Option<Vec<u8>>,
}

/// What connections are accepted with.
#[derive(Clone, Debug)]
pub(super) struct Accepting {
    pub(super) config: Arc<ServerConfig>,
    /// Until when the server's certificate holds, when that can be read.
    pub(super) expires_at: Option<Timestamp>,
}

/// Files that no connection can be accepted with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is larger than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("{} holds no {what} in PEM form", path.display())]
    Empty { path: PathBuf, what: &'static str },
    #[error("{} is damaged: {text}", path.display())]
    Pem { path: PathBuf, text: String },
    #[error("a certificate in {} cannot be used as an authority", path.display())]
    Authority { path: PathBuf, source: rustls::Error },
    #[error("the clients' authorities cannot be used")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    #[error("{} and {} do not belong together", certificates.display(), key.display())]
    Pair { certificates: PathBuf, key: PathBuf, source: rustls::Error },
}

impl TlsError {
    /// Is the file at `file` alone the wrong one?
    pub(crate) fn is_of(&self, file: &Path) -> bool {
        match self {
            Self::Read { path, .. }
            | Self::TooLarge { path }
            | Self::Empty { path, .. }
            | Self::Pem { path, .. }
            | Self::Authority { path, .. } => path == file,
            Self::Verifier(_) => true,
            Self::Pair { .. } => false,
        }
    }
}

impl Files {
    /// Could connections be accepted with them?
    pub(crate) fn check(&self) -> Result<(), TlsError> {
        self.accept_with(&self.read()?).map(drop)
    }

    /// They are small and on this machine, so nobody waits for them.
    pub(super) fn read(&self) -> Result<Contents, TlsError> {
        let client_authorities = self.client_authorities.as_deref().map(read).transpose()?;
        let certificates = read(&self.certificates)?;
        Ok(Contents { certificates, key: read(&self.key)?, client_authorities })
    }

    pub(super) fn accept_with(&self, contents: &Contents) -> Result<Accepting, TlsError> {
        let chain = certificates(&self.certificates, &contents.certificates)?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => {
                TlsError::Empty { path: self.key.clone(), what: "private key" }
            }
            // Its text could show some of the key.
            _ => TlsError::Pem { path: self.key.clone(), text: "it is no key".to_owned() },
        })?;
        let expires_at = chain.first().and_then(|it| names::expires_at(it));
        let pair = |source| TlsError::Pair {
            certificates: self.certificates.clone(),
            key: self.key.clone(),
            source,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(pair)?;
        let builder = match (&self.client_authorities, &contents.client_authorities) {
            (Some(path), Some(pem)) => {
                let authorities = Arc::new(authorities(path, pem)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(authorities, provider);
                let verifier =
                    if self.require_client { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().map_err(TlsError::Verifier)?)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(pair)?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Accepting { config: Arc::new(config), expires_at })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > FILE_BYTES_MAX {
        return Err(TlsError::TooLarge { path: path.to_owned() });
    }
    std::fs::read(path).map_err(failed)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let damaged = |text: String| TlsError::Pem { path: path.to_owned(), text };
    let found = found.map_err(|error| damaged(error.to_string()))?;
    if found.is_empty() {
        return Err(TlsError::Empty { path: path.to_owned(), what: "certificate" });
    }
    Ok(found)
}

fn authorities(path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        let refused = |source| TlsError::Authority { path: path.to_owned(), source };
        store.add(certificate).map_err(refused)?;
    }
    Ok(store)
}
