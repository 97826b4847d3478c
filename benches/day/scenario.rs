//! What is simulated, and what is told of it.

use std::time::Duration;

use flexslot_proxy::credential::RefreshPolicy;

use super::Simulation;

/// The world and what happens in it.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) tenants: u32,
    pub(crate) sidecars: u32,
    pub(crate) hours: u32,
    pub(crate) connected: Connected,
    /// The mean time between two requests of a tenant.
    pub(crate) request_every: Duration,
    /// The token endpoint is out of reach from here to there.
    pub(crate) outage: Option<(Duration, Duration)>,
    pub(crate) policy: RefreshPolicy,
}

/// When the tenants got their first pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connected {
    Evenly,
    Together,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Token requests that were answered, by the second in which they were sent.
    pub(crate) refreshes: Vec<u32>,
    /// Token requests that never left, by the second.
    pub(crate) not_sent: Vec<u32>,
    /// Refreshes that a request waited for.
    pub(crate) awaited: u64,
    /// Renewals that found that another sidecar had refreshed.
    pub(crate) adopted: u64,
    /// Token requests for a version that had been answered before. There must be none.
    pub(crate) twice: u64,
}

// === impl Scenario ===

impl Scenario {
    pub(crate) fn play(&self) -> Counts {
        let mut simulation = Simulation::new(self.clone());
        simulation.run(self.hours * 3_600_000);
        simulation.into_counts()
    }
}

// === impl Counts ===

impl Counts {
    pub(crate) fn total(&self) -> u64 {
        self.refreshes.iter().map(|count| u64::from(*count)).sum()
    }

    pub(crate) fn mean(&self) -> f64 {
        self.total() as f64 / self.refreshes.len() as f64
    }

    /// The most refreshes per second over any ten seconds in a row, which evens out chance.
    pub(crate) fn busiest_ten(&self) -> f64 {
        let most = self.refreshes.windows(10).map(|seconds| seconds.iter().sum::<u32>()).max();
        f64::from(most.unwrap_or(0)) / 10.0
    }

    pub(crate) fn busiest_second(&self) -> u32 {
        self.refreshes.iter().copied().max().unwrap_or(0)
    }
}
