//! The kinds of step, with the facts and the words of each.

use std::{fmt, time::Duration};

use super::finding::Finding;
use crate::model::{
    CredentialKind,
    refresh::{Cause, FailureClass},
    token::DisconnectReason,
};

/// One thing that happened to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// What is known of the tenant could not be had.
    NotLoaded(NotLoaded),
    Considered(Finding),
    /// A refresh was begun, or one under way was joined.
    Refresh(Refresh),
    /// A refresh was wanted, and may not begin now.
    HeldBack(Cause, HeldBack),
    /// A refresh was wanted, and others had changed the tenant meanwhile: refreshed, reconnected or removed it.
    FoundChanged(Cause),
    Sent(Sent),
    /// Flexslot answered 401.
    Unauthorized(Remedy),
}

/// Why a request of a tenant is turned away before any credential is considered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotLoaded {
    /// Neither the store nor the configuration knows the tenant.
    Unknown,
    StoreUnavailable,
    /// The store has a record, and it does not open.
    RecordUnreadable,
}

/// A request's part in a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh {
    pub cause: Cause,
    pub part: Part,
    /// How long the request waited for it.
    pub waited: Micros,
    pub landing: Landing,
}

/// Whose refresh it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It began for this request.
    Led,
    /// It was under way for another one.
    Joined,
}

/// How a refresh ended, as far as the request saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landing {
    /// The token still serves, and the request went on without waiting.
    NotAwaited,
    /// The request waits, or its client went away while it did.
    Awaited,
    /// There are newer tokens: Flexslot's answer, or what another process has stored.
    Renewed,
    Ended(DisconnectReason),
    /// Others have changed the tenant meanwhile.
    Moved,
    Failed(FailureClass),
}

/// Why no refresh may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldBack {
    /// The last token answer is younger than `refresh.min_interval`.
    TooSoon,
    /// Many are due, and this one's turn comes later.
    NotItsTurn,
    /// The process ends, and the token still serves.
    Draining,
    /// The last refreshes because of a 401 did not cure it.
    Uncured,
    /// One has failed, and the next has to wait.
    Failed(FailureClass),
}

/// One send to Flexslot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    pub credential: CredentialKind,
    /// To the header of the response, or to where it was clear that there will be none.
    pub took: Micros,
    pub answer: Answer,
}

/// What came of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing yet; or the client went away first.
    Awaited,
    Status(u16),
    /// No response: the trace's cause says why.
    Failed,
}

/// What was done about a 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The request was sent once more.
    Retried,
    /// It speaks of the proof of possession alone, and the request was sent once more with another.
    ProvenAgain,
    /// It does so, and went to the client: another proof would be the same, was refused as well, or had no body to go
    /// with.
    ProofRefused,
    /// It does not speak of the token, and went to the client.
    NotAboutToken,
    /// It went to the client as it was: a PAT, or a grant whose refresh may not begin now.
    PassedOn,
    /// A token was refused that Flexslot had just issued; it went to the client.
    AfterRefresh,
    /// No refresh could be had; it went to the client.
    RefreshUnavailable,
    /// The body is not kept, and the request could not be sent again; it went to the client.
    BodyNotKept,
    /// No credential was left; the client got a problem of ours.
    NothingLeft,
}

/// Microseconds, as far as they fit: more than an hour is an hour and twelve minutes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Micros(u32);

// === impl Refresh ===

impl Refresh {
    /// One that the request did not wait for.
    pub fn in_background(cause: Cause, part: Part) -> Self {
        Self { cause, part, waited: Micros::default(), landing: Landing::NotAwaited }
    }
}

// === impl NotLoaded ===

impl NotLoaded {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::StoreUnavailable => "store_unavailable",
            Self::RecordUnreadable => "record_unreadable",
        }
    }
}

impl fmt::Display for NotLoaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "neither the store nor the configuration knows this tenant",
            Self::StoreUnavailable => "the tenant is not in memory, and cannot be had from the store",
            Self::RecordUnreadable => "the tenant's record in the store does not open",
        })
    }
}

// === impl Part ===

impl Part {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Led => "led",
            Self::Joined => "joined",
        }
    }
}

// === impl Landing ===

impl Landing {
    /// The word in the API.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotAwaited => "not_awaited",
            Self::Awaited => "awaited",
            Self::Renewed => "renewed",
            Self::Ended(_) => "ended",
            Self::Moved => "moved",
            Self::Failed(_) => "failed",
        }
    }
}

/// What the refresh came to, in words that follow "waited … for a refresh".
impl fmt::Display for Landing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAwaited => f.write_str("it goes on in the background"),
            Self::Awaited => f.write_str("it goes on, and the request saw no end of it"),
            Self::Renewed => f.write_str("there is a new token"),
            Self::Ended(reason) => write!(f, "the connection has ended: {}", reason.as_str()),
            Self::Moved => f.write_str("the connection was changed by others meanwhile"),
            Self::Failed(class) => write!(f, "it failed: {class}"),
        }
    }
}

// === impl HeldBack ===

impl HeldBack {
    /// The word in the API.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooSoon => "too_soon",
            Self::NotItsTurn => "not_its_turn",
            Self::Draining => "draining",
            Self::Uncured => "uncured",
            Self::Failed(_) => "failed_before",
        }
    }
}

/// In words that follow "no refresh:".
impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSoon => f.write_str("the last token answer is younger than refresh.min_interval"),
            Self::NotItsTurn => f.write_str("many tokens are due, and this one's turn comes later"),
            Self::Draining => f.write_str("the sidecar is shutting down, and the token still serves"),
            Self::Uncured => f.write_str("refreshing has not cured the 401s of this connection lately, and pauses"),
            Self::Failed(class) => write!(f, "the last one failed, and the next has to wait: {class}"),
        }
    }
}

// === impl Answer ===

impl Answer {
    /// The word in the API.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Awaited => "awaited",
            Self::Status(_) => "answered",
            Self::Failed => "failed",
        }
    }
}

// === impl Remedy ===

impl Remedy {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retried => "retried",
            Self::ProvenAgain => "proven_again",
            Self::ProofRefused => "dpop_proof_refused",
            Self::NotAboutToken => "not_about_token",
            Self::PassedOn => "passed_on",
            Self::AfterRefresh => "unauthorized_after_refresh",
            Self::RefreshUnavailable => "refresh_unavailable",
            Self::BodyNotKept => "body_not_kept",
            Self::NothingLeft => "nothing_left",
        }
    }
}

/// In words that follow "Flexslot answered 401:".
impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retried => "the request was sent once more",
            Self::ProvenAgain => "it wants another proof of possession (DPoP), and got it with the request once more",
            Self::ProofRefused => "it does not take the proof of possession (DPoP); passed on",
            Self::NotAboutToken => "it is not about the token, and was passed on",
            Self::PassedOn => "it was passed on as it is",
            Self::AfterRefresh => "it refuses a token that it has just issued; passed on",
            Self::RefreshUnavailable => "no refresh could be had; passed on",
            Self::BodyNotKept => "the token is new now, but the body was not kept to be sent again; passed on",
            Self::NothingLeft => "no other credential may be used",
        })
    }
}

// === impl Micros ===

impl Micros {
    /// As many as `duration` has, or as fit.
    pub fn of(duration: Duration) -> Self {
        Self(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX))
    }

    /// The same as a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0 as u64)
    }
}
