//! Names for traces and spans.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{
    Random,
    trace::context::{SpanId, TraceId},
};

/// Makes names that no other process makes, without asking the system for randomness each time: they have to be different
/// and evenly spread, and need not be unpredictable.
#[derive(Debug)]
pub(super) struct Ids {
    seeds: [u64; 3],
    made: AtomicU64,
}

// === impl Ids ===

impl Ids {
    pub(super) fn new(random: &Random) -> Self {
        let seed = || u64::from_le_bytes(random.bytes());
        Self { seeds: [seed(), seed(), seed()], made: AtomicU64::new(1) }
    }

    /// A trace, and a span of it.
    pub(super) fn next(&self) -> (TraceId, SpanId) {
        loop {
            let n = self.made.fetch_add(1, Ordering::Relaxed);
            let [high, low, span] = self.seeds.map(|seed| spread(seed.wrapping_add(n.wrapping_mul(STEP))));
            let trace = TraceId::new((u128::from(high) << 64 | u128::from(low)).to_be_bytes());
            if let (Some(trace), Some(span)) = (trace, SpanId::new(span.to_be_bytes())) {
                return (trace, span);
            }
        }
    }
}

/// 2^64 divided by the golden ratio; odd, so that its multiples are all different.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The mixing step of SplitMix64 (Steele, Lea and Flood, 2014): of different numbers it makes different ones, in which
/// each bit depends on all of theirs.
const fn spread(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::Ids;
    use crate::model::{
        Random,
        trace::{Heed, Ratio, Sampler},
    };
    use std::collections::HashSet;

    #[test]
    fn names_are_different_and_evenly_spread() {
        let ids = Ids::new(&Random::from_fn(|bytes| bytes.fill(7)));
        let made: Vec<_> = (0..10_000).map(|_| ids.next()).collect();
        assert_eq!(made.iter().map(|(trace, _)| trace).collect::<HashSet<_>>().len(), made.len());
        assert_eq!(made.iter().map(|(_, span)| span).collect::<HashSet<_>>().len(), made.len());
        let sampler = Sampler { heed: Heed::Parent, ratio: Ratio::new(0.1).unwrap() };
        let taken = made.iter().filter(|(trace, _)| sampler.takes(*trace, None)).count();
        assert!((900..1100).contains(&taken), "{taken}");
    }
}
