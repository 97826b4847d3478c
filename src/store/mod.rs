//! The sealed records, and the one type that reads and writes them.

pub mod backend;
pub mod record;

use std::{sync::Arc, time::Duration};

use crate::model::{
    Grant, GrantState, Secret, TenantId, Timestamp,
    token::{Disconnected, Intent, Owner},
};
use backend::{Backend, Bid, Revision};

/// Why the store did not do what it was asked. Never carries a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// Out of reach, full, locked for too long, …; the same call may work later. The text is for the operator.
    Unavailable(String),
    /// A record that this program did not write, or cannot open with the keys it has. Names the record and the field.
    Unreadable { record: String, what: String },
}

/// A tenant as stored.
#[derive(Debug, Clone)]
pub struct TenantRecord {
    pub grant: GrantState,
    /// Names the grant's row as it was read; `None` when there is no row.
    pub revision: Option<Revision>,
    pub pat: Option<StoredPat>,
    pub last_used: Option<Timestamp>,
}

/// A PAT with the origin that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPat {
    pub pat: Secret,
    pub origin: String,
}

/// How a token request ended, as the store sees it.
#[derive(Debug, Clone)]
pub enum Settlement {
    /// Flexslot answered with a new pair.
    Renewed(Grant),
    /// The refresh token was provably not taken; the grant is as before, with the intent without outcome that it had before, if any.
    Untouched { earlier: Option<Intent> },
    /// The grant is over; its tokens are deleted.
    Ended(Disconnected),
}

/// Whether a conditional write found what it expected.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cas {
    Stored,
    /// Somebody else was faster; nothing was written. Load again.
    Moved,
}

/// The one reader and writer of tenants' credentials. Cheap to clone.
#[derive(Clone)]
pub struct TokenStore {
    backend: Arc<dyn Backend>,
}
