//! The door for consents: connect sessions, the grants that they bring, and how those end.

mod connecting;
mod disconnecting;
mod editing;
mod sessions;

use crate::{
    model::{Identity, Secret, TokenSet},
    store::StoreError,
};

pub use crate::store::{
    Again, Awaited, Awaiting, Connected, ConsentError, Flow, NewFlow, OpenedSession, Parked, Progress, Proof, Session,
    SessionOutcome, SessionWish, SignIn,
};

/// What a redeemed code has brought.
#[derive(Debug, Clone)]
pub struct Consented {
    pub tokens: TokenSet,
    /// The OAuth client that the consent was given to.
    pub client_id: String,
    /// `None` where Flexslot did not say.
    pub identity: Option<Identity>,
}

/// What a disconnect came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisconnectOutcome {
    NothingToDisconnect,
    /// The grant is forgotten, and Flexslot has been told.
    Revoked,
    /// The grant is forgotten, and Flexslot is told as soon as it can be.
    Queued,
}

/// A credential that an app brings.
#[derive(Debug, Clone)]
pub struct Brought {
    pub pat: Option<Secret>,
    pub grant: Option<BroughtGrant>,
}

/// A grant among these.
#[derive(Debug, Clone)]
pub struct BroughtGrant {
    pub client_id: String,
    pub tokens: TokenSet,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Import {
    Added,
    Replaced,
    /// The tenant has a credential, and that was to stay.
    Skipped,
    /// The very refresh token that was brought is being presented; the grant stays as it is. A PAT that came with it was
    /// taken.
    Uncertain,
}

/// Why a tenant's credential is not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EditError {
    /// proxy.toml, or `FLEXSLOT_PAT`, sets the PAT.
    PatIsConfigured,
    /// It cannot stand in a header.
    Malformed,
    /// The configuration does not name the OAuth client that the grant was given to.
    UnknownClient(String),
    Store(StoreError),
}

// === impl EditError ===

impl From<StoreError> for EditError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl std::fmt::Display for EditError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PatIsConfigured => f.write_str("proxy.toml sets the tenant's PAT; change it there"),
            Self::Malformed => f.write_str("the token has characters that cannot stand in a header"),
            Self::UnknownClient(client) => write!(f, "[oauth] does not name the OAuth client {client}"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EditError {}
