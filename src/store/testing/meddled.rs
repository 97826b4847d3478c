//! A backend in whose next write somebody meddles, or that is halted with a write under way.

use std::{mem, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{
    model::{TenantId, Timestamp, token::Owner},
    store::{
        StoreError,
        backend::{Backend, Bid, Change, Key, Kind, Listed, Names, Pulse, Revision, Row, RowState, Written},
    },
};

type Meddling = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Another backend, with something that happens before its next write.
pub(in crate::store) struct Meddled {
    inner: Arc<dyn Backend>,
    before: Mutex<Option<Meddling>>,
    held_up: Mutex<HeldUp>,
}

/// What became of a write that nobody waits for any more.
#[derive(Default)]
enum HeldUp {
    #[default]
    Nothing,
    /// The next write.
    Next,
    /// This one.
    Write(Vec<Change>),
}

impl Meddled {
    pub(in crate::store) fn new(inner: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self { inner, before: Mutex::default(), held_up: Mutex::default() })
    }

    pub(in crate::store) fn before_the_next_write(&self, meddling: impl Future<Output = ()> + Send + 'static) {
        *self.before.lock() = Some(Box::pin(meddling));
    }

    /// The next write times out, and has still not been done.
    pub(in crate::store) fn hold_up_the_next_write(&self) {
        *self.held_up.lock() = HeldUp::Next;
    }

    /// Does what was held up, as a server does that goes on.
    pub(in crate::store) async fn go_on(&self) {
        let HeldUp::Write(changes) = mem::take(&mut *self.held_up.lock()) else { panic!("nothing was held up") };
        let _ = self.inner.write(changes).await.expect("answered");
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
        if let next @ HeldUp::Next = &mut *self.held_up.lock() {
            *next = HeldUp::Write(changes);
            return Err(StoreError::Unavailable("no answer in time".into()));
        }
        self.inner.write(changes).await
    }
    async fn list(
        &self,
        kind: Kind,
        state: Option<RowState>,
        names: Names<'_>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        self.inner.list(kind, state, names, limit).await
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
