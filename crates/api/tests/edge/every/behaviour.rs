//! What every method of a kind does alike, found by calling each.

use serde_json::{Value, json};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use super::methods::{Method, all, requests, with};
use super::stage::{Stage, reason};

type Answer = Result<Response<Vec<u8>>, Status>;

/// Not commands: they ask the process itself to do something.
const OPERATIONS: &[&str] = &["RebuildView", "ReplayDeadLetter", "RotateKeys"];

fn fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().map(|it| it.field_violations);
    violations.unwrap_or_default().into_iter().map(|it| it.field).collect()
}

fn refused(method: &Method, answer: Answer, code: &str, field: &str) {
    let status = answer.err().unwrap_or_else(|| panic!("{} took a wrong {field}", method.name));
    assert_eq!(reason(&status), code, "{} {field}: {}", method.name, status.message());
    assert_eq!(fields(&status), [field], "{}", method.name);
}

async fn ask(stage: &Stage, method: &Method, request: &Value) -> Answer {
    stage.call(&stage.proof(), method, request).await
}

// REQ: EDG-05
#[tokio::test(flavor = "multi_thread")]
async fn masks_leave_out_what_they_do_not_name() {
    let stage = Stage::set().await;
    for method in all().iter().filter(|it| it.input.get_field_by_name("read_mask").is_some()) {
        let request = stage.request(&requests()[&method.name]);
        let wrong = with(&request, "readMask", json!("nope"));
        let answer = ask(&stage, method, &wrong).await;
        refused(method, answer, "FIELD_MASK_INVALID", "read_mask.paths[0]");
        // Something that every resource has, and nothing else.
        let resource = resource_of(method);
        let first = resource.fields().next().unwrap();
        let masked = with(&request, "readMask", json!(first.json_name()));
        let Ok(reply) = ask(&stage, method, &masked).await else { continue };
        for item in items(method, &method.decode(reply.get_ref())) {
            let keys: Vec<&String> = item.as_object().unwrap().keys().collect();
            assert!(keys.iter().all(|it| *it == first.json_name()), "{}: {item}", method.name);
        }
    }
}

/// The message that a reply is, or has a list of.
fn resource_of(method: &Method) -> prost_reflect::MessageDescriptor {
    if !method.verb().starts_with("List") {
        return method.output.clone();
    }
    let first = method.output.fields().find(prost_reflect::FieldDescriptor::is_list).unwrap();
    first.kind().as_message().unwrap().clone()
}

fn items(method: &Method, reply: &Value) -> Vec<Value> {
    if !method.verb().starts_with("List") {
        return vec![reply.clone()];
    }
    let first = method.output.fields().find(prost_reflect::FieldDescriptor::is_list).unwrap();
    let items = reply.get(first.json_name()).and_then(Value::as_array);
    items.cloned().unwrap_or_default()
}

// REQ: EDG-05
#[tokio::test(flavor = "multi_thread")]
async fn lists_page_and_filter_alike() {
    let stage = Stage::set().await;
    for method in all().iter().filter(|it| it.input.get_field_by_name("page_token").is_some()) {
        let request = stage.request(&requests()[&method.name]);
        let large = with(&request, "pageSize", json!(1_001));
        refused(method, ask(&stage, method, &large).await, "PAGE_SIZE_INVALID", "page_size");
        for token in ["zz", "00", &"0".repeat(4_000)] {
            let foreign = with(&request, "pageToken", json!(token));
            let answer = ask(&stage, method, &foreign).await;
            refused(method, answer, "PAGE_TOKEN_INVALID", "page_token");
        }
        // `tests/contracts` says which lists may do without.
        let filters = method.input.get_field_by_name("filter").is_some();
        let wrong = ["nope = 1", "(", "id =", &"x".repeat(3_000)];
        for filter in wrong.into_iter().filter(|_| filters) {
            let wrong = with(&request, "filter", json!(filter));
            refused(method, ask(&stage, method, &wrong).await, "FILTER_INVALID", "filter");
        }
        let whole = ask(&stage, method, &request).await;
        let whole = whole.unwrap_or_else(|status| panic!("{}: {status:?}", method.name));
        let whole = items(method, &method.decode(whole.get_ref()));
        let mut paged = Vec::new();
        let mut page = with(&request, "pageSize", json!(1));
        loop {
            let reply = method.decode(ask(&stage, method, &page).await.unwrap().get_ref());
            let found = items(method, &reply);
            assert!(found.len() <= 1, "{}: {found:?}", method.name);
            paged.extend(found);
            let Some(token) = reply.get("nextPageToken").and_then(Value::as_str) else { break };
            page = with(&page, "pageToken", json!(token));
            if !filters {
                continue;
            }
            // The filter is another one: " " means the same, and is not the same list.
            let changed = with(&page, "filter", json!(filter_of(method)));
            let answer = ask(&stage, method, &changed).await;
            refused(method, answer, "PAGE_TOKEN_INVALID", "page_token");
        }
        // The audit log is listed newest first, and may have grown at its front meanwhile:
        // what is refused, or read by name, is written into it.
        let is_same =
            if method.verb() == "ListEntries" { paged.ends_with(&whole) } else { paged == whole };
        assert!(is_same, "{}: {paged:#?} is not {whole:#?}", method.name);
    }
}

/// One that lets all through: some text of the list's resource is what it is.
fn filter_of(method: &Method) -> String {
    let text = ["id", "key", "catalog", "feature", "hash", "command_id", "tenant"];
    let resource = resource_of(method);
    let field = text.iter().find(|it| resource.get_field_by_name(it).is_some());
    format!("NOT {} = \"zz\"", field.unwrap_or(&"rule.grant"))
}

// REQ: EDG-05
#[tokio::test(flavor = "multi_thread")]
async fn filters_name_fields_of_what_is_listed() {
    let stage = Stage::set().await;
    for method in all().iter().filter(|it| it.input.get_field_by_name("filter").is_some()) {
        let request = with(&stage.request(&requests()[&method.name]), "filter", json!("nope = 1"));
        let status = ask(&stage, method, &request).await.unwrap_err();
        let known = status.message().split_once("there are ").map(|(_, known)| known.to_owned());
        let known = known.unwrap_or_else(|| panic!("{}: {}", method.name, status.message()));
        for path in known.split(", ") {
            let mut message = Some(resource_of(method));
            for name in path.split('.') {
                let field = message.and_then(|it| it.get_field_by_name(name));
                let field = field.unwrap_or_else(|| panic!("{}: no {path}", method.name));
                message = field.kind().as_message().cloned();
            }
        }
    }
}

// REQ: EDG-02
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_its_request_id() {
    let stage = Stage::set().await;
    for method in all() {
        let request = stage.request(&requests()[&method.name]);
        let request = if method.writes() {
            with(&request, "write", json!({"validateOnly": true}))
        } else {
            request
        };
        let answer = ask(&stage, &method, &request).await;
        let metadata = match &answer {
            Ok(reply) => reply.metadata(),
            Err(status) => status.metadata(),
        };
        let id = metadata.get("x-exchequer-request-id").and_then(|it| it.to_str().ok());
        let id = id.map(str::to_owned);
        assert_eq!(id.as_ref().map(String::len), Some(32), "{}: {answer:?}", method.name);
        let Err(status) = answer else { continue };
        let told = status.get_details_request_info().map(|it| it.request_id);
        assert_eq!(told, id, "{}", method.name);
        let page =
            format!("{}/../../docs/errors/{}.md", env!("CARGO_MANIFEST_DIR"), reason(&status));
        assert!(std::path::Path::new(&page).is_file(), "{}: {status:?}", method.name);
    }
}

// REQ: EDG-02
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_named() {
    let stage = Stage::set().await;
    for method in all() {
        let Some(tenant) =
            method.tenant_field().filter(|it| method.input.get_field_by_name(it).is_some())
        else {
            continue;
        };
        if method.rule.permission == "member" || method.verb().starts_with("Batch") {
            continue;
        }
        let request = stage.request(&requests()[&method.name]);
        let nobody = with(&request, tenant, json!("nobo"));
        let answer = ask(&stage, &method, &nobody).await;
        let Err(status) = answer else { continue };
        if status.code() != Code::NotFound || reason(&status) != "TENANT_NOT_FOUND" {
            continue;
        }
        let named = status.get_details_resource_info().unwrap();
        assert_eq!(
            (named.resource_type.as_str(), named.resource_name.as_str()),
            ("tenant", "nobo")
        );
    }
}

// REQ: EDG-05, KER-03, KER-19
#[tokio::test(flavor = "multi_thread")]
async fn writes_take_their_options_alike() {
    let stage = Stage::set().await;
    for method in all().iter().filter(|it| it.writes()) {
        let request = stage.request(&requests()[&method.name]);
        let write = |options: Value| with(&request, "write", options);
        let wrong = ask(&stage, method, &write(json!({"commandId": "two words"}))).await;
        refused(method, wrong, "ID_INVALID", "write.command_id");
        let wrong = write(json!({"notAfter": "1969-01-01T00:00:00Z"}));
        refused(method, ask(&stage, method, &wrong).await, "TIMESTAMP_INVALID", "write.not_after");
        let id = format!("trial-{}", method.verb());
        let trial = json!({"commandId": id, "validateOnly": true});
        let answer = ask(&stage, method, &write(trial)).await;
        let metadata = match &answer {
            Ok(reply) => reply.metadata(),
            Err(status) => status.metadata(),
        };
        let told = metadata.get("x-exchequer-command-id").and_then(|it| it.to_str().ok());
        assert!(told == Some(id.as_str()) || answer.is_err(), "{}: {answer:?}", method.name);
        let late = write(json!({"notAfter": "2001-01-01T00:00:00Z"}));
        let late = ask(&stage, method, &late).await;
        let late_reason = late.as_ref().err().map(reason).unwrap_or_default();
        let is_batch = method.verb().starts_with("Batch");
        assert!(is_batch || late_reason == "COMMAND_EXPIRED", "{}: {late:?}", method.name);
    }
    assert!(OPERATIONS.iter().all(|it| all().iter().any(|method| method.verb() == *it)));
}

// REQ: EDG-05, KER-04
#[tokio::test(flavor = "multi_thread")]
async fn a_replys_etag_is_the_version_that_a_write_may_expect() {
    let stage = Stage::set().await;
    let get = super::methods::method("GetFlag");
    let toggle = super::methods::method("ToggleFlag");
    let request = requests()[&get.name].clone();
    let found = ask(&stage, &get, &request).await.unwrap();
    let etag = found.metadata().get("etag").unwrap().to_str().unwrap().to_owned();
    let version = get.decode(found.get_ref())["version"].as_str().unwrap().to_owned();
    assert_eq!(etag, format!("\"{version}\""));
    let request = requests()[&toggle.name].clone();
    let behind =
        stage.call_with(&stage.proof(), &[("if-match", "\"999\"")], &toggle, &request).await;
    let status = behind.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Aborted, "VERSION_CONFLICT"));
    let named = status.get_details_resource_info().unwrap();
    assert_eq!((&*named.resource_type, &*named.resource_name), ("flag", "checkout"));
    let toggled = stage.call_with(&stage.proof(), &[("if-match", &etag)], &toggle, &request).await;
    assert_ne!(toggled.unwrap().metadata().get("etag").unwrap().to_str().unwrap(), etag);
    for tag in ["7", "\"x\"", "*"] {
        let wrong = stage.call_with(&stage.proof(), &[("if-match", tag)], &toggle, &request).await;
        assert_eq!(reason(&wrong.unwrap_err()), "METADATA_INVALID");
    }
}

// REQ: EDG-04
#[tokio::test(flavor = "multi_thread")]
async fn every_method_ends_by_its_deadline() {
    let stage = Stage::set().await;
    for method in all() {
        let request = stage.request(&requests()[&method.name]);
        let token = "ffffffff".to_owned();
        let metadata = [("grpc-timeout", "1m"), ("x-exchequer-consistency", token.as_str())];
        // Whatever it says, it says soon: the harness waits for seconds, not for ever.
        let _ = stage.call_with(&stage.proof(), &metadata, &method, &request).await;
    }
}
