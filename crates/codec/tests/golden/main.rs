//! A stored example of every event and command type that was ever written must
//! be read by today's code as it was read then. `UPDATE_EXPECT=1` writes the
//! files that are missing; what is stored is never written again. A type may have
//! further examples, `<type>~<what it shows>.json`, such as of a value that came later.
#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside test functions")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use exchequer_codec::{
    command_types, decode_command, decode_event, encode_command, encode_event, event_types,
};
use exchequer_tenant::{Command, Event};
use serde::{Deserialize, Serialize};

mod access;
mod catalog;
mod entitlements;
mod flags;
mod quotas;
mod subscriptions;
mod tenants;
mod usage;

fn events() -> Vec<Event> {
    let domains = [
        tenants::events(),
        access::events(),
        catalog::events(),
        subscriptions::events(),
        entitlements::events(),
        flags::events(),
        quotas::events(),
        usage::events(),
    ];
    domains.into_iter().flatten().collect()
}

fn commands() -> Vec<Command> {
    let domains = [
        tenants::commands(),
        access::commands(),
        catalog::commands(),
        subscriptions::commands(),
        entitlements::commands(),
        flags::commands(),
        quotas::commands(),
        usage::commands(),
    ];
    domains.into_iter().flatten().collect()
}

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
    let problems = check(&schemas("events"), &event_types(), examples.collect(), |it, payload| {
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
    let problems =
        check(&schemas("commands"), &command_types(), examples.collect(), |it, payload| {
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
    let is_read = |file: &&PathBuf| of_type(file).is_some_and(|kind| types.contains(&kind));
    let stray = stored.iter().filter(|file| !is_read(file)).map(|file| {
        format!(
            "{}: is of no type that is read; what was ever written must be read for ever",
            file.display()
        )
    });
    let mut problems: Vec<String> = missing.chain(stray).collect();
    for file in stored.iter().filter(is_read) {
        if let Err(problem) = compare_one(file, &read) {
            problems.push(format!("{}: {problem}", file.display()));
        }
    }
    problems
}

/// The type whose example `file` is.
fn of_type(file: &Path) -> Option<&str> {
    file.file_stem()?.to_str()?.split('~').next()
}

fn compare_one(
    file: &Path,
    read: &impl Fn(&Golden, &[u8]) -> Result<Read, String>,
) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let golden: Golden = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    if of_type(file) != Some(golden.r#type.as_str()) {
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
