//! What the calls present: a token, nothing, or by default a proof made with the key in
//! the server's data folder, which holds on whatever folder the server was started.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use exchequer_api::authn::ProofKey;
use exchequer_types::Timestamp;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::Res;

/// A connection that presents something with every call.
pub type Connection = InterceptedService<Channel, Bearer>;

/// What is presented.
#[derive(Clone, Debug)]
pub enum Bearer {
    Nothing,
    Token(MetadataValue<Ascii>),
    /// Made anew for each call.
    Deployment(ProofKey),
}

impl Bearer {
    /// Of the server whose data lies there.
    pub fn of_deployment(data: &Path) -> Res<Self> {
        let path = data.join("keys/deployment.key");
        let key = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let key: [u8; 32] = key.as_slice().try_into()?;
        Ok(Self::Deployment(ProofKey::new(&key)))
    }

    /// Any text, whether it is a token or not.
    pub fn token(text: &str) -> Res<Self> {
        Ok(Self::Token(format!("Bearer {text}").parse()?))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = match self {
            Self::Nothing => return Ok(request),
            Self::Token(value) => value.clone(),
            Self::Deployment(key) => {
                let proof = format!("Bearer {}", key.prove(now())).parse();
                proof.map_err(|_| Status::internal("a proof that is not ASCII"))?
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
