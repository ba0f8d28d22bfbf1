//! Calls whose messages are bytes: what the server sent is compared as it came,
//! and what no client would send can be sent.

use bytes::{Buf as _, BufMut as _, Bytes};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use crate::bearer::Connection;
use crate::wait::PATIENCE;

/// A reply and its metadata.
pub type Reply = (Bytes, MetadataMap);

/// A metadata key that carries what must be seen, and what was.
pub const CONSISTENCY: &str = "x-exchequer-consistency";

/// Calls `path`, such as `/exchequer.tenants.v1.TenantService/GetTenant`.
pub async fn call(
    channel: &Connection,
    path: &'static str,
    message: Bytes,
    token: Option<&str>,
) -> Result<Reply, Status> {
    let token = token.map(|token| (CONSISTENCY, token.to_owned()));
    call_with(channel, path, message, token.as_slice()).await
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
