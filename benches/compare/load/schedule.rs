//! When the next request is due.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// When a group has done enough.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Until {
    Seconds(f64),
    Requests(u64),
}

#[derive(Debug)]
pub(super) struct Schedule {
    began: Instant,
    until: Until,
    per_second: Option<u32>,
    started: u64,
}

/// The next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Has been due since then.
    Due(Instant),
    /// Is due in this time.
    In(Duration),
    /// There is none.
    Over,
}

// === impl Until ===

impl Until {
    pub(super) fn time(self) -> Duration {
        match self {
            Self::Seconds(seconds) => Duration::from_secs_f64(seconds),
            Self::Requests(_) => Duration::ZERO,
        }
    }
}

// === impl Schedule ===

impl Schedule {
    pub(super) fn new(began: Instant, until: Until, per_second: Option<u32>) -> Self {
        Self { began, until, per_second, started: 0 }
    }

    pub(super) fn next(&self, now: Instant) -> Next {
        let due = match self.per_second {
            Some(rate) => self.began + Duration::from_secs_f64(self.started as f64 / f64::from(rate)),
            None => now,
        };
        let over = match self.until {
            Until::Seconds(_) => due.duration_since(self.began) >= self.until.time(),
            Until::Requests(count) => self.started >= count,
        };
        match due.checked_duration_since(now) {
            _ if over => Next::Over,
            None | Some(Duration::ZERO) => Next::Due(due),
            Some(wait) => Next::In(wait),
        }
    }

    /// One that was due is on its way.
    pub(super) fn start(&mut self) {
        self.started += 1;
    }
}
