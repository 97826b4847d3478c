//! How many tenants are connected and how well, counted by walking through all of them now and then.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::metrics::Metrics;
use crate::{
    credential::{CardQuery, Credentials},
    model::ConnectionState,
};

/// Tenants by their state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally([u64; ConnectionState::ALL.len()]);

/// Tenants that are looked at in one step.
const STEP: usize = 1000;

/// How long a step is rested from, in times of what it took: however slow the store is, and however many sidecars share
/// it, counting is a small part of its work.
const REST: u32 = 200;

/// The least and the longest rest between two steps.
const LEAST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// From the end of one count to the beginning of the next.
const BETWEEN: Duration = Duration::from_secs(30);

/// Counts again and again, and tells `metrics` of every whole count.
pub async fn count(credentials: &Credentials, metrics: &Metrics) {
    loop {
        metrics.connections(whole_count(credentials).await);
        sleep(BETWEEN).await;
    }
}

async fn whole_count(credentials: &Credentials) -> Tally {
    let mut tally = Tally::default();
    let mut query = CardQuery { limit: STEP, ..CardQuery::default() };
    loop {
        let begun = Instant::now();
        match credentials.cards(&query).await {
            Ok(page) => {
                page.cards.iter().for_each(|card| tally.add(card.state));
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => return tally,
                }
            }
            // The same step is tried again; what is wrong with the store is told elsewhere.
            Err(error) => tracing::debug!(%error, "counting the connections pauses"),
        }
        sleep((begun.elapsed() * REST).clamp(LEAST, LONGEST)).await;
    }
}

// === impl Tally ===

impl Tally {
    /// One more in this state.
    pub fn add(&mut self, state: ConnectionState) {
        self.0[place(state)] += 1;
    }

    /// Every state with its number of tenants.
    pub fn iter(&self) -> impl Iterator<Item = (ConnectionState, u64)> {
        ConnectionState::ALL.into_iter().map(|state| (state, self.0[place(state)]))
    }
}

const fn place(state: ConnectionState) -> usize {
    match state {
        ConnectionState::Connected => 0,
        ConnectionState::Expiring => 1,
        ConnectionState::ReconnectRequired => 2,
        ConnectionState::NotConnected => 3,
        ConnectionState::Error => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;
    use crate::model::ConnectionState;

    #[test]
    fn every_state_is_counted_apart() {
        let mut tally = Tally::default();
        for (times, state) in ConnectionState::ALL.into_iter().enumerate() {
            (0..=times).for_each(|_| tally.add(state));
        }
        let counted: Vec<_> = tally.iter().collect();
        let expected: Vec<_> = ConnectionState::ALL.into_iter().zip(1..).collect();
        assert_eq!(counted, expected);
    }
}
