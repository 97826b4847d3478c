//! The body of a response, on its way through.

use std::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use super::{
    error::{ErrorKind, Sent, UpstreamError},
    pool::Lease,
};

/// Streams what the upstream sends, as fast as it is read. Holds the connection until the end; dropped before, it
/// closes an HTTP/1.1 connection, or resets the HTTP/2 stream. Whatever goes wrong is an error of the body: a response
/// that broke off never looks whole.
#[must_use = "a body does nothing unless it is read"]
pub struct UpstreamBody {
    incoming: Incoming,
    stage: Stage,
    idle_timeout: Duration,
    /// Runs while the upstream is silent.
    idle: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    /// What went wrong, and has not been told yet.
    fault: Option<UpstreamError>,
}

enum Stage {
    Reading(Lease),
    Ended,
    Failed,
}

// === impl UpstreamBody ===

impl UpstreamBody {
    pub(super) fn new(incoming: Incoming, lease: Lease, idle_timeout: Duration) -> Self {
        let mut body =
            Self { incoming, stage: Stage::Reading(lease), idle_timeout, idle: None, waiting: false, fault: None };
        if body.incoming.is_end_stream() {
            body.end();
        }
        body
    }

    /// The response is complete: an HTTP/1.1 connection goes back to the pool.
    fn end(&mut self) {
        if let Stage::Reading(Lease::Http1(lease)) = mem::replace(&mut self.stage, Stage::Ended) {
            lease.give_back();
        }
    }

    fn fail(&mut self, kind: ErrorKind, detail: &'static str) -> UpstreamError {
        self.stage = Stage::Failed;
        UpstreamError::new(kind, Sent::MaybeSent, detail)
    }

    /// hyper takes an HTTP/2 stream that is reset with NO_ERROR for a complete one (RFC 9113 section 8.1 means the
    /// request by that), so the end has to be checked against the stream, and against the announced length.
    fn is_cut_short(&self) -> bool {
        !self.incoming.is_end_stream()
            && (matches!(self.stage, Stage::Reading(Lease::Http2(_))) || self.incoming.size_hint().lower() > 0)
    }

    /// What has come. An HTTP/1.1 connection is driven from here; what it brings comes in the same moment, so that nobody
    /// has to be woken for it.
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let incoming = Pin::new(&mut self.incoming);
        let Stage::Reading(Lease::Http1(lease)) = &mut self.stage else { return incoming.poll_frame(cx) };
        let mut nobody = Context::from_waker(Waker::noop());
        if let Poll::Ready(frame) = incoming.poll_frame(&mut nobody) {
            return Poll::Ready(frame);
        }
        lease.poll(cx);
        Pin::new(&mut self.incoming).poll_frame(if lease.is_parted() { cx } else { &mut nobody })
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<UpstreamError> {
        let idle = self.idle.get_or_insert_with(|| Box::pin(sleep(self.idle_timeout)));
        if !self.waiting {
            self.waiting = true;
            idle.as_mut().reset(Instant::now() + self.idle_timeout);
        }
        ready!(idle.as_mut().poll(cx));
        Poll::Ready(self.fail(ErrorKind::ResponseTimeout, "silence in the middle of the body"))
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        if let Some(fault) = self.fault.take() {
            return Poll::Ready(Some(Err(fault)));
        }
        if !matches!(self.stage, Stage::Reading(_)) {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = self.poll_incoming(cx) else {
            return self.poll_idle(cx).map(|error| Some(Err(error)));
        };
        self.waiting = false;
        let error = match frame {
            Some(Ok(frame)) => {
                // Nothing follows trailers, and who is given them does not ask again.
                if frame.is_trailers() || self.incoming.is_end_stream() {
                    self.end();
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            None if self.is_cut_short() => self.fail(ErrorKind::Terminated, "the body ended too early"),
            None => {
                self.end();
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                self.stage = Stage::Failed;
                UpstreamError::from_hyper(&error, Sent::MaybeSent)
            }
        };
        // The next time: an error ends the client's connection at once, and what came before it, the header above all, has
        // to be written first.
        self.fault = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { self.incoming.size_hint() }
    }
}

impl fmt::Debug for UpstreamBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamBody").field("ended", &self.is_end_stream()).finish()
    }
}
