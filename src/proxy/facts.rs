//! What the corridor finds out about a request on its way, for the access log, the metrics and the trace.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{cors::Readers, upstream::UpstreamError};
use crate::model::{
    CredentialKind, NamedBy, Origin, TenantId, Version,
    observe::RetryOutcome,
    trace::{Replay, Steps, spans::Propagated, step::Answer, steps::SendWait},
};

/// Filled in as far as the request comes.
#[derive(Debug)]
pub struct Facts {
    pub tenant: Option<TenantId>,
    pub named_by: Option<NamedBy>,
    /// Whose token the request carried, where apps have tokens of their own.
    pub caller: Option<Arc<str>>,
    /// What was attached last.
    pub credential: Option<CredentialKind>,
    /// The version of the token that was attached last.
    pub version: Option<Version>,
    /// How the one retry ended, where there was one.
    pub retry: Option<RetryOutcome>,
    /// What was done, and when.
    pub steps: Steps,
    /// Whether the body could be sent again, or was.
    pub replay: Option<Replay>,
    /// What the upstream answered last.
    pub upstream_status: Option<u16>,
    /// The time that went into waiting for the upstream's response headers, whether or not they came.
    pub upstream_time: Duration,
    /// Why the request got no response of the upstream's; for the log, never for the client.
    pub cause: Option<String>,
    /// Who may read the answer, whatever it is.
    pub readers: Readers,
}

/// A wait for the upstream. Its time counts when it is dropped: a client that goes away ends it that way, in the middle
/// of a request.
#[derive(Debug)]
pub(super) struct UpstreamWait<'a> {
    upstream_time: &'a mut Duration,
    send: SendWait<'a>,
}

// === impl Facts ===

impl Facts {
    /// Nothing yet, of a request that began at `since`.
    pub const fn since(since: Instant) -> Self {
        Self {
            tenant: None,
            named_by: None,
            caller: None,
            credential: None,
            version: None,
            retry: None,
            steps: Steps::since(since),
            replay: None,
            upstream_status: None,
            upstream_time: Duration::ZERO,
            cause: None,
            readers: Readers::Unsaid,
        }
    }

    /// Notes that the request is sent with `credential` to `path` at `origin`, and that its answer is waited for from now
    /// on.
    pub(super) fn begin_send(&mut self, credential: CredentialKind, origin: &Origin, path: &str) -> UpstreamWait<'_> {
        self.credential = Some(credential);
        let mut send = self.steps.send(credential);
        send.to(origin, path);
        UpstreamWait { upstream_time: &mut self.upstream_time, send }
    }
}

// === impl UpstreamWait ===

impl UpstreamWait<'_> {
    /// The request goes out, or goes out once more, with these fields.
    pub(super) fn attempt(&mut self) -> Propagated {
        self.send.attempt()
    }

    /// The upstream has answered, or will not.
    pub(super) fn ended<R>(&mut self, outcome: &Result<http::Response<R>, UpstreamError>) {
        match outcome {
            Ok(response) => self.send.answered(Answer::Status(response.status().as_u16())),
            Err(error) => self.send.failed(error.proxy_error().as_str()),
        }
    }
}

impl Drop for UpstreamWait<'_> {
    fn drop(&mut self) {
        *self.upstream_time += self.send.end();
    }
}
