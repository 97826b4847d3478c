//! Time shared out among the places where a server may be.

use std::time::Duration;

use tokio::time::Instant;

/// How long the next of `places` may be tried, of which each is tried until one answers, all by `deadline`. Whoever is
/// silent has a part, and the last has two: what is asked of it once it has answered takes time as well.
pub(super) fn turn(deadline: Instant, places: usize) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    let parts = if places > 1 { u32::try_from(places + 1).unwrap_or(u32::MAX) } else { 1 };
    left / parts
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, advance};

    use super::turn;

    #[tokio::test(start_paused = true)]
    async fn silent_places_have_a_part_each_and_the_last_has_two() {
        let deadline = Instant::now() + Duration::from_secs(8);
        let mut turns = Vec::new();
        for places in [3, 2, 1] {
            let turn = turn(deadline, places);
            advance(turn).await;
            turns.push(turn.as_secs());
        }
        assert_eq!(turns, [2, 2, 4]);
        assert_eq!(turn(deadline, 2), Duration::ZERO);
    }
}
