//! Consents on their way: connect sessions, the flows that they begin at Flexslot, and the grants that wait for a last
//! word.
//!
//! Nothing of these can be found, let alone opened, by whoever has a copy of the store: each is named by the hash of the
//! secret that its owner has.
//!
//! A grant that is parked lies with its revocation (see [`revocation`](super::revocation)), and the session names it:
//! one row says whether it is to be completed or revoked, and one write does either.

mod connect;
mod sessions;

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    StoreError,
    backend::{Key, Kind},
};
use crate::model::{Identity, ScopeSet, Secret, SessionId, TenantId, Timestamp};

pub use self::{
    connect::{Connected, Connecting, NewConsent, Outset, Word},
    sessions::{Again, MOST_FLOWS},
};

/// What the names of rows of kind [`Kind::Flow`] begin with.
pub(super) const SESSION: &str = "session ";
pub(super) const STATE: &str = "state ";
pub(super) const SIGN_IN: &str = "sign-in ";
pub(super) const VISIT: &str = "visit ";

/// What a connect session is opened for.
#[derive(Debug, Clone)]
pub struct SessionWish {
    pub tenant: TenantId,
    /// `None`: those of the configuration.
    pub scopes: Option<ScopeSet>,
    /// Where the browser goes in the end. With it the app has the last word.
    pub return_to: Option<String>,
    /// Which OAuth client asks; `None`: the usual one.
    pub client: Option<String>,
}

/// A session that has just been opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedSession {
    pub id: SessionId,
    pub expires_at: Timestamp,
}

/// A connect session that is not over yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub tenant: TenantId,
    pub scopes: Option<ScopeSet>,
    pub return_to: Option<String>,
    pub client: Option<String>,
    pub expires_at: Timestamp,
    pub progress: Progress,
}

/// How far a session has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Nobody has consented yet.
    Open,
    Parked(Parked),
    Ended(SessionOutcome),
}

/// A grant that has been given, and is not the tenant's before somebody says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// Whose it is.
    pub identity: Option<Identity>,
    pub awaiting: Awaited,
}

/// Who has the last word on a parked grant, by the hash of what they prove it with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// The browser that has consented, since it did so as another user than before.
    Confirmation { binding: Proof },
    /// The app that opened the session.
    Completion { code: Proof },
}

/// The same, as it is asked for.
#[derive(Debug, Clone)]
pub enum Awaiting {
    Confirmation { binding: Secret },
    Completion { code: Secret },
}

/// The SHA-256 of a secret that somebody else keeps.
#[derive(Clone, Copy)]
pub struct Proof([u8; 32]);

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionOutcome {
    Connected,
    /// Its user said no.
    Denied,
    /// It came to nothing. Says why, in the words of an error code.
    Failed(String),
}

/// A one-time link to the connections page.
#[derive(Debug, Clone)]
pub struct SignIn {
    pub token: Secret,
    pub expires_at: Timestamp,
}

/// A flow that is about to begin at Flexslot (RFC 6749 section 4.1).
#[derive(Debug, Clone)]
pub struct NewFlow {
    pub state: Secret,
    /// The PKCE verifier (RFC 7636).
    pub verifier: Secret,
    /// What the browser's cookie says.
    pub binding: Secret,
    pub client_id: String,
    pub redirect_uri: String,
    /// What is asked for.
    pub scopes: ScopeSet,
}

/// A flow that has come back.
#[derive(Debug, Clone)]
pub struct Flow {
    pub session: SessionId,
    pub verifier: Secret,
    pub binding: Proof,
    pub client_id: String,
    pub redirect_uri: String,
    /// What was asked for. `None`: an earlier version began the flow, and did not write it down.
    pub scopes: Option<ScopeSet>,
}

/// Why a session does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsentError {
    /// There is no such session, or its ten minutes are over.
    Unknown,
    /// It has been used up.
    Ended(SessionOutcome),
    /// It has begun [`MOST_FLOWS`] flows, and begins no more.
    TooManyFlows,
    /// It is not at that step: a grant is parked for it already, or none is, or for somebody else's word.
    OutOfStep,
    /// That is not the browser, or not the code, that the grant was parked for.
    Mismatch,
    /// The tenant was removed, disconnected or connected otherwise since.
    Overtaken,
    /// The OAuth client that asked was revoked since, and what it was given with it.
    ClientRevoked,
    /// An earlier grant of the tenant is being revoked, and that does not end.
    Busy,
    Store(StoreError),
}

// === impl Proof ===

impl Proof {
    /// What `secret` is recognised by.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// As read from a store.
    pub(super) const fn from_stored(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `secret` is the one; takes the same time whatever it is.
    pub fn is_of(&self, secret: &str) -> bool {
        *self == Self::of(secret)
    }
}

impl PartialEq for Proof {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Proof {}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof([redacted])")
    }
}

// === impl Parked ===

impl Parked {
    /// Whether it waits for the browser that has this `binding`.
    pub fn is_bound_to(&self, binding: &str) -> bool {
        matches!(&self.awaiting, Awaited::Confirmation { binding: proof } if proof.is_of(binding))
    }
}

// === impl Awaited ===

impl From<&Awaiting> for Awaited {
    fn from(awaiting: &Awaiting) -> Self {
        match awaiting {
            Awaiting::Confirmation { binding } => Self::Confirmation { binding: Proof::of(binding.expose()) },
            Awaiting::Completion { code } => Self::Completion { code: Proof::of(code.expose()) },
        }
    }
}

// === impl SessionOutcome ===

impl SessionOutcome {
    /// The word that an app is told.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Connected => "ok",
            Self::Denied => "denied",
            Self::Failed(_) => "failed",
        }
    }
}

// === impl ConsentError ===

impl From<StoreError> for ConsentError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl fmt::Display for ConsentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such connect session, or its ten minutes are over"),
            Self::Ended(outcome) => write!(f, "the connect session has ended: {}", outcome.as_str()),
            Self::TooManyFlows => write!(f, "the connect session has been tried {MOST_FLOWS} times"),
            Self::OutOfStep => f.write_str("the connect session is not at that step"),
            Self::Mismatch => f.write_str("the consent was not given for this browser or this code"),
            Self::Overtaken => f.write_str("the tenant was removed, disconnected or connected otherwise meanwhile"),
            Self::ClientRevoked => f.write_str("the OAuth client that asked was revoked meanwhile"),
            Self::Busy => f.write_str("an earlier grant of the tenant is still being revoked"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConsentError {}

/// The row that `secret` opens.
fn key(prefix: &str, secret: &str) -> Key {
    let hash: String = Proof::of(secret).0.iter().map(|byte| format!("{byte:02x}")).collect();
    Key::new(Kind::Flow, format!("{prefix}{hash}"))
}

#[cfg(test)]
mod tests;
