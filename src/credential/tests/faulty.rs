//! A backend that fails, answers late or panics when told to.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::sleep};

use crate::{
    model::{TenantId, Timestamp, token::Owner},
    store::{
        StoreError,
        backend::{Backend, Bid, Change, Key, Kind, Listed, Names, Pulse, Revision, Row, RowState, Written},
        memory::MemoryBackend,
    },
};

/// How long an engine waits for its server.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// A memory store with faults. Everything works unless a test says otherwise.
pub(super) struct Faulty {
    pub(super) inner: Arc<MemoryBackend>,
    refuses_writes: AtomicBool,
    refuses_reads: AtomicBool,
    refuses_changes: AtomicBool,
    halted: AtomicBool,
    /// What becomes of the next writes, one each.
    writes: Mutex<VecDeque<Fault>>,
    /// What becomes of the next reads of records, one each.
    reads: Mutex<VecDeque<Fault>>,
    /// What becomes of the next look at the clock.
    clock: Mutex<Option<Fault>>,
    panics_at_changes: AtomicBool,
    /// How much later the store comes to the next bids, one each.
    slow_bids: Mutex<VecDeque<Duration>>,
    /// How often the store was connected to anew.
    connections: AtomicU64,
    /// How long a read of records takes.
    latency: Mutex<Duration>,
    /// Whose record cannot be read when it is asked for alone.
    never_alone: Mutex<Option<String>>,
    pub(super) times_read: AtomicUsize,
    /// Anybody may listen on the way to it.
    pub(super) exposed: AtomicBool,
    /// It may lose what it has been given.
    pub(super) forgetful: AtomicBool,
}

/// What can go wrong with one operation.
pub(super) enum Fault {
    /// It does not happen.
    Refused,
    /// It happens, and its answer is lost.
    AnswerLost,
    /// It does not happen, and the answer takes until the gate has a permit.
    RefusedLate(Arc<Semaphore>),
    /// It happens, and its answer takes until the gate has a permit.
    Late(Arc<Semaphore>),
    /// It happens when the gate has a permit.
    Stalled(Arc<Semaphore>),
}

// === impl Faulty ===

impl Faulty {
    pub(super) fn new(inner: Arc<MemoryBackend>) -> Self {
        Self {
            inner,
            refuses_writes: AtomicBool::new(false),
            refuses_reads: AtomicBool::new(false),
            refuses_changes: AtomicBool::new(false),
            halted: AtomicBool::new(false),
            writes: Mutex::default(),
            reads: Mutex::default(),
            clock: Mutex::default(),
            panics_at_changes: AtomicBool::new(false),
            slow_bids: Mutex::default(),
            connections: AtomicU64::new(1),
            latency: Mutex::default(),
            never_alone: Mutex::default(),
            times_read: AtomicUsize::new(0),
            exposed: AtomicBool::default(),
            forgetful: AtomicBool::default(),
        }
    }

    pub(super) fn refuse_writes(&self, refuse: bool) {
        self.refuses_writes.store(refuse, Ordering::SeqCst);
    }

    pub(super) fn refuse_reads(&self, refuse: bool) {
        self.refuses_reads.store(refuse, Ordering::SeqCst);
    }

    /// Nobody is told of changes, while everything else works.
    pub(super) fn refuse_changes(&self) {
        self.refuses_changes.store(true, Ordering::SeqCst);
    }

    /// From now on nothing happens any more, and each operation takes [`PATIENCE`] to fail.
    pub(super) fn halt(&self) {
        self.halted.store(true, Ordering::SeqCst);
    }

    async fn moving(&self) -> Result<(), StoreError> {
        match self.halted.load(Ordering::SeqCst) {
            true => {
                sleep(PATIENCE).await;
                Err(unavailable())
            }
            false => Ok(()),
        }
    }

    /// The store comes to the next bid so much later.
    pub(super) fn slow_bid(&self, late: Duration) {
        self.slow_bids.lock().push_back(late);
    }

    /// The connection to the store breaks and is made anew before anybody asks.
    pub(super) fn reconnect(&self) {
        self.connections.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn next_write(&self, fault: Fault) {
        self.writes.lock().push_back(fault);
    }

    pub(super) fn next_read(&self, fault: Fault) {
        self.reads.lock().push_back(fault);
    }

    /// The next read of a record sees what is there now, and answers when the gate has a permit.
    pub(super) fn hold_next_read(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.next_read(Fault::Late(Arc::clone(&gate)));
        gate
    }

    pub(super) fn hold_next_write(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.next_write(Fault::Late(Arc::clone(&gate)));
        gate
    }

    pub(super) fn hold_next_clock(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.clock.lock() = Some(Fault::Late(Arc::clone(&gate)));
        gate
    }

    /// The next question about the time is looked at when the gate has a permit.
    pub(super) fn stall_next_clock(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.clock.lock() = Some(Fault::Stalled(Arc::clone(&gate)));
        gate
    }

    pub(super) fn panic_at_next_changes(&self) {
        self.panics_at_changes.store(true, Ordering::SeqCst);
    }

    /// From now on each read of records takes `latency`.
    pub(super) fn answer_after(&self, latency: Duration) {
        *self.latency.lock() = latency;
    }

    /// From now on every read of this tenant alone fails.
    pub(super) fn refuse_alone(&self, name: &str) {
        *self.never_alone.lock() = Some(name.to_owned());
    }

    fn is_refused_alone(&self, keys: &[Key]) -> bool {
        let first = keys.first().map(|key| key.name.as_str());
        keys.len() <= 5 && first.is_some() && first == self.never_alone.lock().as_deref()
    }

    fn readable(&self) -> Result<(), StoreError> {
        match self.refuses_reads.load(Ordering::SeqCst) {
            true => Err(unavailable()),
            false => Ok(()),
        }
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("scripted".into())
}

async fn afflicted<T>(
    fault: Option<Fault>,
    operation: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match fault {
        None => operation.await,
        Some(Fault::Refused) => Err(unavailable()),
        Some(Fault::RefusedLate(gate)) => {
            gate.acquire().await.unwrap().forget();
            Err(unavailable())
        }
        Some(Fault::Stalled(gate)) => {
            gate.acquire().await.unwrap().forget();
            operation.await
        }
        Some(Fault::AnswerLost) => operation.await.and(Err(unavailable())),
        Some(Fault::Late(gate)) => {
            let answer = operation.await;
            gate.acquire().await.unwrap().forget();
            answer
        }
    }
}

#[async_trait]
impl Backend for Faulty {
    fn exposure(&self) -> Option<String> {
        self.exposed.load(Ordering::Relaxed).then(|| "anybody may listen".into())
    }

    async fn caveats(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.forgetful.load(Ordering::Relaxed).then(|| "it forgets".into()).into_iter().collect())
    }

    async fn store_id(&self) -> Result<[u8; 16], StoreError> {
        self.inner.store_id().await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.moving().await?;
        self.readable()?;
        let fault = self.clock.lock().take();
        afflicted(fault, self.inner.now()).await
    }

    async fn pulse(&self, beside: &Key) -> Result<Pulse, StoreError> {
        self.moving().await?;
        self.readable()?;
        let fault = self.clock.lock().take();
        let pulse = afflicted(fault, self.inner.pulse(beside)).await?;
        Ok(Pulse { connections: self.connections.load(Ordering::SeqCst), ..pulse })
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, StoreError> {
        self.moving().await?;
        self.readable()?;
        if keys.iter().all(|key| key.kind == Kind::Meta) {
            return self.inner.get(keys).await;
        }
        self.times_read.fetch_add(1, Ordering::SeqCst);
        let latency = *self.latency.lock();
        if !latency.is_zero() {
            sleep(latency).await;
        }
        if self.is_refused_alone(keys) {
            return Err(unavailable());
        }
        let fault = self.reads.lock().pop_front();
        afflicted(fault, self.inner.get(keys)).await
    }

    async fn write(&self, changes: Vec<Change>) -> Result<Written, StoreError> {
        self.moving().await?;
        if self.refuses_writes.load(Ordering::SeqCst) {
            return Err(unavailable());
        }
        let fault = self.writes.lock().pop_front();
        afflicted(fault, self.inner.write(changes)).await
    }

    async fn list(
        &self,
        kind: Kind,
        state: Option<RowState>,
        names: Names<'_>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        self.moving().await?;
        self.readable()?;
        self.inner.list(kind, state, names, limit).await
    }

    async fn changes(&self, since: Revision, limit: usize) -> Result<(Revision, Vec<(Key, Revision)>), StoreError> {
        self.moving().await?;
        assert!(!self.panics_at_changes.swap(false, Ordering::SeqCst), "scripted");
        self.readable()?;
        if self.refuses_changes.load(Ordering::SeqCst) {
            return Err(unavailable());
        }
        self.inner.changes(since, limit).await
    }

    async fn bid(&self, tenant: &TenantId, owner: &Owner, length: Duration, by: Timestamp) -> Result<Bid, StoreError> {
        self.moving().await?;
        let slow = self.slow_bids.lock().pop_front();
        sleep(slow.unwrap_or_default()).await;
        self.inner.bid(tenant, owner, length, by).await
    }

    async fn release(&self, tenant: &TenantId, owner: &Owner) -> Result<(), StoreError> {
        self.moving().await?;
        self.inner.release(tenant, owner).await
    }

    async fn touch(&self, used: &[(Key, Timestamp)]) -> Result<(), StoreError> {
        self.inner.touch(used).await
    }

    async fn purge(&self, kind: Kind, before: Timestamp) -> Result<u64, StoreError> {
        self.inner.purge(kind, before).await
    }
}
