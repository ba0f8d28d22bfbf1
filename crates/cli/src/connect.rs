//! How the tools reach a running server, and whom they act as: by a token, or by the
//! deployment's own key where they can read it.

use std::error::Error;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use exchequer_api::authn::ProofKey;
use exchequer_types::Timestamp;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
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

/// Connects to `server`, such as `127.0.0.1:7447`.
pub(crate) async fn connect(server: &str, caller: &Caller) -> Result<Connection, Box<dyn Error>> {
    let bearer = caller.bearer()?;
    let channel = Channel::from_shared(format!("http://{server}"))?.connect().await;
    let channel = channel.map_err(|error| {
        let cause = error.source().map(|cause| format!(" ({cause})")).unwrap_or_default();
        format!("no server answers at {server}{cause}: is it running?")
    })?;
    Ok(InterceptedService::new(channel, bearer))
}

impl Caller {
    /// The data folder.
    pub(crate) fn data(&self) -> &Path {
        &self.data
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
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Bearer::Nothing),
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
        Caller { token, data: data.to_owned(), deployment_key: None }
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
    }
}
