//! What Flexslot's OAuth server speaks.
//!
//! [`TokenEndpoint`] is a trait so that a renewal can be tested against a scripted one; [`http::HttpTokenEndpoint`] is
//! the real thing, and [`answer`] reads what it says without doing any I/O.

pub mod answer;
pub mod http;

use std::{fmt, time::Duration};

use async_trait::async_trait;

use crate::model::{Secret, TokenType};

pub use self::http::{HttpTokenEndpoint, OAuthClient};

/// A successful answer of the token endpoint (RFC 6749 section 5.1), as far as it was usable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenAnswer {
    pub access: Secret,
    /// Absent: the refresh token that was presented stays the current one.
    pub refresh: Option<Secret>,
    pub token_type: TokenType,
    /// Absent when the answer says nothing usable.
    pub expires_in: Option<Duration>,
    /// Absent: the scopes are those of before.
    pub scope: Option<String>,
}

/// Why a refresh brought no tokens, by what it means for the refresh token that was presented.
///
/// `Display` is for users and operators: it says in our own words what happened, and of a misconfiguration what to
/// mend. Of the server's text it repeats an error code at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenError {
    /// It never left (DNS, connect, TLS); may be presented again. Says where it could not go, and why.
    NotSent(String),
    /// Flexslot does not want it now (429; 503 with `Retry-After` or an OAuth error body); may be presented again.
    /// `what` is the status, and the error code where there is one.
    RefusedForNow { what: String, retry_after: Option<Duration> },
    /// It was sent, and no complete answer came back: it may already be spent.
    Unknown(String),
    /// `invalid_grant`.
    Revoked,
    /// Any other refusal: the fault is in the configuration, not in the grant. Says what to mend.
    Misconfigured(String),
}

/// The token endpoint, as a renewal sees it.
#[async_trait]
pub trait TokenEndpoint: Send + Sync + 'static {
    /// Whether `client_id` is a client that this process may speak for.
    fn knows(&self, client_id: &str) -> bool;

    /// Presents `refresh` once (RFC 6749 section 6). Never sends it a second time by itself.
    async fn refresh(&self, client_id: &str, refresh: &Secret) -> Result<TokenAnswer, TokenError>;
}

// === impl TokenError ===

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(what) => write!(f, "the token request was not sent: {what}"),
            Self::RefusedForNow { what, .. } => write!(f, "Flexslot refused the token request for now, with {what}"),
            Self::Unknown(what) => write!(f, "the token request was sent, and its outcome is unknown: {what}"),
            Self::Revoked => f.write_str("Flexslot refused the token request with invalid_grant"),
            Self::Misconfigured(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for TokenError {}
