//! How a grant ends here.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::DisconnectOutcome;
use crate::{
    credential::{Credentials, revoking::Sent, works::Works},
    model::TenantId,
    store::{Disconnection, Patience, RevocationId, StoreError},
};

/// How long a code waits for what has to be revoked before it is redeemed.
const CLEAR: Duration = Duration::from_secs(20);

/// How often it is looked whether somebody else has revoked something by now.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

// === impl Credentials ===

impl Credentials {
    /// Forgets the tenant's grant, whatever Flexslot says, and has Flexslot revoke it: now if it can be reached, else as
    /// soon as it can, for up to a day.
    pub async fn disconnect(&self, tenant: &TenantId) -> Result<DisconnectOutcome, StoreError> {
        let tenant = tenant.clone();
        self.works.finish(|works| async move { works.disconnect(&tenant).await }).await
    }

    /// Whether a consent of the tenant's waits for a last word, so that a disconnect has something to end.
    pub async fn has_parked(&self, tenant: &TenantId) -> Result<bool, StoreError> {
        self.works.store.has_parked(tenant).await
    }

    /// Tells Flexslot what it has still to be told to revoke of the tenant, and waits for who is telling it. To be
    /// called before a code is redeemed, as nothing of that is sent once its grant is stored.
    pub async fn clear_revocations(&self, tenant: &TenantId) {
        match timeout(CLEAR, self.works.clear_revocations(tenant)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%tenant, %error, "whether something has to be revoked first is not known");
            }
            Err(_) => tracing::warn!(%tenant, "what has to be revoked first could not be in time"),
        }
    }
}

// === impl Works ===

impl Works {
    async fn disconnect(&self, tenant: &TenantId) -> Result<DisconnectOutcome, StoreError> {
        // The newest pair is the one to be revoked.
        if self.custody.awaits(tenant) {
            self.offer().await;
        }
        let found = self.store.disconnect(tenant).await?;
        self.look_again_at(tenant).await;
        let grants = match found {
            Disconnection::Nothing => return Ok(DisconnectOutcome::NothingToDisconnect),
            Disconnection::Ended => return Ok(DisconnectOutcome::Ended),
            Disconnection::ToRevoke(grants) => grants,
        };
        for grant in grants {
            tracing::info!(%tenant, %grant, "disconnected from Flexslot");
            let id = RevocationId { tenant: tenant.clone(), grant };
            match self.revoke(&id, Patience::AtOnce).await {
                Ok(Sent::Answered | Sent::Nothing) => {}
                // The others are due as well, and whoever waits for this should not wait for each.
                Ok(Sent::Later | Sent::ByOther(_)) | Err(_) => return Ok(DisconnectOutcome::Queued),
            }
        }
        Ok(DisconnectOutcome::Revoked)
    }

    async fn clear_revocations(&self, tenant: &TenantId) -> Result<(), StoreError> {
        let mut failed = Vec::new();
        loop {
            let mut wait = None;
            for id in self.store.revocations_of(tenant).await? {
                if failed.contains(&id) {
                    continue;
                }
                match self.revoke(&id, Patience::AtOnce).await? {
                    Sent::Answered | Sent::Nothing => {}
                    Sent::Later => failed.push(id),
                    Sent::ByOther(left) => wait = wait.max(Some(left)),
                }
            }
            match wait {
                Some(left) => sleep(left.min(LOOK_AGAIN)).await,
                None => return Ok(()),
            }
        }
    }
}
