//! What the tests of this room are made of.

use std::{sync::Arc, time::Duration};

use http::{Method, Version, uri::Scheme};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::model::{
    Observer, RequestId, SpanContext, Timestamp, Trace, Traced,
    observe::{RequestTimes, SpansOutcome},
    refresh::Cause,
    trace::{End, Outcome, Spans, Steps, operations::Operations, spans::RefreshSpans, step::Landing},
};

/// Counts what becomes of spans.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<Vec<(SpansOutcome, u64)>>);

// === impl Counts ===

impl Counts {
    pub(super) fn of(&self, outcome: SpansOutcome) -> u64 {
        self.0.lock().iter().filter(|(counted, _)| *counted == outcome).map(|(_, spans)| spans).sum()
    }
}

impl Observer for Counts {
    fn spans(&self, outcome: SpansOutcome, count: u64) {
        assert!(count > 0, "nothing is not worth counting");
        self.0.lock().push((outcome, count));
    }
}

/// The caller's span.
pub(super) fn parent() -> SpanContext {
    SpanContext::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap()
}

/// Another one, in another trace.
pub(super) fn other() -> SpanContext {
    SpanContext::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap()
}

/// A refresh that asked for nothing: one span.
pub(super) fn refresh() -> Traced {
    Traced::Refresh(Box::new(RefreshSpans {
        context: other(),
        led_by: None,
        tenant: "acme".parse().unwrap(),
        cause: Cause::Expired,
        at: Timestamp::from_secs(1_795_200_000),
        took: Duration::from_millis(7),
        landing: Landing::Renewed,
        operations: Operations::since(Instant::now()),
    }))
}

/// A request with these steps, which took a second.
pub(super) fn request(mut steps: Steps) -> (Trace, Box<Spans>) {
    let spans = steps.take_spans().expect("it is exported");
    let took = RequestTimes { total: Duration::from_secs(1), ..RequestTimes::default() };
    let trace = Trace {
        id: RequestId::new(7, 1),
        at: Timestamp::from_secs(1_795_200_000),
        method: Method::GET,
        path: "/api/public/v1/decks/".into(),
        protocol: Version::HTTP_11,
        tenant: Some("acme".parse().unwrap()),
        named_by: None,
        credential: None,
        version: None,
        retry: None,
        steps,
        replay: None,
        problem: None,
        end: End { outcome: Outcome::Complete(200), took, bytes_sent: 474, cause: None },
    };
    (trace, spans)
}

/// The steps of a request that is exported, none of them taken yet.
pub(super) fn steps() -> Steps {
    let since = Instant::now();
    let mut steps = Steps::since(since);
    let context = SpanContext { span: other().span, ..parent() };
    let state = crate::model::trace::context::TraceState::Carried;
    steps.export(Box::new(Spans::new(context, Some((parent(), state)), Scheme::HTTP, since)));
    steps
}

/// Shared, for whoever wants to count.
pub(super) fn counts() -> (Arc<Counts>, Arc<dyn Observer>) {
    let counts = Arc::new(Counts::default());
    (Arc::clone(&counts), counts)
}
