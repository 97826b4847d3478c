//! The OAuth clients of the store, for who talks to the OAuth server.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    flexslot::{ClientSource, StoredClient, StoredClients, registry::ROTATION},
    model::Origin,
    store::{ClientStep, KeptClient, KeptClients, StoreError, TokenStore},
};

/// Looks for them in the store.
struct OfStore {
    store: TokenStore,
    /// A client of another origin is none here.
    origin: Origin,
    /// What was there last. A removal leaves a marker in the store; what is gone without one, a store that came back
    /// empty has lost.
    held: Mutex<HashMap<String, KeptClient>>,
}

/// Those of `store` that are registered at `origin`; none before they are loaded.
pub(super) fn of_store(store: &TokenStore, origin: &Origin) -> Arc<StoredClients> {
    Arc::new(StoredClients::new(Arc::new(OfStore {
        store: store.clone(),
        origin: origin.clone(),
        held: Mutex::default(),
    })))
}

/// The same, loaded.
pub(super) async fn loaded(store: &TokenStore, origin: &Origin) -> Arc<StoredClients> {
    let stored = of_store(store, origin);
    stored.load().await;
    stored
}

impl OfStore {
    /// What is there, after the store was given again what it has lost.
    async fn found(&self) -> Result<KeptClients, StoreError> {
        let found = self.store.clients().await?;
        let held: Vec<_> = self.held.lock().values().cloned().collect();
        let mut has_given = false;
        for kept in &held {
            let is_held = |other: &KeptClient| other.client.client_id == kept.client.client_id;
            if !found.clients.iter().any(is_held) && self.store.restore_client(kept).await? {
                tracing::warn!(
                    client_id = kept.client.client_id,
                    "the store had lost an OAuth client, and has it again"
                );
                has_given = true;
            }
        }
        let found = if has_given { self.store.clients().await? } else { found };
        let by_id = found.clients.iter().map(|kept| (kept.client.client_id.clone(), kept.clone()));
        *self.held.lock() = by_id.collect();
        Ok(found)
    }
}

#[async_trait]
impl ClientSource for OfStore {
    async fn load(&self) -> Result<Vec<StoredClient>, String> {
        let found = self.found().await.map_err(|error| error.to_string())?;
        for error in &found.unreadable {
            tracing::error!(%error, "an OAuth client of the store cannot be read, and is not used");
        }
        let now = self.store.now().await.map_err(|error| error.to_string())?;
        let rotating_until = |kept: &KeptClient| {
            let intent = kept.intent.as_ref().filter(|intent| intent.step == ClientStep::Rotate)?;
            // An age below zero counts as old.
            let left = ROTATION.saturating_sub(now.since(intent.at)?);
            (!left.is_zero()).then(|| Instant::now() + left)
        };
        let ours = found.clients.into_iter().filter(|kept| kept.origin == self.origin);
        Ok(ours
            .filter(|kept| kept.is_presentable() || rotating_until(kept).is_some())
            .map(|kept| StoredClient {
                rotating_until: rotating_until(&kept),
                client: kept.client,
                secret: kept.secret,
            })
            .collect())
    }
}
