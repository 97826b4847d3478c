//! Credentials that come from outside in numbers.

use std::collections::BTreeMap;

use super::{
    Cas, StoreError, StoredPat, TokenStore,
    backend::{Change, Expect, Row},
    intent::tombstone,
    keys_of,
    tenants::is_there,
};
use crate::model::{Grant, GrantId, Origin, TenantId, Timestamp, TokenSet, Version};

/// A tenant to import.
#[derive(Debug, Clone)]
pub struct NewTenant {
    pub tenant: TenantId,
    pub pat: Option<StoredPat>,
    pub grant: Option<NewGrant>,
}

/// A grant that has no id here yet. The store gives it one that was never used.
#[derive(Debug, Clone)]
pub struct NewGrant {
    pub client_id: String,
    pub origin: Origin,
    pub tokens: TokenSet,
}

/// What happens to a tenant that already has a grant (also a disconnected one) or a PAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays as it is, so that a second run never puts spent tokens over rotated ones.
    Skip,
    /// What the import brings takes the place of what is there; what it does not bring stays.
    Replace,
}

/// What became of the tenants of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    pub added: usize,
    pub replaced: usize,
    pub skipped: usize,
}

// === impl TokenStore ===

impl TokenStore {
    /// Stores a batch of tenants in one write, all or none; up to 1,000 make a good size. Of a tenant that comes twice
    /// in a batch, the first counts with [`Existing::Skip`] and the last with [`Existing::Replace`].
    pub async fn import(&self, batch: Vec<NewTenant>, existing: Existing) -> Result<Imported, StoreError> {
        let (batch, repeated) = without_repeats(batch, existing);
        let keys: Vec<_> = batch.keys().flat_map(keys_of).collect();
        loop {
            let rows = self.backend.get(&keys).await?;
            let now = self.backend.now().await?;
            let mut done = Imported { skipped: repeated, ..Imported::default() };
            let mut changes = Vec::new();
            for ((tenant, new), rows) in batch.iter().zip(rows.chunks(2)) {
                let there = rows.iter().flatten().any(is_there);
                match (there, existing) {
                    (true, Existing::Skip) => {
                        done.skipped += 1;
                        continue;
                    }
                    (true, Existing::Replace) => done.replaced += 1,
                    (false, _) => done.added += 1,
                }
                changes.extend(self.imported(tenant, new, rows, now));
            }
            // A conflict means that somebody else has written in between: decide again on what is there now.
            if changes.is_empty() || Cas::from(self.write(changes).await?) == Cas::Stored {
                return Ok(done);
            }
        }
    }

    /// The writes for one tenant; `rows` are its grant's and its PAT's as they were read.
    fn imported(&self, tenant: &TenantId, new: &NewTenant, rows: &[Option<Row>], now: Timestamp) -> Vec<Change> {
        let as_read = |row: Option<&Row>| row.map_or(Expect::Absent, |row| Expect::Revision(row.revision));
        let (old_grant, old_pat) = (rows.first().and_then(Option::as_ref), rows.get(1).and_then(Option::as_ref));
        let mut changes = Vec::new();
        if let Some(NewGrant { client_id, origin, tokens }) = new.grant.clone() {
            let id = GrantId::random(&self.random);
            let grant = Grant { id, version: Version::FIRST, client_id, origin, tokens };
            changes.extend(old_grant.and_then(|row| row.label.grant).map(|old| tombstone(old, now)));
            changes.push(self.grant_change(tenant, as_read(old_grant), &grant, None));
        }
        if let Some(pat) = &new.pat {
            changes.push(self.pat_change(tenant, as_read(old_pat), pat));
        }
        changes
    }
}

/// The batch by tenant, and how many entries count as skipped because their tenant had one already.
fn without_repeats(batch: Vec<NewTenant>, existing: Existing) -> (BTreeMap<TenantId, NewTenant>, usize) {
    let mut tenants = BTreeMap::new();
    let mut repeated = 0;
    for new in batch {
        if tenants.contains_key(&new.tenant) {
            repeated += 1;
            if existing == Existing::Skip {
                continue;
            }
        }
        tenants.insert(new.tenant.clone(), new);
    }
    (tenants, repeated)
}
