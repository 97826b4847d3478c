//! The middle of some numbers, and how far they lie apart.

use serde::{Deserialize, Serialize};

/// The middle of some numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    /// A quarter of the numbers is smaller.
    pub(crate) q1: f64,
    /// A quarter is larger.
    pub(crate) q3: f64,
}

// === impl Spread ===

impl Spread {
    /// Of numbers in any order; none of none.
    pub(crate) fn of(numbers: &[f64]) -> Option<Self> {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |part: f64| -> Option<f64> {
            let place = part * (sorted.len().checked_sub(1)?) as f64;
            let (below, above) = (*sorted.get(place.floor() as usize)?, *sorted.get(place.ceil() as usize)?);
            Some(below + (above - below) * place.fract())
        };
        Some(Self { median: at(0.5)?, q1: at(0.25)?, q3: at(0.75)? })
    }
}
