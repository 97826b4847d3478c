//! What a PAT has been taken for: the way back for one that was put aside for 401s that were not about it.
//!
//! Some 401 may be about the place that was asked for, and a caller may know such a place. Three of these put the PAT aside
//! for everybody. Whoever asks for what it was taken for before then has their request sent all the same, until Flexslot
//! refuses that as well: a revoked PAT is sent once more for each of these places, and no oftener.

use std::hash::{BuildHasher, RandomState};

use super::Resource;

/// The latest that were asked for and answered, by their hashes.
#[derive(Debug, Default)]
pub(super) struct Proven {
    hasher: RandomState,
    /// The oldest first.
    latest: Vec<u64>,
}

/// How many are remembered.
const MOST: usize = 8;

// === impl Proven ===

impl Proven {
    /// Flexslot took the PAT for this.
    pub(super) fn add(&mut self, resource: Resource<'_>) {
        let hash = self.hasher.hash_one(resource);
        if self.latest.last() == Some(&hash) {
            return;
        }
        self.latest.retain(|known| *known != hash);
        if self.latest.len() == MOST {
            self.latest.remove(0);
        }
        self.latest.push(hash);
    }

    /// It has refused it for this.
    pub(super) fn remove(&mut self, resource: Resource<'_>) {
        let hash = self.hasher.hash_one(resource);
        self.latest.retain(|known| *known != hash);
    }

    pub(super) fn has(&self, resource: Resource<'_>) -> bool {
        !self.latest.is_empty() && self.latest.contains(&self.hasher.hash_one(resource))
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Proven};
    use crate::credential::Resource;
    use http::Method;

    fn get(path: &str) -> Resource<'_> {
        Resource { method: &Method::GET, path }
    }

    #[test]
    fn the_latest_are_remembered_until_they_are_refused() {
        let mut proven = Proven::default();
        let paths: Vec<String> = (0..=MOST).map(|number| format!("/{number}")).collect();
        for path in paths.iter().chain(&paths[1..2]) {
            proven.add(get(path));
        }
        assert!(!proven.has(get("/0")), "the oldest has made room");
        assert!(proven.has(get("/1")) && proven.has(get("/8")));
        assert!(!proven.has(Resource { method: &Method::POST, path: "/1" }), "another method");
        proven.remove(get("/1"));
        assert!(!proven.has(get("/1")) && proven.has(get("/2")));
    }
}
