//! Why a token is refreshed, and how that can fail: the words that the credential room, the log and a request's trace
//! share.

use std::fmt;

/// Why a renewal is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The token is inside its window.
    Ageing,
    /// The token is past its end.
    Expired,
    /// Flexslot answered 401 to it.
    Refused,
    /// Nobody has used the grant for long, and its refresh token is to stay alive.
    Idle,
}

/// Failures by what they mean for the grant and for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    NotSent,
    Refused,
    /// This token request, or an earlier one of whoever, may have been answered without anybody knowing.
    Unknown,
    /// The same of an earlier one, and the access token still serves: no case for the last resort yet. Or the process
    /// ends, and no request waits. It holds for nobody whose token does not serve.
    Deferred,
    Misconfigured,
    Store,
    /// The store has come back older or empty, and nobody refreshes until every process has written back what it holds.
    Quiet,
    /// The store answers, and this tenant's record does not open.
    Unreadable,
    /// The renewal goes on; the caller's patience has ended.
    Slow,
    Internal,
}

// === impl Cause ===

impl Cause {
    /// Whether the token still serves whoever finds it.
    pub const fn is_ahead_of_need(self) -> bool {
        matches!(self, Self::Ageing | Self::Idle)
    }

    /// The word in a trace.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ageing => "ageing",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Idle => "idle",
        }
    }
}

/// As the log says it.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ageing => "about to expire",
            Self::Expired => "expired",
            Self::Refused => "refused by Flexslot",
            Self::Idle => "idle for long",
        })
    }
}

// === impl FailureClass ===

impl FailureClass {
    /// The word in a trace.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Deferred => "deferred",
            Self::Misconfigured => "misconfigured",
            Self::Store => "store",
            Self::Quiet => "quiet",
            Self::Unreadable => "unreadable",
            Self::Slow => "slow",
            Self::Internal => "internal",
        }
    }
}

/// What happened, to go on from "the refresh failed:".
impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSent => "Flexslot could not be reached, and nothing was sent",
            Self::Refused => "Flexslot wants no token request for now",
            Self::Unknown => "nobody knows whether Flexslot took the token request",
            Self::Deferred => "an earlier token request has no known outcome yet",
            Self::Misconfigured => "Flexslot refuses it for a reason that lies in the configuration",
            Self::Store => "the store did not do its part",
            Self::Quiet => "the store has come back older moments ago, and nobody refreshes",
            Self::Unreadable => "the tenant's record does not open",
            Self::Slow => "it took longer than refresh.timeout, and goes on",
            Self::Internal => "it ended without an outcome",
        })
    }
}
