//! Chance that falls out the same in every run.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use flexslot_proxy::model::Random;

/// What the whole simulation draws from.
pub(crate) struct Dice {
    seed: Arc<AtomicU64>,
    random: Random,
}

// === impl Dice ===

impl Dice {
    pub(crate) fn new() -> Self {
        let seed = Arc::new(AtomicU64::new(1));
        let source = Arc::clone(&seed);
        let random = Random::from_fn(move |buffer| {
            for part in buffer.chunks_mut(8) {
                let word = mixed(source.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed)).to_le_bytes();
                part.copy_from_slice(&word[..part.len()]);
            }
        });
        Self { seed, random }
    }

    pub(crate) fn random(&self) -> &Random {
        &self.random
    }

    pub(crate) fn below(&self, limit: u32) -> u32 {
        (u64::from_le_bytes(self.random.bytes()) % u64::from(limit.max(1))) as u32
    }

    /// A `draw` that has to come out the same again whenever it is made for `seed`. Other draws are as if it had not been.
    pub(crate) fn again<T>(&self, seed: u64, draw: impl FnOnce(&Random) -> T) -> T {
        let before = self.seed.swap(seed, Relaxed);
        let drawn = draw(&self.random);
        self.seed.store(before, Relaxed);
        drawn
    }
}

/// splitmix64.
pub(crate) fn mixed(seed: u64) -> u64 {
    let seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    seed ^ (seed >> 31)
}
