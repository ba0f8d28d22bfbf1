//! The audit entries of a small tenant, as its stream decides them.

use exchequer_domain_audit as audit;
use exchequer_domain_tenants as tenants;
use exchequer_kernel::Status;
use exchequer_tenant::{Command, Reference, Request, Stream, step};
use exchequer_types::{
    ActorId, CommandId, ProviderProfile, StreamId, TenantId, TenantStatus, Timestamp,
};
use serde_json::{Value, json};

use super::{MORNING, create, hex, protected, rename};

/// The chain, entry by entry, and where it ends.
pub(crate) fn document() -> Value {
    let mut own = Stream::default();
    std::sync::Arc::make_mut(&mut own.tenants).adopted.adopt(ProviderProfile {
        id: TenantId::platform(),
        version: 1,
        parent: None,
        depth: 0,
        status: TenantStatus::Active,
        settings: [].into(),
    });
    let reference = Reference::of(&own);
    let mut stream = Stream::default();
    let mut entries = Vec::new();
    for (number, command) in (1..).zip(life()) {
        let request = request(number, command);
        let now = Timestamp::from_micros(MORNING + number * 60_000_000).unwrap();
        let decision = step(&stream, &request, &reference, now).unwrap();
        assert_eq!(decision.status, Status::Accepted, "{:?}", decision.rejection);
        for leaf in &decision.leaves {
            // Each entry alone moves the chain, so the next one's prev is checked below.
            stream.audit.follow(leaf.seq, leaf.json.as_bytes());
            entries.push(json!({
                "seq": leaf.seq,
                "leaf": leaf.json,
                "sha256": stream.audit.prev.to_hex(),
            }));
        }
        stream = decision.stream;
    }
    let head = stream.audit;
    assert_eq!(Some(&json!(head.prev.to_hex())), entries.last().map(|last| &last["sha256"]));
    json!({
        "tenant": "acme",
        "entries": entries,
        "head": {"seq": head.seq, "sha256": hex(&head.prev.0)},
    })
}

fn life() -> Vec<Command> {
    let draft = |resource: &str, context: String| audit::Draft {
        action: "invoice.downloaded".to_owned(),
        actor: "u-9".to_owned(),
        resource_type: "invoice".to_owned(),
        resource_id: resource.to_owned(),
        after: "[1,true,null,\"\\u001f€\"]".to_owned(),
        context,
        occurred_at: Timestamp::from_micros(MORNING - 1).ok(),
        ..audit::Draft::default()
    };
    let closing = Timestamp::from_micros(MORNING + 1_000_000_000).unwrap();
    let too_large = format!("{{\"text\":\"{}\"}}", "x".repeat(61 * 1024));
    let personal = [("customer.name".to_owned(), protected(1)), ("note".to_owned(), protected(2))];
    let entries = vec![
        draft("2026/\"1\"", String::new()),
        audit::Draft { personal: personal.into(), ..draft("2026-\u{fc}\\2", too_large) },
    ];
    vec![
        create(),
        rename("Acme \"2\" €\\"),
        Command::Audit(audit::Command::Append(audit::Append { entries })),
        Command::Tenants(tenants::Command::ScheduleClosing(tenants::ScheduleClosing {
            at: closing,
        })),
        Command::Tenants(tenants::Command::Suspend(tenants::Suspend {
            reason: "unpaid".to_owned(),
        })),
    ]
}

fn request(number: i64, command: Command) -> Request {
    Request {
        stream: StreamId::parse("acme").unwrap(),
        issuer: "api".to_owned(),
        id: CommandId::parse(format!("c-{number}")).unwrap(),
        actor: ActorId::parse("u-7").unwrap(),
        home: None,
        claimed_at: Timestamp::from_micros(MORNING).unwrap(),
        expected_version: None,
        validate_only: false,
        // Every other call came from outside.
        origin: (number % 2 == 1).then(|| protected(9)),
        command,
    }
}
