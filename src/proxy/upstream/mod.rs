//! The client side, for the one upstream origin: connections, the form of requests, time limits, and the rules of
//! sending again.
//!
//! A transport error is never answered by sending the request again, except where it provably never left or was
//! provably not looked at, and once for a bodiless GET, HEAD or OPTIONS when a *reused* connection closes before the
//! first response byte. [`Upstream::send`] holds these rules, and nothing below it sends anything twice.

mod body;
mod connect;
mod error;
mod form;
mod http1;
mod http2;
mod lookup;
mod pool;
#[cfg(test)]
mod tests;
pub mod tls;
mod tunnel;
mod wire;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32},
    },
    time::Duration,
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    uri::{PathAndQuery, Scheme},
};
use hyper::body::Incoming;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::time::{Instant, sleep_until};

pub use body::UpstreamBody;
pub use connect::{BoxedIo, Dial, DialError, Io, Target, TcpDialer};
pub use error::{ErrorKind, Sent, UpstreamError};
pub use tunnel::{InvalidProxy, ProxySetting};

use connect::{Connector, Tls};
use error::StreamFault;
use form::Form;
use http1::framing_fault;
use pool::{Lease, Pool, Want};

use crate::model::Origin;

use super::replay::{ReplayBody, Replayer, Upload};

/// One origin and the connections to it. Clones share them.
#[derive(Clone)]
pub struct Upstream {
    form: Arc<Form>,
    pool: Arc<Pool>,
    response_timeout: Duration,
    body_idle_timeout: Duration,
}

/// An upstream for each worker, none of whose connections another one uses. Clones share them.
#[derive(Debug, Clone)]
pub struct Upstreams(Arc<[Upstream]>);

/// What an [`Upstream`] is built from: `[upstream]` and `limits.header_size`.
#[derive(Debug, Clone)]
pub struct UpstreamParams {
    pub origin: Origin,
    /// As [`tls::client_config`] makes it. Not used for `http://`.
    pub tls: Arc<ClientConfig>,
    pub proxy: ProxySetting,
    /// For a connection all in all: name, TCP, tunnel, TLS.
    pub connect_timeout: Duration,
    /// From the last progress of the upload to the response's header.
    pub response_timeout: Duration,
    /// Between two chunks of a response body.
    pub body_idle_timeout: Duration,
    pub pool_idle_timeout: Duration,
    /// Bytes that the header of a response may have, its status line and trailers included.
    pub header_size: usize,
}

/// The parameters do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidUpstream {
    /// Its host is no name that a certificate could have.
    Host,
    Proxy(InvalidProxy),
}

/// The most connections that one request is tried on, while it provably goes nowhere.
const MAX_ATTEMPTS: u32 = 4;

/// How a request failed on one connection, and what may be done about it.
enum Failure {
    /// It never left: here is its body again.
    Unsent(ReplayBody, UpstreamError),
    /// The upstream says that it has not looked at it.
    Refused(UpstreamError),
    /// The same, and it takes nothing more on this connection.
    GoingAway(UpstreamError),
    /// The connection closed before the first response byte.
    ClosedEarly(UpstreamError),
    Final(UpstreamError),
}

/// What is needed to send the request once more, where it may be.
struct Spare(Replayer);

/// The head of a request, but for what is made for each attempt.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    pub method: &'a Method,
    /// Path and query, sent byte for byte.
    pub target: &'a PathAndQuery,
    pub headers: &'a HeaderMap,
}

/// Fields of one attempt, in the place of any that the request has of their names. One without a value leaves it empty.
pub type Added = [Option<(HeaderName, Option<HeaderValue>)>; 4];

/// Makes the fields of an attempt.
pub type Add<'a> = dyn FnMut() -> Added + Send + 'a;

// === impl Upstream ===

impl Upstream {
    /// An upstream on the network.
    ///
    /// # Errors
    ///
    /// Where the origin's host or the proxy cannot be used.
    pub fn new(params: UpstreamParams) -> Result<Self, InvalidUpstream> {
        Self::with_dialer(params, Arc::new(TcpDialer::default()))
    }

    /// An upstream whose byte streams come from `dial`.
    ///
    /// # Errors
    ///
    /// Where the origin's host or the proxy cannot be used.
    pub fn with_dialer(params: UpstreamParams, dial: Arc<dyn Dial>) -> Result<Self, InvalidUpstream> {
        let form = Form::of(&params.origin).ok_or(InvalidUpstream::Host)?;
        let target = Target::from(&params.origin);
        let tls = if *params.origin.scheme() == Scheme::HTTPS {
            let name = ServerName::try_from(target.host.clone()).map_err(|_| InvalidUpstream::Host)?;
            Some(Tls { config: params.tls, name })
        } else {
            None
        };
        let proxy = params.proxy.for_origin(&params.origin).map_err(InvalidUpstream::Proxy)?;
        let (timeout, failing) = (params.connect_timeout, AtomicBool::new(false));
        let connector = Arc::new(Connector { dial, target, proxy, tls, timeout, failing, made: AtomicU32::new(0) });
        Ok(Self {
            form: Arc::new(form),
            pool: Pool::new(connector, params.header_size, params.pool_idle_timeout),
            response_timeout: params.response_timeout,
            body_idle_timeout: params.body_idle_timeout,
        })
    }

    /// The same origin once more, with connections of its own.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { form: Arc::clone(&self.form), pool: self.pool.apart(), ..*self }
    }

    /// Sends a request and waits for the response's header. Of its target, path and query are sent as they are; `Host`,
    /// version and framing are set here; everything else in the header is the caller's. Dropping the future cancels the
    /// request.
    ///
    /// # Errors
    ///
    /// [`UpstreamError::sent`] says whether the upstream can have acted on it.
    pub async fn send(&self, request: Request<ReplayBody>) -> Result<Response<UpstreamBody>, UpstreamError> {
        let (head, body) = request.into_parts();
        let target = head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let request = Outgoing { method: &head.method, target: &target, headers: &head.headers };
        self.send_with(request, body, &mut || Added::default()).await
    }

    /// The same with fields that are made for each attempt, once there is a connection for it: for what may not be sent
    /// twice, or ages while it waits.
    ///
    /// # Errors
    ///
    /// As [`Upstream::send`].
    pub async fn send_with(
        &self,
        request: Outgoing<'_>,
        mut body: ReplayBody,
        add: &mut Add<'_>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let (mut attempts, mut want, mut sent) = (0, Want::Any, Sent::NotSent);
        loop {
            let lease = self.pool.lease(want).await.map_err(|error| error.after(sent))?;
            attempts += 1;
            let spare = Spare::of(&body, &lease);
            let failure = match self.send_on(lease, (&request, add()), body).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            let (again, error) = match failure {
                Failure::Unsent(body, error) => (Some(body), error),
                Failure::Refused(error) | Failure::GoingAway(error) => (spare.and_then(Spare::body), error),
                Failure::ClosedEarly(error) if sent == Sent::NotSent => {
                    sent = Sent::MaybeSent;
                    (spare.filter(|spare| spare.is_harmless(request.method)).and_then(Spare::body), error)
                }
                Failure::ClosedEarly(error) | Failure::Final(error) => (None, error),
            };
            body = match again {
                Some(body) if attempts < MAX_ATTEMPTS => body,
                _ => return Err(error.after(sent)),
            };
            want = Want::Fresh;
        }
    }

    async fn send_on(
        &self,
        lease: Lease,
        (request, added): (&Outgoing<'_>, Added),
        body: ReplayBody,
    ) -> Result<Response<UpstreamBody>, Failure> {
        let replayer = body.replayer();
        match lease {
            Lease::Http1(http1) => {
                let response = tokio::select! {
                    biased;
                    sent = http1.send(&self.form, (request, &added), body) => sent?,
                    () = self.silence(&replayer) => return Err(Failure::Final(self.late())),
                };
                Ok(response.map(|body| UpstreamBody::http1(body, self.body_idle_timeout)))
            }
            // Apart: a request over HTTP/1.1 does not carry the room for it.
            Lease::Http2(http2) => {
                let request = self.form.http2(request, added, body);
                Box::pin(self.send_on_http2(http2, request, replayer)).await
            }
        }
    }

    async fn send_on_http2(
        &self,
        mut lease: http2::Lease,
        request: Request<ReplayBody>,
        replayer: Replayer,
    ) -> Result<Response<UpstreamBody>, Failure> {
        let sending = lease.sender.try_send_request(request);
        let outcome = tokio::select! {
            sent = sending => sent.map_err(|error| failure(error, &replayer, lease.reused)),
            () = self.silence(&replayer) => Err(Failure::Final(self.late())),
        };
        match outcome {
            Ok(response) => self.receive(response, lease),
            Err(failure) => {
                if !matches!(failure, Failure::Refused(_) | Failure::Final(_)) {
                    self.pool.forget(lease.id());
                }
                Err(failure)
            }
        }
    }

    fn receive(&self, response: Response<Incoming>, lease: http2::Lease) -> Result<Response<UpstreamBody>, Failure> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let error = UpstreamError::new(ErrorKind::HttpProtocol, Sent::MaybeSent, "101 without having been asked");
            return Err(Failure::Final(error));
        }
        if let Some(fault) = framing_fault(response.headers()) {
            return Err(Failure::Final(UpstreamError::new(ErrorKind::HttpProtocol, Sent::MaybeSent, fault)));
        }
        Ok(response.map(|incoming| UpstreamBody::http2(incoming, lease, self.body_idle_timeout)))
    }

    /// Returns when the upstream has let `response_timeout` pass since the last progress of the upload. While it is the
    /// client's turn, the clock stands.
    async fn silence(&self, replayer: &Replayer) {
        let began = Instant::now();
        let mut deadline = began + self.response_timeout;
        loop {
            sleep_until(deadline).await;
            let now = Instant::now();
            let since = match replayer.progress() {
                None => began,
                // Whenever the client goes on, the upstream has the whole time from then; so it cannot be late before
                // this.
                Some(progress) if progress.upload == Upload::AwaitsClient => now,
                Some(progress) => progress.at.max(began),
            };
            deadline = since + self.response_timeout;
            if deadline <= now {
                return;
            }
        }
    }

    fn late(&self) -> UpstreamError {
        let detail = format!("no response header within {} ms", self.response_timeout.as_millis());
        UpstreamError::new(ErrorKind::ResponseTimeout, Sent::MaybeSent, detail)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("form", &self.form).finish_non_exhaustive()
    }
}

// === impl Upstreams ===

impl Upstreams {
    /// One for each of `workers`.
    pub fn new(upstream: &Upstream, workers: usize) -> Self {
        Self(std::iter::repeat_with(|| upstream.apart()).take(workers.max(1)).collect())
    }

    /// That of this worker.
    pub fn of(&self, worker: usize) -> &Upstream {
        &self.0[worker % self.0.len()]
    }
}

/// `may_be_stale`: the connection is reused.
fn failure(
    mut error: hyper::client::conn::TrySendError<Request<ReplayBody>>,
    replayer: &Replayer,
    may_be_stale: bool,
) -> Failure {
    if let Some(request) = error.take_message() {
        let error = UpstreamError::from_hyper(error.error(), Sent::NotSent);
        return Failure::Unsent(request.into_body(), error);
    }
    if let Some(cause) = replayer.failure() {
        return Failure::Final(UpstreamError::body(cause));
    }
    let error = error.into_error();
    match error::stream_fault(&error) {
        Some(StreamFault::Refused) => return Failure::Refused(UpstreamError::from_hyper(&error, Sent::NotSent)),
        Some(StreamFault::GoingAway) => return Failure::GoingAway(UpstreamError::from_hyper(&error, Sent::NotSent)),
        Some(StreamFault::Detected) | None => {}
    }
    let told = UpstreamError::from_hyper(&error, Sent::MaybeSent);
    if may_be_stale && error::is_transport(&error) { Failure::ClosedEarly(told) } else { Failure::Final(told) }
}

// === impl Spare ===

impl Spare {
    /// Only where a rule exists by which the request may be sent again.
    fn of(body: &ReplayBody, lease: &Lease) -> Option<Self> {
        let may_be_refused = matches!(lease, Lease::Http2(_));
        let may_be_stale = lease.reused() && body.is_absent();
        (may_be_refused || may_be_stale).then(|| Self(body.replayer()))
    }

    /// RFC 9110 section 9.2.1: asking twice does no harm. The other safe method, TRACE, does not get this far.
    fn is_harmless(&self, method: &Method) -> bool {
        matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) && self.0.progress().is_none()
    }

    /// `None` where the body's beginning is gone.
    fn body(self) -> Option<ReplayBody> {
        self.0.rewind()
    }
}

// === impl InvalidUpstream ===

impl fmt::Display for InvalidUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("no certificate could name the upstream's host"),
            Self::Proxy(invalid) => invalid.fmt(f),
        }
    }
}

impl std::error::Error for InvalidUpstream {}
