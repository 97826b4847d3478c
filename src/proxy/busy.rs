//! How many requests of a tenant are under way.

use std::sync::Arc;

use dashmap::{DashMap, Entry};

use crate::model::TenantId;

/// Counts requests by tenant. A tenant without requests takes no memory.
#[derive(Debug, Default)]
pub(super) struct Busy(Arc<DashMap<TenantId, usize>>);

/// One request of a tenant; counts down when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    all: Arc<DashMap<TenantId, usize>>,
    tenant: TenantId,
}

// === impl Busy ===

impl Busy {
    /// One more request of `tenant`, unless `limit` are under way.
    pub(super) fn enter(&self, tenant: &TenantId, limit: usize) -> Option<Turn> {
        {
            let mut count = self.0.entry(tenant.clone()).or_default();
            if *count >= limit {
                return None;
            }
            *count += 1;
        }
        Some(Turn { all: Arc::clone(&self.0), tenant: tenant.clone() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.all.entry(self.tenant.clone()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
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
