//! What timers and the closing of the tenant end.

use super::*;

#[test]
fn a_timer_that_nothing_waits_for_does_nothing() {
    assert_eq!(Story::begun().refuses(&timer_command("tma_none")), "TIMER_NOT_PENDING");
}

#[test]
fn a_sandbox_that_runs_ahead_makes_credentials_that_last() {
    let mut story = Story::begun();
    let mut ctx = story.ctx();
    // Its own clock is past the end, the world's is not.
    ctx.now = at(500);
    let ends = |seconds| {
        let expires_at = Some(at(seconds));
        Command::CreateCredential(CreateCredential { expires_at, ..service("ci", &["viewer"]) })
    };
    assert!(Access::decide(&story.state, &ends(100), &ctx).is_ok());
    (ctx.now, ctx.recorded_at) = (at(1), at(500));
    let late = Access::decide(&story.state, &ends(100), &ctx);
    assert_eq!(late, Err(Rejection::ExpiryInThePast { now: at(500) }));
}

#[test]
fn a_closed_tenant_accepts_no_credential_and_waits_for_nothing() {
    let ends = CreateCredential { expires_at: Some(at(100)), ..service("ci", &["viewer"]) };
    let story = Story::begun().given(&Command::CreateCredential(ends)).given(&grant_in(
        member("ben"),
        "viewer",
        Scope::tenant(),
        Some(50),
    ));
    let id = story.credential("ci").id.clone();
    let mut story = story.given(&rotate(&id, "next", 60));
    assert_eq!(story.timers.len(), 3);
    let events = follow(&story.state, &Fact::TenantClosed);
    assert_eq!(events, follow(&story.state, &Fact::TenantClosed));
    story.take(&events);
    assert!(story.timers.is_empty());
    assert_eq!(story.credential("ci").ended.unwrap().by, EndedBy::Closing);
    // Members read what a closed tenant still answers.
    assert!(story.may(&member("ann"), "audit.read"));
    assert!(follow(&State::default(), &Fact::TenantClosed).is_empty());
    assert!(follow(&story.state, &Fact::PlanChanged { held: None }).is_empty());
}
