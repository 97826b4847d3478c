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
mod pool;
#[cfg(test)]
mod tests;
pub mod tls;
mod tunnel;
mod wire;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING},
    uri::Scheme,
};
use hyper::body::Incoming;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::time::{Instant, sleep_until};

pub use body::UpstreamBody;
pub use connect::{BoxedIo, Dial, DialError, Io, Target, TcpDialer};
pub use error::{ErrorKind, Sent, UpstreamError};
pub use tunnel::{InvalidProxy, ProxySetting};

use connect::{Connector, Protocol, Tls};
use error::StreamFault;
use form::Form;
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
struct Spare {
    method: Method,
    replayer: Replayer,
}

/// Makes the request for one attempt, around its body.
type Make<'a> = dyn FnMut(ReplayBody) -> Request<ReplayBody> + Send + 'a;

// === impl Upstream ===

impl Upstream {
    /// An upstream on the network.
    ///
    /// # Errors
    ///
    /// Where the origin's host or the proxy cannot be used.
    pub fn new(params: UpstreamParams) -> Result<Self, InvalidUpstream> {
        Self::with_dialer(params, Arc::new(TcpDialer))
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
        let connector = Arc::new(Connector { dial, target, proxy, tls, timeout, failing });
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
        let mut again = |body| {
            let mut request = Request::new(body);
            *request.method_mut() = head.method.clone();
            *request.uri_mut() = head.uri.clone();
            *request.headers_mut() = head.headers.clone();
            request
        };
        self.send_made(body, &mut again).await
    }

    /// The same with a request that is made for each attempt, once there is a connection for it: for what may not be sent
    /// twice, or ages while it waits.
    ///
    /// # Errors
    ///
    /// As [`Upstream::send`].
    pub async fn send_made(
        &self,
        mut body: ReplayBody,
        make: &mut Make<'_>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let (mut attempts, mut want, mut sent) = (0, Want::Any, Sent::NotSent);
        loop {
            let lease = self.pool.lease(want).await.map_err(|error| error.after(sent))?;
            attempts += 1;
            let request = make(body);
            let spare = Spare::of(&request, &lease);
            let failure = match self.send_on(lease, request).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            let (again, error) = match failure {
                Failure::Unsent(body, error) => (Some(body), error),
                Failure::Refused(error) | Failure::GoingAway(error) => (spare.and_then(Spare::body), error),
                Failure::ClosedEarly(error) if sent == Sent::NotSent => {
                    sent = Sent::MaybeSent;
                    (spare.filter(Spare::is_harmless).and_then(Spare::body), error)
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
        mut lease: Lease,
        mut request: Request<ReplayBody>,
    ) -> Result<Response<UpstreamBody>, Failure> {
        let replayer = request.body().replayer();
        let outcome = match &mut lease {
            Lease::Http1(http1) => {
                self.form.apply(&mut request, Protocol::Http1);
                open_gate_on_continue(&mut request, &replayer);
                let (before, reused) = (http1.received(), http1.reused);
                let sent = tokio::select! {
                    biased;
                    sent = http1.send(request, &replayer) => sent,
                    () = self.silence(&replayer) => return Err(Failure::Final(self.late())),
                };
                sent.map_err(|error| failure(error, &replayer, reused && http1.received() == before))
            }
            Lease::Http2(http2) => {
                self.form.apply(&mut request, Protocol::Http2);
                let sending = http2.sender.try_send_request(request);
                tokio::select! {
                    sent = sending => sent.map_err(|error| failure(error, &replayer, http2.reused)),
                    () = self.silence(&replayer) => Err(Failure::Final(self.late())),
                }
            }
        };
        match outcome {
            Ok(response) => self.receive(response, lease),
            Err(failure) => {
                let gone = !matches!(failure, Failure::Refused(_) | Failure::Final(_));
                if let (true, Lease::Http2(http2)) = (gone, &lease) {
                    self.pool.forget(http2.id());
                }
                Err(failure)
            }
        }
    }

    fn receive(&self, response: Response<Incoming>, lease: Lease) -> Result<Response<UpstreamBody>, Failure> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let error = UpstreamError::new(ErrorKind::HttpProtocol, Sent::MaybeSent, "101 without having been asked");
            return Err(Failure::Final(error));
        }
        if let Some(fault) = framing_fault(response.headers()) {
            return Err(Failure::Final(UpstreamError::new(ErrorKind::HttpProtocol, Sent::MaybeSent, fault)));
        }
        Ok(response.map(|incoming| UpstreamBody::new(incoming, lease, self.body_idle_timeout)))
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

/// `100 Continue` is the one interim response that means something here; the others end at this hop (RFC 9110 section
/// 15.2).
fn open_gate_on_continue(request: &mut Request<ReplayBody>, replayer: &Replayer) {
    if request.headers().contains_key(EXPECT) && !request.body().is_absent() {
        let replayer = replayer.clone();
        hyper::ext::on_informational(request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                replayer.open_gate();
            }
        });
    }
}

/// What leaves it open where a response ends, to one reader or another (RFC 9112 section 6.3). hyper reads a coding that it
/// does not know to the end of the connection, and leaves a length that chunks override, or a list of equal lengths, where
/// it stands.
fn framing_fault(headers: &HeaderMap) -> Option<&'static str> {
    let is_number = |length: &HeaderValue| !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit);
    if !headers.get_all(CONTENT_LENGTH).iter().all(is_number) {
        return Some("a length that is not one number");
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = codings.next()?.as_bytes().eq_ignore_ascii_case(b"chunked");
    if !is_chunked || codings.next().is_some() {
        Some("a transfer coding other than chunked")
    } else if headers.contains_key(CONTENT_LENGTH) {
        Some("a length beside a transfer coding")
    } else {
        None
    }
}

/// `may_be_stale`: the connection is reused, and not a byte of a response has come.
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
    fn of(request: &Request<ReplayBody>, lease: &Lease) -> Option<Self> {
        let may_be_refused = matches!(lease, Lease::Http2(_));
        let may_be_stale = lease.reused() && request.body().is_absent();
        (may_be_refused || may_be_stale)
            .then(|| Self { method: request.method().clone(), replayer: request.body().replayer() })
    }

    /// RFC 9110 section 9.2.1: asking twice does no harm. The other safe method, TRACE, does not get this far.
    fn is_harmless(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS) && self.replayer.progress().is_none()
    }

    /// `None` where the body's beginning is gone.
    fn body(self) -> Option<ReplayBody> {
        self.replayer.rewind()
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
