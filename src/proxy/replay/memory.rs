//! What all replayable bodies of the process may keep together.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The process-wide budget (`limits.replay_memory`), in bytes. Clones share it.
#[derive(Debug, Clone)]
pub struct ReplayMemory(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    limit: u64,
    used: AtomicU64,
}

/// A part of the budget, given back on drop.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<Budget>,
    bytes: u64,
}

// === impl ReplayMemory ===

impl ReplayMemory {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(Budget { limit, used: AtomicU64::new(0) }))
    }

    /// Bytes that are reserved now.
    #[cfg(test)]
    pub(super) fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// A reservation of nothing yet.
    pub(super) fn reservation(&self) -> Reservation {
        Reservation { budget: Arc::clone(&self.0), bytes: 0 }
    }
}

// === impl Reservation ===

impl Reservation {
    /// Takes `more` bytes; `false` where the budget is spent, and then nothing is taken.
    pub(super) fn grow(&mut self, more: u64) -> bool {
        let Budget { limit, used } = &*self.budget;
        let taken = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(more).filter(|sum| sum <= limit)
        });
        if taken.is_ok() {
            self.bytes += more;
        }
        taken.is_ok()
    }

    /// Gives `less` bytes back.
    pub(super) fn shrink(&mut self, less: u64) {
        let less = less.min(self.bytes);
        self.bytes -= less;
        self.budget.used.fetch_sub(less, Ordering::Relaxed);
    }

    /// Gives everything back.
    pub(super) fn clear(&mut self) {
        self.shrink(self.bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.clear();
    }
}
