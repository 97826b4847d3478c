//! The documents of the API, for who answers them and for who asks. None has room for a token.

mod card;
mod health;
mod proof;
mod trace;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use card::{CardDocument, ScopeDocument};
pub use health::HealthDocument;
pub use proof::{Ends, Nonce, ProofDocument, can_be_proven};
pub use trace::{StepDocument, TimingsDocument, ToldDocument, TraceDocument};

/// A part of the list of cards: `GET /v1/tenants`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardList {
    /// In the bytewise order of their tenants' names.
    pub tenants: Vec<CardDocument>,
    /// What to send as `after` for the next part, which may be empty; `None` at the end.
    pub next: Option<String>,
}

/// A connect session that has just been opened: `POST /v1/tenants/{tenant}/connect-sessions`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectSession {
    pub id: String,
    /// What the app hands to its user.
    pub url: String,
    pub expires_at: String,
}

/// A connection that an app has completed: `POST /v1/connect-sessions/{id}/complete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completed {
    pub tenant: String,
    /// `None` where Flexslot did not say.
    pub username: Option<String>,
    pub scopes: Vec<ScopeDocument>,
}

/// What a disconnect came to: `POST /v1/tenants/{tenant}/disconnect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disconnected {
    pub revocation: Revocation,
}

/// What Flexslot knows of a disconnect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Revocation {
    /// It has been told.
    Done,
    /// It is told as soon as it can be, for up to a day.
    Queued,
    /// There was nothing to tell: no connection, or one that had ended before.
    None,
}

/// A one-time link to the connections page: `POST /v1/sign-in-links`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInLink {
    pub url: String,
    pub expires_at: String,
}

// === impl ConnectSession ===

/// Whoever has the id or the address can begin the flow.
impl fmt::Debug for ConnectSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectSession").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

// === impl SignInLink ===

/// Whoever has the address can sign in.
impl fmt::Debug for SignInLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignInLink").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}
