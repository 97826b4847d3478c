//! The record of a request: its line in the access log, its part in the metrics, and its trace, exported or not. Fields
//! of the line and their meaning stand in docs/logging.md.
//!
//! The query of a request is not recorded: it is the caller's, and nobody knows what is in it.

use std::{sync::Arc, time::Duration};

use http::{Method, Version};
use tokio::time::Instant;

use super::under_way::Place;
use crate::{
    admin::trace::Traces,
    model::{
        CredentialKind, Observer, RequestId, Timestamp, Trace, Traced, Tracer,
        observe::RequestTimes,
        trace::{End, Outcome, Spans, Told},
    },
    proxy::Facts,
};

/// A request under way. Its line is written when this is dropped, however the request ended. Its trace can be asked for
/// from the moment in which the client is told the request's id.
#[derive(Debug)]
pub struct Record {
    id: RequestId,
    at: Timestamp,
    method: Method,
    path: Arc<str>,
    version: Version,
    started: Instant,
    told: Audience,
    /// Who takes it for export, where it is exported.
    tracer: Option<Arc<dyn Tracer>>,
    pub facts: Facts,
    /// A problem of ours.
    pub problem: Option<Told>,
    outcome: Outcome,
    /// From the request's header to the response's.
    head_after: Option<Duration>,
    pub bytes_sent: u64,
    /// Held to the end of the response.
    pub place: Option<Place>,
    /// The same, of those that its caller may have.
    pub of_share: Option<Place>,
}

/// What a request is known by when it begins.
#[derive(Debug)]
pub struct Beginning<'a> {
    pub id: RequestId,
    pub at: Timestamp,
    pub method: Method,
    /// Without the query.
    pub path: &'a str,
    pub version: Version,
}

/// Who is told of a request.
#[derive(Debug, Clone)]
pub struct Audience {
    pub observer: Arc<dyn Observer>,
    pub traces: Arc<Traces>,
    pub lines: Lines,
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
    pub fn begin(beginning: Beginning<'_>, told: Audience) -> Self {
        let Beginning { id, at, method, path, version } = beginning;
        told.observer.in_flight(1);
        let started = Instant::now();
        Self {
            id,
            at,
            method,
            path: path.into(),
            version,
            started,
            told,
            tracer: None,
            facts: Facts::since(started),
            problem: None,
            outcome: Outcome::Unanswered,
            head_after: None,
            bytes_sent: 0,
            place: None,
            of_share: None,
        }
    }

    /// When its header was there.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Has its trace given to `tracer` in the end.
    pub fn export(&mut self, spans: Box<Spans>, tracer: &Arc<dyn Tracer>) {
        self.facts.steps.export(spans);
        self.tracer = Some(Arc::clone(tracer));
    }

    /// The name of the request.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// The response's header is on its way.
    pub fn answered(&mut self, status: u16) {
        self.outcome = Outcome::UnderWay(status);
        let taken = self.started.elapsed();
        self.head_after = Some(taken);
        let end =
            End { outcome: self.outcome, took: self.times(taken), bytes_sent: 0, cause: self.facts.cause.clone() };
        self.told.traces.keep(self.trace(end));
    }

    /// The response has been handed over whole.
    pub fn complete(&mut self) {
        if let Outcome::UnderWay(status) = self.outcome {
            self.outcome = Outcome::Complete(status);
        }
    }

    fn times(&self, total: Duration) -> RequestTimes {
        let upstream = self.facts.upstream_time;
        let overhead = self.head_after.unwrap_or(total).saturating_sub(upstream);
        RequestTimes { total, upstream, overhead }
    }

    fn trace(&self, end: End) -> Trace {
        let facts = &self.facts;
        Trace {
            id: self.id,
            at: self.at,
            method: self.method.clone(),
            path: Arc::clone(&self.path),
            protocol: self.version,
            tenant: facts.tenant.clone(),
            named_by: facts.named_by,
            credential: facts.credential,
            version: facts.version,
            retry: facts.retry,
            steps: facts.steps.clone(),
            replay: facts.replay,
            problem: self.problem.clone(),
            end,
        }
    }

    fn line(&self, status: u16, total: Duration) {
        let facts = &self.facts;
        tracing::info!(
            target: "access",
            request_id = %self.id,
            method = self.method.as_str(),
            path = &*self.path,
            protocol = ?self.version,
            status,
            complete = matches!(self.outcome, Outcome::Complete(_)),
            tenant = facts.tenant.as_ref().map(|tenant| tenant.as_str()),
            tenant_by = facts.named_by.map(|by| by.as_str()),
            caller = facts.caller.as_deref(),
            credential = facts.credential.map(CredentialKind::as_str),
            token_version = facts.version.map(|version| version.number()),
            retry = facts.retry.map(|retry| retry.as_str()),
            problem = self.problem.as_ref().map(|told| told.code),
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
        self.told.observer.in_flight(-1);
        if let Outcome::UnderWay(status) = self.outcome {
            self.outcome = Outcome::Broken(status);
        }
        let status = self.outcome.status().unwrap_or(CLIENT_CLOSED_REQUEST);
        let took = self.times(total);
        self.told.observer.request(&self.method, status, self.facts.credential, took);
        if self.told.lines == Lines::Written {
            self.line(status, total);
        }
        let end = End { outcome: self.outcome, took, bytes_sent: self.bytes_sent, cause: self.facts.cause.take() };
        if let (Some(tracer), Some(mut spans)) = (self.tracer.take(), self.facts.steps.take_spans()) {
            spans.caller = self.facts.caller.take();
            let trace = self.trace(end.clone()).bounded();
            tracer.take(Traced::Request(Box::new(trace), spans));
        }
        match self.outcome {
            Outcome::Unanswered => self.told.traces.keep(self.trace(end)),
            _ => self.told.traces.end(self.id, end),
        }
    }
}

/// Milliseconds with three decimals.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::{Audience, Beginning, Lines, Record};
    use crate::{
        admin::trace::Traces,
        model::{CredentialKind, Observer, RequestId, Timestamp, observe::RequestTimes, trace::Outcome},
    };
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

    fn record(told: &Arc<Told>, traces: &Arc<Traces>) -> Record {
        let (id, at, path) = (RequestId::new(7, 1), Timestamp::from_secs(0), "/");
        let beginning = Beginning { id, at, method: Method::GET, path, version: Version::HTTP_11 };
        let audience = Audience { observer: Arc::clone(told) as _, traces: Arc::clone(traces), lines: Lines::Off };
        Record::begin(beginning, audience)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_goes_away_leaves_the_upstreams_time_to_the_upstream() {
        let (told, traces) = (Arc::new(Told::default()), Arc::new(Traces::default()));
        let mut record = record(&told, &traces);
        advance(Duration::from_secs(10)).await;
        record.facts.upstream_time = Duration::from_secs(9);
        drop(record);
        let (status, took) = told.0.lock().take().unwrap();
        assert_eq!((status, took.total), (499, Duration::from_secs(10)));
        assert_eq!((took.upstream, took.overhead), (Duration::from_secs(9), Duration::from_secs(1)));
        assert_eq!(traces.find(RequestId::new(7, 1)).unwrap().end.outcome, Outcome::Unanswered);
    }

    #[tokio::test(start_paused = true)]
    async fn the_trace_is_there_as_soon_as_the_client_can_know_the_id_and_is_finished_at_the_end() {
        let (told, traces) = (Arc::new(Told::default()), Arc::new(Traces::default()));
        let mut record = record(&told, &traces);
        let end = || traces.find(RequestId::new(7, 1)).map(|trace| (trace.end.outcome, trace.end.took.total));
        assert_eq!(end(), None);
        record.answered(200);
        assert_eq!(end(), Some((Outcome::UnderWay(200), Duration::ZERO)));
        advance(Duration::from_secs(1)).await;
        record.complete();
        drop(record);
        assert_eq!(end(), Some((Outcome::Complete(200), Duration::from_secs(1))));
    }
}
