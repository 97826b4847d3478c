//! What sidecars share: a store, and Flexslot.

use std::sync::Arc;

use flexslot_proxy::{
    model::Random,
    proxy::urls::Bodies,
    store::{
        TokenStore,
        memory::MemoryBackend,
        seal::{KeyRing, Sealer},
    },
};

use super::{
    Clockwork, Which,
    flexslot::{Door, Flexslot},
    random,
    sidecar::{Plan, Sidecar},
    store::{Frail, Mood},
    upstream::Upstream,
};

/// A store in memory and an OAuth server, before anybody uses them.
pub struct World {
    pub backend: Arc<MemoryBackend>,
    pub flexslot: Arc<Flexslot>,
    pub random: Random,
    /// The store's own.
    pub clock: Clockwork,
    sealer: Sealer,
}

// === impl World ===

impl World {
    pub async fn new() -> Self {
        let (random, clock) = (random(), Clockwork::new());
        let backend = Arc::new(MemoryBackend::new(Arc::new(clock.clone()), &random));
        let sealer = Sealer::new(KeyRing::ephemeral(&random), random.clone());
        let store = TokenStore::open(backend.clone(), sealer.clone(), random.clone()).await.expect("a new store");
        Self { backend, flexslot: Arc::new(Flexslot::new(store)), random, clock, sealer }
    }

    /// The same store, for a process that reaches it in this mood.
    pub async fn store(&self, mood: Arc<Mood>) -> TokenStore {
        let backend = Frail { inner: self.backend.clone(), mood, flexslot: self.flexslot.clone() };
        let opened = TokenStore::open(Arc::new(backend), self.sealer.clone(), self.random.clone());
        opened.await.expect("a store that is there")
    }

    /// One more sidecar, by its own clock, in front of an upstream of its own.
    pub async fn sidecar(
        &self,
        which: Which,
        clock: &Clockwork,
        mood: &Arc<Mood>,
        upstream: &Upstream,
        rewrites: Option<Bodies>,
    ) -> Sidecar {
        let plan = Plan {
            door: Door { flexslot: self.flexslot.clone(), sidecar: which },
            store: self.store(mood.clone()).await,
            clock: Arc::new(clock.clone()),
            random: self.random.clone(),
            upstream: upstream.clone(),
            rewrites,
        };
        plan.start().await
    }
}
