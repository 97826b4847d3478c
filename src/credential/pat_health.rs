//! Whether Flexslot still takes a PAT.

use std::time::Duration;

use tokio::time::Instant;

/// So many refusals in a row, and the PAT counts as rejected.
const REFUSALS: u8 = 3;

/// How long a rejected PAT rests before one request probes it.
const REST: Duration = Duration::from_secs(60);

/// Counts the 401s that a PAT gets in a row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum PatHealth {
    #[default]
    Good,
    Doubtful(u8),
    Rejected {
        /// Of the last refusal or probe.
        since: Instant,
    },
}

// === impl PatHealth ===

impl PatHealth {
    /// Whether a request may use the PAT now. For a rejected PAT that has rested, the one that asks first is its probe.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        match self {
            Self::Good | Self::Doubtful(_) => true,
            Self::Rejected { since } if now.duration_since(*since) >= REST => {
                *since = now;
                true
            }
            Self::Rejected { .. } => false,
        }
    }

    /// Whether it was refused so often that it counts as absent.
    pub(super) fn is_rejected(self) -> bool {
        matches!(self, Self::Rejected { .. })
    }

    /// Whether no refusal is remembered.
    pub(super) fn is_good(self) -> bool {
        matches!(self, Self::Good)
    }

    /// Flexslot answered 401 to the PAT.
    pub(super) fn refused(&mut self) {
        let now = Instant::now();
        *self = match *self {
            Self::Good => Self::Doubtful(1),
            Self::Doubtful(count) if count + 1 < REFUSALS => Self::Doubtful(count + 1),
            Self::Doubtful(_) | Self::Rejected { .. } => Self::Rejected { since: now },
        };
    }

    /// Flexslot took the PAT.
    pub(super) fn accepted(&mut self) {
        *self = Self::Good;
    }
}

#[cfg(test)]
mod tests {
    use super::{PatHealth, REST};
    use tokio::time::Instant;

    #[test]
    fn three_refusals_in_a_row_reject() {
        let now = Instant::now();
        let mut health = PatHealth::default();
        health.refused();
        health.refused();
        health.accepted();
        health.refused();
        health.refused();
        assert!(health.admits(now));
        health.refused();
        assert!(!health.admits(now));
    }

    #[test]
    fn after_a_rest_one_request_probes() {
        let now = Instant::now();
        let mut health = PatHealth::Rejected { since: now };
        assert!(!health.admits(now + REST / 2));
        assert!(health.admits(now + REST));
        assert!(!health.admits(now + REST), "a second one waits for the next rest");
        health.accepted();
        assert!(health.admits(now + REST));
    }
}
