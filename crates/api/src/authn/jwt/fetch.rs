//! Where an issuer's keys come from: a file, or a URL that is fetched with bounds on
//! time and size. Redirects are not followed: who names the keys decides who gets in.

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::key::{Algorithm, Key, keys};

/// A set of keys is not read beyond this.
const KEYS_BYTES_MAX: usize = 256 * 1024;
/// From the first byte sent to the last received.
const FETCH_MAX: Duration = Duration::from_secs(5);

/// Why keys were not fetched. For the log; nothing of it goes to a caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);

/// A URL that keys are not fetched from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("must be a URL such as https://id.example.com/keys")]
    Malformed,
    #[error("must have no user and password in it: they would be shown where the URL is")]
    UserInfo,
    #[error("must begin with https://, because whoever changes the keys on their way gets in")]
    NotSecure,
    #[error("cannot read authorities from {}: {text}", path.display())]
    Authorities { path: PathBuf, text: String },
}

/// A published set of keys, as JSON.
pub trait FetchKeys: fmt::Debug + Send + Sync {
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<u8>, FetchError>>;
}

/// Keys in a file.
#[derive(Clone, Debug)]
pub struct FileKeys {
    pub path: PathBuf,
}

impl FileKeys {
    /// Is there a key in the file by which one of `algorithms` signs? It is read at once:
    /// for settings, before anything is served.
    pub fn check(&self, algorithms: &[Algorithm]) -> Result<(), FetchError> {
        let failed = |text: &str| FetchError(format!("{}: {text}", self.path.display()));
        let size = std::fs::metadata(&self.path).map_err(|error| failed(&error.to_string()))?.len();
        if size > KEYS_BYTES_MAX as u64 {
            return Err(failed(&format!("has more than {KEYS_BYTES_MAX} bytes")));
        }
        let json = std::fs::read(&self.path).map_err(|error| failed(&error.to_string()))?;
        let keys = keys(&json).map_err(|error| failed(&error.to_string()))?;
        let is_of_use = |key: &Key| algorithms.iter().any(|it| key.fits(*it));
        if keys.iter().any(is_of_use) {
            return Ok(());
        }
        Err(failed("has no public key for one of the algorithms"))
    }
}

impl FetchKeys for FileKeys {
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<u8>, FetchError>> {
        let failed = |text: String| FetchError(format!("{}: {text}", self.path.display()));
        async move {
            let size = tokio::fs::metadata(&self.path).await;
            let size = size.map_err(|error| failed(error.to_string()))?.len();
            if size > KEYS_BYTES_MAX as u64 {
                return Err(failed(format!("has more than {KEYS_BYTES_MAX} bytes")));
            }
            tokio::fs::read(&self.path).await.map_err(|error| failed(error.to_string()))
        }
        .boxed()
    }
}

/// Keys that are fetched by HTTP.
#[derive(Clone)]
pub struct HttpKeys {
    url: Uri,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl fmt::Debug for HttpKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpKeys").field("url", &self.url).finish_non_exhaustive()
    }
}

impl HttpKeys {
    /// From `url`, with HTTPS unless the host is this machine. The system's authorities
    /// vouch for the host, and those in the PEM file `authorities` when there is one.
    pub fn new(url: &str, authorities: Option<&PathBuf>) -> Result<Self, UrlError> {
        let url: Uri = url.parse().map_err(|_| UrlError::Malformed)?;
        let host = url.host().ok_or(UrlError::Malformed)?;
        if url.authority().is_some_and(|it| it.as_str().contains('@')) {
            return Err(UrlError::UserInfo);
        }
        let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        match url.scheme_str() {
            Some("https") => {}
            Some("http") if is_here => {}
            Some(_) => return Err(UrlError::NotSecure),
            None => return Err(UrlError::Malformed),
        }
        let roots = roots(authorities)?;
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| UrlError::Malformed)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self { url, client: Client::builder(TokioExecutor::new()).build(connector) })
    }

    async fn get(&self) -> Result<Vec<u8>, FetchError> {
        let failed = |text: String| FetchError(format!("{}: {text}", self.url));
        let request = Request::get(self.url.clone())
            .header("accept", "application/jwk-set+json, application/json")
            .header("user-agent", concat!("exchequer/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| failed(error.to_string()))?;
        let response = self.client.request(request).await;
        let response = response.map_err(|error| failed(with_causes(&error)))?;
        if response.status() != StatusCode::OK {
            return Err(failed(format!("answers {}", response.status())));
        }
        let body = Limited::new(response.into_body(), KEYS_BYTES_MAX).collect().await;
        let body = body.map_err(|error| failed(error.to_string()))?;
        Ok(body.to_bytes().to_vec())
    }
}

impl FetchKeys for HttpKeys {
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<u8>, FetchError>> {
        let late = || FetchError(format!("{}: no answer within {FETCH_MAX:?}", self.url));
        async move {
            tokio::time::timeout(FETCH_MAX, self.get()).await.unwrap_or_else(|_| Err(late()))
        }
        .boxed()
    }
}

/// The system's authorities and those of `file`.
fn roots(file: Option<&PathBuf>) -> Result<RootCertStore, UrlError> {
    let mut roots = RootCertStore::empty();
    // Some of a system's certificates may be unusable: the others count.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let Some(path) = file else { return Ok(roots) };
    let failed = |text: String| UrlError::Authorities { path: path.clone(), text };
    let found = CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    Ok(roots)
}

fn with_causes(error: &dyn core::error::Error) -> String {
    let causes = core::iter::successors(Some(error), |error| error.source());
    let mut texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}
