//! What became of one request, for whoever asks afterwards: the trace. It holds no secret, no query and no body.

pub mod context;
pub mod finding;
pub mod operations;
pub mod sampler;
pub mod spans;
pub mod step;
pub mod steps;

use std::{borrow::Cow, sync::Arc};

use http::{Method, Version};

pub use context::SpanContext;
pub use finding::{Considered, Finding, GrantFinding, Pair, PatFinding};
pub use sampler::{Heed, Ratio, Sampler};
pub use spans::{Spans, Traced, Tracer, Untraced};
pub use step::Step;
pub use steps::Steps;

use super::{
    CredentialKind, NamedBy, RequestId, TenantId, Timestamp, Version as TokenVersion,
    observe::{RequestTimes, RetryOutcome},
};

/// One request, from its header to the end of its response.
#[derive(Debug, Clone)]
pub struct Trace {
    pub id: RequestId,
    /// When its header was there.
    pub at: Timestamp,
    pub method: Method,
    /// As the client sent it, without the query.
    pub path: Arc<str>,
    /// Towards the client.
    pub protocol: Version,
    pub tenant: Option<TenantId>,
    pub named_by: Option<NamedBy>,
    /// What was attached last.
    pub credential: Option<CredentialKind>,
    /// The version of the token that was attached last.
    pub version: Option<TokenVersion>,
    /// How the one retry ended, where there was one.
    pub retry: Option<RetryOutcome>,
    pub steps: Steps,
    /// Whether its body could have been sent again, or was; `None` where Flexslot was not asked.
    pub replay: Option<Replay>,
    /// What the sidecar answered itself.
    pub problem: Option<Told>,
    pub end: End,
}

/// A problem of ours, as the client got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub code: &'static str,
    pub detail: Cow<'static, str>,
}

/// How a request ended, or how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    pub outcome: Outcome,
    pub took: RequestTimes,
    /// Of the response's body.
    pub bytes_sent: u64,
    /// Why there was no response of Flexslot's, or why its body broke off.
    pub cause: Option<String>,
}

/// How far a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The client went away before there was a response.
    Unanswered,
    /// The response is on its way.
    UnderWay(u16),
    /// The client, or the upstream, broke it off.
    Broken(u16),
    Complete(u16),
}

/// What could be done with a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    NoBody,
    /// It could have been sent again.
    Kept,
    /// More was read of it than is kept.
    Overflowed,
    /// It was sent again from its first byte.
    Rewound,
}

/// The most that is kept of a path, and of a cause, in bytes.
const LONGEST: usize = 512;

/// The most that is kept of a problem's detail, which has the next step at its end.
const LONGEST_DETAIL: usize = 1024;

/// A method that is longer is nobody's (RFC 9110 has none of more than seven letters).
const LONGEST_METHOD: usize = 32;

// === impl Trace ===

impl Trace {
    /// The same with nothing in it that is longer than a trace may be. What is cut ends with `…`.
    #[must_use]
    pub fn bounded(self) -> Self {
        let method = cut_method(self.method);
        let path = if self.path.len() <= LONGEST { self.path } else { cut(&self.path, LONGEST).into() };
        let problem = self.problem.map(Told::bounded);
        Self { method, path, problem, end: self.end.bounded(), ..self }
    }

    /// Whether this is worth keeping for longer: the client got a 401, a failure of the server's kind or an answer of
    /// ours that turns it away, or Flexslot broke off.
    pub fn is_failure(&self) -> bool {
        let Some(status) = self.end.outcome.status() else { return false };
        let is_ours = self.steps.upstream_status().is_none();
        self.problem.is_some()
            || status == 401
            || status >= 500
            || (status >= 400 && is_ours)
            || (matches!(self.end.outcome, Outcome::Broken(_)) && self.end.cause.is_some())
    }
}

/// The beginning of a text that is longer than `longest` bytes.
fn cut(text: &str, longest: usize) -> String {
    format!("{}…", &text[..text.floor_char_boundary(longest - '…'.len_utf8())])
}

fn cut_method(method: Method) -> Method {
    match method.as_str().get(..LONGEST_METHOD) {
        Some(start) if start.len() < method.as_str().len() => Method::from_bytes(start.as_bytes()).unwrap_or(method),
        _ => method,
    }
}

// === impl Told ===

impl Told {
    fn bounded(self) -> Self {
        if self.detail.len() <= LONGEST_DETAIL {
            self
        } else {
            Self { detail: cut(&self.detail, LONGEST_DETAIL).into(), ..self }
        }
    }
}

// === impl End ===

impl End {
    /// The same with a cause that is no longer than it may be.
    #[must_use]
    pub fn bounded(self) -> Self {
        let cause = self.cause.map(|cause| if cause.len() <= LONGEST { cause } else { cut(&cause, LONGEST) });
        Self { cause, ..self }
    }
}

// === impl Outcome ===

impl Outcome {
    /// What the client got; `None` where it went away first.
    pub const fn status(self) -> Option<u16> {
        match self {
            Self::Unanswered => None,
            Self::UnderWay(status) | Self::Broken(status) | Self::Complete(status) => Some(status),
        }
    }

    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unanswered => "client_gone",
            Self::UnderWay(_) => "under_way",
            Self::Broken(_) => "broken_off",
            Self::Complete(_) => "complete",
        }
    }
}

// === impl Replay ===

impl Replay {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoBody => "no_body",
            Self::Kept => "kept",
            Self::Overflowed => "overflowed",
            Self::Rewound => "rewound",
        }
    }
}

#[cfg(test)]
mod tests;
