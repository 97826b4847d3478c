//! What each tenant's connection looks like: one card, or a page of them.

use super::Credentials;
use crate::{
    model::{Card, ConnectionState, TenantId},
    store::StoreError,
};

/// Which cards are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CardQuery {
    /// Those in this state; `None`: all.
    pub state: Option<ConnectionState>,
    /// Those of tenants whose names begin with this text, whatever it is.
    pub prefix: Option<String>,
    /// Those after this tenant, in the bytewise order of names.
    pub after: Option<TenantId>,
    /// At most so many.
    pub limit: usize,
}

/// A part of the list of cards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardPage {
    /// In the bytewise order of their tenants' names. Fewer than asked for, or none, do not mean that there are no more.
    pub cards: Vec<Card>,
    /// What to ask for the next part after; `None` at the end.
    pub next: Option<TenantId>,
    pub end: PageEnd,
}

/// Why a page ends where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageEnd {
    /// There are no more tenants.
    Complete,
    /// It has as many cards as were asked for.
    Full,
    /// So many tenants were looked at that the rest is for the next call; whether others of them are wanted is not
    /// known.
    StoppedEarly,
}

// === impl Credentials ===

impl Credentials {
    /// The card of `tenant`; `None` where neither the store nor the file knows it.
    pub async fn card(&self, tenant: &TenantId) -> Result<Option<Card>, StoreError> {
        let _ = tenant;
        Ok(None)
    }

    /// The cards that `query` asks for, and where to go on. Looks at a bounded number of tenants, whatever the store's
    /// size.
    pub async fn cards(&self, query: &CardQuery) -> Result<CardPage, StoreError> {
        let _ = query;
        Ok(CardPage { cards: Vec::new(), next: None, end: PageEnd::Complete })
    }
}
