//! How a flow can end, and why one came to nothing.

use std::fmt;

use crate::{
    credential::{Connected, ConsentError, SessionOutcome, StoreError},
    flexslot::{NoClient, TokenError},
    model::{Identity, SessionId, TenantId},
};

/// What the browser, or whoever asked, is told.
pub enum Outcome {
    /// The tenant has its new grant.
    Connected(Connected),
    /// Its user has to say whether this is meant.
    Confirm(Confirmation),
    /// The app that opened the session goes on there.
    Return(String),
    Refused(Refused),
}

/// A consent that was given as another Flexslot user than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    pub session: SessionId,
    pub tenant: TenantId,
    pub before: Option<Identity>,
    /// `None` where Flexslot did not say.
    pub now: Option<Identity>,
}

/// Why it came to nothing, and whether the same link can be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub why: Refusal,
    pub tenant: Option<TenantId>,
    /// The session, where it is still open.
    pub again: Option<SessionId>,
}

/// The same in words, for who reads no page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    pub what: String,
    /// What only those can mend who have the configuration.
    pub operator: Option<String>,
}

/// Every way in which it can come to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such link, or its ten minutes are over.
    UnknownLink,
    /// The link has been used.
    UsedLink(SessionOutcome),
    /// The link was tried so often that it begins no more flows.
    TooManyFlows,
    /// A grant waits for the last word, which is not this caller's.
    Waiting,
    /// No OAuth client is configured.
    NoClient(NoClient),
    /// What came back is no authorization response (RFC 6749 section 4.1.2).
    NoAnswer,
    /// It came back to a browser that did not begin the flow, or once more to the one that did.
    OtherBrowser,
    /// Its `state` was used, or its ten minutes are over.
    Spent,
    /// `iss` is missing, or not our issuer's (RFC 9207 section 2.4).
    OtherIssuer,
    /// Their user said no.
    Denied,
    /// They had consented as another Flexslot user than before, and took that back.
    Kept,
    /// Another error of the authorization endpoint.
    Flexslot(ErrorCode),
    /// The code could not be redeemed.
    Token(TokenError),
    /// It was redeemed for tokens that this program cannot use. Says why, and what became of them.
    Unusable(&'static str, GivenBack),
    /// The session has to end at an app, to which the configuration no longer lets browsers go.
    NoWayBack,
    /// The tenant's connection was changed meanwhile.
    Overtaken,
    /// The OAuth client that asked was revoked meanwhile.
    ClientRevoked,
    /// Something else for the tenant is under way.
    Busy,
    Store(StoreError),
}

/// Whether Flexslot has taken back what it had given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenBack {
    Yes,
    /// Or nobody knows.
    No,
}

/// The error codes of an authorization response (RFC 6749 section 4.1.2.1) besides `access_denied`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    InvalidRequest,
    UnauthorizedClient,
    UnsupportedResponseType,
    InvalidScope,
    ServerError,
    TemporarilyUnavailable,
    /// One that nobody has documented. Its text is the other side's, and is not repeated.
    Unknown,
}

// === impl Outcome ===

/// An app's address has the code in it that completes the connection.
impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected(connected) => f.debug_tuple("Connected").field(connected).finish(),
            Self::Confirm(confirmation) => f.debug_tuple("Confirm").field(confirmation).finish(),
            Self::Return(_) => f.write_str("Return([redacted])"),
            Self::Refused(refused) => f.debug_tuple("Refused").field(refused).finish(),
        }
    }
}

// === impl Refused ===

impl Refused {
    /// Before anything is known of a session.
    pub(super) const fn outright(why: Refusal) -> Self {
        Self { why, tenant: None, again: None }
    }
}

// === impl Refusal ===

impl Refusal {
    /// The word in logs, and in a session's record.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::UnknownLink => "unknown_link",
            Self::UsedLink(_) => "used_link",
            Self::TooManyFlows => "too_many_flows",
            Self::Waiting => "waiting",
            Self::NoClient(_) => "no_client",
            Self::NoAnswer => "no_answer",
            Self::OtherBrowser => "other_browser",
            Self::Spent => "state_spent",
            Self::OtherIssuer => "iss_mismatch",
            Self::Denied => "access_denied",
            Self::Kept => "not_confirmed",
            Self::Flexslot(code) => code.as_str(),
            Self::Token(TokenError::NotSent(_)) => "flexslot_unreachable",
            Self::Token(TokenError::RefusedForNow { .. }) => "refused_for_now",
            Self::Token(TokenError::Unknown(_)) => "outcome_unknown",
            Self::Token(TokenError::Revoked) => "invalid_grant",
            Self::Token(TokenError::Misconfigured(_)) => "oauth_misconfigured",
            Self::Unusable(..) => "tokens_unusable",
            Self::NoWayBack => "return_denied",
            Self::Overtaken => "overtaken",
            Self::ClientRevoked => "client_revoked",
            Self::Busy => "busy",
            Self::Store(_) => "store_unavailable",
        }
    }

    /// What there is to add for the log, in our own words.
    pub(super) fn detail(&self) -> Option<String> {
        match self {
            Self::Token(error) => Some(error.to_string()),
            Self::Store(error) => Some(error.to_string()),
            Self::Unusable(what, _) => Some((*what).to_owned()),
            _ => None,
        }
    }
}

impl From<NoClient> for Refusal {
    fn from(why: NoClient) -> Self {
        Self::NoClient(why)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ConsentError> for Refusal {
    fn from(error: ConsentError) -> Self {
        match error {
            ConsentError::Unknown => Self::UnknownLink,
            ConsentError::Ended(outcome) => Self::UsedLink(outcome),
            ConsentError::TooManyFlows => Self::TooManyFlows,
            ConsentError::OutOfStep => Self::Waiting,
            ConsentError::Mismatch => Self::OtherBrowser,
            ConsentError::Overtaken => Self::Overtaken,
            ConsentError::ClientRevoked => Self::ClientRevoked,
            ConsentError::Busy => Self::Busy,
            ConsentError::Store(error) => Self::Store(error),
        }
    }
}

// === impl ErrorCode ===

impl ErrorCode {
    const DOCUMENTED: [Self; 6] = [
        Self::InvalidRequest,
        Self::UnauthorizedClient,
        Self::UnsupportedResponseType,
        Self::InvalidScope,
        Self::ServerError,
        Self::TemporarilyUnavailable,
    ];

    /// As in the response; our own word for what is not documented.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::Unknown => "unknown_error",
        }
    }

    /// The code that `text` is.
    pub fn from_name(text: &str) -> Self {
        Self::DOCUMENTED.into_iter().find(|code| code.as_str() == text).unwrap_or(Self::Unknown)
    }
}
