//! Events that are voided and amended.

use exchequer_kernel::Reason as _;

use super::Story;
use crate::*;

fn void(event: &str, reason: &str) -> Command {
    let (source, event) = ("/api".to_owned(), event.to_owned());
    Command::VoidEvent(VoidEvent { source, event, reason: reason.to_owned() })
}

fn amend(event: &str, data: &str) -> Command {
    Command::AmendEvent(AmendEvent {
        source: "/api".to_owned(),
        event: event.to_owned(),
        data: data.to_owned(),
        reason: "too high".to_owned(),
    })
}

// REQ: USE-16
#[test]
fn a_correction_is_recorded_with_who_and_why() {
    let mut story = Story::default();
    let events = story.decide(&amend("e-1", "{\"tokens\": 5}")).unwrap();
    let [Event::EventCorrected(amended)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((amended.source.as_str(), amended.event.as_str()), ("/api", "e-1"));
    assert_eq!(amended.data.as_deref(), Some("{\"tokens\": 5}"));
    assert_eq!((amended.reason.as_str(), amended.actor.as_str()), ("too high", "u-1"));
    let events = story.decide(&void("e-1", "sent in error")).unwrap();
    let [Event::EventCorrected(voided)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(voided.data, None);
    assert_ne!(voided.id, amended.id);
    let told = reply(&story.state, &void("e-1", "sent in error"), &events);
    assert_eq!(told, Reply::Correction(voided.clone(), story.state.corrected.at));
}

// REQ: USE-16
#[test]
fn a_voided_event_is_not_corrected_again() {
    let mut story = Story::default().when(void("e-1", "sent in error"));
    assert_eq!(story.refuses(void("e-1", "again")), codes::EVENT_VOIDED);
    assert_eq!(story.refuses(amend("e-1", "{}")), codes::EVENT_VOIDED);
    let mut story = story.when(amend("e-2", "{}")).when(amend("e-2", "[]"));
    for at in 0..VOIDED_KNOWN_MAX {
        story = story.when(void(&format!("f-{at}"), "sent in error"));
    }
    assert_eq!(story.state.corrected.voided.len(), VOIDED_KNOWN_MAX);
    // Known no more: voiding it once more changes nothing where it was counted.
    let _ = story.when(void("e-1", "again"));
}

// REQ: USE-16
#[test]
fn wrong_corrections_are_refused_by_field() {
    let mut story = Story::default();
    let mut refused = |command: Command| {
        let rejection = story.decide(&command).unwrap_err();
        assert!(!rejection.message().is_empty());
        (rejection.code(), rejection.field().unwrap())
    };
    assert_eq!(refused(void("", "why")), (codes::EVENT_NAME_INVALID, "event"));
    let source = VoidEvent { source: "a\n".into(), event: "e".into(), reason: "why".into() };
    assert_eq!(refused(Command::VoidEvent(source)), (codes::EVENT_NAME_INVALID, "source"));
    for reason in ["", "a\tb", &"w".repeat(501)] {
        let code = codes::CORRECTION_REASON_INVALID;
        assert_eq!(refused(void("e-1", reason)), (code, "reason"));
    }
    let large = format!("\"{}\"", "x".repeat(64 * 1024));
    for data in ["", "{", "{\"a\":1,\"a\":1}", &large] {
        assert_eq!(refused(amend("e-1", data)), (codes::EVENT_DATA_INVALID, "data"));
    }
}
