//! A store that can be put out of reach.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
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

/// The switch; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Frailty(Arc<AtomicBool>);

/// A store in memory that fails while its switch is on.
pub(crate) struct Frail {
    pub(crate) inner: MemoryBackend,
    pub(crate) frailty: Frailty,
}

// === impl Frailty ===

impl Frailty {
    pub(crate) fn out_of_reach(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn back(&self) {
        self.0.store(false, Ordering::Release);
    }

    fn check(&self) -> Result<(), StoreError> {
        match self.0.load(Ordering::Acquire) {
            true => Err(StoreError::Unavailable("out of reach for this test".into())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Backend for Frail {
    async fn store_id(&self) -> Result<[u8; 16], StoreError> {
        self.frailty.check()?;
        self.inner.store_id().await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.frailty.check()?;
        self.inner.now().await
    }

    async fn pulse(&self, beside: &Key) -> Result<Pulse, StoreError> {
        self.frailty.check()?;
        self.inner.pulse(beside).await
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, StoreError> {
        self.frailty.check()?;
        self.inner.get(keys).await
    }

    async fn write(&self, changes: Vec<Change>) -> Result<Written, StoreError> {
        self.frailty.check()?;
        self.inner.write(changes).await
    }

    async fn list(
        &self,
        kind: Kind,
        state: Option<RowState>,
        names: Names<'_>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        self.frailty.check()?;
        self.inner.list(kind, state, names, limit).await
    }

    async fn changes(&self, since: Revision, limit: usize) -> Result<(Revision, Vec<(Key, Revision)>), StoreError> {
        self.frailty.check()?;
        self.inner.changes(since, limit).await
    }

    async fn bid(&self, tenant: &TenantId, owner: &Owner, length: Duration, by: Timestamp) -> Result<Bid, StoreError> {
        self.frailty.check()?;
        self.inner.bid(tenant, owner, length, by).await
    }

    async fn release(&self, tenant: &TenantId, owner: &Owner) -> Result<(), StoreError> {
        self.frailty.check()?;
        self.inner.release(tenant, owner).await
    }

    async fn touch(&self, used: &[(Key, Timestamp)]) -> Result<(), StoreError> {
        self.frailty.check()?;
        self.inner.touch(used).await
    }

    async fn purge(&self, kind: Kind, before: Timestamp) -> Result<u64, StoreError> {
        self.frailty.check()?;
        self.inner.purge(kind, before).await
    }
}
