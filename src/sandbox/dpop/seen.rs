//! What was presented lately.

use std::collections::{HashSet, VecDeque};

use parking_lot::Mutex;

use crate::{model::Timestamp, sandbox::ids};

/// A set of texts, kept as digests, that forgets each in its time, and the oldest where it is full.
pub(super) struct Seen {
    capacity: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    known: HashSet<u128>,
    /// In the order of arrival, which is all but that of the ends.
    order: VecDeque<(Timestamp, u128)>,
}

// === impl Seen ===

impl Seen {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, kept: Mutex::default() }
    }

    /// Whether `text` was not here before; from now on it is, until `until`.
    pub(super) fn is_first(&self, text: &str, now: Timestamp, until: Timestamp) -> bool {
        // Half of the digest is enough to tell them apart.
        let digest = ids::digest(text).iter().take(16).fold(0, |sum, &byte| (sum << 8) | u128::from(byte));
        let mut kept = self.kept.lock();
        kept.forget(now, self.capacity);
        let first = kept.known.insert(digest);
        if first {
            kept.order.push_back((until, digest));
        }
        first
    }
}

// === impl Kept ===

impl Kept {
    fn forget(&mut self, now: Timestamp, capacity: usize) {
        while let Some(&(until, digest)) = self.order.front()
            && (until <= now || self.order.len() >= capacity)
        {
            self.order.pop_front();
            self.known.remove(&digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Seen;
    use crate::model::Timestamp;

    #[test]
    fn forgets_in_time_and_the_oldest_where_it_is_full() {
        let seen = Seen::new(2);
        let at = |secs| Timestamp::from_secs(secs);
        let first = |text, now| seen.is_first(text, at(now), at(now).plus(Duration::from_secs(10)));
        assert!(first("a", 0) && !first("a", 9));
        assert!(first("a", 10), "its time was over");
        assert!(first("b", 11) && first("c", 12) && !first("c", 12));
        assert!(first("a", 12), "c took its place");
    }
}
