//! How many requests of a tenant are under way.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use dashmap::DashMap;

use crate::model::TenantId;

/// Counts requests by tenant. A tenant without requests takes no memory.
#[derive(Debug, Default)]
pub(super) struct Busy(Arc<DashMap<TenantId, Arc<AtomicUsize>>>);

/// One request of a tenant; counts down when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    all: Arc<DashMap<TenantId, Arc<AtomicUsize>>>,
    tenant: TenantId,
    count: Arc<AtomicUsize>,
}

// === impl Busy ===

impl Busy {
    /// One more request of `tenant`, unless `limit` are under way.
    pub(super) fn enter(&self, tenant: &TenantId, limit: usize) -> Option<Turn> {
        // The entry's lock is what keeps the count from being removed between look-up and increment.
        let (count, before) = {
            let count = self.0.entry(tenant.clone()).or_default();
            let before = count.fetch_add(1, Ordering::Relaxed);
            (Arc::clone(&count), before)
        };
        let turn = Turn { all: Arc::clone(&self.0), tenant: tenant.clone(), count };
        (before < limit).then_some(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.all.remove_if(&self.tenant, |_, count| count.load(Ordering::Relaxed) == 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Busy;

    #[test]
    fn one_over_the_limit_is_turned_away_and_leaves_no_trace() {
        let (busy, acme) = (Busy::default(), "acme".parse().unwrap());
        let first = busy.enter(&acme, 2).unwrap();
        let second = busy.enter(&acme, 2).unwrap();
        assert!(busy.enter(&acme, 2).is_none());
        drop(first);
        let third = busy.enter(&acme, 2);
        assert!(third.is_some());
        drop((second, third));
        assert!(busy.0.is_empty());
    }
}
