//! Credentials that come from outside in numbers.

use std::collections::BTreeMap;

use super::{
    Cas, StoreError, StoredPat, TokenStore,
    backend::{Change, Expect, Row, RowState},
    identity::{forget_identity, identity_key},
    intent::tombstone,
    keys_of,
    record::{self, PlainState},
    tenants::is_there,
};
use crate::model::{Grant, GrantId, Origin, Provenance, TenantId, Timestamp, TokenSet, Version};

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
    /// What the import brings takes the place of what is there; what it does not bring stays, and so does a grant whose
    /// refresh token the import brings while it is being presented.
    Replace,
}

/// A tenant that was left as it is, with [`Existing::Skip`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    pub tenant: TenantId,
    pub there: There,
}

/// What an import finds of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum There {
    Credential,
    /// No more than a connection that has ended.
    EndedConnection,
}

/// What became of the tenants of an import; each counts once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Imported {
    pub added: usize,
    pub replaced: usize,
    pub skipped: usize,
    /// Those who were skipped for what the store has of them, by name.
    pub left: Vec<Skipped>,
    /// With [`Existing::Replace`], those whose grant stayed as it is, because the import brings the very refresh token
    /// that has been presented, with no outcome yet. A PAT that came with it was taken.
    pub uncertain: usize,
}

// === impl TokenStore ===

impl TokenStore {
    /// Stores a batch of tenants in one write, all or none; up to 1,000 make a good size. Of a tenant that comes twice
    /// in a batch, the first counts with [`Existing::Skip`] and the last with [`Existing::Replace`].
    pub async fn import(&self, batch: Vec<NewTenant>, existing: Existing) -> Result<Imported, StoreError> {
        let (batch, repeated) = without_repeats(batch, existing);
        let keys_of = |tenant| keys_of(tenant).into_iter().chain([identity_key(tenant)]);
        let keys: Vec<_> = batch.keys().flat_map(keys_of).collect();
        loop {
            let rows = self.backend.get(&keys).await?;
            let now = self.backend.now().await?;
            let mut done = Imported { skipped: repeated, ..Imported::default() };
            let mut changes = Vec::new();
            for ((tenant, new), rows) in batch.iter().zip(rows.chunks(3)) {
                let [old_grant, old_pat, identity] = [0, 1, 2].map(|at| rows.get(at).and_then(Option::as_ref));
                let there = [old_grant, old_pat].into_iter().flatten().any(is_there);
                let presented = old_grant.is_some_and(|row| is_presented(tenant, new, row));
                let count = match (there, existing) {
                    (true, Existing::Skip) => &mut done.skipped,
                    (true, Existing::Replace) if presented => &mut done.uncertain,
                    (true, Existing::Replace) => &mut done.replaced,
                    (false, _) => &mut done.added,
                };
                *count += 1;
                if there && existing == Existing::Skip {
                    let there = what_is_there(old_grant, old_pat);
                    done.left.push(Skipped { tenant: tenant.clone(), there });
                    continue;
                }
                if let Some(grant) = new.grant.clone().filter(|_| !presented) {
                    changes.extend(self.imported_grant(tenant, grant, old_grant, now));
                    changes.extend(forget_identity(tenant, identity, now));
                }
                let pat = new.pat.as_ref();
                changes.extend(pat.map(|pat| self.pat_change(tenant, Expect::as_read(old_pat), pat)));
            }
            // A conflict means that somebody else has written in between: decide again on what is there now.
            if changes.is_empty() || Cas::from(self.write(changes).await?) == Cas::Stored {
                return Ok(done);
            }
        }
    }

    /// The writes that put a new grant in place of `old`.
    fn imported_grant(&self, tenant: &TenantId, new: NewGrant, old: Option<&Row>, now: Timestamp) -> Vec<Change> {
        let grant = self.first_of(new);
        let mut changes = vec![self.grant_change(tenant, Expect::as_read(old), &grant, None)];
        changes.extend(old.and_then(|row| row.label.grant).map(|old| tombstone(old, now)));
        changes
    }

    /// `new` with an id that was never used.
    pub(super) fn first_of(&self, new: NewGrant) -> Grant {
        let NewGrant { client_id, origin, tokens } = new;
        let (id, provenance) = (GrantId::random(&self.random), Provenance::Import);
        Grant { id, version: Version::FIRST, client_id, origin, provenance, tokens }
    }
}

/// Of a tenant with a row that is more than a marker.
fn what_is_there(grant: Option<&Row>, pat: Option<&Row>) -> There {
    let has_ended = grant.is_some_and(|row| row.label.state == RowState::Disconnected);
    if has_ended && !pat.is_some_and(is_there) { There::EndedConnection } else { There::Credential }
}

/// Whether `new` brings the refresh token that the intent of `row` says is being presented. Under another grant id
/// nobody would know that it was, and it would be presented once more.
fn is_presented(tenant: &TenantId, new: &NewTenant, row: &Row) -> bool {
    let (Some(new), Ok(PlainState::Held(old))) = (&new.grant, record::read_plain_grant(tenant, row)) else {
        return false;
    };
    old.intent.is_some_and(|intent| intent.refresh_hash == new.tokens.refresh_hash())
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
