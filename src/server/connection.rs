//! One connection, from its first byte to its end.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    future::Future,
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http::{Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::Service,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tracing::debug;

use super::{
    accept::{Answers, Came, ConnInfo},
    wire::{
        Answering, Begun, Detected, Idle, MAX_TARGET, Protocol, Rewound, Unsent, WireGuard, WireLimits, WireState,
        detect,
    },
};

/// HTTP/2 streams at a time, per connection; the number that most servers announce.
const STREAMS: u32 = 250;

/// How much of a request body may be under way before we take it (RFC 9113 section 5.2), per stream and per connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How often an HTTP/2 client is asked whether it is still there, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a client that has said nothing yet may take to begin, once we are stopping.
const FIRST_WORD: Duration = Duration::from_millis(250);

/// The most that hyper buffers of an HTTP/1.1 connection, either way, unless a head needs more.
const BUFFER: usize = 256 * 1024;

/// A service that tells the connection's reader when requests begin and end, and tells the service where they came in.
pub(super) struct Observed<S> {
    service: Arc<S>,
    info: Arc<ConnInfo>,
}

/// A response body that counts as being answered until it is dropped.
#[derive(Debug)]
pub(super) struct ObservedBody<B> {
    body: B,
    answering: Answering,
}

/// A chunk of a response body that counts as unsent until it is written.
pub(super) struct Chunk {
    bytes: Bytes,
    unsent: Unsent,
}

/// Serves a connection until its client or the limits end it. Once `stopping` is true, it ends with the answers under
/// way.
pub(super) async fn serve<IO, S>(
    mut io: IO,
    service: Observed<S>,
    limits: WireLimits,
    mut stopping: watch::Receiver<bool>,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Answers,
{
    let detected = tokio::select! {
        biased;
        detected = detect(&mut io, limits.header_timeout) => detected,
        () = silence(&mut stopping) => return,
    };
    let ended: Result<(), Box<dyn Error + Send + Sync>> = match detected {
        Ok(None) => Ok(()),
        Ok(Some(Detected { protocol: Protocol::Http1, first, since })) => {
            let guard = WireGuard::new(io, first, since, limits, Arc::clone(&service.info.wire));
            serve_http1(guard, service, limits, stopping).await.map_err(Into::into)
        }
        Ok(Some(Detected { protocol: Protocol::Http2, first, since })) => {
            // Apart: an idle HTTP/1.1 connection does not carry the room for it.
            Box::pin(serve_http2(Rewound::new(first, io), since, service, limits, stopping)).await
        }
        Err(error) => Err(error.into()),
    };
    if let Err(error) = ended {
        debug!(%error, "connection ended early");
    }
}

/// Ends when we are stopping and the client has had its time to begin: whoever has just connected may have sent something
/// that is still on its way to us.
pub(super) async fn silence(stopping: &mut watch::Receiver<bool>) {
    // An error means that whoever tells is gone, which is a stop too.
    let _ = stopping.wait_for(|stop| *stop).await;
    sleep(FIRST_WORD).await;
}

async fn serve_http1<IO, S>(
    guard: WireGuard<IO>,
    service: Observed<S>,
    limits: WireLimits,
    mut stopping: watch::Receiver<bool>,
) -> hyper::Result<()>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Answers,
{
    // What the guard lets pass must fit: the fields, the request line, and the same again for a trailer section.
    let largest = limits.header_size + MAX_TARGET + 1024;
    let connection = http1::Builder::new()
        .header_read_timeout(None) // the guard's business
        .max_header_size(largest)
        .max_buf_size(BUFFER.max(largest))
        .serve_connection(TokioIo::new(guard), service);
    let mut connection = pin!(connection);
    let mut told = false;
    loop {
        tokio::select! {
            // First of all, so that the first bytes of a request are taken: hyper closes a connection that it has read
            // nothing of.
            biased;
            ended = connection.as_mut() => return ended,
            _ = stopping.wait_for(|stop| *stop), if !told => told = true,
        }
        connection.as_mut().graceful_shutdown();
    }
}

async fn serve_http2<IO, S>(
    io: Rewound<IO>,
    since: Instant,
    service: Observed<S>,
    limits: WireLimits,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), Box<dyn Error + Send + Sync>>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Answers,
{
    let wire = Arc::clone(&service.info.wire);
    wire.count_unsent();
    let mut connection = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(limits.header_size).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .serve_connection(TokioIo::new(io), service)
    );
    let begin_by = since + limits.header_timeout;
    let mut idle = pin!(idle(&wire, begin_by, limits.keep_alive_timeout));
    let mut stalled = pin!(stalled(&wire, limits.write_timeout));
    let mut told = false;
    loop {
        tokio::select! {
            biased; // so that a farewell is sent before the connection is given up
            ended = connection.as_mut() => return ended.map_err(Into::into),
            () = stalled.as_mut() => return Err(late("the client takes nothing of an answer")),
            () = idle.as_mut() => if told {
                return Err(late("the client does not hang up"));
            },
            _ = stopping.wait_for(|stop| *stop), if !told => {}
        }
        told = true;
        connection.as_mut().graceful_shutdown();
        // That waits for the client to answer a ping, and for a head that the client may never complete.
        idle.set(self::idle(&wire, begin_by, PING_TIMEOUT));
    }
}

/// Ends when nothing has been answered for `patience`, counted from now or later, or no request has begun by
/// `begin_by`.
async fn idle(wire: &WireState, begin_by: Instant, patience: Duration) {
    let since = Instant::now();
    loop {
        let until = match wire.idle() {
            Idle::No => Instant::now() + patience,
            Idle::Since(at) => at.max(since) + patience,
            Idle::Always => begin_by,
        };
        if until <= Instant::now() {
            return;
        }
        sleep_until(until).await;
    }
}

/// Ends when the client has taken nothing of an answer for `patience`. hyper does not poll a body for which the client
/// gives no window (RFC 9113 section 5.2), so that no timer of the body's own would run.
async fn stalled(wire: &WireState, patience: Duration) {
    let mut since = Instant::now();
    loop {
        sleep_until(since + patience).await;
        let now = Instant::now();
        match wire.unsent_since() {
            Some(at) if at + patience <= now => return,
            Some(at) => since = at,
            None => since = now,
        }
    }
}

fn late(what: &'static str) -> Box<dyn Error + Send + Sync> {
    io::Error::new(io::ErrorKind::TimedOut, what).into()
}

// === impl Observed ===

impl<S> Observed<S> {
    pub(super) fn new(service: Arc<S>, info: ConnInfo) -> Self {
        Self { service, info: Arc::new(info) }
    }
}

impl<S: Answers> Service<Request<Incoming>> for Observed<S> {
    type Response = Response<ObservedBody<S::Body>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let Begun { answering, refusal, upgrades } = self.info.wire.begin();
        for value in upgrades {
            request.headers_mut().append(header::UPGRADE, value);
        }
        let (service, came) = (Arc::clone(&self.service), Came { on: Arc::clone(&self.info), refusal });
        Box::pin(async move {
            let response = service.answer(request, came).await;
            Ok(response.map(|body| ObservedBody { body, answering }))
        })
    }
}

impl<S> fmt::Debug for Observed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").field("info", &self.info).finish_non_exhaustive()
    }
}

// === impl ObservedBody ===

impl<B: Body<Data = Bytes> + Unpin> Body for ObservedBody<B> {
    type Data = Chunk;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Chunk>, B::Error>>> {
        let Self { body, answering } = self.get_mut();
        let frame = ready!(Pin::new(body).poll_frame(cx));
        let observe = |frame: Frame<Bytes>| frame.map_data(|bytes| Chunk { bytes, unsent: answering.hand_out() });
        Poll::Ready(frame.map(|frame| frame.map(observe)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl Chunk ===

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.bytes.chunks_vectored(slices)
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if count > 0 {
            self.unsent.progressed();
        }
    }
}

#[cfg(test)]
mod tests;
