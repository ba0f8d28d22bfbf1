//! Opens sessions: which nodes are asked, how long a statement takes, what is tried again.
//! Every statement may be repeated, so that a second attempt on another node is always safe.

use std::sync::Arc;

use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::cluster::metadata::Peer;
use scylla::errors::{DbError, NewSessionError, RequestAttemptError};
use scylla::policies::host_filter::HostFilter;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::{RequestInfo, RetryDecision, RetryPolicy, RetrySession};
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::statement::Consistency;

use crate::fault::{
    is_attempt_retryable, is_certificate_refused, is_cut_off, is_hidden, is_other_version,
    is_refusal, is_unreachable,
};
use crate::tls::{Connector, Doubt};
use crate::{OpenError, Settings};

/// Further attempts of one statement, each on another node.
const RETRIES_MAX: u32 = 2;
/// Tries to connect while the reason of the failure is not told.
const TRIES_MAX: u32 = 5;
/// Statements sent to one more node because the first is slow.
const SPECULATIVE_MAX: usize = 1;

/// Connects. There is no waiting: an error says whether it may help.
pub(crate) async fn session(settings: &Settings) -> Result<Session, OpenError> {
    if !settings.has_usable_keyspace() {
        return Err(OpenError::Keyspace { keyspace: settings.keyspace.clone() });
    }
    let mut builder = SessionBuilder::new()
        .known_nodes(&settings.contact_points)
        .connection_timeout(settings.connect_timeout)
        .keyspaces_to_fetch([settings.keyspace.as_str()])
        .default_execution_profile_handle(profile(settings));
    if let Some(credentials) = &settings.credentials {
        builder = builder.user(&credentials.user, &credentials.password);
        if settings.tls.is_none() {
            builder = builder.host_filter(Arc::new(OnThisMachine));
        }
    }
    let connector = settings.tls.as_ref().map(Connector::new).transpose()?;
    let doubts = connector.as_ref().map(|it| it.doubts.clone()).unwrap_or_default();
    if let Some(Connector { context, .. }) = connector {
        builder = builder.tls_context(Some(context));
    }
    let mut tries = 1;
    loop {
        match builder.build().await {
            Ok(session) => return Ok(session),
            Err(error) if is_hidden(&error.to_string()) && tries < TRIES_MAX => tries += 1,
            Err(error) => return Err(not_connected(settings, doubts.last(), &error)),
        }
    }
}

/// In clear, a password is for nodes on this machine alone, whichever others these tell of.
struct OnThisMachine;

impl HostFilter for OnThisMachine {
    fn accept(&self, peer: &Peer) -> bool {
        peer.address.ip().is_loopback()
    }
}

/// A certificate that was not taken says more than that the connection failed.
fn not_connected(settings: &Settings, doubt: Option<Doubt>, error: &NewSessionError) -> OpenError {
    let nodes = settings.contact_points.join(", ");
    // Some of the driver's have several lines.
    let message = error.to_string();
    let mut message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    match doubt {
        Some(Doubt::Untrusted(message)) => OpenError::Untrusted { nodes, message },
        Some(Doubt::OtherName(message)) => OpenError::OtherName { nodes, message },
        None if is_refusal(error) => OpenError::Refused { nodes, message },
        None if is_certificate_refused(&message) => {
            OpenError::CertificateRefused { nodes, message }
        }
        None if is_other_version(&message) => OpenError::TooOld { nodes, message },
        None if is_unreachable(error) => {
            if is_cut_off(error) {
                message.push_str(if settings.tls.is_some() {
                    " (scylla.tls is true: do the nodes speak TLS, and take this process's certificate?)"
                } else {
                    " (scylla.tls is false: do the nodes speak TLS alone?)"
                });
            }
            OpenError::Unreachable { nodes, message }
        }
        None => OpenError::Settings { message },
    }
}

/// Tokens and shards are the default policy's affair.
pub(crate) fn profile(settings: &Settings) -> ExecutionProfileHandle {
    let mut nodes = DefaultPolicy::builder().token_aware(true).permit_dc_failover(false);
    if let Some(datacenter) = &settings.local_datacenter {
        nodes = nodes.prefer_datacenter(datacenter.clone());
    }
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .serial_consistency(None)
        .request_timeout(Some(settings.request_timeout))
        .load_balancing_policy(nodes.build())
        .retry_policy(Arc::new(Again));
    let speculative = settings.speculative_after.map(|retry_interval| {
        Arc::new(SimpleSpeculativeExecutionPolicy {
            max_retry_count: SPECULATIVE_MAX,
            retry_interval,
        }) as Arc<_>
    });
    profile.speculative_execution_policy(speculative).build().into_handle()
}

/// Tries again, whatever may have become of the first attempt: what lands twice or late
/// changes nothing, as it carries its timestamp.
#[derive(Debug)]
struct Again;

#[derive(Debug, Default)]
struct Attempts {
    retries: u32,
}

impl RetryPolicy for Again {
    fn new_session(&self) -> Box<dyn RetrySession> {
        Box::new(Attempts::default())
    }
}

impl RetrySession for Attempts {
    fn decide_should_retry(&mut self, request: RequestInfo<'_>) -> RetryDecision {
        // Those of a migration are not to be repeated by themselves.
        if request.is_idempotent { self.decide(request.error) } else { RetryDecision::DontRetry }
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

impl Attempts {
    fn decide(&mut self, error: &RequestAttemptError) -> RetryDecision {
        if !is_attempt_retryable(error) || self.retries == RETRIES_MAX {
            return RetryDecision::DontRetry;
        }
        self.retries += 1;
        match error {
            // Cassandra may forget what two processes prepare at once, also when the driver
            // has just prepared it again (CASSANDRA-17401).
            RequestAttemptError::DbError(DbError::Unprepared { .. }, _) if self.retries == 1 => {
                RetryDecision::RetrySameTarget(None)
            }
            _ => RetryDecision::RetryNextTarget(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decisions(error: &DbError) -> Vec<RetryDecision> {
        let error = RequestAttemptError::DbError(error.clone(), String::new());
        let mut attempts = Attempts::default();
        (0..3).map(|_| attempts.decide(&error)).collect()
    }

    // REQ: KER-13
    #[test]
    fn what_may_succeed_elsewhere_is_tried_there_and_not_for_ever() {
        let next = RetryDecision::RetryNextTarget(None);
        let late = DbError::WriteTimeout {
            consistency: Consistency::LocalQuorum,
            received: 1,
            required: 2,
            write_type: scylla::errors::WriteType::UnloggedBatch,
        };
        for error in [DbError::Overloaded, late] {
            assert_eq!(decisions(&error), [next.clone(), next.clone(), RetryDecision::DontRetry]);
        }
        let (same, forgotten) = (
            RetryDecision::RetrySameTarget(None),
            DbError::Unprepared { statement_id: vec![1].into() },
        );
        assert_eq!(decisions(&forgotten), [same, next, RetryDecision::DontRetry]);
        let never = vec![RetryDecision::DontRetry; 3];
        assert_eq!(decisions(&DbError::Invalid), never);
        assert_eq!(decisions(&DbError::Unauthorized), never);
    }
}
