//! A backend in whose next write somebody meddles.

use std::{pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{
    model::{TenantId, Timestamp, token::Owner},
    store::{
        StoreError,
        backend::{Backend, Bid, Change, Key, Kind, Pulse, Revision, Row, RowState, Written},
    },
};

type Meddling = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Another backend, with something that happens before its next write.
pub(in crate::store) struct Meddled {
    inner: Arc<dyn Backend>,
    before: Mutex<Option<Meddling>>,
}

impl Meddled {
    pub(in crate::store) fn new(inner: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self { inner, before: Mutex::default() })
    }

    pub(in crate::store) fn before_the_next_write(&self, meddling: impl Future<Output = ()> + Send + 'static) {
        *self.before.lock() = Some(Box::pin(meddling));
    }
}

#[async_trait]
impl Backend for Meddled {
    async fn store_id(&self) -> Result<[u8; 16], StoreError> {
        self.inner.store_id().await
    }
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.inner.now().await
    }
    async fn pulse(&self, beside: &Key) -> Result<Pulse, StoreError> {
        self.inner.pulse(beside).await
    }
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, StoreError> {
        self.inner.get(keys).await
    }
    async fn write(&self, changes: Vec<Change>) -> Result<Written, StoreError> {
        let meddling = self.before.lock().take();
        if let Some(meddling) = meddling {
            meddling.await;
        }
        self.inner.write(changes).await
    }
    async fn list(
        &self,
        kind: Kind,
        state: Option<RowState>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, StoreError> {
        self.inner.list(kind, state, after, limit).await
    }
    async fn changes(&self, since: Revision, limit: usize) -> Result<(Revision, Vec<(Key, Revision)>), StoreError> {
        self.inner.changes(since, limit).await
    }
    async fn bid(&self, tenant: &TenantId, owner: &Owner, length: Duration, by: Timestamp) -> Result<Bid, StoreError> {
        self.inner.bid(tenant, owner, length, by).await
    }
    async fn release(&self, tenant: &TenantId, owner: &Owner) -> Result<(), StoreError> {
        self.inner.release(tenant, owner).await
    }
    async fn touch(&self, used: &[(Key, Timestamp)]) -> Result<(), StoreError> {
        self.inner.touch(used).await
    }
    async fn purge(&self, kind: Kind, before: Timestamp) -> Result<u64, StoreError> {
        self.inner.purge(kind, before).await
    }
}
