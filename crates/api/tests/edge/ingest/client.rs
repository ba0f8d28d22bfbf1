//! Sends events by HTTP, and keeps what comes back.

use std::net::SocketAddr;
use std::path::Path;

use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

pub(crate) const ONE: (&str, &str) = ("content-type", "application/cloudevents+json");
pub(crate) const BATCH: (&str, &str) = ("content-type", "application/cloudevents-batch+json");

/// A reply.
#[derive(Debug)]
pub(crate) struct Replied {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
}

pub(crate) async fn post(
    address: SocketAddr,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Replied {
    post_to(address, "/v1/events", headers, body).await
}

pub(crate) async fn post_to(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Replied {
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let mut request = Request::post(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).unwrap();
    let (parts, body) = client.request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let json = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {body:?}"));
    Replied { status: parts.status, headers: parts.headers, json }
}

impl Replied {
    /// Of each event: `ACCEPTED`, or code and field.
    pub(crate) fn verdicts(&self) -> Vec<String> {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        let verdicts = self.json["verdicts"].as_array().unwrap();
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        let told = verdicts.iter().enumerate().map(|(index, it)| {
            assert_eq!(it["index"], index);
            match it["status"].as_str() {
                Some("ACCEPTED") => "ACCEPTED".to_owned(),
                Some("REFUSED") => {
                    has_page(&text(&it["code"]));
                    assert_ne!(text(&it["message"]), "");
                    format!("{} {}", text(&it["code"]), text(&it["field"])).trim_end().to_owned()
                }
                other => panic!("{other:?}"),
            }
        });
        told.collect()
    }

    /// Code and field of an error, which is `google.rpc.Status`.
    pub(crate) fn error(&self) -> (u16, String, String) {
        let info = &self.json["details"][0];
        assert_eq!(info["@type"], "type.googleapis.com/google.rpc.ErrorInfo", "{self:?}");
        assert_eq!(info["domain"], "exchequer");
        assert!(self.json["code"].as_i64().unwrap() > 0, "{self:?}");
        assert_ne!(self.json["message"], "");
        assert_eq!(self.headers["content-type"], "application/json");
        assert!(self.headers.get("grpc-status").is_none());
        let id = self.headers["x-exchequer-request-id"].to_str().unwrap();
        let details = self.json["details"].as_array().unwrap();
        assert!(details.iter().any(|it| it["requestId"] == id), "{self:?}");
        let reason = info["reason"].as_str().unwrap().to_owned();
        has_page(&reason);
        let field = info["metadata"]["field"].as_str().unwrap_or_default().to_owned();
        (self.status.as_u16(), reason, field)
    }
}

fn has_page(code: &str) {
    let page = format!("{}/../../docs/errors/{code}.md", env!("CARGO_MANIFEST_DIR"));
    assert!(Path::new(&page).is_file(), "{page}");
}

/// An event of `tenant` in JSON.
pub(crate) fn event(tenant: &str, id: &str, data: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/t","type":"tokens","tenant":"{tenant}","data":{data}}}"#
    )
}
