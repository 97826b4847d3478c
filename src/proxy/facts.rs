//! What the corridor finds out about a request on its way, for the access log and the metrics.

use std::time::Duration;

use tokio::time::Instant;

use super::{cors::Readers, route::NamedBy};
use crate::model::{CredentialKind, TenantId, Version, observe::RetryOutcome};

/// Filled in as far as the request comes.
#[derive(Debug, Default)]
pub struct Facts {
    pub tenant: Option<TenantId>,
    pub named_by: Option<NamedBy>,
    /// What was attached last.
    pub credential: Option<CredentialKind>,
    /// The version of the token that was attached last.
    pub version: Option<Version>,
    /// How the one retry ended, where there was one.
    pub retry: Option<RetryOutcome>,
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
    since: Instant,
}

// === impl UpstreamWait ===

impl<'a> UpstreamWait<'a> {
    pub(super) fn begin(upstream_time: &'a mut Duration) -> Self {
        Self { upstream_time, since: Instant::now() }
    }
}

impl Drop for UpstreamWait<'_> {
    fn drop(&mut self) {
        *self.upstream_time += self.since.elapsed();
    }
}
