//! How the tools reach a running server, and whom they act as: by a token, or by the
//! deployment's own key where they can read it.

use std::error::Error;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use exchequer_api::authn::ProofKey;
use exchequer_types::Timestamp;
use tonic::codegen::http::Uri;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use crate::default_data_dir;

const KEY_BYTES: usize = 32;

/// What a tool presents to the server.
#[derive(Debug, Args)]
pub(crate) struct Caller {
    /// The token to present. In the environment no list of processes shows it.
    #[arg(long, global = true, env = "EXCHEQUER_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The server's data folder: without a token its key is used, on the server's own
    /// machine.
    #[arg(long, global = true, env = "EXCHEQUER__DATA", default_value_os_t = default_data_dir())]
    data: PathBuf,
    /// The deployment's key, when it does not lie in the data folder.
    #[arg(long, global = true, env = "EXCHEQUER__KEYS__DEPLOYMENT_FILE")]
    deployment_key: Option<PathBuf>,
    /// PEM file of the authorities that vouch for the server, instead of the system's.
    #[arg(long, global = true, env = "EXCHEQUER_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// PEM file of a certificate to present, where the server asks for one.
    #[arg(long, global = true, requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// PEM file of its key.
    #[arg(long, global = true, requires = "cert_file")]
    key_file: Option<PathBuf>,
}

/// A connection that presents the credential with every call.
pub(crate) type Connection = InterceptedService<Channel, Bearer>;

/// What is presented.
#[derive(Clone, Debug)]
pub(crate) enum Bearer {
    /// The server may do without.
    Nothing,
    Token(MetadataValue<Ascii>),
    /// A proof made anew for each call.
    Deployment(ProofKey),
}

/// Connects to `server`: `https://host:port` or `http://host:port`. Without a scheme it is
/// TLS, unless the host is this machine and no authority is named.
pub(crate) async fn connect(server: &str, caller: &Caller) -> Result<Connection, Box<dyn Error>> {
    let bearer = caller.bearer()?;
    let uri = caller.uri(server)?;
    let is_secure = uri.scheme_str() == Some("https");
    let mut endpoint = Endpoint::from(uri.clone());
    if is_secure {
        endpoint = endpoint.tls_config(caller.tls()?)?;
    }
    let channel = endpoint.connect().await.map_err(|error| {
        format!("no server answers at {uri} ({}): is it running?", causes(&error))
    })?;
    Ok(InterceptedService::new(channel, bearer))
}

/// What stands behind an error of the library, which itself says little.
fn causes(error: &dyn Error) -> String {
    let (mut texts, mut next) = (Vec::new(), error.source());
    while let Some(cause) = next {
        texts.push(cause.to_string());
        next = cause.source();
    }
    texts.dedup();
    texts.join(": ")
}

/// Is it this machine, so that nothing crosses a network?
fn is_here(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|it| it.is_loopback())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

impl Caller {
    /// The data folder.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Where the server is, with the scheme to speak.
    fn uri(&self, server: &str) -> Result<Uri, String> {
        let wrong = || format!("{server}: name the server as host:port or https://host:port");
        let (scheme, rest) = match server.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) if !rest.contains("://") => {
                (Some(scheme), rest)
            }
            Some(_) => return Err(wrong()),
            None => (None, server),
        };
        let named: Uri = rest.trim_end_matches('/').parse().map_err(|_| wrong())?;
        let authority = named.authority().filter(|it| !it.as_str().contains('@'));
        let authority = authority.filter(|_| matches!(named.path(), "" | "/")).ok_or_else(wrong)?;
        let wants_tls = self.ca_file.is_some() || self.cert_file.is_some();
        let scheme = match scheme {
            Some("http") if wants_tls => {
                return Err(format!(
                    "{server} is without TLS, and a file for it is given: \
                                    write https://"
                ));
            }
            Some(scheme) => scheme,
            None if is_here(authority.host()) && !wants_tls => "http",
            None => "https",
        };
        let uri = Uri::builder().scheme(scheme).authority(authority.as_str()).path_and_query("/");
        uri.build().map_err(|_| wrong())
    }

    fn tls(&self) -> Result<ClientTlsConfig, String> {
        let tls = match &self.ca_file {
            Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(path)?)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        Ok(match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => tls.identity(Identity::from_pem(read(cert)?, read(key)?)),
            _ => tls,
        })
    }

    /// The token; else the deployment's key; else nothing.
    fn bearer(&self) -> Result<Bearer, Box<dyn Error>> {
        if let Some(token) = self.token.as_deref().filter(|token| !token.is_empty()) {
            let value = format!("Bearer {token}").parse();
            let mut value: MetadataValue<Ascii> =
                value.map_err(|_| "the token has characters that no token has")?;
            value.set_sensitive(true);
            return Ok(Bearer::Token(value));
        }
        let beside = || self.data.join("keys/deployment.key");
        let path = self.deployment_key.clone().unwrap_or_else(beside);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound && self.deployment_key.is_none() => {
                return Ok(Bearer::Nothing);
            }
            Err(error) => {
                let path = path.display();
                let text = format!("cannot read {path}: {error}; or give a token: EXCHEQUER_TOKEN");
                return Err(text.into());
            }
        };
        let key: Result<[u8; KEY_BYTES], _> = bytes.as_slice().try_into();
        let key = key.map_err(|_| format!("{} is no key of a deployment", path.display()))?;
        Ok(Bearer::Deployment(ProofKey::new(&key)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = match self {
            Self::Nothing => return Ok(request),
            Self::Token(value) => value.clone(),
            Self::Deployment(key) => {
                let proof = format!("Bearer {}", key.prove(now()));
                let mut value: MetadataValue<Ascii> =
                    proof.parse().map_err(|_| Status::internal("a proof that is not ASCII"))?;
                value.set_sensitive(true);
                value
            }
        };
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::saturating_from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(token: Option<&str>, data: &std::path::Path) -> Caller {
        let token = token.map(str::to_owned);
        let (ca_file, cert_file, key_file) = (None, None, None);
        let (data, deployment_key) = (data.to_owned(), None);
        Caller { token, data, deployment_key, ca_file, cert_file, key_file }
    }

    fn presented(caller: &Caller) -> Option<String> {
        let request = caller.bearer().unwrap().call(Request::new(())).unwrap();
        let value = request.metadata().get("authorization")?;
        Some(value.to_str().unwrap().to_owned())
    }

    // REQ: IAM-12
    #[test]
    fn a_token_comes_before_the_deployments_key() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(presented(&caller(None, dir.path())), None);
        std::fs::create_dir(dir.path().join("keys")).unwrap();
        std::fs::write(dir.path().join("keys/deployment.key"), [7; 32]).unwrap();
        let proof = presented(&caller(Some(""), dir.path())).unwrap();
        assert!(proof.starts_with("Bearer exq_dep_"), "{proof}");
        let token = presented(&caller(Some("exq_svc_1"), dir.path())).unwrap();
        assert_eq!(token, "Bearer exq_svc_1");
    }

    #[test]
    fn what_is_no_key_or_token_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(caller(Some("one\ntwo"), dir.path()).bearer().is_err());
        std::fs::create_dir(dir.path().join("keys")).unwrap();
        std::fs::write(dir.path().join("keys/deployment.key"), [7; 31]).unwrap();
        let refused = caller(None, dir.path()).bearer().unwrap_err().to_string();
        assert!(refused.contains("no key"), "{refused}");
        let named = Caller { deployment_key: Some("gone.key".into()), ..caller(None, dir.path()) };
        let refused = named.bearer().unwrap_err().to_string();
        assert!(refused.contains("cannot read gone.key"), "{refused}");
    }

    // REQ: EDG-06
    #[test]
    fn a_server_beyond_this_machine_is_spoken_to_by_tls() {
        let plain = caller(None, std::path::Path::new("data"));
        let known = Caller { ca_file: Some("ca.pem".into()), ..caller(None, &plain.data) };
        let uri = |caller: &Caller, server| caller.uri(server).map(|it| it.to_string());
        for (server, expected) in [
            ("127.0.0.1:7447", "http://127.0.0.1:7447/"),
            ("[::1]:7447", "http://[::1]:7447/"),
            ("http://localhost:7447/", "http://localhost:7447/"),
            ("http://10.0.0.1:7447", "http://10.0.0.1:7447/"),
            ("10.0.0.1:7447", "https://10.0.0.1:7447/"),
            ("https://127.0.0.1:7447", "https://127.0.0.1:7447/"),
        ] {
            assert_eq!(uri(&plain, server).as_deref(), Ok(expected));
        }
        assert_eq!(uri(&known, "localhost:7447").as_deref(), Ok("https://localhost:7447/"));
        assert!(uri(&known, "http://localhost:7447").unwrap_err().contains("https://"));
        for wrong in ["http://http://a:1", "ftp://a:1", "a b", "", "https://", "u:p@a:1", "a:1/x"] {
            let refused = uri(&plain, wrong).unwrap_err();
            assert!(refused.contains("host:port"), "{wrong}: {refused}");
        }
        assert!(known.tls().unwrap_err().contains("cannot read ca.pem"));
    }
}
