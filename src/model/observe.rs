//! What the rooms tell about their work, for whoever counts it. The admin room makes metrics of it; tests listen in.

use std::{fmt, time::Duration};

use super::CredentialKind;

/// How a refresh ended; the label of `refreshes_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefreshOutcome {
    Refreshed,
    Adopted,
    InvalidGrant,
    NotSent,
    Refused,
    Unknown,
    Misconfigured,
}

/// How a request that was sent a second time ended; the label of `retries_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryOutcome {
    /// The second answer was not a 401.
    Cured,
    /// It was.
    StillUnauthorized,
    /// There was no second answer.
    Failed,
}

/// Why a PAT stands in for a grant; the label of `pat_fallbacks_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FallbackCause {
    /// The grant is disconnected.
    Disconnected,
    /// The grant's scopes do not cover the request.
    Scope,
    /// The grant's token could not be refreshed for now.
    RefreshUnavailable,
    /// The grant belongs to another client or origin, or the client is refused.
    Misconfigured,
}

/// How an operation on the store ended; a label of `store_operations_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreOutcome {
    Ok,
    Error,
}

/// What became of spans that were to be exported; the label of `spans_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpansOutcome {
    Sent,
    /// Too many waited, or some still did when the process ended.
    Dropped,
    /// The receiver does not want them.
    Refused,
}

/// Receives what happened. Every method does nothing unless implemented, and none may block.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// A refresh ended.
    fn refresh(&self, _outcome: RefreshOutcome) {}
    /// A request was retried after a 401.
    fn retry(&self, _outcome: RetryOutcome) {}
    /// A fresh token was answered with 401.
    fn unauthorized_after_refresh(&self) {}
    /// A tenant has switched from its grant to its PAT.
    fn pat_fallback(&self, _cause: FallbackCause) {}
    /// A request was answered. `credential` is what was attached last.
    fn request(&self, _method: &http::Method, _status: u16, _credential: Option<CredentialKind>, _took: RequestTimes) {}
    /// An operation on the store ended.
    fn store(&self, _operation: &'static str, _outcome: StoreOutcome, _took: Duration) {}
    /// This became of so many spans.
    fn spans(&self, _outcome: SpansOutcome, _count: u64) {}
    /// A request has begun (`+1`) or is over (`-1`).
    fn in_flight(&self, _change: i64) {}
}

/// Where the time of one request went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestTimes {
    /// From the request's header to the end of the response.
    pub total: Duration,
    /// Of that, waiting for the upstream: sending, to the response's header.
    pub upstream: Duration,
    /// From the request's header to the response's header, less `upstream`.
    pub overhead: Duration,
}

/// Nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

// === impl RefreshOutcome ===

impl RefreshOutcome {
    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refreshed => "refreshed",
            Self::Adopted => "adopted",
            Self::InvalidGrant => "invalid_grant",
            Self::NotSent => "not_sent",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Misconfigured => "misconfigured",
        }
    }
}

// === impl RetryOutcome ===

impl RetryOutcome {
    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cured => "cured",
            Self::StillUnauthorized => "still_unauthorized",
            Self::Failed => "failed",
        }
    }
}

// === impl FallbackCause ===

impl FallbackCause {
    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Scope => "scope",
            Self::RefreshUnavailable => "refresh_unavailable",
            Self::Misconfigured => "misconfigured",
        }
    }
}

// === impl StoreOutcome ===

impl StoreOutcome {
    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
        }
    }
}

// === impl SpansOutcome ===

impl SpansOutcome {
    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Dropped => "dropped",
            Self::Refused => "refused",
        }
    }
}

// === impl Unobserved ===

impl Observer for Unobserved {}
