//! When the next request is due.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// How fast requests follow each other.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// So many at a time, each due when one before it has been answered.
    AtATime(usize),
    /// All of them are due at the beginning.
    Together,
    /// So many are due per second, whether or not earlier ones have been answered.
    PerSecond(u32),
}

/// When a group has done enough.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until<'a> {
    Seconds(f64),
    Requests(u64),
    /// When this is true.
    Told(&'a AtomicBool),
}

#[derive(Debug)]
pub(super) struct Schedule<'a> {
    began: Instant,
    pace: Pace,
    until: Until<'a>,
    started: u64,
}

/// The next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Has been due since then.
    Due(Instant),
    /// Is due in this time.
    In(Duration),
    /// Is due when another one is answered.
    Full,
    /// There is none.
    Over,
}

// === impl Schedule ===

impl<'a> Schedule<'a> {
    pub(super) fn new(began: Instant, pace: Pace, until: Until<'a>) -> Self {
        Self { began, pace, until, started: 0 }
    }

    /// With so many `under_way`.
    pub(super) fn next(&self, now: Instant, under_way: usize) -> Next {
        let due = match self.pace {
            Pace::AtATime(_) => now,
            Pace::Together => self.began,
            Pace::PerSecond(rate) => self.began + Duration::from_secs_f64(self.started as f64 / f64::from(rate)),
        };
        let over = match self.until {
            Until::Seconds(seconds) => due.duration_since(self.began).as_secs_f64() >= seconds,
            Until::Requests(count) => self.started >= count,
            Until::Told(told) => told.load(Ordering::Relaxed),
        };
        match (self.pace, due.checked_duration_since(now)) {
            _ if over => Next::Over,
            (Pace::AtATime(most), _) if under_way >= most => Next::Full,
            (_, None | Some(Duration::ZERO)) => Next::Due(due),
            (_, Some(wait)) => Next::In(wait),
        }
    }

    /// One that was due is on its way.
    pub(super) fn start(&mut self) {
        self.started += 1;
    }
}
