//! A request body that can be sent again after a 401.
//!
//! The body streams from the client to the upstream without waiting for anything; on the way, as long as the limits
//! allow, the chunks are kept (a [`Bytes`] clone each, no copy). A second attempt replays what is kept and then goes on
//! with the client's stream where the first one stopped. A body that is over the limit is not kept, and passes
//! untouched.
//!
//! Two kinds of handle share one body. A [`ReplayBody`] is what one attempt sends; the connection owns it. A
//! [`Replayer`] stays with the request: it says whether another attempt is possible, and makes it. Attempts are
//! numbered under the lock, and only the newest one reads: an older one, which may still sit in a connection's task,
//! gets [`BodyError::Superseded`] instead of bytes that are not its own.

mod memory;
mod state;
#[cfg(test)]
mod tests;

use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::time::Instant;

pub use memory::ReplayMemory;
use state::{Flow, State};

/// The body of one attempt. Bodiless requests carry no state at all.
#[must_use = "a body does nothing unless it is sent"]
pub struct ReplayBody {
    shared: Option<Arc<Shared>>,
    generation: u32,
}

/// The request's hold on its body, over all attempts. While one exists, the body is kept as far as the limits allow;
/// when the last one is dropped, the kept bytes are freed as soon as they are sent.
pub struct Replayer(Option<Arc<Shared>>);

/// Whether a body can be sent (again) from its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// Yes: all of it is at hand, or nothing of it has been read yet.
    Ready,
    /// No: more has been read than is kept.
    Overflowed,
    /// Yes: what has been read is kept, and the rest is still to come from the client. The attempt before is cut off.
    StillSending,
}

/// When the client's body may first be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Now,
    /// The request expects `100 Continue` (RFC 9110 section 10.1.1): nothing is read before [`Replayer::open_gate`], or
    /// before this much time has passed since the connection first asked for the body, because an upstream need not
    /// answer with a 100.
    AfterContinue(Duration),
}

/// How far the current attempt has come. The response timeout is counted from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub upload: Upload,
    /// When the attempt last got something to send, or began.
    pub at: Instant,
}

/// Whose turn it is in an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upload {
    /// The client's: the upstream cannot be blamed for being silent.
    AwaitsClient,
    /// The upstream's: it has been given a part and has not taken all of it.
    Sending,
    /// The upstream's: it has been given all of it.
    Sent,
}

/// The limits of a body, taken from `[limits]` and `[upstream]`.
#[derive(Debug, Clone)]
pub struct ReplayLimits {
    /// Bytes of one body that are kept at most (`replay_body`).
    pub replay_body: u64,
    /// Bytes of one body at most (`request_body`).
    pub request_body: u64,
    /// The longest silence of a client in the middle of its body (`body_idle_timeout`).
    pub idle_timeout: Duration,
    /// What all bodies together may keep (`replay_memory`).
    pub memory: ReplayMemory,
}

/// Why a request body came to no good end.
#[derive(Debug, Clone)]
pub enum BodyError {
    /// Over `limits.request_body` bytes: 413 `body_too_large`.
    TooLarge { limit: u64 },
    /// The client sent nothing for `upstream.body_idle_timeout`.
    Idle,
    /// A newer attempt has taken the body over. Seen by a connection that nobody listens to any more.
    Superseded,
    /// The client's stream broke, or was malformed.
    Source(Arc<BoxError>),
}

type BoxError = Box<dyn StdError + Send + Sync>;
type Source = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

struct Shared {
    state: Mutex<State>,
    start: Start,
    /// The whole length where the client announced one. It frames every attempt: known is Content-Length, unknown is
    /// chunked.
    length: Option<u64>,
}

// === impl ReplayLimits ===

impl ReplayLimits {
    /// Whether a body of this announced length is kept, to be sent again. One of unknown length is, until it turns out
    /// to be longer.
    pub fn lets_keep(&self, announced: Option<u64>) -> bool {
        announced.is_none_or(|length| length <= self.replay_body)
    }
}

// === impl ReplayBody ===

impl ReplayBody {
    /// No body: nothing to keep, nothing to lock.
    pub const fn empty() -> Self {
        Self { shared: None, generation: 0 }
    }

    /// The first attempt's body.
    ///
    /// # Errors
    ///
    /// [`BodyError::TooLarge`] where the announced length is over the limit; nothing has been read then.
    pub fn new<B>(source: B, limits: &ReplayLimits, start: Start) -> Result<Self, BodyError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if source.is_end_stream() {
            return Ok(Self::empty());
        }
        let length = source.size_hint().exact();
        if length.is_some_and(|length| length > limits.request_body) {
            return Err(BodyError::TooLarge { limit: limits.request_body });
        }
        let state = State::new(Box::pin(source.map_err(Into::into)), length, limits, start);
        Ok(Self { shared: Some(Arc::new(Shared { state: Mutex::new(state), start, length })), generation: 0 })
    }

    /// A handle for further attempts. Without one, nothing is kept.
    pub fn replayer(&self) -> Replayer {
        Replayer::hold_on(self.shared.clone())
    }

    /// Whether there is no body at all, as opposed to one that has no bytes.
    pub const fn is_absent(&self) -> bool {
        self.shared.is_none()
    }
}

impl Body for ReplayBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(shared) = &self.shared else { return Poll::Ready(None) };
        let mut state = shared.state.lock();
        if state.generation != self.generation {
            return Poll::Ready(Some(Err(BodyError::Superseded)));
        }
        state.poll_frame(cx)
    }

    /// True only once this attempt has been given everything: an empty chunked body begins as a body, on every attempt.
    fn is_end_stream(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| {
            let state = shared.state.lock();
            state.generation == self.generation && state.is_sent()
        })
    }

    fn size_hint(&self) -> SizeHint {
        let Some(shared) = &self.shared else { return SizeHint::with_exact(0) };
        let Some(length) = shared.length else { return SizeHint::new() };
        let state = shared.state.lock();
        if state.generation == self.generation {
            SizeHint::with_exact(length.saturating_sub(state.given))
        } else {
            SizeHint::new()
        }
    }
}

impl fmt::Debug for ReplayBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.shared.as_ref().map(|shared| shared.length);
        f.debug_struct("ReplayBody").field("length", &length).field("attempt", &self.generation).finish()
    }
}

// === impl Replayer ===

impl Replayer {
    fn hold_on(shared: Option<Arc<Shared>>) -> Self {
        if let Some(shared) = &shared {
            shared.state.lock().keepers += 1;
        }
        Self(shared)
    }

    /// Whether another attempt is possible now.
    pub fn state(&self) -> Replay {
        self.0.as_ref().map_or(Replay::Ready, |shared| shared.state.lock().replay())
    }

    /// Stops the upload where it is, without breaking the connection that it runs on, and says what is possible now;
    /// this answer stays true until [`resume`](Self::resume) or [`rewind`](Self::rewind). For the time in which a 401
    /// is looked into.
    pub fn hold(&self) -> Replay {
        self.0.as_ref().map_or(Replay::Ready, |shared| {
            let mut state = shared.state.lock();
            state.flow = Flow::Held;
            state.replay()
        })
    }

    /// Lets an upload go on that was held, or that still waits for `100 Continue`.
    pub fn resume(&self) {
        if let Some(shared) = &self.0 {
            let waker = shared.state.lock().open();
            waker.into_iter().for_each(std::task::Waker::wake);
        }
    }

    /// Lets a body start that waits for `100 Continue`; one that is held stays held.
    pub fn open_gate(&self) {
        if let Some(shared) = &self.0 {
            let waker = {
                let mut state = shared.state.lock();
                if matches!(state.flow, Flow::Gated { .. }) { state.open() } else { None }
            };
            waker.into_iter().for_each(std::task::Waker::wake);
        }
    }

    /// The body once more, from its first byte, for a new attempt; `None` where it [`Overflowed`](Replay::Overflowed).
    /// The attempt before reads nothing more from now on, even if the new one is only held for later.
    pub fn rewind(&self) -> Option<ReplayBody> {
        let Some(shared) = &self.0 else { return Some(ReplayBody::empty()) };
        let (generation, waker) = {
            let mut state = shared.state.lock();
            let waker = state.rewind(shared.start)?;
            (state.generation, waker)
        };
        waker.into_iter().for_each(std::task::Waker::wake);
        Some(ReplayBody { shared: Some(Arc::clone(shared)), generation })
    }

    /// How far the current attempt has come; `None` for a request without a body.
    pub fn progress(&self) -> Option<Progress> {
        self.0.as_ref().map(|shared| shared.state.lock().progress())
    }

    /// What broke the body, if anything did. Connections do not always hand the cause on (HTTP/2 turns it into a reset
    /// stream).
    pub fn failure(&self) -> Option<BodyError> {
        self.0.as_ref().and_then(|shared| shared.state.lock().failed.clone())
    }
}

impl Clone for Replayer {
    fn clone(&self) -> Self {
        Self::hold_on(self.0.clone())
    }
}

impl Drop for Replayer {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            let abandoned = shared.state.lock().let_go();
            abandoned.into_iter().for_each(std::task::Waker::wake);
        }
    }
}

impl fmt::Debug for Replayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Replayer").field(&self.state()).finish()
    }
}

// === impl BodyError ===

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "the request body is over {limit} bytes"),
            Self::Idle => f.write_str("the client stopped sending in the middle of its body"),
            Self::Superseded => f.write_str("a newer attempt has taken the request body over"),
            Self::Source(_) => f.write_str("the client's body broke off"),
        }
    }
}

impl StdError for BodyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Source(cause) => Some(&***cause),
            Self::TooLarge { .. } | Self::Idle | Self::Superseded => None,
        }
    }
}
