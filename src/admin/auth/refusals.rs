//! Whoever tries tokens, in the log.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Refused tokens that no line has told yet.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When the last line was written.
    told: Option<Instant>,
    untold: u64,
}

/// A line at once, and then one in this time at most: who guesses must not fill the log.
const PAUSE: Duration = Duration::from_secs(60);

// === impl Refusals ===

impl Refusals {
    /// Notes one more. Answers how many a line has to tell of now; `None` where it is not time for one.
    pub(super) fn note(&self) -> Option<u64> {
        let (mut state, now) = (self.0.lock(), Instant::now());
        state.untold += 1;
        if state.told.is_some_and(|told| now.duration_since(told) < PAUSE) {
            return None;
        }
        state.told = Some(now);
        Some(std::mem::take(&mut state.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::{PAUSE, Refusals};
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn whoever_guesses_is_told_of_at_once_and_then_once_a_minute() {
        let refusals = Refusals::default();
        assert_eq!([refusals.note(), refusals.note(), refusals.note()], [Some(1), None, None]);
        advance(PAUSE).await;
        assert_eq!([refusals.note(), refusals.note()], [Some(3), None]);
    }
}
