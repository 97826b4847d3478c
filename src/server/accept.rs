//! Takes connections, hands their requests to a service, and ends them in good order.

use std::{
    error::Error,
    future::{Future, poll_fn},
    io,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use rustix::io::Errno;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinSet, unconstrained, yield_now},
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::{
    connection::{self, Observed},
    crew::{Crew, Post},
    listen::{BACKLOG, Listener, Stream},
    share::{Share, Shares},
    tls::Tls,
    wire::{Refusal, WireLimits, WireState},
};
use crate::{
    model::{Peer, TenantId},
    proxy::guard::Reach,
};

/// The pause after an accept that failed for want of something, and the longest that it grows to.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What all connections together, and each of them, may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time, over all listeners. Beyond it nobody is accepted, and the kernel's backlog fills.
    pub connections: usize,
    /// Of them, those that one caller may have; and as many requests under way.
    pub per_peer: usize,
    pub wire: WireLimits,
}

/// Where requests came in.
#[derive(Debug)]
pub struct ConnInfo {
    pub reach: Reach,
    pub peer: Peer,
    /// What its caller may have, where callers can be told from each other.
    pub share: Option<Share>,
    /// The tenant that the listener is bound to.
    pub tenant: Option<TenantId>,
    /// The number of the worker that serves it.
    pub worker: usize,
    /// What the strict reader noted.
    pub wire: Arc<WireState>,
}

/// How a request came in.
#[derive(Debug)]
pub struct Came {
    pub on: Arc<ConnInfo>,
    /// The strict reader has refused the request, and let a stand-in through.
    pub refusal: Option<Refusal>,
}

/// How a server ended.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every connection came to its own end.
    All,
    /// This many were cut off when the time was over.
    CutOff(usize),
}

/// Accepts on one listener.
struct Acceptor {
    listener: Listener,
    limits: Limits,
    slots: Arc<Semaphore>,
    shares: Arc<Shares>,
    crew: Arc<Crew>,
    stopping: watch::Receiver<bool>,
}

/// What answers the requests of all connections. A closure from request to future will do, which finds [`Came`] among the
/// request's extensions.
pub trait Answers: Send + Sync + 'static {
    /// An error of the body ends the connection, or the HTTP/2 stream.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static;

    /// Answers one request.
    fn answer(&self, request: Request<Incoming>, came: Came) -> impl Future<Output = Response<Self::Body>> + Send;
}

impl<F, Answer, B> Answers for F
where
    F: Fn(Request<Incoming>) -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Response<B>> + Send,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    type Body = B;

    fn answer(&self, mut request: Request<Incoming>, came: Came) -> impl Future<Output = Response<B>> + Send {
        request.extensions_mut().insert(Arc::new(came));
        self(request)
    }
}

/// Has `crew` serve `listeners` until `shutdown`; then accepts nothing more, lets what is being answered finish for up to
/// `drain`, and cuts off the rest. The listeners are closed, and their socket files removed, at the beginning of the
/// drain.
pub async fn serve<S: Answers>(
    listeners: Vec<Listener>,
    limits: Limits,
    (crew, service): (Arc<Crew>, Arc<S>),
    shutdown: impl Future<Output = ()>,
    drain: Duration,
) -> Drained {
    let (slots, shares) = (Arc::new(Semaphore::new(limits.connections)), Shares::of(limits.per_peer));
    let (stop, stopping) = watch::channel(false);
    let mut acceptors = JoinSet::new();
    for listener in listeners {
        let (slots, shares, crew) = (Arc::clone(&slots), Arc::clone(&shares), Arc::clone(&crew));
        let acceptor = Acceptor { listener, limits, slots, shares, crew, stopping: stopping.clone() };
        acceptors.spawn(acceptor.run(Arc::clone(&service)));
    }
    drop(stopping);
    shutdown.await;
    stop.send_replace(true);
    let mut connections = JoinSet::new();
    while let Some(open) = acceptors.join_next().await {
        let mut open: JoinSet<()> = open.unwrap_or_default();
        connections.spawn(async move {
            let ended = timeout(drain, async { while open.join_next().await.is_some() {} }).await;
            if ended.is_err() { open.len() } else { 0 }
        });
    }
    match connections.join_all().await.into_iter().sum() {
        0 => Drained::All,
        cut_off => Drained::CutOff(cut_off),
    }
}

/// Serves a connection that somebody else has made, wherever its bytes come from, until it ends as those of a listener do.
pub async fn serve_stream<S: Answers>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    info: ConnInfo,
    limits: WireLimits,
    service: Arc<S>,
    stopping: watch::Receiver<bool>,
) {
    connection::serve(stream, Observed::new(service, info), limits, stopping).await;
}

// === impl Acceptor ===

impl Acceptor {
    /// Accepts until told to stop, and returns the connections that are still open.
    async fn run<S: Answers>(self, service: Arc<S>) -> JoinSet<()> {
        let mut open = JoinSet::new();
        let mut pause = PAUSE;
        let mut stopping = self.stopping.clone();
        loop {
            let stream = tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => break,
                Some(_) = open.join_next() => continue,
                stream = self.next() => stream,
            };
            match stream {
                Ok(stream) => {
                    pause = PAUSE;
                    // Not among the branches above: one of them coming first would drop a client that has been
                    // accepted.
                    let slot = tokio::select! {
                        biased;
                        slot = Arc::clone(&self.slots).acquire_owned() => slot,
                        _ = stopping.wait_for(|stop| *stop) => break,
                    };
                    // The semaphore is never closed.
                    let Ok(slot) = slot else { break };
                    self.hand_over(stream, slot, Arc::clone(&service), &mut open);
                }
                Err(error) if is_one_clients(&error) => debug!(%error, "a client was gone before it was accepted"),
                Err(error) => {
                    warn!(%error, listener = %self.listener, "cannot accept connections; waiting");
                    tokio::select! {
                        _ = stopping.wait_for(|stop| *stop) => break,
                        () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                    }
                }
            }
        }
        self.take_waiting(&service, &mut open).await;
        open
    }

    /// Takes those that have connected already, and that the kernel would cut off with the listener. Those of a listener
    /// that outlives us are for whoever comes next.
    async fn take_waiting<S: Answers>(&self, service: &Arc<S>, open: &mut JoinSet<()>) {
        if self.listener.outlives_us() {
            return;
        }
        let mut looked_again = false;
        // No more than the kernel can have kept: those who go on connecting do not keep us.
        for _ in 0..BACKLOG {
            let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else { return };
            match at_once(self.listener.accept()).await {
                Some(Ok(stream)) => self.hand_over(stream, slot, Arc::clone(service), open),
                Some(Err(error)) if is_one_clients(&error) => {}
                Some(Err(_)) => return,
                None if looked_again => return,
                // What the system has to say may not have been asked for yet.
                None => {
                    looked_again = true;
                    yield_now().await;
                }
            }
        }
    }

    /// Has the connection served, by whoever of the crew has the fewest.
    fn hand_over<S: Answers>(
        &self,
        stream: Stream,
        slot: OwnedSemaphorePermit,
        service: Arc<S>,
        open: &mut JoinSet<()>,
    ) {
        let post = self.crew.post();
        // Without an address, or a descriptor that can be handed over, the client is gone again; and one over its share is
        // closed.
        let Some(info) = self.info(&stream, &post) else { return };
        let (service, wire, stopping) = (Observed::new(service, info), self.limits.wire, self.stopping.clone());
        let tls = self.listener.tls().cloned();
        let Some(runtime) = post.runtime.clone() else {
            open.spawn(async move {
                let _held = (slot, post);
                serve_one((stream, tls), service, wire, stopping).await;
            });
            return;
        };
        let Ok(stream) = stream.detach() else { return };
        let serving = async move {
            let _held = (slot, post);
            match stream.attach() {
                Ok(stream) => serve_one((stream, tls), service, wire, stopping).await,
                Err(error) => warn!(%error, "a connection cannot be handed to its worker"),
            }
        };
        open.spawn_on(serving, &runtime);
    }

    /// The next connection, once there is a free place. Dropping the future loses no connection.
    async fn next(&self) -> io::Result<Stream> {
        // The place is awaited before accepting and taken after it: a listener that nobody calls must not hold one.
        drop(self.slots.acquire().await);
        self.listener.accept().await
    }

    /// `None` where the client is gone again, or has its share already.
    fn info(&self, stream: &Stream, post: &Post) -> Option<ConnInfo> {
        let peer = Listener::peer(stream).ok()?;
        Some(ConnInfo {
            reach: self.listener.reach(stream).ok()?,
            peer,
            share: self.shares.take(peer).ok()?,
            tenant: self.listener.tenant().cloned(),
            worker: post.worker,
            wire: Arc::new(WireState::default()),
        })
    }
}

/// Serves a connection, after its handshake where there is one. That has as long as a request's header.
async fn serve_one<S: Answers>(
    (stream, tls): (Stream, Option<Tls>),
    service: Observed<S>,
    wire: WireLimits,
    mut stopping: watch::Receiver<bool>,
) {
    let (stream, tls) = match (stream, tls) {
        (Stream::Tcp(stream), Some(tls)) => (stream, tls),
        (stream, _) => return connection::serve(stream, service, wire, stopping).await,
    };
    // Apart: a connection without TLS does not carry the room for it.
    Box::pin(async move {
        // Without an address the client is gone again.
        let Ok(peer) = stream.peer_addr() else { return };
        let handshake = tokio::select! {
            biased;
            handshake = timeout(wire.header_timeout, tls.accept(stream)) => handshake,
            () = connection::silence(&mut stopping) => return,
        };
        match handshake {
            Ok(Ok(stream)) => connection::serve(stream, service, wire, stopping).await,
            Ok(Err(error)) => tls.has_failed(peer, &error),
            Err(_) => debug!("a TLS handshake took too long"),
        }
    })
    .await;
}

/// What `work` comes to without waiting, however much was done before it in the same turn.
async fn at_once<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(unconstrained(work));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Whether an accept failed because of its client, so that the next can be tried at once (accept(2), "Error handling").
fn is_one_clients(error: &io::Error) -> bool {
    let ours = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|errno| !ours.contains(&errno))
}

#[cfg(test)]
mod tests;
