//! One line per request, when its response has ended: the request log as an interface. Fields and their meaning stand
//! in docs/operations.md.
//!
//! The query of a request is not logged: it is the caller's, and nobody knows what is in it.

use std::{sync::Arc, time::Duration};

use http::{Method, Version};
use tokio::time::Instant;

use super::{request_id::RequestId, under_way::Place};
use crate::{
    model::{CredentialKind, Observer, observe::RequestTimes},
    proxy::Facts,
};

/// A request under way. Its line is written when this is dropped, however the request ended.
#[derive(Debug)]
pub struct Record {
    id: RequestId,
    method: Method,
    path: String,
    version: Version,
    started: Instant,
    observer: Arc<dyn Observer>,
    lines: Lines,
    pub facts: Facts,
    /// The code of a problem of ours.
    pub problem: Option<&'static str>,
    outcome: Outcome,
    /// From the request's header to the response's.
    head_after: Option<Duration>,
    pub bytes_sent: u64,
    /// Held to the end of the response.
    pub place: Option<Place>,
}

/// How far a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The client went away before there was a response.
    Unanswered,
    /// The response is on its way; the client, or the upstream, may still break it off.
    Broken(u16),
    Complete(u16),
}

/// Whether lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    Written,
    Off,
}

/// What nginx logs for a client that went away before its response.
const CLIENT_CLOSED_REQUEST: u16 = 499;

// === impl Record ===

impl Record {
    /// Begins a request's record.
    pub fn begin(
        id: RequestId,
        method: Method,
        path: &str,
        version: Version,
        observer: Arc<dyn Observer>,
        lines: Lines,
    ) -> Self {
        observer.in_flight(1);
        Self {
            id,
            method,
            path: path.to_owned(),
            version,
            started: Instant::now(),
            observer,
            lines,
            facts: Facts::default(),
            problem: None,
            outcome: Outcome::Unanswered,
            head_after: None,
            bytes_sent: 0,
            place: None,
        }
    }

    /// The name of the request.
    pub fn id(&self) -> &RequestId {
        &self.id
    }

    /// The response's header is on its way.
    pub fn answered(&mut self, status: u16) {
        self.outcome = Outcome::Broken(status);
        self.head_after = Some(self.started.elapsed());
    }

    /// The response has been handed over whole.
    pub fn complete(&mut self) {
        if let Outcome::Broken(status) = self.outcome {
            self.outcome = Outcome::Complete(status);
        }
    }

    fn line(&self, total: Duration) {
        let (status, complete) = match self.outcome {
            Outcome::Unanswered => (CLIENT_CLOSED_REQUEST, false),
            Outcome::Broken(status) => (status, false),
            Outcome::Complete(status) => (status, true),
        };
        let facts = &self.facts;
        tracing::info!(
            target: "access",
            request_id = self.id.as_str(),
            method = self.method.as_str(),
            path = self.path,
            protocol = ?self.version,
            status,
            complete,
            tenant = facts.tenant.as_ref().map(|tenant| tenant.as_str()),
            tenant_by = facts.named_by.map(|by| by.as_str()),
            credential = facts.credential.map(CredentialKind::as_str),
            token_version = facts.version.map(|version| version.number()),
            retry = facts.retry.map(|retry| retry.as_str()),
            problem = self.problem,
            upstream_status = facts.upstream_status,
            upstream_ms = millis(facts.upstream_time),
            duration_ms = millis(total),
            bytes_sent = self.bytes_sent,
            cause = facts.cause,
        );
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let total = self.started.elapsed();
        self.observer.in_flight(-1);
        let status = match self.outcome {
            Outcome::Unanswered => CLIENT_CLOSED_REQUEST,
            Outcome::Broken(status) | Outcome::Complete(status) => status,
        };
        let upstream = self.facts.upstream_time;
        let overhead = self.head_after.unwrap_or(total).saturating_sub(upstream);
        self.observer.request(&self.method, status, self.facts.credential, RequestTimes { total, upstream, overhead });
        if self.lines == Lines::Written {
            self.line(total);
        }
    }
}

/// Milliseconds with three decimals.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::{Lines, Record, RequestId};
    use crate::model::{CredentialKind, Observer, observe::RequestTimes};
    use http::{Method, Version};
    use parking_lot::Mutex;
    use std::{sync::Arc, time::Duration};
    use tokio::time::advance;

    #[derive(Debug, Default)]
    struct Told(Mutex<Option<(u16, RequestTimes)>>);

    impl Observer for Told {
        fn request(&self, _: &Method, status: u16, _: Option<CredentialKind>, took: RequestTimes) {
            *self.0.lock() = Some((status, took));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_goes_away_leaves_the_upstreams_time_to_the_upstream() {
        let told = Arc::new(Told::default());
        let id = RequestId::for_test("r1");
        let mut record = Record::begin(id, Method::GET, "/", Version::HTTP_11, Arc::clone(&told) as _, Lines::Off);
        advance(Duration::from_secs(10)).await;
        record.facts.upstream_time = Duration::from_secs(9);
        drop(record);
        let (status, took) = told.0.lock().take().unwrap();
        assert_eq!((status, took.total), (499, Duration::from_secs(10)));
        assert_eq!((took.upstream, took.overhead), (Duration::from_secs(9), Duration::from_secs(1)));
    }
}
