//! The two writes around a token request: the intent before it, the outcome after it.

use super::{
    Cas, Settlement, StoreError, TOMBSTONE_LIFE, TokenStore,
    backend::{Change, Expect, Key, Kind, Revision},
    record,
};
use crate::model::{
    Grant, GrantId, GrantState, TenantId, Timestamp,
    token::{Disconnected, Intent},
};

impl TokenStore {
    /// Writes down that `grant`'s refresh token is about to be presented, if the grant's row is exactly as it was read
    /// (`at`). From then on, until [`TokenStore::settle`], every process finds the grant [`GrantState::Uncertain`].
    ///
    /// An intent that names another pair than `grant`'s is never written.
    pub async fn begin(
        &self,
        tenant: &TenantId,
        at: Revision,
        grant: &Grant,
        intent: &Intent,
    ) -> Result<Cas, StoreError> {
        if (intent.grant, intent.version) != (grant.id, grant.version) {
            return Ok(Cas::Moved);
        }
        let change = self.grant_change(tenant, Expect::Revision(at), grant, Some(intent));
        Ok(self.backend.write(vec![change]).await?.into())
    }

    /// Writes down how the token request of `intent` ended, if the tenant still has the grant and version that it
    /// names, lease or no lease.
    pub async fn settle(&self, tenant: &TenantId, intent: &Intent, outcome: Settlement) -> Result<Cas, StoreError> {
        let expect = Expect::Grant(intent.grant, intent.version);
        match outcome {
            Settlement::Renewed(grant) => {
                let change = self.grant_change(tenant, expect, &grant, None);
                Ok(self.backend.write(vec![change]).await?.into())
            }
            Settlement::Untouched => self.clear(tenant, intent).await,
            Settlement::Ended(end) => self.end(tenant, expect, &end).await,
        }
    }

    async fn end(&self, tenant: &TenantId, expect: Expect, end: &Disconnected) -> Result<Cas, StoreError> {
        let now = self.backend.now().await?;
        let (label, body) = record::disconnected(end);
        let row = Change { key: Key::new(Kind::Grant, tenant.as_str()), expect, label, body };
        Ok(self.backend.write(vec![row, tombstone(end.id, now)]).await?.into())
    }

    /// Takes the intent away and leaves the rest. Another intent than this one stays: its owner answers for it.
    async fn clear(&self, tenant: &TenantId, intent: &Intent) -> Result<Cas, StoreError> {
        let key = Key::new(Kind::Grant, tenant.as_str());
        loop {
            let Some(row) = self.row(&key).await? else { return Ok(Cas::Moved) };
            let grant = match record::read_grant(&self.sealer, tenant, &row)? {
                GrantState::Uncertain(grant, found) if found == *intent => grant,
                // An earlier call whose answer was lost has done it.
                GrantState::Connected(grant) if (grant.id, grant.version) == (intent.grant, intent.version) => {
                    return Ok(Cas::Stored);
                }
                _ => return Ok(Cas::Moved),
            };
            let change = self.grant_change(tenant, Expect::Revision(row.revision), &grant, None);
            // A conflict means that somebody else has written in between, so that another round is never one too many.
            if Cas::from(self.backend.write(vec![change]).await?) == Cas::Stored {
                return Ok(Cas::Stored);
            }
        }
    }

    pub(super) fn grant_change(
        &self,
        tenant: &TenantId,
        expect: Expect,
        grant: &Grant,
        intent: Option<&Intent>,
    ) -> Change {
        let (label, body) = record::grant(&self.sealer, tenant, grant, intent);
        Change { key: Key::new(Kind::Grant, tenant.as_str()), expect, label, body }
    }
}

/// Keeps `grant` from coming back for [`TOMBSTONE_LIFE`].
pub(super) fn tombstone(grant: GrantId, now: Timestamp) -> Change {
    let (label, body) = record::tombstone(grant, now.plus(TOMBSTONE_LIFE));
    Change { key: Key::new(Kind::Tombstone, grant.to_string()), expect: Expect::Anything, label, body }
}
