//! Calls by path and bytes.

use std::time::Duration;

use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// Longer than any call may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// Bytes as they are.
#[derive(Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        use bytes::BufMut as _;
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        use bytes::Buf as _;
        let mut bytes = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}

/// Of a stream, the first message.
pub(crate) async fn call(
    channel: &Channel,
    path: &str,
    metadata: MetadataMap,
    bytes: Vec<u8>,
    streams: bool,
) -> Result<Response<Vec<u8>>, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = path.parse().unwrap();
    let mut request = Request::new(bytes);
    *request.metadata_mut() = metadata;
    let answered = async {
        if !streams {
            return client.unary(request, path, Raw).await;
        }
        let (metadata, mut stream, extensions) =
            client.server_streaming(request, path, Raw).await?.into_parts();
        let first = stream.message().await?.unwrap_or_default();
        Ok(Response::from_parts(metadata, first, extensions))
    };
    tokio::time::timeout(DEADLINE, answered).await.unwrap()
}
