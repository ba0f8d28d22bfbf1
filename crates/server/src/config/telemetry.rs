//! Logs and traces.

use super::reader::{Problem, Reader};
use super::section::{anything, one_of, section, within};
use super::value::Secret;
use crate::telemetry::{LOG_VARIABLE, metadata};

section! {
    /// Logs and traces.
    Telemetry "telemetry" {
        /// What is logged: a level, and levels of parts, such as `info,exchequer_engine=debug`.
        /// The variable `EXCHEQUER_LOG` overrides it.
        log: String = "info,fjall=warn,lsm_tree=warn,scylla=warn".to_owned(), "levels", levels;
        /// Which calls have a line in the access log: `all`, `failures`, `off`.
        access_log: String = "all".to_owned(), "word", one_of(&["all", "failures", "off"]);
        /// Whether the access log tells addresses of clients.
        log_addresses: bool = false, "", anything;
        /// OTLP/gRPC receiver of traces, such as `http://127.0.0.1:4317`. Without it
        /// nothing is traced.
        otlp_endpoint: Option<String> = None, "URL", endpoint;
        /// Metadata sent to the receiver: `name=value`, several with commas between.
        otlp_headers: Secret = Secret::default(), "secret", headers;
        /// The share of calls that are traced, of those that come without a trace. A call
        /// that comes with one is traced when its caller traces it.
        sample_ratio: f64 = 0.1, "share of 1", within(0.0, 1.0);
        /// The service's name in traces.
        service_name: String = "exchequer".to_owned(), "name", named;
        /// Spans that wait to be sent; more are dropped.
        spans_max: usize = 8_192, "spans", within(64, 1_048_576);
    }
}

impl Telemetry {
    /// Who may send belongs into a secret: the endpoint is shown.
    pub(super) fn check_endpoint(&self, reader: &mut Reader) {
        let url = self.otlp_endpoint.as_ref().and_then(|it| it.parse::<axum::http::Uri>().ok());
        let authority = url.as_ref().and_then(axum::http::Uri::authority);
        if authority.is_some_and(|it| it.as_str().contains('@')) {
            let cure = "put them into telemetry.otlp_headers, as \
                        authorization=Basic <base64 of user:password>";
            reader.wrong("telemetry.otlp_endpoint", "has a user and password in it", cure);
        }
    }

    /// The variable that overrides `log` must be right too.
    pub(super) fn check_variable(reader: &mut Reader) {
        let Ok(text) = std::env::var(LOG_VARIABLE) else { return };
        if let Some(expected) = levels(&text) {
            reader.note(Problem {
                key: "telemetry.log".to_owned(),
                place: format!("environment variable {LOG_VARIABLE}"),
                what: format!("is {text:?}"),
                cure: format!("must be {expected}"),
            });
        }
    }
}

/// Directives that can be read.
fn levels(text: &String) -> Option<String> {
    let wrong = tracing_subscriber::EnvFilter::builder().parse(text).is_err();
    wrong.then(|| "a level or part=level, with commas between, such as info,fjall=warn".to_owned())
}

fn headers(secret: &Secret) -> Option<String> {
    let wrong = metadata(secret.expose()?).is_err();
    wrong.then(|| "name=value, several with commas between".to_owned())
}

#[expect(clippy::ref_option, reason = "a check takes a reference to the setting's type")]
fn endpoint(url: &Option<String>) -> Option<String> {
    let url = url.as_ref()?;
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let is_good =
        host.is_some_and(|host| !host.is_empty()) && url.parse::<axum::http::Uri>().is_ok();
    (!is_good).then(|| "a URL such as http://127.0.0.1:4317".to_owned())
}

#[expect(clippy::ptr_arg, reason = "a check takes a reference to the setting's type")]
fn named(name: &String) -> Option<String> {
    let is_good = !name.is_empty() && name.len() <= 64 && !name.contains(char::is_control);
    (!is_good).then(|| "1 to 64 visible characters".to_owned())
}
