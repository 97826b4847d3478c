//! The door for consents: connect sessions, the grants that they bring, and how those end.

mod connecting;
mod disconnecting;
mod sessions;

use crate::model::{Identity, Origin, TokenSet};

pub use crate::store::{
    Again, Awaited, Awaiting, Connected, ConsentError, Flow, NewFlow, OpenedSession, Outset, Parked, Progress, Proof,
    Session, SessionOutcome, SessionWish, SignIn,
};

/// What a redeemed code has brought.
#[derive(Debug, Clone)]
pub struct Consented {
    pub tokens: TokenSet,
    /// The OAuth client that the consent was given to.
    pub client_id: String,
    /// That of the Flexslot that has given it.
    pub origin: Origin,
    /// `None` where Flexslot did not say.
    pub identity: Option<Identity>,
    /// How the tenant stood before.
    pub outset: Outset,
}

/// What a disconnect came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisconnectOutcome {
    NothingToDisconnect,
    /// The grant is forgotten. It had ended before, so that there was nothing to tell Flexslot.
    Ended,
    /// The grant is forgotten, and Flexslot has been told.
    Revoked,
    /// The grant is forgotten, and Flexslot is told as soon as it can be.
    Queued,
}
