//! What a PAT has been taken for: the way back for one that was put aside for 401s that were not about it.
//!
//! Some 401 may be about the place that was asked for, and a caller may know such a place. Three of these put the PAT aside
//! for everybody. Whoever asks for what it was taken for before then has their request sent all the same, until Flexslot
//! refuses that as well: a revoked PAT is sent once more for each of these places, and no oftener.
//!
//! So they have to be few, and a caller that has many others answered could push out those of everybody else. Hence none
//! makes room that was answered within the last minute: who asks for the same thing that often keeps it, whatever others ask
//! for. What was weighed besides: kinds of places would need no list, but then whoever knows one place that is always
//! answered 401 takes its whole kind from the others; and refusals that are counted for each place alone would never put a
//! revoked PAT aside that is sent for ever new ones.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use tokio::time::Instant;

use super::Resource;

/// The latest that were asked for and answered.
#[derive(Debug, Default)]
pub(super) struct Proven {
    hasher: RandomState,
    /// By their hashes, the one first that was answered longest ago.
    latest: Vec<Place>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    hash: u64,
    answered: Instant,
}

/// How many are remembered.
const MOST: usize = 8;

/// How long after it was answered one makes no room for another.
const STAY: Duration = Duration::from_secs(60);

// === impl Proven ===

impl Proven {
    /// Flexslot took the PAT for this.
    pub(super) fn add(&mut self, resource: Resource<'_>) {
        let place = Place { hash: self.hasher.hash_one(resource), answered: Instant::now() };
        match self.latest.last_mut() {
            Some(last) if last.hash == place.hash => *last = place,
            _ => self.put_last(place),
        }
    }

    fn put_last(&mut self, place: Place) {
        self.latest.retain(|known| known.hash != place.hash);
        if self.latest.len() == MOST {
            let is_in_use = |oldest: &Place| place.answered.duration_since(oldest.answered) < STAY;
            if self.latest.first().is_some_and(is_in_use) {
                return;
            }
            self.latest.remove(0);
        }
        self.latest.push(place);
    }

    /// It has refused it for this.
    pub(super) fn remove(&mut self, resource: Resource<'_>) {
        let hash = self.hasher.hash_one(resource);
        self.latest.retain(|known| known.hash != hash);
    }

    pub(super) fn has(&self, resource: Resource<'_>) -> bool {
        if self.latest.is_empty() {
            return false;
        }
        let hash = self.hasher.hash_one(resource);
        self.latest.iter().any(|known| known.hash == hash)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MOST, Proven, STAY};
    use crate::credential::Resource;
    use http::Method;

    fn get(path: &str) -> Resource<'_> {
        Resource { method: &Method::GET, path }
    }

    #[tokio::test(start_paused = true)]
    async fn the_latest_are_remembered_until_they_are_refused() {
        let mut proven = Proven::default();
        let paths: Vec<String> = (0..=MOST).map(|number| format!("/{number}")).collect();
        for path in paths.iter().chain(&paths[1..2]) {
            proven.add(get(path));
            tokio::time::advance(STAY / 4).await;
        }
        assert!(!proven.has(get("/0")), "the oldest has made room");
        assert!(proven.has(get("/1")) && proven.has(get("/8")));
        assert!(!proven.has(Resource { method: &Method::POST, path: "/1" }), "another method");
        proven.remove(get("/1"));
        assert!(!proven.has(get("/1")) && proven.has(get("/2")));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_many_others_answered_takes_no_place_that_is_in_use() {
        let mut proven = Proven::default();
        for minute in 0..20 {
            proven.add(get("/ours"));
            for number in 0..3 * MOST {
                proven.add(get(&format!("/theirs/{minute}/{number}")));
            }
            assert!(proven.has(get("/ours")), "minute {minute}");
            tokio::time::advance(STAY - Duration::from_secs(1)).await;
            assert!(proven.has(get("/ours")), "minute {minute}");
        }
        tokio::time::advance(STAY).await;
        for number in 0..MOST {
            proven.add(get(&format!("/others/{number}")));
        }
        assert!(!proven.has(get("/ours")), "nobody has asked for it any more");
    }
}
