//! The two writes around a token request: the intent before it, its settlement after it.

use super::{
    Cas, Settlement, StoreError, TOMBSTONE_LIFE, TokenStore,
    backend::{Change, Expect, Key, Kind, Revision},
    record,
    write_back::Aim,
};
use crate::model::{
    Grant, GrantId, GrantState, TenantId, Timestamp,
    failpoint::{Step, reach},
    token::{Attempt, Disconnected, Intent},
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
        reach(Step::IntentDue);
        let written = self.write(vec![change]).await?.into();
        if written == Cas::Stored {
            reach(match intent.attempt {
                Attempt::First => Step::IntentStored,
                Attempt::LastResort => Step::LastResortStored,
            });
        }
        Ok(written)
    }

    /// Writes down how the token request of `intent` ended, if the tenant still has the grant and version that it
    /// names, lease or no lease.
    pub async fn settle(&self, tenant: &TenantId, intent: &Intent, outcome: Settlement) -> Result<Cas, StoreError> {
        let (due, stored) = match outcome {
            Settlement::Renewed(_) => (Step::PairDue, Step::PairStored),
            Settlement::Ended(_) | Settlement::Abandoned(_) => (Step::EndDue, Step::EndStored),
            Settlement::Untouched { .. } => (Step::WithdrawalDue, Step::WithdrawalStored),
        };
        reach(due);
        let settled = self.write_outcome(tenant, intent, outcome).await?;
        if settled == Cas::Stored {
            reach(stored);
        }
        Ok(settled)
    }

    async fn write_outcome(&self, tenant: &TenantId, intent: &Intent, outcome: Settlement) -> Result<Cas, StoreError> {
        let expect = Expect::Grant(intent.grant, intent.version);
        match outcome {
            Settlement::Renewed(grant) => match self.renew(tenant, expect, &grant).await? {
                Cas::Stored => Ok(Cas::Stored),
                Cas::Moved => {
                    self.revoke_late(tenant, &grant).await?;
                    Ok(Cas::Moved)
                }
            },
            Settlement::Untouched { earlier } => self.revert(tenant, intent, earlier.as_ref()).await,
            Settlement::Ended(end) => self.end(tenant, expect, &end).await,
            Settlement::Abandoned(end) => self.abandon(tenant, intent, &end).await,
        }
    }

    /// Stores the next pair, where the record has not moved on.
    async fn renew(&self, tenant: &TenantId, expect: Expect, grant: &Grant) -> Result<Cas, StoreError> {
        let mut change = self.grant_change(tenant, expect, grant, None);
        match self.keep_origin(&mut change).await {
            // A store that does not answer is not waited for twice.
            Err(error @ StoreError::Unavailable(_)) => return Err(error),
            // What has been read is acted on, though the store may take no writes now: until it does, it may come back
            // without what makes this pair void.
            Ok(Aim::Buried) => return Ok(Cas::Moved),
            Ok(Aim::Other) => return self.raise(tenant, grant).await,
            // To have the pair stored is worth more than to know where its row was found.
            Ok(Aim::AsExpected) | Err(_) => {}
        }
        match self.write(vec![change]).await?.into() {
            Cas::Stored => Ok(Cas::Stored),
            // The pair is dropped only where the record says that it is void, and not where it says nothing or less.
            Cas::Moved => self.raise(tenant, grant).await,
        }
    }

    pub(super) async fn end(&self, tenant: &TenantId, expect: Expect, end: &Disconnected) -> Result<Cas, StoreError> {
        let now = self.backend.now().await?;
        let (label, body) = record::disconnected(end);
        let mut row = Change { key: Key::new(Kind::Grant, tenant.as_str()), expect, label, body };
        self.keep_origin(&mut row).await?;
        Ok(self.write(vec![row, tombstone(end.id, now)]).await?.into())
    }

    /// Ends the grant if its record has this very intent and nothing else has happened to it: whoever has written
    /// another one since then may be about to be given a pair.
    async fn abandon(&self, tenant: &TenantId, intent: &Intent, end: &Disconnected) -> Result<Cas, StoreError> {
        let Some(row) = self.row(&Key::new(Kind::Grant, tenant.as_str())).await? else { return Ok(Cas::Moved) };
        match record::read_grant(&self.sealer, tenant, &row)? {
            GrantState::Uncertain(_, found) if found == *intent => {
                self.end(tenant, Expect::Revision(row.revision), end).await
            }
            _ => Ok(Cas::Moved),
        }
    }

    /// Puts back what the intent was written over and leaves the rest. Another intent than this one stays: its owner
    /// answers for it.
    async fn revert(&self, tenant: &TenantId, intent: &Intent, earlier: Option<&Intent>) -> Result<Cas, StoreError> {
        let key = Key::new(Kind::Grant, tenant.as_str());
        loop {
            let Some(row) = self.row(&key).await? else { return Ok(Cas::Moved) };
            let (grant, found) = match record::read_grant(&self.sealer, tenant, &row)? {
                GrantState::Uncertain(grant, found) => (grant, Some(found)),
                GrantState::Connected(grant) => (grant, None),
                GrantState::NeverConnected | GrantState::Disconnected(_) => return Ok(Cas::Moved),
            };
            if (grant.id, grant.version) != (intent.grant, intent.version) {
                return Ok(Cas::Moved);
            }
            // An earlier call whose answer was lost has done it.
            if found.as_ref() == earlier {
                return Ok(Cas::Stored);
            }
            if found.as_ref() != Some(intent) {
                return Ok(Cas::Moved);
            }
            let mut change = self.grant_change(tenant, Expect::Revision(row.revision), &grant, earlier);
            self.keep_origin(&mut change).await?;
            // A conflict means that somebody else has written in between, so that another round is never one too many.
            if Cas::from(self.write(vec![change]).await?) == Cas::Stored {
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
    Change { key: tombstone_key(grant), expect: Expect::Anything, label, body }
}

pub(super) fn tombstone_key(grant: GrantId) -> Key {
    Key::new(Kind::Tombstone, grant.to_string())
}
