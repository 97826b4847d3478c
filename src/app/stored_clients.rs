//! The OAuth clients of the store, for who talks to the OAuth server.

use std::{
    collections::{BTreeSet, HashMap},
    mem,
    sync::Arc,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    flexslot::{ClientSource, StoredClient, StoredClients, registry::LONGEST_ROTATION},
    model::Origin,
    store::{
        ClientRecord, ClientRecords, ClientStep, Generation, GoneClient, StoreError, TokenStore, UnreadableClient,
    },
};

/// Looks for them in the store.
struct OfStore {
    store: TokenStore,
    /// A client of another origin is none here.
    origin: Origin,
    /// What was there last, by id: a store that comes back empty or older is given it again.
    held: Mutex<HashMap<String, Held>>,
    /// Rows that cannot be read, which is told once.
    unreadable: Mutex<BTreeSet<String>>,
}

/// What was found of a client.
#[derive(Clone)]
enum Held {
    Client(Box<ClientRecord>),
    /// It was removed.
    Gone(GoneClient),
}

/// Those of `store` that are registered at `origin`; none before they are loaded.
pub(super) fn of_store(store: &TokenStore, origin: &Origin) -> Arc<StoredClients> {
    Arc::new(StoredClients::new(Arc::new(OfStore::new(store, origin))))
}

/// The same, loaded.
pub(super) async fn loaded(store: &TokenStore, origin: &Origin) -> Arc<StoredClients> {
    let stored = of_store(store, origin);
    stored.load().await;
    stored
}

// === impl OfStore ===

impl OfStore {
    fn new(store: &TokenStore, origin: &Origin) -> Self {
        Self { store: store.clone(), origin: origin.clone(), held: Mutex::default(), unreadable: Mutex::default() }
    }

    /// What there is, after the store was given again what it has lost. Of a client whose row does not open it is what
    /// was known before.
    async fn found(&self) -> Result<Vec<ClientRecord>, StoreError> {
        let held = self.held.lock().clone();
        let mut found = self.store.clients().await?;
        if self.give_back(&held, &found).await? {
            found = self.store.clients().await?;
        }
        self.tell(&found.unreadable);
        let now = newest(held, found);
        *self.held.lock() = now.clone();
        Ok(now
            .into_values()
            .filter_map(|held| match held {
                Held::Client(kept) => Some(*kept),
                Held::Gone(_) => None,
            })
            .collect())
    }

    /// Answers whether anything was written.
    async fn give_back(&self, held: &HashMap<String, Held>, found: &ClientRecords) -> Result<bool, StoreError> {
        let there: HashMap<_, _> =
            found.clients.iter().map(|kept| (kept.client.client_id.as_str(), kept.generation)).collect();
        let is_settled = |id: &str| {
            found.gone.iter().any(|gone| gone.client_id == id) || found.unreadable.iter().any(|row| row.name == id)
        };
        let mut has_written = false;
        for (client_id, held) in held.iter().filter(|(id, _)| !is_settled(id)) {
            let there = there.get(client_id.as_str());
            let (has, what) = match held {
                Held::Client(kept) if there.is_none_or(|there| *there < kept.generation) => (
                    self.store.restore_client(kept).await?,
                    "the store had lost an OAuth client, or the newest of it, and has it again",
                ),
                Held::Gone(gone) if there.is_some_and(|there| *there < gone.generation) => (
                    self.store.remove_again(gone).await?,
                    "the store had a removed OAuth client again, and has it no more",
                ),
                Held::Client(_) | Held::Gone(_) => continue,
            };
            if has {
                tracing::warn!(client_id, "{what}");
                has_written = true;
            }
        }
        Ok(has_written)
    }

    fn tell(&self, unreadable: &[UnreadableClient]) {
        let names = unreadable.iter().map(|row| row.name.clone()).collect();
        let before = mem::replace(&mut *self.unreadable.lock(), names);
        for UnreadableClient { error, .. } in unreadable.iter().filter(|row| !before.contains(&row.name)) {
            tracing::error!(%error, "an OAuth client of the store cannot be read; what was known of it stays in use");
        }
    }
}

/// Of each client the later of what was held and what was found. What does not open, or is missing without a marker, is as
/// it was.
fn newest(mut all: HashMap<String, Held>, found: ClientRecords) -> HashMap<String, Held> {
    all.extend(found.gone.into_iter().map(|gone| (gone.client_id.clone(), Held::Gone(gone))));
    for kept in found.clients {
        let is_older = all.get(&kept.client.client_id).is_some_and(|held| kept.generation < held.generation());
        if !is_older {
            all.insert(kept.client.client_id.clone(), Held::Client(Box::new(kept)));
        }
    }
    all
}

// === impl Held ===

impl Held {
    fn generation(&self) -> Generation {
        match self {
            Self::Client(kept) => kept.generation,
            Self::Gone(gone) => gone.generation,
        }
    }
}

#[async_trait]
impl ClientSource for OfStore {
    async fn load(&self) -> Result<Vec<StoredClient>, String> {
        let found = self.found().await.map_err(|error| error.to_string())?;
        let now = self.store.now().await.map_err(|error| error.to_string())?;
        let rotating_until = |kept: &ClientRecord| {
            let intent = kept.intent.as_ref().filter(|intent| intent.step == ClientStep::Rotate)?;
            // An age below zero counts as old.
            let left = LONGEST_ROTATION.saturating_sub(now.since(intent.at)?);
            (!left.is_zero()).then(|| Instant::now() + left)
        };
        let ours = found.into_iter().filter(|kept| kept.origin == self.origin);
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

#[cfg(test)]
mod tests;
