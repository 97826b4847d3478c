//! Whose a tenant's grant is at Flexslot, as Flexslot has said last.
//!
//! It outlives a grant that ends by itself, so that the next one is recognised as the same user's or another's; with a
//! disconnect, a removal or an import it is forgotten.

use super::{
    Cas, StoreError, TokenStore, all,
    backend::{Change, Expect, Key, Kind, Revision, Row, RowState},
    record::{self, PlainState},
    revocation::over,
    tenants::is_there,
};
use crate::model::{GrantId, Identity, Provenance, Scope, ScopeSet, TenantId, Timestamp, token::DisconnectReason};

/// What Flexslot has said of a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRecord {
    /// Of which grant.
    pub grant: GrantId,
    /// `None` where it did not say whose that is.
    pub identity: Option<Identity>,
    /// When it was asked, by the store's clock.
    pub checked_at: Timestamp,
    /// Whose it said last that the grant is, where that is somebody else.
    pub other_sub: Option<String>,
    /// Scopes that it has refused requests for want of.
    pub lacks: ScopeSet,
}

/// A record with the row that it was read from, which is to be written over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundIdentity {
    pub record: Option<IdentityRecord>,
    pub(super) row: Option<Revision>,
}

// === impl IdentityRecord ===

impl IdentityRecord {
    /// Of a grant whose record does not open or is not there: of a user whom no other is like.
    fn unreadable(grant: GrantId) -> Self {
        Self { identity: Some(Identity { sub: String::new(), username: None }), ..Self::unasked(grant) }
    }

    /// Of a grant that Flexslot was not asked about.
    pub fn unasked(grant: GrantId) -> Self {
        let checked_at = Timestamp::from_secs(0);
        Self { grant, identity: None, checked_at, other_sub: None, lacks: ScopeSet::unknown() }
    }
}

// === impl TokenStore ===

impl TokenStore {
    /// What is known of each tenant's grant, in the order of `tenants`. One that cannot be read spoils none of the
    /// others. Whether the tenant still has that grant is for its caller to see.
    pub async fn identities(&self, tenants: &[TenantId]) -> Result<Vec<Result<FoundIdentity, StoreError>>, StoreError> {
        let keys: Vec<_> = tenants.iter().map(identity_key).collect();
        let rows = self.rows(&keys).await?;
        Ok(keys.iter().zip(rows).map(|(key, row)| self.found_identity(key, row.transpose()?.as_ref())).collect())
    }

    /// Whose `tenant`'s grant is, or was before it ended by itself.
    pub async fn identity(&self, tenant: &TenantId) -> Result<Option<IdentityRecord>, StoreError> {
        let keys = [Key::new(Kind::Grant, tenant.as_str()), identity_key(tenant)];
        let [grant, identity] = all(self.backend.get(&keys).await?)?;
        self.remembered(tenant, grant.as_ref(), identity.as_ref())
    }

    /// Writes down that requests with that grant were refused for want of `scopes`, unless it is the tenant's no more.
    pub async fn put_lacking(&self, tenant: &TenantId, grant: GrantId, scopes: &[Scope]) -> Result<(), StoreError> {
        let keys = [Key::new(Kind::Grant, tenant.as_str()), identity_key(tenant)];
        loop {
            let [held, row] = all(self.backend.get(&keys).await?)?;
            let is_it = |held: &Row| held.label.state == RowState::Live && held.label.grant == Some(grant);
            let Some(held) = held.filter(is_it) else { return Ok(()) };
            let over = self.found_identity(&keys[1], row.as_ref())?;
            let known = over.record.clone().filter(|record| record.grant == grant);
            if known.is_none() && self.lacks_identity(tenant, &held) {
                // A record without a user would make whoever consents next pass for the first one.
                return Ok(());
            }
            // Nobody has asked yet whose it is: whoever does so finds that it is time.
            let known = known.unwrap_or_else(|| IdentityRecord::unasked(grant));
            let lacks = known.lacks.and(scopes.iter().copied());
            if lacks == known.lacks
                || self.put_identity(tenant, &over, &IdentityRecord { lacks, ..known }).await? == Cas::Stored
            {
                return Ok(());
            }
        }
    }

    /// Writes down what Flexslot has said, over what was found.
    pub async fn put_identity(
        &self,
        tenant: &TenantId,
        over: &FoundIdentity,
        record: &IdentityRecord,
    ) -> Result<Cas, StoreError> {
        let expect = over.row.map_or(Expect::Absent, Expect::Revision);
        Ok(self.write(vec![self.identity_change(tenant, expect, record)]).await?.into())
    }

    pub(super) fn identity_change(&self, tenant: &TenantId, expect: Expect, record: &IdentityRecord) -> Change {
        let key = identity_key(tenant);
        let (label, body) = record::identity(&self.sealer, &key, record);
        Change { key, expect, label, body }
    }

    /// What the row `identity` says of the grant of the row `grant`, if that still counts.
    pub(super) fn remembered(
        &self,
        tenant: &TenantId,
        grant: Option<&Row>,
        identity: Option<&Row>,
    ) -> Result<Option<IdentityRecord>, StoreError> {
        let Some(grant) = grant.filter(|row| is_remembered(tenant, row)) else { return Ok(None) };
        let is_of_grant = |record: &IdentityRecord| Some(record.grant) == grant.label.grant;
        let somebodys = || grant.label.grant.map(IdentityRecord::unreadable);
        match self.found_identity(&identity_key(tenant), identity) {
            Ok(found) => match found.record.filter(is_of_grant) {
                None if self.lacks_identity(tenant, grant) => Ok(somebodys()),
                record => Ok(record),
            },
            // Somebody's it is: whoever consents next is asked whether that is meant.
            Err(StoreError::Unreadable { .. }) => Ok(somebodys()),
            Err(error) => Err(error),
        }
    }

    /// Whether it was written down whose a living grant is, so that somebody has taken that away where it is not there.
    fn lacks_identity(&self, tenant: &TenantId, grant: &Row) -> bool {
        match record::read_grant(&self.sealer, tenant, grant) {
            Ok(state) => state.grant().is_some_and(|grant| grant.provenance == Provenance::Consent),
            // Nobody knows how it came here, if what says so was changed.
            Err(_) => grant.label.state == RowState::Live,
        }
    }

    /// Whose the grant of the row `grant` is, as far as the row `identity` says.
    pub(super) fn sub_of(&self, tenant: &TenantId, grant: &Row, identity: Option<&Row>) -> Option<String> {
        let record = self.found_identity(&identity_key(tenant), identity).ok()?.record?;
        let is_of_grant = Some(record.grant) == grant.label.grant;
        record.identity.filter(|_| is_of_grant && is_remembered(tenant, grant)).map(|identity| identity.sub)
    }

    fn found_identity(&self, key: &Key, row: Option<&Row>) -> Result<FoundIdentity, StoreError> {
        let there = row.filter(|row| is_there(row));
        let record = there.map(|row| record::read_identity_record(&self.sealer, key, row)).transpose()?;
        Ok(FoundIdentity { record, row: row.map(|row| row.revision) })
    }
}

pub(super) fn identity_key(tenant: &TenantId) -> Key {
    Key::new(Kind::Identity, tenant.as_str())
}

/// Forgets whose the tenant's grant was, where that is known.
pub(super) fn forget_identity(tenant: &TenantId, row: Option<&Row>, now: Timestamp) -> Option<Change> {
    let row = row.filter(|row| is_there(row))?;
    Some(over(identity_key(tenant), Expect::Revision(row.revision), now))
}

/// Whether it still counts whose the grant was.
fn is_remembered(tenant: &TenantId, grant: &Row) -> bool {
    match grant.label.state {
        RowState::Live => true,
        RowState::Gone => false,
        RowState::Disconnected => matches!(
            record::read_plain_grant(tenant, grant),
            Ok(PlainState::Disconnected(end)) if end.reason != DisconnectReason::Disconnected
        ),
    }
}
