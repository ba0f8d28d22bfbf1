//! Rates, as callers meet them.

use exchequer_api::limits::Defaults;
use exchequer_proto::tenants::v1 as pb;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{Guarded, whole, with};
use crate::world::{refused, text};

// REQ: USE-09
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_told_its_rate_and_when_to_come_back() {
    let limits = Defaults { requests_per_minute: 3, burst: None };
    let mut guarded = Guarded::start_with(limits).await;
    guarded.tenant("platform", "acme").await;
    let one = guarded.member("acme", "olga", &[("owner", whole())]).await;
    let other = guarded.member("acme", "adam", &[("admin", whole())]).await;
    let root = guarded.service("platform", &[("operator", whole())]).await;
    let ask =
        |token: &str| with(token, pb::GetTenantRequest { id: "acme".to_owned(), ..<_>::default() });
    let tenants = &mut guarded.world.tenants;
    for left in ["2", "1", "0"] {
        let reply = tenants.get_tenant(ask(&one)).await.unwrap();
        assert_eq!(text(reply.metadata(), "x-ratelimit-limit"), "3");
        assert_eq!(text(reply.metadata(), "x-ratelimit-remaining"), left);
    }
    let status = refused(tenants.get_tenant(ask(&one)).await, "RATE_LIMITED");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
    assert_eq!(text(status.metadata(), "x-ratelimit-remaining"), "0");
    // Each has its own, and those who run the deployment have none.
    tenants.get_tenant(ask(&other)).await.unwrap();
    for _ in 0..10 {
        let reply = tenants.get_tenant(ask(&root)).await.unwrap();
        assert_eq!(text(reply.metadata(), "x-ratelimit-limit"), "");
    }
}
