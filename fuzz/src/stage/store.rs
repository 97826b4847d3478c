//! A store in memory that one sidecar reaches, or does not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use flexslot_proxy::{
    model::{TenantId, Timestamp, token::Owner},
    store::{
        StoreError,
        backend::{Backend, Bid, Change, Key, Kind, Listed, Names, Pulse, Revision, Row, RowState, Written},
        memory::MemoryBackend,
    },
};

use super::flexslot::Flexslot;

/// How one sidecar fares with the store.
#[derive(Debug, Default)]
pub struct Mood {
    pub refuses_reads: AtomicBool,
    pub refuses_writes: AtomicBool,
    /// So many writes happen, and their answers are lost.
    pub loses_answers: AtomicUsize,
}

/// One sidecar's way to the store. Flexslot is shown what becomes of the grants, since intents are its business.
pub struct Frail {
    pub inner: Arc<MemoryBackend>,
    pub mood: Arc<Mood>,
    pub flexslot: Arc<Flexslot>,
}

// === impl Mood ===

impl Mood {
    /// Whether what others have written can be read.
    pub fn hears(&self) -> bool {
        !self.refuses_reads.load(Ordering::Relaxed)
    }

    pub fn heal(&self) {
        self.refuses_reads.store(false, Ordering::Relaxed);
        self.refuses_writes.store(false, Ordering::Relaxed);
        self.loses_answers.store(0, Ordering::Relaxed);
    }

    fn reads(&self) -> Result<(), StoreError> {
        if self.refuses_reads.load(Ordering::Relaxed) { Err(out_of_reach()) } else { Ok(()) }
    }

    fn writes(&self) -> Result<(), StoreError> {
        if self.refuses_writes.load(Ordering::Relaxed) { Err(out_of_reach()) } else { Ok(()) }
    }
}

fn out_of_reach() -> StoreError {
    StoreError::Unavailable("scripted".into())
}

// === impl Frail ===

#[async_trait]
impl Backend for Frail {
    async fn store_id(&self) -> Result<[u8; 16], StoreError> {
        self.mood.reads()?;
        self.inner.store_id().await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.mood.reads()?;
        self.inner.now().await
    }

    async fn pulse(&self, beside: &Key) -> Result<Pulse, StoreError> {
        self.mood.reads()?;
        self.inner.pulse(beside).await
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, StoreError> {
        self.mood.reads()?;
        self.inner.get(keys).await
    }

    async fn write(&self, changes: Vec<Change>) -> Result<Written, StoreError> {
        self.mood.writes()?;
        let grants = changes.iter().filter(|change| change.key.kind == Kind::Grant);
        let tenants: Vec<TenantId> = grants.filter_map(|change| change.key.name.parse().ok()).collect();
        let written = self.inner.write(changes).await;
        for tenant in &tenants {
            self.flexslot.grant_was_written(tenant).await;
        }
        let is_lost = |left: usize| left.checked_sub(1);
        match self.mood.loses_answers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_lost) {
            Ok(_) => Err(out_of_reach()),
            Err(_) => written,
        }
    }

    async fn list(
        &self,
        kind: Kind,
        state: Option<RowState>,
        names: Names<'_>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        self.mood.reads()?;
        self.inner.list(kind, state, names, limit).await
    }

    async fn changes(&self, since: Revision, limit: usize) -> Result<(Revision, Vec<(Key, Revision)>), StoreError> {
        self.mood.reads()?;
        self.inner.changes(since, limit).await
    }

    async fn bid(&self, tenant: &TenantId, owner: &Owner, length: Duration, by: Timestamp) -> Result<Bid, StoreError> {
        self.mood.writes()?;
        self.inner.bid(tenant, owner, length, by).await
    }

    async fn release(&self, tenant: &TenantId, owner: &Owner) -> Result<(), StoreError> {
        self.mood.writes()?;
        self.inner.release(tenant, owner).await
    }

    async fn touch(&self, used: &[(Key, Timestamp)]) -> Result<(), StoreError> {
        self.mood.writes()?;
        self.inner.touch(used).await
    }

    async fn purge(&self, kind: Kind, before: Timestamp) -> Result<u64, StoreError> {
        self.mood.writes()?;
        self.inner.purge(kind, before).await
    }
}
