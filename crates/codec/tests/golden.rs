//! A stored example of every event and command type that was ever written must
//! be read by today's code as it was read then. `UPDATE_EXPECT=1` writes the
//! files that are missing; what is stored is never written again.
#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside test functions")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use exchequer_codec::{
    COMMAND_TYPES, EVENT_TYPES, decode_command, decode_event, encode_command, encode_event,
};
use exchequer_domain_audit as audit;
use exchequer_domain_tenants as tenants;
use exchequer_tenant::{Command, Event};
use exchequer_types::{ProviderProfile, TenantId, TenantStatus, Timestamp};
use serde::{Deserialize, Serialize};

/// One stored example.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    r#type: String,
    /// The stream whose event it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    /// The payload's bytes, hexadecimal.
    payload: String,
    /// What the payload is read as, line by line.
    decoded: Vec<String>,
}

// REQ: KER-10
#[test]
fn every_event_type_has_a_stored_example_that_is_read_as_ever() {
    let examples = events().into_iter().map(|event| {
        let (kind, payload) = encode_event(&event);
        (kind, Golden::new(kind, Some(STREAM), &payload, &event))
    });
    let problems = check(&schemas("events"), EVENT_TYPES, examples.collect(), |it, payload| {
        let stream = it.stream.as_deref().ok_or("no stream")?;
        let event = decode_event(stream, &it.r#type, payload).map_err(|error| error.to_string())?;
        let (kind, bytes) = encode_event(&event);
        Ok((lines(&event), kind, bytes.to_vec()))
    });
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

// REQ: KER-10
#[test]
fn every_command_type_has_a_stored_example_that_is_read_as_ever() {
    let examples = commands().into_iter().map(|command| {
        let (kind, payload) = encode_command(&command).unwrap();
        (kind, Golden::new(kind, None, &payload, &command))
    });
    let problems = check(&schemas("commands"), COMMAND_TYPES, examples.collect(), |it, payload| {
        let command = decode_command(&it.r#type, payload).map_err(|error| error.to_string())?;
        let (kind, bytes) = encode_command(&command).ok_or("this command is never sent")?;
        Ok((lines(&command), kind, bytes.to_vec()))
    });
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

// REQ: KER-10
#[test]
fn a_missing_a_stray_and_a_spoilt_example_are_each_reported() {
    let folder = std::env::temp_dir().join(format!("exchequer-golden-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let event = Event::Parked { reason: "r".to_owned() };
    let (kind, payload) = encode_event(&event);
    let mut spoilt = Golden::new(kind, Some(STREAM), &payload, &event);
    spoilt.decoded[0].push('!');
    std::fs::write(folder.join(format!("{kind}.json")), spoilt.text()).unwrap();
    std::fs::write(folder.join("tenants.unheard-of.v1.json"), spoilt.text()).unwrap();
    let types = [kind, "kernel.released.v1"];
    let problems = compare(&folder, &types, |it, bytes| {
        let event = decode_event(STREAM, &it.r#type, bytes).map_err(|error| error.to_string())?;
        Ok((lines(&event), kind, bytes.to_vec()))
    });
    std::fs::remove_dir_all(&folder).unwrap();
    let has = |what: &str| problems.iter().any(|problem| problem.contains(what));
    assert!(has("kernel.parked.v1.json: is read as"), "{problems:?}");
    assert!(has("kernel.released.v1.json: is missing"), "{problems:?}");
    assert!(has("tenants.unheard-of.v1.json: is of no type"), "{problems:?}");
    assert_eq!(problems.len(), 3, "{problems:?}");
}

const STREAM: &str = "acme";

type Read = (Vec<String>, &'static str, Vec<u8>);

/// Writes missing files when asked to, then says everything that is wrong.
fn check(
    folder: &Path,
    types: &[&'static str],
    mut examples: BTreeMap<&'static str, Golden>,
    read: impl Fn(&Golden, &[u8]) -> Result<Read, String>,
) -> Vec<String> {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::create_dir_all(folder).unwrap();
        for kind in types {
            let file = folder.join(format!("{kind}.json"));
            if let Some(example) = examples.remove(kind).filter(|_| !file.exists()) {
                std::fs::write(&file, example.text()).unwrap();
            }
        }
    }
    compare(folder, types, read)
}

fn compare(
    folder: &Path,
    types: &[&str],
    read: impl Fn(&Golden, &[u8]) -> Result<Read, String>,
) -> Vec<String> {
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let json = entries.filter(|file| file.extension().is_some_and(|end| end == "json"));
    let stored: BTreeSet<PathBuf> = json.collect();
    let expected: BTreeSet<PathBuf> =
        types.iter().map(|kind| folder.join(format!("{kind}.json"))).collect();
    let missing = expected.difference(&stored).map(|file| {
        format!("{}: is missing; UPDATE_EXPECT=1 writes an example of a new type", file.display())
    });
    let stray = stored.difference(&expected).map(|file| {
        format!(
            "{}: is of no type that is read; what was ever written must be read for ever",
            file.display()
        )
    });
    let mut problems: Vec<String> = missing.chain(stray).collect();
    for file in expected.intersection(&stored) {
        if let Err(problem) = compare_one(file, &read) {
            problems.push(format!("{}: {problem}", file.display()));
        }
    }
    problems
}

fn compare_one(
    file: &Path,
    read: &impl Fn(&Golden, &[u8]) -> Result<Read, String>,
) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let golden: Golden = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let named = file.file_stem().and_then(|stem| stem.to_str()) == Some(golden.r#type.as_str());
    if !named {
        return Err(format!("is of type {}", golden.r#type));
    }
    let payload = unhex(&golden.payload).ok_or("the payload is not hexadecimal")?;
    let (decoded, kind, bytes) = read(&golden, &payload)?;
    if decoded != golden.decoded {
        return Err(format!("is read as\n{}", decoded.join("\n")));
    }
    if kind == golden.r#type && bytes != payload {
        return Err(format!("is written as {} today", hex(&bytes)));
    }
    Ok(())
}

impl Golden {
    fn new(kind: &str, stream: Option<&str>, payload: &[u8], value: &impl Debug) -> Self {
        Self {
            r#type: kind.to_owned(),
            stream: stream.map(str::to_owned),
            payload: hex(payload),
            decoded: lines(value),
        }
    }

    fn text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap() + "\n"
    }
}

fn lines(value: &impl Debug) -> Vec<String> {
    format!("{value:#?}").lines().map(str::to_owned).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

fn schemas(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas").join(kind)
}

const TIMER: &str = "tmr_abcdefghijklmnopqrstuvwxyz";

fn at() -> Timestamp {
    Timestamp::parse("2027-02-28T12:30:00.000001Z").unwrap()
}

fn some_settings() -> BTreeMap<String, String> {
    let pairs = [("locale", "de-AT"), ("support.email", "help@acme.example")];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn profile() -> ProviderProfile {
    ProviderProfile {
        id: TenantId::parse("reseller").unwrap(),
        version: 7,
        parent: Some(TenantId::platform()),
        depth: 1,
        status: TenantStatus::Suspended,
        settings: some_settings(),
    }
}

/// One event of each type, every field filled.
fn events() -> Vec<Event> {
    use tenants::Event as T;
    let of_tenants = [
        T::Created {
            id: TenantId::parse(STREAM).unwrap(),
            parent: Some(TenantId::parse("reseller").unwrap()),
            parent_version: 7,
            depth: 2,
            name: "Acme Ges.m.b.H. & Söhne".to_owned(),
            settings: some_settings(),
            provider: true,
        },
        T::Renamed { name: "Acme 2".to_owned() },
        T::SettingsChanged { set: some_settings(), unset: vec!["currency".to_owned()] },
        T::Promoted,
        T::Suspended { reason: "unpaid".to_owned() },
        T::Reinstated,
        T::Closed { reason: "as agreed".to_owned(), timer: Some(TIMER.to_owned()), by_timer: true },
        T::ClosingScheduled { timer: TIMER.to_owned(), at: at() },
        T::ClosingCancelled { timer: TIMER.to_owned() },
        T::ProviderProfiled(profile()),
        T::ProviderAdopted(profile()),
    ];
    let mut events = vec![
        Event::TimerSet { id: TIMER.to_owned(), due: at() },
        Event::TimerCleared { id: TIMER.to_owned(), due: at(), fired: true },
        Event::Parked { reason: "panicked: index out of bounds".to_owned() },
        Event::Released { reason: "mended".to_owned() },
        Event::Audit(audit::Event::Appended { count: 3 }),
    ];
    events.extend(of_tenants.map(Event::Tenants));
    events
}

/// One command of each type, every field filled.
fn commands() -> Vec<Command> {
    use tenants::Command as T;
    let draft = audit::Draft {
        action: "invoice.downloaded".to_owned(),
        actor: "u-7".to_owned(),
        resource_type: "invoice".to_owned(),
        resource_id: "2027-0001".to_owned(),
        before: "null".to_owned(),
        after: "{\"copies\":1}".to_owned(),
        context: "{\"ip\":\"192.0.2.1\"}".to_owned(),
        occurred_at: Some(at()),
    };
    let of_tenants = [
        T::Bootstrap(tenants::Bootstrap { name: "Platform".to_owned() }),
        T::Rename(tenants::Rename { name: "Acme 2".to_owned() }),
        T::UpdateSettings(tenants::UpdateSettings {
            set: some_settings(),
            unset: vec!["currency".to_owned()],
        }),
        T::Promote(tenants::Promote),
        T::Suspend(tenants::Suspend { reason: "unpaid".to_owned() }),
        T::Reinstate(tenants::Reinstate),
        T::Close(tenants::Close { reason: "as agreed".to_owned() }),
        T::ScheduleClosing(tenants::ScheduleClosing { at: at() }),
        T::CancelClosing(tenants::CancelClosing),
        T::AdoptProvider(tenants::AdoptProvider { profile: profile() }),
    ];
    let mut commands = vec![
        Command::Wake,
        Command::Lookup { issuer: "api".to_owned(), id: "c-1".to_owned() },
        Command::Release { reason: "mended".to_owned() },
        Command::Create {
            parent: TenantId::parse("reseller").unwrap(),
            name: "Acme".to_owned(),
            settings: some_settings(),
        },
        Command::Audit(audit::Command::Append(audit::Append { entries: vec![draft] })),
    ];
    commands.extend(of_tenants.map(Command::Tenants));
    commands
}
