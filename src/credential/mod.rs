//! The one door to the tokens: which credential a request gets, and how it is kept fresh.
//!
//! What a request meets:
//!
//! - [`coordinator`]: the door itself; the type that the corridor talks to.
//! - `permit`: whether the tenant's rules let it through at all.
//! - [`pick`]: which credential is best.
//! - `header`: the only maker of `Authorization` values; `proof`: of the proofs that go with bound tokens.
//!
//! What people and apps are shown of it: [`cards`]. How they connect and disconnect a tenant: [`consent`]. How they
//! put in credentials and take them away: `editing`.
//!
//! How tokens are kept fresh:
//!
//! - `flight`: how all requests of a grant share one renewal.
//! - `renewal`: what that one renewal does, step by step, and what it leaves behind when it fails (`failure`).
//! - `clearance`: whether a refresh token may be presented now.
//! - [`schedule`]: when, as far as times and chance alone say; `keep_alive`: the same for grants that nobody uses.
//! - `lease`: which process renews; [`turns`]: which renewal is next; `pace`: what keeps a tenant's renewals apart.
//! - `custody`: outcomes of token requests that the store has still to take.
//!
//! What is known:
//!
//! - `state`: what is held in memory of a tenant, with its `pats`, their `pat_health` and what they have `proven`, and its
//!   `usage`; `loading`: how what the store says gets there; `eviction`: how it goes; `unreadable`: whose records do not open.
//! - [`policy`]: what the configuration says.
//! - `background`: what runs beside the requests; `watch` follows the store's changes, and `travel` tells that it has
//!   come back older; `backlog`: whose slots have to be read again then; `reading`: how that is done for many; `ends`: how
//!   it is learned that a grant is over where the changes cannot be followed.
//! - `revoking`: what Flexslot has still to be told to revoke; `identity`: whose the grants are.
//! - `lacking`: which scopes they lack, by what Flexslot has refused.
//! - `works`: what all of these share; `tasks`: those of them that must not be cut off.
//!
//! A *refresh* is what the outside sees: the token request of RFC 6749 section 6, in configuration, codes, metrics and
//! logs. A *renewal* is the task that does it, from the lease to the release; it may find that another process has
//! refreshed already.

mod background;
mod backlog;
pub mod cards;
mod clearance;
pub mod consent;
pub mod coordinator;
mod custody;
mod editing;
mod ends;
mod eviction;
mod failure;
mod flight;
mod header;
mod identity;
mod keep_alive;
mod lacking;
mod lease;
mod loading;
mod pace;
mod pat_health;
mod pats;
mod permit;
pub mod pick;
pub mod policy;
mod proof;
mod proven;
mod reading;
mod renewal;
mod revoking;
pub mod schedule;
mod state;
mod tasks;
mod travel;
pub mod turns;
mod unreadable;
mod usage;
mod watch;
mod works;

#[cfg(test)]
mod tests;

use std::time::Duration;

use http::{HeaderValue, Method};

use crate::model::{CredentialKind, Grant, GrantId, PatSource, Scope, TenantId, Version, token::DisconnectReason};

pub use cards::{CardPage, CardQuery, PageEnd};
pub use consent::{
    Awaiting, Connected, ConsentError, Consented, DisconnectOutcome, Flow, NewFlow, OpenedSession, Progress, Session,
    SessionOutcome, SessionWish, SignIn,
};
pub use coordinator::{Credentials, Unauthorized};
pub use editing::{Brought, BroughtGrant, EditError, Import};
pub use lacking::Forbidden;
pub use permit::Permission;
pub use policy::{RefreshPolicy, Settings, TenantPolicy};
pub use proof::Binding;

pub use crate::flexslot::{
    ConsentClient, NoClient,
    dpop::{DPOP, INVALID_DPOP_PROOF, Proof, ProofDemand, USE_DPOP_NONCE},
};
pub use crate::store::{Existing, Removed, StoreError};

/// What a request needs of a credential.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub tenant: &'a TenantId,
    /// The scope that the request needs, as far as the table knows.
    pub need: Option<Scope>,
    pub class: PathClass,
    pub resend: Resend,
    pub resource: Resource<'a>,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Resource<'a> {
    pub method: &'a Method,
    /// As it is sent, without the query.
    pub path: &'a str,
}

/// Which credentials Flexslot takes on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathClass {
    Ordinary,
    /// `/me/partner…` and `/me/access-tokens/…`: a PAT alone; methods that write there hand out or change secrets.
    PatOnly,
}

/// Whether the request could be sent again after a 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resend {
    Possible,
    /// Its body is too large to keep; it is sent only with a token outside its window, as far as one can be had.
    Impossible,
}

/// A credential for one request.
#[derive(Debug, Clone)]
pub struct Picked {
    pub kind: CredentialKind,
    /// The value of `Authorization`, marked sensitive.
    pub authorization: HeaderValue,
    /// Which tokens these are; `None` for a PAT.
    pub at: Option<At>,
    /// What the tokens are bound to. Each request with them has a proof of its own, which [`Credentials::prove`] makes.
    pub binding: Option<Binding>,
}

/// Names one pair of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    pub grant: GrantId,
    pub version: Version,
}

/// Why a PAT that is there cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatFault {
    /// It is for another origin than the configured upstream.
    OtherOrigin { own: String, upstream: String },
    /// It has characters that cannot stand in a header.
    Malformed,
}

/// Why there is no credential for a request. The corridor makes problems of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The tenant has no credential and never had a grant.
    NotConnected,
    /// There was a grant.
    ReconnectRequired(DisconnectReason),
    /// Flexslot has refused the tenant's PAT three times in a row.
    PatRejected(PatSource),
    /// The path takes a PAT only, and there is none.
    PatRequired,
    /// The token cannot be refreshed for now.
    RefreshUnavailable { what: String, retry_after: Option<Duration> },
    /// The grant cannot be used with this configuration, or Flexslot refuses to refresh its tokens for a reason that
    /// lies in it.
    OAuthMisconfigured(String),
    /// The tenant has a PAT, and it cannot be sent.
    PatUnusable(PatFault),
    /// What the request needs is in the store, and the store does not give it for now. Never a reason to connect again.
    StoreUnavailable(String),
    /// What the request needs is in a record that does not open: its key is missing, or it is damaged. A reason to
    /// connect again only where neither can be put back.
    RecordUnreadable(String),
}

// === impl Picked ===

impl Picked {
    fn oauth(usable: pick::Usable) -> Self {
        let pick::Usable { at, authorization, binding, .. } = usable;
        Self { kind: CredentialKind::OAuth, authorization, at: Some(at), binding }
    }

    fn pat(authorization: HeaderValue) -> Self {
        Self { kind: CredentialKind::Pat, authorization, at: None, binding: None }
    }
}

// === impl At ===

impl At {
    /// The pair that `grant` has now.
    fn of(grant: &Grant) -> Self {
        Self { grant: grant.id, version: grant.version }
    }
}
