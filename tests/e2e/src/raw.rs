//! Calls whose messages are bytes: what the server sent is compared as it came,
//! and what no client would send can be sent.

use bytes::{Buf as _, BufMut as _, Bytes};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use crate::bearer::Connection;
use crate::reason;
use crate::wait::{Deadline, PATIENCE};

/// A reply and its metadata.
pub type Reply = (Bytes, MetadataMap);

/// A metadata key that carries what must be seen, and what was.
pub const CONSISTENCY: &str = "x-exchequer-consistency";

/// Calls `path`, such as `/exchequer.tenants.v1.TenantService/GetTenant`; again while the
/// server says that it cannot tell yet who calls.
pub async fn call(
    channel: &Connection,
    path: &'static str,
    message: Bytes,
    token: Option<&str>,
) -> Result<Reply, Status> {
    let token = token.map(|token| (CONSISTENCY, token.to_owned()));
    known(|| call_with(channel, path, message.clone(), token.as_slice())).await
}

/// What `called` answers once the server knows who calls. A busy one says after a while
/// that it cannot tell, and that one may ask again.
pub async fn known<T, F>(mut called: impl FnMut() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    let deadline = Deadline::new("the server to know who calls");
    loop {
        match called().await {
            Err(status) if reason(&status) == "CREDENTIAL_UNVERIFIED" => {
                deadline.step().await.map_err(|_| status)?;
            }
            answered => return answered,
        }
    }
}

/// The same, with any metadata.
pub async fn call_with(
    channel: &Connection,
    path: &'static str,
    message: Bytes,
    metadata: &[(&'static str, String)],
) -> Result<Reply, Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    let not_ready = |error| Status::unavailable(format!("no connection: {error}"));
    grpc.ready().await.map_err(not_ready)?;
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    for (name, value) in metadata {
        let value = value.parse().map_err(|_| Status::internal("metadata that is not ASCII"))?;
        request.metadata_mut().insert(*name, value);
    }
    let response = grpc.unary(request, PathAndQuery::from_static(path), RawCodec).await?;
    let (metadata, bytes, _) = response.into_parts();
    Ok((bytes, metadata))
}

#[derive(Clone, Copy, Debug, Default)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let bytes = from.remaining();
        Ok(Some(from.copy_to_bytes(bytes)))
    }
}
