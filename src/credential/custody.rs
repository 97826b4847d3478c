//! Outcomes of token requests, until the store has them.
//!
//! An outcome is offered to the store first. When the store refuses, a new pair is written sealed to the spool, and
//! every outcome is offered again until the store takes it or has moved on. A pair that neither store nor spool takes
//! is at risk: `/readyz` says so.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;

use crate::{
    model::{
        GrantId, TenantId,
        failpoint::{Step, reach},
        token::Intent,
    },
    store::{
        Cas, Settlement, TokenStore,
        spool::{Drained, Spool},
    },
};

/// Where an outcome is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Stored,
    /// In memory, and if it is a pair, in the spool unless that refuses too; offered again until the store takes it.
    Waiting,
    /// The record has moved on; the outcome is void.
    Moved,
}

/// What became of the pair that the spool may have of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recovery {
    Stored,
    /// There is none.
    Nothing,
    /// There may be one, and the store cannot have it now.
    Blocked,
}

/// Offers outcomes to the store.
pub(super) struct Custody {
    store: TokenStore,
    /// `None` where nothing is durable anyway (`memory:`).
    spool: Option<Spool>,
    waiting: Mutex<BTreeMap<TenantId, Waiting>>,
    /// Something was left in the spool when it was emptied last.
    leftovers: AtomicBool,
}

/// An outcome that the store has refused.
#[derive(Clone)]
struct Waiting {
    intent: Intent,
    settlement: Settlement,
    place: Place,
}

/// Where a waiting outcome would survive the process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It has none, and needs none: a lost withdrawal or end costs another token request at most.
    Memory,
    Spool,
    /// It has none and needs one.
    AtRisk,
}

// === impl Custody ===

impl Custody {
    pub(super) fn new(store: TokenStore, spool: Option<Spool>) -> Self {
        Self { store, spool, waiting: Mutex::default(), leftovers: AtomicBool::new(false) }
    }

    /// Keeps the outcome of `intent`.
    pub(super) async fn keep(&self, tenant: &TenantId, intent: &Intent, settlement: Settlement) -> Kept {
        match self.store.settle(tenant, intent, settlement.clone()).await {
            Ok(Cas::Stored) => return Kept::Stored,
            Ok(Cas::Moved) => return Kept::Moved,
            Err(error) => {
                tracing::error!(%tenant, %error, "the store does not take the outcome of a token request; it is offered again")
            }
        }
        self.hold(tenant, intent, settlement).await
    }

    /// Holds the outcome of `intent` until the store takes it.
    pub(super) async fn hold(&self, tenant: &TenantId, intent: &Intent, settlement: Settlement) -> Kept {
        let place = self.spool(tenant, intent, &settlement).await;
        let waiting = Waiting { intent: intent.clone(), settlement, place };
        self.waiting.lock().insert(tenant.clone(), waiting);
        Kept::Waiting
    }

    async fn spool(&self, tenant: &TenantId, intent: &Intent, settlement: &Settlement) -> Place {
        let (Settlement::Renewed(grant), Some(spool)) = (settlement, &self.spool) else { return Place::Memory };
        reach(Step::PairRefused);
        match spool.put(tenant, intent, grant).await {
            Ok(()) => Place::Spool,
            Err(error) => {
                tracing::error!(%tenant, %error, "the spool refuses the new tokens too: they are in memory alone until one of the two takes them");
                Place::AtRisk
            }
        }
    }

    /// Stores the pair of `grant` that this or an earlier process left in the spool, if there is one.
    pub(super) async fn recover(&self, tenant: &TenantId, grant: GrantId) -> Recovery {
        if self.spool.is_none() {
            return Recovery::Nothing;
        }
        match self.empty_spool().await {
            Some(drained) if drained.stored.contains(tenant) => Recovery::Stored,
            Some(drained) if !drained.may_hold_back(grant) => Recovery::Nothing,
            _ => Recovery::Blocked,
        }
    }

    /// Hands everything in the spool to the store. Called before the first request, and before a last resort.
    pub(super) async fn empty_spool(&self) -> Option<Drained> {
        let spool = self.spool.as_ref()?;
        let drained = spool.drain(&self.store).await;
        self.leftovers.store(!drained.as_ref().is_ok_and(|drained| drained.waiting.is_empty()), Ordering::Relaxed);
        let drained = match drained {
            Ok(drained) => drained,
            Err(error) => {
                tracing::warn!(%error, "the spool cannot be emptied; it is tried again");
                return None;
            }
        };
        for tenant in &drained.stored {
            tracing::info!(%tenant, "a token pair from the spool was stored");
        }
        for tenant in &drained.dropped {
            tracing::info!(%tenant, "a token pair in the spool need not be stored any more: the record has moved on");
        }
        for (path, error) in &drained.waiting {
            tracing::warn!(file = %path.display(), %error, "a token pair stays in the spool");
        }
        Some(drained)
    }

    /// What an earlier emptying left in the spool, offered once more.
    pub(super) async fn retry_spool(&self) {
        if self.leftovers.load(Ordering::Relaxed) {
            self.empty_spool().await;
        }
    }

    /// Offers everything that waits, once. Answers whose record had moved on without it.
    pub(super) async fn offer(&self) -> Vec<TenantId> {
        let waiting: Vec<_> =
            self.waiting.lock().iter().map(|(tenant, waiting)| (tenant.clone(), waiting.clone())).collect();
        let mut moved = Vec::new();
        for (tenant, waiting) in waiting {
            match self.store.settle(&tenant, &waiting.intent, waiting.settlement.clone()).await {
                Ok(outcome) => {
                    self.done(&tenant, &waiting, outcome).await;
                    moved.extend((outcome == Cas::Moved).then_some(tenant));
                }
                Err(_) if waiting.place == Place::AtRisk => {
                    let place = self.spool(&tenant, &waiting.intent, &waiting.settlement).await;
                    if let Some(held) = self.waiting.lock().get_mut(&tenant)
                        && held.intent == waiting.intent
                    {
                        held.place = place;
                    }
                }
                Err(_) => {}
            }
        }
        moved
    }

    /// The store says that `tenant` has the grant `id`: what waits of another one is void, also for a store that comes
    /// back without this one.
    pub(super) async fn void_all_but(&self, tenant: &TenantId, id: GrantId) {
        let void = self.waiting.lock().get(tenant).filter(|held| held.intent.grant != id).cloned();
        let Some(void) = void else { return };
        // First the file: whoever is cut off in between finds what waits once more, and not a file that nobody knows.
        if let (Settlement::Renewed(grant), Some(spool)) = (&void.settlement, &self.spool)
            && let Err(error) = spool.forget(grant).await
        {
            tracing::warn!(%tenant, %error, "a token pair that is void stays in the spool");
        }
        self.forget(tenant, &void);
        tracing::info!(%tenant, "the outcome of a token request need not be stored any more: the tenant has another grant");
    }

    /// Holds `done` no longer, unless another outcome has taken its place.
    fn forget(&self, tenant: &TenantId, done: &Waiting) {
        let mut waiting = self.waiting.lock();
        if waiting.get(tenant).is_some_and(|held| held.intent == done.intent) {
            waiting.remove(tenant);
        }
    }

    async fn done(&self, tenant: &TenantId, done: &Waiting, outcome: Cas) {
        self.forget(tenant, done);
        if done.place == Place::Spool {
            self.empty_spool().await;
        }
        match outcome {
            Cas::Stored => {
                tracing::info!(%tenant, "the store took the outcome of a token request that it had refused before");
            }
            Cas::Moved => {
                tracing::info!(%tenant, "the outcome of a token request need not be stored any more: the record has moved on");
            }
        }
    }

    /// Whether the store has still to take an outcome of `tenant`.
    pub(super) fn awaits(&self, tenant: &TenantId) -> bool {
        self.waiting.lock().contains_key(tenant)
    }

    /// Whether the outcome of this very intent waits for the store.
    pub(super) fn holds(&self, tenant: &TenantId, intent: &Intent) -> bool {
        self.waiting.lock().get(tenant).is_some_and(|held| held.intent == *intent)
    }

    /// Of whom that is.
    pub(super) fn awaited(&self) -> Vec<TenantId> {
        self.waiting.lock().keys().cloned().collect()
    }

    /// How many outcomes wait for the store.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.lock().len()
    }

    /// How many pairs are in memory alone.
    pub(super) fn at_risk(&self) -> usize {
        self.waiting.lock().values().filter(|waiting| waiting.place == Place::AtRisk).count()
    }
}
