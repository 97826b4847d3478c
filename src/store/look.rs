//! Whether tenants are still in the store as a process has found them: many of them in one call, and with nothing
//! opened.
//!
//! A row that has the revision that it was found at was not written since. Everybody else is a case for
//! [`TokenStore::reconcile`].

use super::{
    Known, KnownGrant, KnownPat, StoreError, TokenStore,
    backend::{Label, Revision, Row, RowState},
    era::{Era, EraId, era_key},
    intent::tombstone_key,
    keys_of,
    tenants::is_there,
};
use crate::model::{GrantId, TenantId};

/// What a look at several tenants has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The era that the store is in.
    pub era: EraId,
    /// One for each tenant, in the order in which they were asked for.
    pub tenants: Vec<Looked>,
}

/// How a tenant is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// With the very rows that were found. In a new era that means that they have come back with the store.
    AsFound,
    /// Differently, or what is known of it is more than what was found.
    Otherwise,
}

// === impl TokenStore ===

impl TokenStore {
    /// Which of these grants have a tombstone: they are over, in whatever era, and whatever else the store says.
    pub async fn are_buried(&self, grants: &[GrantId]) -> Result<Vec<bool>, StoreError> {
        let keys: Vec<_> = grants.iter().copied().map(tombstone_key).collect();
        let rows = self.backend.get(&keys).await?;
        match rows.len() == keys.len() {
            true => Ok(rows.iter().map(|row| row.as_ref().is_some_and(is_there)).collect()),
            false => Err(StoreError::Unavailable("it answered for another number of records than asked".into())),
        }
    }

    /// Looks whether `known` is what the store still has, all of it in one snapshot. Reads two rows for each tenant.
    pub async fn look_at(&self, known: &[(TenantId, Known)]) -> Result<Look, StoreError> {
        let mut keys: Vec<_> = known.iter().flat_map(|(tenant, _)| keys_of(tenant)).collect();
        keys.push(era_key());
        let mut rows = self.backend.get(&keys).await?;
        if rows.len() != keys.len() {
            return Err(StoreError::Unavailable("it answered for another number of records than asked".into()));
        }
        let era = Era::of_row(rows.pop().flatten().as_ref())?;
        let (pairs, _) = rows.as_chunks::<2>();
        let tenants = known.iter().zip(pairs).map(|((_, known), [grant, pat])| {
            match known.is_in(grant.as_ref(), pat.as_ref(), &era) {
                true => Looked::AsFound,
                false => Looked::Otherwise,
            }
        });
        Ok(Look { era: era.id, tenants: tenants.collect() })
    }
}

// === impl Known ===

impl Known {
    /// The last write that it was found in.
    pub fn found_at(&self) -> Option<Revision> {
        self.grant_at.max(self.pat_at)
    }

    /// Whether these are the rows that it was found in, and it is what they say.
    fn is_in(&self, grant: Option<&Row>, pat: Option<&Row>, era: &Era) -> bool {
        let known_grant = !matches!(self.grant, KnownGrant::Nothing);
        let known_pat = !matches!(self.pat, KnownPat::Nothing);
        let came_back = self.era.is_some() && self.era == era.before;
        let has_stayed = |row: Option<&Row>| row.is_some_and(|row| row.revision <= era.past);
        let is_of_era = self.era == Some(era.id)
            || came_back && (!known_grant || has_stayed(grant)) && (!known_pat || has_stayed(pat));
        is_of_era
            && !self.waiting
            && at(grant) == self.grant_at
            && at(pat) == self.pat_at
            && self.grant.is_all_of(grant.map(|row| &row.label))
    }
}

// === impl KnownGrant ===

impl KnownGrant {
    /// Whether it is no more than what a row with this label says. Where an intent is known, nobody can tell by that.
    fn is_all_of(&self, row: Option<&Label>) -> bool {
        let named = row.map(|label| (label.state, label.grant, label.version));
        match self {
            Self::Nothing | Self::Removed(_) => row.is_none_or(|label| label.state == RowState::Gone),
            Self::Live(grant, None) => named == Some((RowState::Live, Some(grant.id), Some(grant.version))),
            Self::Live(_, Some(_)) => false,
            Self::Ended(end) => named == Some((RowState::Disconnected, Some(end.id), Some(end.version))),
        }
    }
}

fn at(row: Option<&Row>) -> Option<Revision> {
    row.map(|row| row.revision)
}

#[cfg(test)]
mod tests;
