//! What is known of a request, or of a refresh, besides its trace, where that is exported to a collector of traces.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, uri::Scheme};
use tokio::time::Instant;

use super::{
    Trace,
    context::{SpanContext, SpanId, TRACEPARENT, TRACESTATE, TraceState},
    operations::Operations,
    step::{Landing, Micros},
};
use crate::model::{Origin, TenantId, Timestamp, refresh::Cause};

/// Decides what is exported, and takes it. Nothing in it may block.
pub trait Tracer: fmt::Debug + Send + Sync + 'static {
    /// What the trace of a request goes on from that came by `scheme` and began at `since`; `None` where it is not
    /// exported. `headers` are the client's; `None` where they cannot be trusted to be.
    fn request(&self, headers: Option<&HeaderMap>, scheme: Scheme, since: Instant) -> Option<Box<Spans>>;

    /// The span of a refresh that a request has begun, whose own span is `led_by`, or that nobody waits for; `None` where
    /// it is not exported.
    fn refresh(&self, led_by: Option<SpanContext>) -> Option<SpanContext>;

    /// Takes what is to be exported.
    fn take(&self, traced: Traced);
}

/// Nothing is exported.
#[derive(Debug, Clone, Copy, Default)]
pub struct Untraced;

/// What is to be exported.
#[derive(Debug)]
pub enum Traced {
    Request(Box<Trace>, Box<Spans>),
    Refresh(Box<RefreshSpans>),
}

/// What a request's spans are made of, besides its [`Trace`].
#[derive(Debug)]
pub struct Spans {
    /// The span of the request as a whole.
    pub context: SpanContext,
    /// The caller's span.
    pub parent: Option<SpanContext>,
    state: TraceState,
    /// Towards the client.
    pub scheme: Scheme,
    /// Whose token the request carried, where apps have tokens of their own.
    pub caller: Option<Arc<str>>,
    since: Instant,
    picks: Vec<Pick>,
    /// Where the request was sent, and as which path, without the query.
    pub sent_to: Option<(Origin, Box<str>)>,
    attempts: Vec<Attempt>,
    /// Of each step of a refresh, in order: the refresh itself, where that is exported.
    pub refreshes: Vec<Option<SpanContext>>,
    pub operations: Arc<Operations>,
}

/// Fields of a request that take the place of those of their names. One without a value leaves it empty.
pub type Propagated = [Option<(HeaderName, Option<HeaderValue>)>; 2];

/// Looking for the best credential, waits for refreshes included.
#[derive(Debug, Clone, Copy)]
struct Pick {
    began: Micros,
    /// Not yet, or never, where the client went away.
    ended: Option<Micros>,
}

/// One attempt of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// As Flexslot was told.
    pub span: SpanId,
    /// Which of the trace's sends it belongs to, counted from zero. A send takes another attempt only where the one before
    /// provably did nothing.
    pub send: usize,
    began: Micros,
    /// Why it brought no response, in the words of RFC 9209.
    pub failure: Option<&'static str>,
}

/// What the spans of a refresh are made of. It belongs to the grant, and has a trace of its own.
#[derive(Debug)]
pub struct RefreshSpans {
    /// The span of the refresh as a whole.
    pub context: SpanContext,
    /// That of the request for which it was begun, where that is exported.
    pub led_by: Option<SpanContext>,
    pub tenant: TenantId,
    pub cause: Cause,
    pub at: Timestamp,
    pub took: Duration,
    pub landing: Landing,
    pub operations: Arc<Operations>,
}

// === impl Untraced ===

impl Tracer for Untraced {
    fn request(&self, _: Option<&HeaderMap>, _: Scheme, _: Instant) -> Option<Box<Spans>> {
        None
    }

    fn refresh(&self, _: Option<SpanContext>) -> Option<SpanContext> {
        None
    }

    fn take(&self, _: Traced) {}
}

// === impl Spans ===

impl Spans {
    /// Of a request that began at `since`, with the span `context`.
    pub fn new(
        context: SpanContext,
        parent: Option<(SpanContext, TraceState)>,
        scheme: Scheme,
        since: Instant,
    ) -> Self {
        let (parent, state) = parent.unzip();
        Self {
            context,
            parent,
            state: state.unwrap_or(TraceState::Discarded),
            scheme,
            caller: None,
            since,
            picks: Vec::new(),
            sent_to: None,
            attempts: Vec::new(),
            refreshes: Vec::new(),
            operations: Operations::since(since),
        }
    }

    pub(super) fn begin_pick(&mut self) {
        self.picks.push(Pick { began: self.now(), ended: None });
    }

    pub(super) fn end_pick(&mut self) {
        let now = self.now();
        if let Some(pick) = self.picks.last_mut() {
            pick.ended = Some(now);
        }
    }

    /// Begins another attempt of the send `send`, and answers the fields that name it.
    pub(super) fn begin_attempt(&mut self, send: usize) -> Propagated {
        let span = self.add_attempt(send, None);
        let parent = SpanContext { span, ..self.context }.traceparent();
        let discarded = (self.state == TraceState::Discarded).then_some((TRACESTATE, None));
        [Some((TRACEPARENT, Some(parent))), discarded]
    }

    /// The send has brought no response; perhaps there was no connection to attempt it on.
    pub(super) fn fail_send(&mut self, send: usize, failure: &'static str) {
        match self.attempts.last_mut().filter(|attempt| attempt.send == send) {
            Some(attempt) => attempt.failure = Some(failure),
            None => {
                self.add_attempt(send, Some(failure));
            }
        }
    }

    fn add_attempt(&mut self, send: usize, failure: Option<&'static str>) -> SpanId {
        let span = self.context.child(self.attempts.len() as u64 + 1);
        self.attempts.push(Attempt { span, send, began: self.now(), failure });
        span
    }

    fn now(&self) -> Micros {
        Micros::of(self.since.elapsed())
    }

    /// Each pick: when it began and ended, from the request's beginning; one that has no end ended with the request.
    pub fn picks(&self) -> impl Iterator<Item = (Duration, Option<Duration>)> {
        self.picks.iter().map(|pick| (pick.began.duration(), pick.ended.map(Micros::duration)))
    }

    /// All attempts, in order.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// The ids of spans that nobody was told of yet.
    pub fn further_ids(&self) -> impl Iterator<Item = SpanId> + use<> {
        let (context, given) = (self.context, self.attempts.len() as u64);
        (given + 1..).map(move |n| context.child(n))
    }
}

// === impl Attempt ===

impl Attempt {
    /// From the request's beginning to that of this.
    pub const fn began(&self) -> Duration {
        self.began.duration()
    }
}
