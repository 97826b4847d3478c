//! A timer whose deadline moves.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that costs nothing until it is first needed.
#[derive(Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

// === impl Timer ===

impl Timer {
    /// Ready at `until`, which may be another time at each call.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        pin!(sleep).poll(cx)
    }

    /// When the timer will have run for `duration`; it starts now unless it runs already.
    pub(super) fn started(&mut self, duration: Duration) -> Instant {
        self.0.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + duration))).deadline()
    }

    /// Forgets the deadline.
    pub(super) fn stop(&mut self) {
        self.0 = None;
    }
}
