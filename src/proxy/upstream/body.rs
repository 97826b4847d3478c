//! The body of a response, on its way through.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use super::{
    error::{ErrorKind, Sent, UpstreamError},
    http1, http2,
};

/// Streams what the upstream sends, as fast as it is read. Holds the connection until the end; dropped before, it
/// closes an HTTP/1.1 connection, or resets the HTTP/2 stream. Whatever goes wrong is an error of the body: a response
/// that broke off never looks whole.
#[must_use = "a body does nothing unless it is read"]
pub struct UpstreamBody {
    source: Source,
    idle_timeout: Duration,
    /// Runs while the upstream is silent.
    idle: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    /// What went wrong, and has not been told yet.
    fault: Option<UpstreamError>,
}

enum Source {
    Http1(http1::Body),
    Http2(Incoming, #[expect(dead_code, reason = "held while its stream is read")] http2::Lease),
    Ended,
    Failed,
}

// === impl UpstreamBody ===

impl UpstreamBody {
    pub(super) fn http1(body: http1::Body, idle_timeout: Duration) -> Self {
        let source = if body.is_over() { Source::Ended } else { Source::Http1(body) };
        Self::new(source, idle_timeout)
    }

    pub(super) fn http2(incoming: Incoming, lease: http2::Lease, idle_timeout: Duration) -> Self {
        let source = if incoming.is_end_stream() { Source::Ended } else { Source::Http2(incoming, lease) };
        Self::new(source, idle_timeout)
    }

    const fn new(source: Source, idle_timeout: Duration) -> Self {
        Self { source, idle_timeout, idle: None, waiting: false, fault: None }
    }

    fn fail(&mut self, kind: ErrorKind, detail: &'static str) -> UpstreamError {
        self.source = Source::Failed;
        UpstreamError::new(kind, Sent::MaybeSent, detail)
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        match &mut self.source {
            Source::Http1(body) => body.poll_frame(cx),
            Source::Http2(incoming, _) => {
                let frame = ready!(Pin::new(&mut *incoming).poll_frame(cx));
                Poll::Ready(match frame {
                    // hyper takes a stream that is reset with NO_ERROR for a complete one (RFC 9113 section 8.1 means the
                    // request by that), so the end has to be checked against the stream.
                    None if !incoming.is_end_stream() => Some(Err(UpstreamError::new(
                        ErrorKind::Terminated,
                        Sent::MaybeSent,
                        "the body ended too early",
                    ))),
                    frame => {
                        frame.map(|frame| frame.map_err(|error| UpstreamError::from_hyper(&error, Sent::MaybeSent)))
                    }
                })
            }
            Source::Ended | Source::Failed => Poll::Ready(None),
        }
    }

    /// Whether nothing follows what has been read.
    fn is_over(&self) -> bool {
        match &self.source {
            Source::Http1(body) => body.is_over(),
            Source::Http2(incoming, _) => incoming.is_end_stream(),
            Source::Ended | Source::Failed => true,
        }
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
        let Poll::Ready(frame) = self.poll_source(cx) else {
            return self.poll_idle(cx).map(|error| Some(Err(error)));
        };
        self.waiting = false;
        let error = match frame {
            Some(Ok(frame)) => {
                // Nothing follows trailers, and who is given them does not ask again.
                if frame.is_trailers() || self.is_over() {
                    self.source = Source::Ended;
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            None => {
                if !matches!(self.source, Source::Failed) {
                    self.source = Source::Ended;
                }
                return Poll::Ready(None);
            }
            Some(Err(error)) => error,
        };
        self.source = Source::Failed;
        // The next time: an error ends the client's connection at once, and what came before it, the header above all, has
        // to be written first.
        self.fault = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.source, Source::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Http1(body) => body.size_hint(),
            Source::Http2(incoming, _) => incoming.size_hint(),
            Source::Ended => SizeHint::with_exact(0),
            Source::Failed => SizeHint::default(),
        }
    }
}

impl fmt::Debug for UpstreamBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamBody").field("ended", &self.is_end_stream()).finish()
    }
}
