//! How a grant ends because somebody here wants it to.

use super::{
    Cas, StoreError, TokenStore, all,
    backend::{Change, Expect, Key, Kind},
    identity::{forget_identity, identity_key},
    intent::tombstone,
    record,
    revocation::{Pending, Revocation, RevocationId},
};
use crate::model::{
    GrantId, GrantState, TenantId, Timestamp,
    token::{DisconnectReason, Disconnected},
};

/// What a disconnect has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disconnection {
    /// No grant, or one that was disconnected before.
    Nothing,
    /// One that had ended by itself. Nobody has to be told.
    Ended,
    /// One that held, or some that waited for a last word: their refresh tokens are to be revoked.
    ToRevoke(Vec<GrantId>),
}

// === impl TokenStore ===

impl TokenStore {
    /// Forgets `tenant`'s grant, in whatever state it is, and has it revoked; grants that are parked for the tenant too.
    pub async fn disconnect(&self, tenant: &TenantId) -> Result<Disconnection, StoreError> {
        let key = Key::new(Kind::Grant, tenant.as_str());
        loop {
            let [row, identity] = all(self.backend.get(&[key.clone(), identity_key(tenant)]).await?)?;
            let pending = self.pending(tenant).await?;
            let now = self.backend.now().await?;
            let (mut to_revoke, mut changes) = self.void_parked(tenant, &pending, now);
            let mut had_ended = false;
            if let Some(row) = &row {
                let state = record::read_grant(&self.sealer, tenant, row)?;
                if let Some(end) = end_of(&state, now) {
                    let (label, body) = record::disconnected(&end);
                    had_ended = state.grant().is_none();
                    changes.push(Change { key: key.clone(), expect: Expect::Revision(row.revision), label, body });
                    changes.push(tombstone(end.id, now));
                    changes.extend(forget_identity(tenant, identity.as_ref(), now));
                }
                if let Some(grant) = state.grant() {
                    let sub = self.sub_of(tenant, row, identity.as_ref());
                    let id = RevocationId { tenant: tenant.clone(), grant: grant.id };
                    let revocation = Revocation::of(grant, sub.as_deref(), now);
                    changes.push(self.revocation_change(&id, Expect::Anything, &revocation));
                    // The one that works, first.
                    to_revoke.insert(0, grant.id);
                }
            }
            let found = match to_revoke.is_empty() {
                false => Disconnection::ToRevoke(to_revoke),
                true if had_ended => Disconnection::Ended,
                true => Disconnection::Nothing,
            };
            if changes.is_empty() {
                return Ok(found);
            }
            // A conflict means that somebody else has written in between: what they wrote is to be forgotten too.
            if Cas::from(self.write(changes).await?) == Cas::Stored {
                return Ok(found);
            }
        }
    }

    /// Whether a consent of `tenant`'s waits for a last word.
    pub async fn has_parked(&self, tenant: &TenantId) -> Result<bool, StoreError> {
        Ok(self.pending(tenant).await?.iter().any(|pending| parked_of(pending).is_some()))
    }

    /// Has what is parked revoked now, so that nobody completes it.
    fn void_parked(&self, tenant: &TenantId, pending: &[Pending], now: Timestamp) -> (Vec<GrantId>, Vec<Change>) {
        let void = |pending: &Pending| {
            let revocation = parked_of(pending)?;
            let id = RevocationId { tenant: tenant.clone(), grant: revocation.grant };
            let void = Revocation { from: now, parked: None, ..revocation.clone() };
            let change = self.revocation_change(&id, Expect::Revision(pending.row.revision), &void);
            Some((revocation.grant, change))
        };
        pending.iter().filter_map(void).unzip()
    }
}

fn parked_of(pending: &Pending) -> Option<&Revocation> {
    pending.revocation.as_ref().filter(|revocation| revocation.parked.is_some())
}

/// How the grant ends; `None` where it has, here.
fn end_of(state: &GrantState, now: Timestamp) -> Option<Disconnected> {
    let reason = DisconnectReason::Disconnected;
    match state {
        GrantState::Connected(grant) | GrantState::Uncertain(grant, _) => Some(grant.disconnected(reason, now)),
        GrantState::Disconnected(end) if end.reason != reason => Some(Disconnected { reason, at: now, ..end.clone() }),
        GrantState::Disconnected(_) | GrantState::NeverConnected => None,
    }
}
