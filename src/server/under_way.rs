//! How many requests are under way.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Counts the requests under way, and lets there be no more than a number of them.
#[derive(Debug)]
pub(super) struct UnderWay {
    count: Arc<AtomicUsize>,
    most: usize,
}

/// One request's place among them; free again when dropped.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

// === impl UnderWay ===

impl UnderWay {
    pub(super) fn at_most(most: usize) -> Self {
        Self { count: Arc::default(), most }
    }

    /// A place, if there is one.
    pub(super) fn enter(&self) -> Option<Place> {
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&self.count));
        (before < self.most).then_some(place)
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::UnderWay;

    #[test]
    fn a_place_is_free_again_once_it_is_dropped_and_not_before() {
        let under_way = UnderWay::at_most(1);
        let place = under_way.enter();
        assert!(place.is_some() && under_way.enter().is_none() && under_way.enter().is_none());
        drop(place);
        assert!(under_way.enter().is_some());
    }
}
