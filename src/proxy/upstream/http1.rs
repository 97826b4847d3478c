//! HTTP/1.1 to the upstream, one request at a time on a connection.
//!
//! A connection has no task of its own: whoever uses it drives it, the request while it waits for its response and the
//! content while it is read. What one task does needs no waking of another, and that is a good part of what a request
//! costs. Only what nobody waits for runs [apart]: an upload that goes on beside its response, or after it.

mod apart;
mod connection;
mod content;
mod framing;
mod head;
mod outbox;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    future::poll_fn,
    sync::Weak,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use tokio::{sync::mpsc, time::Instant};

pub(super) use framing::framing_fault;

use super::{
    Added, Failure, Outgoing,
    connect::BoxedIo,
    error::{ErrorKind, Sent, UpstreamError},
    form::{Extent, Form},
    pool::{Lives, Pool},
};
use crate::proxy::replay::ReplayBody;
use connection::{Connection, Fault};

/// The use of a connection by one request. Dropped before the response has been read, it closes the connection.
pub(super) struct Lease {
    connection: Box<Connection>,
    /// Whether an earlier request has been answered on it.
    pub(super) reused: bool,
    /// Since when nobody uses it, while it is in the pool.
    since: Instant,
    /// From when on it takes no further request.
    retires_at: Instant,
    idle_timeout: Duration,
    pool: Weak<Pool>,
}

/// The body of a response. At its end the connection goes back to the pool; dropped before, it closes.
pub(super) struct Body {
    source: Source,
    /// How many bytes are still to come, where that is known.
    left: Option<u64>,
}

/// Where content comes from.
enum Source {
    Lease(Lease),
    /// A task that drives the connection.
    Apart(mpsc::Receiver<apart::Told>),
    /// It is over.
    Nobody,
}

// === impl Lease ===

impl Lease {
    /// Speaks HTTP/1.1 on `io`. The connection belongs to `pool` from the start.
    pub(super) fn new(io: BoxedIo, header_size: usize, lives: Lives, pool: Weak<Pool>) -> Self {
        let (connection, now) = (Box::new(Connection::new(io, header_size)), Instant::now());
        let Lives { idle: idle_timeout, age } = lives;
        Self { connection, reused: false, since: now, retires_at: now + age, idle_timeout, pool }
    }

    /// When it is to be closed if nobody uses it then.
    pub(super) fn idles_until(&self) -> Instant {
        (self.since + self.idle_timeout).min(self.retires_at)
    }

    /// Looks whether the connection is still there, without waiting for anything.
    pub(super) fn is_there(&mut self) -> bool {
        self.connection.is_there()
    }

    /// Sends a request, and waits for its response's header. An upload that is not over by then goes on by itself.
    pub(super) async fn send(
        mut self,
        form: &Form,
        (request, added): (&Outgoing<'_>, &Added),
        body: ReplayBody,
    ) -> Result<Response<Body>, Failure> {
        let (before, replayer) = (self.connection.received(), body.replayer());
        let extent = Extent::of(request.headers, &body);
        self.connection.put(|out| form.write_http1(request, added, extent, out), body, extent);
        let response = poll_fn(|cx| self.connection.poll_response(request.method, &replayer, cx)).await;
        match response {
            Ok(response) => Ok(response.map(|()| self.into_body())),
            Err(Fault::Ended(error)) if self.reused && self.connection.received() == before => {
                Err(Failure::ClosedEarly(error))
            }
            Err(Fault::Ended(error) | Fault::Invalid(error)) => Err(Failure::Final(error)),
            Err(Fault::Body) => Err(Failure::Final(match replayer.failure() {
                Some(cause) => UpstreamError::body(cause),
                None => UpstreamError::new(ErrorKind::Terminated, Sent::MaybeSent, "not the body that was announced"),
            })),
        }
    }

    fn into_body(self) -> Body {
        let left = self.connection.content().left();
        let source = if self.connection.is_sent() { Source::Lease(self) } else { Source::Apart(apart::begin(self)) };
        let mut body = Body { source, left };
        body.end_with(left);
        body
    }

    /// The response has been read to its end, and the request been sent.
    fn give_back(mut self) {
        let now = Instant::now();
        if self.connection.is_free()
            && now < self.retires_at
            && let Some(pool) = self.pool.upgrade()
        {
            self.connection.rest();
            (self.reused, self.since) = (true, now);
            pool.put_idle(self);
        }
    }
}

// === impl Body ===

impl Body {
    /// The next frame; `None` at the end.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let frame = match &mut self.source {
            Source::Lease(lease) => lease.connection.poll_frame(cx),
            Source::Apart(frames) => frames.poll_recv(cx).map(|told| match told {
                Some(told) => told.transpose(),
                None => {
                    Some(Err(UpstreamError::new(ErrorKind::Terminated, Sent::MaybeSent, "the body ended too early")))
                }
            }),
            Source::Nobody => return Poll::Ready(None),
        };
        match &frame {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                let read = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.left = self.left.map(|left| left.saturating_sub(read));
                let over = matches!(&self.source, Source::Lease(lease) if lease.connection.content().is_over());
                self.end_with(if over || frame.is_trailers() { Some(0) } else { self.left });
            }
            Poll::Ready(None) => self.end_with(Some(0)),
            Poll::Ready(Some(Err(_))) => self.source = Source::Nobody,
        }
        frame
    }

    /// Lets the connection go, where nothing is left.
    fn end_with(&mut self, left: Option<u64>) {
        if left == Some(0)
            && let Source::Lease(lease) = std::mem::replace(&mut self.source, Source::Nobody)
        {
            lease.give_back();
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.source, Source::Nobody)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self.left {
            _ if self.is_over() => SizeHint::with_exact(0),
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::default(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("left", &self.left).finish_non_exhaustive()
    }
}
