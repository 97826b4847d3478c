//! Which requests and refreshes are exported.

use std::fmt;

use super::context::{TraceFlags, TraceId};

/// Decides by the caller, then by the trace's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampler {
    pub heed: Heed,
    /// Of traces that begin here.
    pub ratio: Ratio,
}

/// Whose decision counts where the caller has made one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heed {
    /// The caller's: a trace is exported as a whole or not at all.
    Parent,
    /// Nobody's but ours.
    Nobody,
}

/// A share of all: from 0, none, to 1, every one.
#[derive(Clone, Copy, PartialEq)]
pub struct Ratio(f64);

// === impl Sampler ===

impl Sampler {
    /// Whether a trace is exported; `parent` is what the caller says of it.
    pub fn takes(self, trace: TraceId, parent: Option<TraceFlags>) -> bool {
        match (self.heed, parent) {
            (Heed::Parent, Some(parent)) => parent.is_sampled(),
            (Heed::Nobody, _) | (_, None) => self.ratio.includes(trace),
        }
    }
}

// === impl Ratio ===

impl Ratio {
    /// Every one.
    pub const ALL: Self = Self(1.0);

    /// None.
    pub const NONE: Self = Self(0.0);

    /// `None` where it is below 0, above 1, or no number.
    pub fn new(ratio: f64) -> Option<Self> {
        (0.0..=1.0).contains(&ratio).then_some(Self(ratio))
    }

    /// By the last eight bytes of the trace's id, as OpenTelemetry's own samplers decide: what one program takes at a
    /// ratio, another takes at the same or a higher one.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a bound in between"
    )]
    fn includes(self, trace: TraceId) -> bool {
        let [.., a, b, c, d, e, f, g, h] = trace.bytes();
        let place = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1;
        place < (self.0 * (1_u64 << 63) as f64) as u64
    }
}

/// A ratio is a number.
impl Eq for Ratio {}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ratio({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::{Heed, Ratio, Sampler};
    use crate::model::trace::context::{SpanContext, TraceFlags, TraceId};

    fn trace(last: u64) -> TraceId {
        TraceId::new(((1 << 64) | u128::from(last)).to_be_bytes()).unwrap()
    }

    fn flags(text: &str) -> TraceFlags {
        SpanContext::parse(format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{text}").as_bytes())
            .unwrap()
            .flags
    }

    #[test]
    fn the_callers_decision_counts_where_it_is_heeded() {
        let heeding = |ratio| Sampler { heed: Heed::Parent, ratio };
        assert!(heeding(Ratio::NONE).takes(trace(0), Some(flags("01"))));
        assert!(!heeding(Ratio::ALL).takes(trace(0), Some(flags("00"))));
        assert!(heeding(Ratio::ALL).takes(trace(0), None));
        let deaf = |ratio| Sampler { heed: Heed::Nobody, ratio };
        assert!(!deaf(Ratio::NONE).takes(trace(0), Some(flags("01"))));
        assert!(deaf(Ratio::ALL).takes(trace(u64::MAX), Some(flags("00"))));
    }

    #[test]
    fn a_ratio_is_a_share_of_the_ids() {
        let of = |ratio: f64| {
            let ratio = Ratio::new(ratio).unwrap();
            (0..1000).filter(|part| ratio.includes(trace(u64::MAX / 2000 * (2 * part + 1)))).count()
        };
        assert_eq!((of(0.0), of(0.25), of(0.5), of(1.0)), (0, 250, 500, 1000));
        for none in [-0.1, 1.1, f64::NAN] {
            assert_eq!(Ratio::new(none), None);
        }
    }
}
