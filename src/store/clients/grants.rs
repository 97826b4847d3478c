//! The grants that were given to a client, and their end with it.

use std::collections::HashMap;

use crate::{
    model::{
        Origin, TenantId,
        token::{DisconnectReason, Disconnected},
    },
    store::{
        Cas, ConnectedGrant, StoreError, TokenStore,
        backend::{Expect, Key, Kind},
        record::{self, PlainState},
    },
};

/// Who is connected through a client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientGrants {
    pub count: u64,
    /// The first few of them.
    pub named: Vec<TenantId>,
}

/// Grants per look.
const PAGE: usize = 500;

/// How many are named.
const NAMED: usize = 5;

// === impl TokenStore ===

impl TokenStore {
    /// The tenants that are connected through a client of `origin`.
    pub async fn grants_of(&self, client_id: &str, origin: &Origin) -> Result<ClientGrants, StoreError> {
        let mut found = ClientGrants::default();
        self.each_grant(async |connected| {
            if is_of(connected, client_id, origin) {
                found.count += 1;
                if found.named.len() < NAMED {
                    found.named.push(connected.tenant.clone());
                }
            }
            Ok(())
        })
        .await?;
        Ok(found)
    }

    /// The client that the tenant's grant was given to, or its last one before it ended; `None` where nobody knows.
    pub async fn last_client_of(&self, tenant: &TenantId) -> Result<Option<String>, StoreError> {
        let Some(row) = self.row(&Key::new(Kind::Grant, tenant.as_str())).await? else { return Ok(None) };
        Ok(match record::read_plain_grant(tenant, &row) {
            Ok(PlainState::Held(grant)) => Some(grant.client_id),
            Ok(PlainState::Disconnected(end)) => end.client_id,
            // A record that cannot be read can be connected over.
            Ok(PlainState::Gone) | Err(_) => None,
        })
    }

    /// How many tenants are connected through each client of `origin`.
    pub async fn grants_by_client(&self, origin: &Origin) -> Result<HashMap<String, u64>, StoreError> {
        let mut counts = HashMap::new();
        self.each_grant(async |ConnectedGrant { grant, .. }| {
            if grant.origin == *origin {
                *counts.entry(grant.client_id.clone()).or_default() += 1;
            }
            Ok(())
        })
        .await?;
        Ok(counts)
    }

    /// Marks every grant of the client as ended with it; answers how many that were. Flexslot has revoked them itself, so
    /// that nobody has to be told.
    pub async fn end_grants_of(&self, client_id: &str, origin: &Origin) -> Result<u64, StoreError> {
        let mut ended = 0;
        self.each_grant(async |connected| {
            if is_of(connected, client_id, origin) {
                ended += u64::from(self.end_with_client(&connected.tenant, client_id, origin).await?);
            }
            Ok(())
        })
        .await?;
        Ok(ended)
    }

    async fn end_with_client(&self, tenant: &TenantId, client_id: &str, origin: &Origin) -> Result<bool, StoreError> {
        let key = Key::new(Kind::Grant, tenant.as_str());
        loop {
            let Some(row) = self.row(&key).await? else { return Ok(false) };
            let PlainState::Held(grant) = record::read_plain_grant(tenant, &row)? else { return Ok(false) };
            if grant.client_id != client_id || grant.origin != *origin {
                return Ok(false);
            }
            let (id, version, at) = (grant.id, grant.version, self.now().await?);
            let (reason, client_id) = (DisconnectReason::ClientRevoked, Some(grant.client_id));
            let end = Disconnected { id, version, client_id, reason, at };
            // A conflict means that somebody else has written in between, a refreshed pair for one.
            if self.end(tenant, Expect::Revision(row.revision), &end).await? == Cas::Stored {
                return Ok(true);
            }
        }
    }

    async fn each_grant(
        &self,
        mut look: impl AsyncFnMut(&ConnectedGrant) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut after: Option<String> = None;
        loop {
            let page = self.connected(after.as_deref(), PAGE).await?;
            for connected in &page.grants {
                look(connected).await?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }
}

fn is_of(ConnectedGrant { grant, .. }: &ConnectedGrant, client_id: &str, origin: &Origin) -> bool {
    grant.client_id == client_id && grant.origin == *origin
}
