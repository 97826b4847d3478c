//! `memory:`: rows that end with the process, for demos and tests.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{
    StoreError,
    backend::{Backend, Bid, Change, Key, Kind, Listed, Names, Pulse, Revision, Row, RowState, Written},
};
use crate::model::{Clock, Random, TenantId, Timestamp, token::Owner};

/// A store in memory. Nothing about it can fail.
pub struct MemoryBackend {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    id: [u8; 16],
    head: u64,
    rows: BTreeMap<(Kind, String), Row>,
    /// The same rows in the order of their last writes.
    feed: BTreeSet<(Revision, Kind, String)>,
    leases: HashMap<TenantId, (Owner, Timestamp)>,
}

/// A store as it was at some time.
#[cfg(test)]
#[derive(Clone)]
pub(crate) struct Snapshot(State);

// === impl MemoryBackend ===

impl MemoryBackend {
    /// An empty store whose times are `clock`'s.
    pub fn new(clock: Arc<dyn Clock>, random: &Random) -> Self {
        Self { clock, state: Mutex::new(State { id: random.bytes(), ..State::default() }) }
    }

    /// What a backup of the store would hold.
    #[cfg(test)]
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot(self.state.lock().clone())
    }

    /// The store comes back as it was when `snapshot` was made.
    #[cfg(test)]
    pub(crate) fn restore(&self, Snapshot(state): Snapshot) {
        *self.state.lock() = state;
    }

    /// The store comes back as a new one.
    #[cfg(test)]
    pub(crate) fn empty(&self, random: &Random) {
        *self.state.lock() = State { id: random.bytes(), ..State::default() };
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend").finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    async fn store_id(&self) -> Result<[u8; 16], StoreError> {
        Ok(self.state.lock().id)
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.clock.now())
    }

    async fn pulse(&self, beside: &Key) -> Result<Pulse, StoreError> {
        let state = self.state.lock();
        let row = state.rows.get(&(beside.kind, beside.name.clone())).cloned();
        Ok(Pulse { store: state.id, newest: Revision(state.head), now: self.clock.now(), row, connections: 0 })
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, StoreError> {
        let state = self.state.lock();
        Ok(keys.iter().map(|key| state.rows.get(&(key.kind, key.name.clone())).cloned()).collect())
    }

    async fn write(&self, changes: Vec<Change>) -> Result<Written, StoreError> {
        Ok(self.state.lock().write(changes))
    }

    async fn list(
        &self,
        kind: Kind,
        state: Option<RowState>,
        names: Names<'_>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let wanted = |row: &Row| state.map_or(row.label.state != RowState::Gone, |state| row.label.state == state);
        let start = names.start().map(|name| (kind, name.to_owned()));
        let state = self.state.lock();
        let rows = state.rows.range((start, Bound::Unbounded));
        let rows = rows.take_while(|((of, name), _)| *of == kind && name.starts_with(names.prefix));
        let rows = rows.filter(|(_, row)| wanted(row)).map(|((_, name), row)| (name.clone(), Ok(row.clone())));
        Ok(rows.take(limit).collect())
    }

    async fn changes(&self, since: Revision, limit: usize) -> Result<(Revision, Vec<(Key, Revision)>), StoreError> {
        let state = self.state.lock();
        let from = (Revision(since.0.saturating_add(1)), Kind::Grant, String::new());
        let mut keys: Vec<(Key, Revision)> = Vec::new();
        for (revision, kind, name) in state.feed.range(from..) {
            let splits = keys.last().is_some_and(|(_, last)| last == revision);
            if keys.len() >= limit && !splits {
                break;
            }
            keys.push((Key::new(*kind, name.as_str()), *revision));
        }
        Ok((Revision(state.head), keys))
    }

    async fn bid(&self, tenant: &TenantId, owner: &Owner, length: Duration, by: Timestamp) -> Result<Bid, StoreError> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let held = state.leases.get(tenant).map(|(holder, ends)| (holder, *ends));
        let bid = Bid::decide(held, owner, now, length, by);
        if bid == Bid::Won {
            state.leases.insert(tenant.clone(), (owner.clone(), now.plus(length)));
        }
        Ok(bid)
    }

    async fn release(&self, tenant: &TenantId, owner: &Owner) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if state.leases.get(tenant).is_some_and(|(holder, _)| holder == owner) {
            state.leases.remove(tenant);
        }
        Ok(())
    }

    async fn touch(&self, used: &[(Key, Timestamp)]) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        for (key, at) in used {
            let row = state.rows.get_mut(&(key.kind, key.name.clone()));
            if let Some(row) = row.filter(|row| row.label.state != RowState::Gone) {
                row.last_used = row.last_used.max(Some(*at));
            }
        }
        Ok(())
    }

    async fn purge(&self, kind: Kind, before: Timestamp) -> Result<u64, StoreError> {
        let mut state = self.state.lock();
        let State { rows, feed, .. } = &mut *state;
        let there = rows.len();
        rows.retain(|(of, name), row| {
            let over = *of == kind && row.label.due.is_some_and(|due| due < before);
            if over {
                feed.remove(&(row.revision, *of, name.clone()));
            }
            !over
        });
        Ok((there - rows.len()) as u64)
    }
}

// === impl State ===

impl State {
    fn write(&mut self, changes: Vec<Change>) -> Written {
        let revision = Revision(self.head + 1);
        // What the rows become, kept apart until every change has found what it expects.
        let mut next: BTreeMap<(Kind, String), Row> = BTreeMap::new();
        for (at, Change { key, expect, label, body }) in changes.into_iter().enumerate() {
            let name = (key.kind, key.name);
            let found = next.get(&name).or_else(|| self.rows.get(&name));
            if !expect.holds(found.map(|row| (row.revision, &row.label))) {
                return Written::Conflict(at);
            }
            let last_used = found.and_then(|row| row.last_used).filter(|_| label.state != RowState::Gone);
            next.insert(name, Row { revision, label, body, last_used });
        }
        self.head = revision.0;
        for ((kind, name), row) in next {
            self.feed.insert((revision, kind, name.clone()));
            if let Some(old) = self.rows.insert((kind, name.clone()), row) {
                self.feed.remove(&(old.revision, kind, name));
            }
        }
        Written::Done(revision)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::MemoryBackend;
    use crate::{
        model::Random,
        store::{
            backend::Backend,
            conformance::{Engine, ManualClock, conformance},
        },
    };

    struct Memory {
        clock: Arc<ManualClock>,
        backend: Arc<MemoryBackend>,
    }

    impl Engine for Memory {
        fn handle(&self) -> Arc<dyn Backend> {
            Arc::clone(&self.backend) as _
        }

        fn pass(&self, time: Duration) {
            self.clock.pass(time);
        }
    }

    fn engine() -> Memory {
        let clock = ManualClock::new();
        Memory { backend: Arc::new(MemoryBackend::new(Arc::clone(&clock) as _, &Random::system())), clock }
    }

    conformance!(engine());
}
