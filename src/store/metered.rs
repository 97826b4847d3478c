//! Counts and times what a backend does, and notes it for whoever's trace is exported.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{
    StoreError,
    backend::{Backend, Bid, Change, Key, Kind, Listed, Names, Pulse, Revision, Row, RowState, Written},
};
use crate::model::{
    Observer, TenantId, Timestamp,
    observe::StoreOutcome,
    token::Owner,
    trace::operations::{Asked, note},
};

/// A backend that tells an observer about every operation.
pub struct Metered {
    inner: Arc<dyn Backend>,
    observer: Arc<dyn Observer>,
}

// === impl Metered ===

impl Metered {
    /// `inner`, watched by `observer`.
    pub fn new(inner: Arc<dyn Backend>, observer: Arc<dyn Observer>) -> Self {
        Self { inner, observer }
    }

    async fn timed<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let started = Instant::now();
        let done = work.await;
        let outcome = if done.is_ok() { StoreOutcome::Ok } else { StoreOutcome::Error };
        self.observer.store(operation, outcome, started.elapsed());
        note(started, || Asked::Store(operation, outcome));
        done
    }
}

#[async_trait]
impl Backend for Metered {
    async fn store_id(&self) -> Result<[u8; 16], StoreError> {
        self.timed("store_id", self.inner.store_id()).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.timed("now", self.inner.now()).await
    }

    async fn pulse(&self, beside: &Key) -> Result<Pulse, StoreError> {
        self.timed("pulse", self.inner.pulse(beside)).await
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, StoreError> {
        self.timed("get", self.inner.get(keys)).await
    }

    async fn write(&self, changes: Vec<Change>) -> Result<Written, StoreError> {
        self.timed("write", self.inner.write(changes)).await
    }

    async fn list(
        &self,
        kind: Kind,
        state: Option<RowState>,
        names: Names<'_>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        self.timed("list", self.inner.list(kind, state, names, limit)).await
    }

    async fn changes(&self, since: Revision, limit: usize) -> Result<(Revision, Vec<(Key, Revision)>), StoreError> {
        self.timed("changes", self.inner.changes(since, limit)).await
    }

    async fn bid(&self, tenant: &TenantId, owner: &Owner, length: Duration, by: Timestamp) -> Result<Bid, StoreError> {
        self.timed("bid", self.inner.bid(tenant, owner, length, by)).await
    }

    async fn release(&self, tenant: &TenantId, owner: &Owner) -> Result<(), StoreError> {
        self.timed("release", self.inner.release(tenant, owner)).await
    }

    async fn touch(&self, used: &[(Key, Timestamp)]) -> Result<(), StoreError> {
        self.timed("touch", self.inner.touch(used)).await
    }

    async fn purge(&self, kind: Kind, before: Timestamp) -> Result<u64, StoreError> {
        self.timed("purge", self.inner.purge(kind, before)).await
    }

    fn exposure(&self) -> Option<String> {
        self.inner.exposure()
    }

    async fn caveats(&self) -> Result<Vec<String>, StoreError> {
        self.timed("caveats", self.inner.caveats()).await
    }
}

impl fmt::Debug for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metered").finish_non_exhaustive()
    }
}
