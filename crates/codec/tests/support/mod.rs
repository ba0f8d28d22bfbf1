//! What the vectors are made of.

pub(crate) mod journals;
pub(crate) mod leaves;
pub(crate) mod usage;

use std::fmt::Write as _;

use exchequer_codec::{encode_command, protected_to_proto};
use exchequer_domain_tenants as tenants;
use exchequer_proto::journal::v1 as pb;
use exchequer_tenant::{Command, Create};
use exchequer_types::{KeyId, PLATFORM, Protected, TenantId};

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// 2026-11-21T08:30:00Z
pub(crate) const MORNING: i64 = 1_795_249_800_000_000;

/// An envelope that is not sealed yet.
pub(crate) fn envelope(stream: &str, id: &str, command: &Command) -> pb::Envelope {
    let (kind, payload) = encode_command(command).unwrap();
    pb::Envelope {
        stream: stream.to_owned(),
        issuer: "api".to_owned(),
        id: id.to_owned(),
        r#type: kind.to_owned(),
        payload,
        actor: "u-7".to_owned(),
        claimed_at: MORNING,
        ..pb::Envelope::default()
    }
}

/// The creation of `acme`.
pub(crate) fn create() -> Command {
    let settings = [("locale", "de-AT"), ("support.email", "help@acme.example")];
    Command::Create(Create {
        parent: TenantId::parse(PLATFORM).unwrap(),
        name: "Acme & Söhne".to_owned(),
        settings: settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        test_clock: None,
    })
}

/// A renaming.
pub(crate) fn rename(name: &str) -> Command {
    Command::Tenants(tenants::Command::Rename(tenants::Rename { name: name.to_owned() }))
}

/// An encrypted field, of bytes that nobody could read.
pub(crate) fn protected(byte: u8) -> Protected {
    Protected { key: KeyId([byte; 16]), text: vec![byte; 74] }
}

/// One envelope with as little, one with as much as there can be.
pub(crate) fn envelopes() -> [pb::Envelope; 3] {
    let wake = pb::Envelope {
        issuer: "clock".to_owned(),
        actor: "clock".to_owned(),
        claimed_at: 0,
        ..envelope("acme", "w-1", &Command::Wake)
    };
    let full = pb::Envelope {
        expected_version: Some(4),
        not_after: Some(MORNING + 60_000_000),
        validate_only: true,
        origin: Some(protected_to_proto(&protected(0x5a))),
        trace_parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
        ..envelope("acme", "c-2", &rename("Acme 2"))
    };
    [wake, envelope("acme", "c-1", &create()), full]
}
