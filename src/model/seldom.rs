//! Lines of the log that others can provoke: seldom written, so that nobody fills it, with how much they stand for.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// What has happened and no line has told yet.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When the last line was written.
    told: Option<Instant>,
    untold: u64,
}

/// A line at once, and then one in this time at most.
const PAUSE: Duration = Duration::from_secs(60);

// === impl Seldom ===

impl Seldom {
    /// Notes that it has happened once more. Answers how many times a line has to tell of now; `None` where it is not time
    /// for one.
    pub fn note(&self) -> Option<u64> {
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
    use super::{PAUSE, Seldom};
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn what_happens_often_is_told_at_once_and_then_once_a_minute() {
        let seldom = Seldom::default();
        assert_eq!([seldom.note(), seldom.note(), seldom.note()], [Some(1), None, None]);
        advance(PAUSE).await;
        assert_eq!([seldom.note(), seldom.note()], [Some(3), None]);
    }
}
