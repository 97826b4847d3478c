//! One HTTP/1.1 connection.
//!
//! It has no task of its own: whoever uses it drives it, the request while it waits for its response and the body while
//! it is read. What one task does needs no waking of another, and that is a good part of what a request costs. Only what
//! nobody waits for runs apart: an upload that goes on beside its response, or after it.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Weak,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use hyper_util::rt::TokioIo;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use super::{
    connect::BoxedIo,
    error::{Sent, UpstreamError},
    pool::Pool,
    wire::{Received, Wire},
};
use crate::proxy::replay::{ReplayBody, Replayer, Upload};

/// The use of a connection by one request. Dropping it without [`give_back`](Self::give_back) closes the connection.
pub(super) struct Lease {
    sender: http1::SendRequest<ReplayBody>,
    driver: Driver,
    received: Received,
    /// Whether an earlier request has been answered on it.
    pub(super) reused: bool,
    /// Since when nobody uses it, while it is in the pool.
    since: Instant,
    idle_timeout: Duration,
    pool: Weak<Pool>,
}

type Connection = http1::Connection<TokioIo<Wire>, ReplayBody>;

/// Who drives the connection.
enum Driver {
    /// Whoever has the lease.
    Holder(Box<Connection>),
    /// A task, which takes the lease back when its holder is done with it, and ends the connection when the lease is
    /// dropped.
    Task(oneshot::Sender<Lease>),
    /// Nobody: it is over.
    Nobody,
}

/// The smallest buffer that hyper works with.
const MIN_BUFFER: usize = 8 * 1024;

/// Speaks HTTP/1.1 on `io`. The connection belongs to `pool` from the start.
pub(super) async fn connect(
    io: BoxedIo,
    header_size: usize,
    idle_timeout: Duration,
    pool: Weak<Pool>,
) -> Result<Lease, UpstreamError> {
    let (wire, received) = Wire::new(io);
    let mut builder = http1::Builder::new();
    builder.max_buf_size(header_size.max(MIN_BUFFER)).max_header_size(header_size);
    let (sender, connection) = builder
        .handshake(TokioIo::new(wire))
        .await
        .map_err(|error| UpstreamError::from_hyper(&error, Sent::NotSent))?;
    let (driver, since) = (Driver::Holder(Box::new(connection)), Instant::now());
    Ok(Lease { sender, driver, received, reused: false, since, idle_timeout, pool })
}

// === impl Lease ===

impl Lease {
    /// Bytes that have come in so far.
    pub(super) fn received(&self) -> u64 {
        self.received.bytes()
    }

    /// Whether the next request can be sent, as far as is known without looking at the connection.
    pub(super) fn is_ready(&self) -> bool {
        !matches!(self.driver, Driver::Nobody) && (self.sender.is_ready() || !self.reused && !self.sender.is_closed())
    }

    /// When it is to be closed if nobody uses it until then.
    pub(super) fn idles_until(&self) -> Instant {
        self.since + self.idle_timeout
    }

    /// Sends a request, and waits for its response's header. An upload that is not over by then goes on by itself.
    pub(super) async fn send(
        &mut self,
        request: Request<ReplayBody>,
        replayer: &Replayer,
    ) -> Result<Response<Incoming>, TrySendError<Request<ReplayBody>>> {
        let mut sending = pin!(self.sender.try_send_request(request));
        let driver = &mut self.driver;
        let sent = poll_fn(|cx| {
            driver.poll(cx);
            // With the waker, because tokio's channel says "later" to a task that has used up its turn.
            sending.as_mut().poll(cx)
        });
        let response = sent.await?;
        let is_given = replayer.progress().is_none_or(|progress| progress.upload == Upload::Sent);
        if !is_given || self.received.owes() {
            self.part();
        }
        Ok(response)
    }

    /// Goes on with what the connection has to do. Call it from where its response is read.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        self.driver.poll(cx);
    }

    /// Whether a task drives it, so that whoever waits for something of it has to be woken.
    pub(super) fn is_parted(&self) -> bool {
        matches!(self.driver, Driver::Task(_))
    }

    /// Looks whether it is still there, without waiting for anything.
    pub(super) fn is_there(&mut self) -> bool {
        self.driver.poll(&mut Context::from_waker(Waker::noop()));
        !matches!(self.driver, Driver::Nobody)
    }

    /// Has the connection driven by a task from now on.
    fn part(&mut self) {
        let (back, returned) = oneshot::channel();
        match std::mem::replace(&mut self.driver, Driver::Task(back)) {
            Driver::Holder(connection) => drop(tokio::spawn(drive(connection, returned))),
            other => self.driver = other,
        }
    }

    /// The response has been read to its end.
    pub(super) fn give_back(mut self) {
        match std::mem::replace(&mut self.driver, Driver::Nobody) {
            // It fails only where the task has ended, and the connection with it.
            Driver::Task(back) => drop(back.send(self)),
            Driver::Holder(connection) if is_free(&self.sender, &self.received) => {
                self.driver = Driver::Holder(connection);
                self.put_idle();
            }
            Driver::Holder(connection) => drop(tokio::spawn(self.finish(connection))),
            Driver::Nobody => {}
        }
    }

    /// The response is over, the upload may not be: it gets as long as an idle connection.
    async fn finish(mut self, mut connection: Box<Connection>) {
        let (sender, received) = (&self.sender, &self.received);
        let ready = poll_fn(|cx| match Pin::new(&mut *connection).poll(cx) {
            Poll::Ready(_) => Poll::Ready(false),
            Poll::Pending if is_free(sender, received) => Poll::Ready(true),
            Poll::Pending => Poll::Pending,
        });
        if timeout(self.idle_timeout, ready).await == Ok(true) {
            self.driver = Driver::Holder(connection);
            self.put_idle();
        }
    }

    fn put_idle(mut self) {
        if let Some(pool) = self.pool.upgrade() {
            (self.reused, self.since) = (true, Instant::now());
            pool.put_idle(self);
        }
    }
}

/// Whether nothing is left to do for the last request: it has been sent and answered.
fn is_free(sender: &http1::SendRequest<ReplayBody>, received: &Received) -> bool {
    sender.is_ready() && !received.owes()
}

/// Drives a connection until its lease comes back, and on until it is ready for the next request.
async fn drive(mut connection: Box<Connection>, returned: oneshot::Receiver<Lease>) {
    let lease = tokio::select! {
        _ = Pin::new(&mut *connection) => return,
        lease = returned => lease,
    };
    if let Ok(lease) = lease {
        lease.finish(connection).await;
    }
}

// === impl Driver ===

impl Driver {
    /// Goes on, if that is for the holder to do. A connection that is over is dropped at once: that is how whoever waits
    /// for something of it gets to know.
    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Self::Holder(connection) = self
            && Pin::new(&mut **connection).poll(cx).is_ready()
        {
            *self = Self::Nobody;
        }
    }
}
