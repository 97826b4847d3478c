//! Faults on demand: what goes wrong, where, for whom, how often.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderName, HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::answer::{self, Answer};

/// The parts of Flexslot that fail and are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    Token,
    Resource,
    Revoke,
    Introspect,
    Authorize,
    /// The user-facing site (connected apps), and paths that do not exist.
    Site,
}

/// Something that goes wrong.
#[derive(Debug, Clone)]
pub struct Fault {
    pub endpoint: Endpoint,
    pub moment: Moment,
    pub effect: Effect,
    /// How many requests it strikes; `None`: every one, until [`Sandbox::clear_faults`](super::Sandbox::clear_faults).
    pub times: Option<u32>,
    /// Only requests for this user.
    pub user: Option<String>,
}

/// When a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Nothing has changed at Flexslot yet.
    #[default]
    BeforeProcessing,
    /// Flexslot has done its work, and only the answer suffers.
    AfterProcessing,
}

/// What a fault does. Delays and gates let the request go on; the others end it.
#[derive(Debug, Clone)]
pub enum Effect {
    /// This answer instead of the real one.
    Answer(Canned),
    /// An OAuth error of that code: a redirect at the authorization endpoint, JSON elsewhere.
    OAuthError(String),
    Delay(Duration),
    Hold(Gate),
    /// The TCP connection is closed without an answer, for every request on it.
    Cut,
    /// The header and this many bytes of the body, then the end of the connection.
    Truncate(usize),
}

/// An answer made in advance.
#[derive(Debug, Clone)]
pub struct Canned {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: String,
    pub request_body: RequestBody,
}

/// Whether the request's body is read before the answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestBody {
    Read,
    /// The answer leaves while the client is still sending.
    Unread,
}

/// A gate in front of an endpoint: requests wait at it until it is released. Clones are the same gate.
#[derive(Clone)]
pub struct Gate(Arc<GateState>);

struct GateState {
    arrived: watch::Sender<usize>,
    open: watch::Sender<bool>,
}

/// The faults that are set.
#[derive(Default)]
pub(super) struct Faults {
    set: Mutex<Vec<Fault>>,
    /// How many are set, so that a request without faults takes no lock.
    count: AtomicUsize,
}

/// A fault's effect, ready for the request that it strikes.
pub(super) enum Strike {
    Pause(Effect),
    End(Effect),
}

// === impl Endpoint ===

impl Endpoint {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Resource => "resource",
            Self::Revoke => "revoke",
            Self::Introspect => "introspect",
            Self::Authorize => "authorize",
            Self::Site => "site",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Fault ===

impl Fault {
    /// `effect` before processing, for every request to `endpoint`.
    pub fn new(endpoint: Endpoint, effect: Effect) -> Self {
        Self { endpoint, moment: Moment::BeforeProcessing, effect, times: None, user: None }
    }

    /// An answer with that status and an empty JSON object.
    pub fn status(endpoint: Endpoint, status: StatusCode) -> Self {
        Self::new(endpoint, Effect::Answer(Canned::new(status)))
    }

    /// 401 `invalid_token`, however valid the token is.
    pub fn unauthorized() -> Self {
        Self::new(Endpoint::Resource, Effect::Answer(Canned::unauthorized()))
    }

    /// The connection ends without an answer.
    pub fn cut(endpoint: Endpoint, moment: Moment) -> Self {
        Self { moment, ..Self::new(endpoint, Effect::Cut) }
    }

    /// 200 with a body that is no JSON; at the token endpoint the pair has been rotated.
    pub fn malformed(endpoint: Endpoint) -> Self {
        let canned =
            Canned::new(StatusCode::OK).header(header::CONTENT_TYPE, "application/json").body("{\"access_token\":");
        Self::new(endpoint, Effect::Answer(canned)).after()
    }

    /// The same, after processing.
    #[must_use]
    pub fn after(self) -> Self {
        Self { moment: Moment::AfterProcessing, ..self }
    }

    /// The same, for the next `times` requests only.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// The same, for the next request only.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// The same, for one user only.
    #[must_use]
    pub fn user(self, name: &str) -> Self {
        Self { user: Some(name.to_owned()), ..self }
    }

    fn strikes(&self, endpoint: Endpoint, moment: Moment, user: Option<&str>) -> bool {
        self.endpoint == endpoint
            && self.moment == moment
            && self.times != Some(0)
            && (self.user.is_none() || self.user.as_deref() == user)
    }

    fn is_spent(&self) -> bool {
        match &self.effect {
            Effect::Hold(gate) => gate.is_open(),
            Effect::Answer(_) | Effect::OAuthError(_) | Effect::Delay(_) | Effect::Cut | Effect::Truncate(_) => {
                self.times == Some(0)
            }
        }
    }
}

// === impl Canned ===

impl Canned {
    /// `{}` as JSON with that status.
    pub fn new(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: "{}".to_owned(), request_body: RequestBody::Read }
    }

    /// What an invalid token gets (RFC 6750 section 3.1).
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED)
            .header(header::WWW_AUTHENTICATE, r#"Bearer realm="flexslot", error="invalid_token""#)
            .header(header::CONTENT_TYPE, "application/json")
            .body(r#"{"code":"invalid_token","message":"The access token is not valid."}"#)
    }

    /// The same with one more header; a value that is no header value is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).map(|value| (name, value)));
        self
    }

    /// The same with `Retry-After` in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, &seconds.to_string())
    }

    /// The same with another body.
    #[must_use]
    pub fn body(self, body: impl Into<String>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// The same, sent before the request's body has been read.
    #[must_use]
    pub fn unread(self) -> Self {
        Self { request_body: RequestBody::Unread, ..self }
    }

    pub(super) fn answer(&self) -> Answer {
        let mut answer = answer::of(self.status, answer::body(self.body.clone()));
        for (name, value) in &self.headers {
            answer.headers_mut().append(name, value.clone());
        }
        answer
    }
}

// === impl Gate ===

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self(Arc::new(GateState { arrived: watch::Sender::new(0), open: watch::Sender::new(false) }))
    }

    /// Waits until `n` requests have come to the gate, since it was made.
    pub async fn arrived(&self, n: usize) {
        let mut arrived = self.0.arrived.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = arrived.wait_for(|&count| count >= n).await;
    }

    /// How many requests have come to the gate.
    pub fn count(&self) -> usize {
        *self.0.arrived.borrow()
    }

    /// Lets through everything that waits, and everything that comes later.
    pub fn release(&self) {
        self.0.open.send_replace(true);
    }

    fn is_open(&self) -> bool {
        *self.0.open.borrow()
    }

    pub(super) async fn pass(&self) {
        let mut open = self.0.open.subscribe();
        self.0.arrived.send_modify(|count| *count += 1);
        let _ = open.wait_for(|&open| open).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({} arrived, {})", self.count(), if self.is_open() { "open" } else { "closed" })
    }
}

// === impl Faults ===

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        let mut set = self.set.lock();
        set.push(fault);
        self.count.store(set.len(), Ordering::Release);
    }

    /// Forgets every fault and opens every gate.
    pub(super) fn clear(&self) {
        let mut set = self.set.lock();
        for fault in set.drain(..) {
            if let Effect::Hold(gate) = fault.effect {
                gate.release();
            }
        }
        self.count.store(0, Ordering::Release);
    }

    pub(super) fn list(&self) -> Vec<Fault> {
        self.set.lock().clone()
    }

    /// What strikes this request, in the order in which it was set, up to the first that ends it. The rest waits for
    /// later requests.
    pub(super) fn take(&self, endpoint: Endpoint, moment: Moment, user: Option<&str>) -> Vec<Strike> {
        let mut strikes = Vec::new();
        if self.count.load(Ordering::Acquire) == 0 {
            return strikes;
        }
        let mut set = self.set.lock();
        for fault in set.iter_mut().filter(|fault| fault.strikes(endpoint, moment, user)) {
            if let Some(times) = &mut fault.times {
                *times -= 1;
            }
            match &fault.effect {
                pause @ (Effect::Delay(_) | Effect::Hold(_)) => strikes.push(Strike::Pause(pause.clone())),
                end => {
                    strikes.push(Strike::End(end.clone()));
                    break;
                }
            }
        }
        set.retain(|fault| !fault.is_spent());
        self.count.store(set.len(), Ordering::Release);
        strikes
    }
}
