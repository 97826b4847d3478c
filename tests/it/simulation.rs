//! The day of `benches/day.rs` with few tenants: what Flexslot gets stays within bounds.

#[allow(clippy::cast_possible_truncation, reason = "virtual times and counts are small")]
#[path = "../../benches/day/simulation.rs"]
mod simulated;

use std::time::Duration;

use flexslot_proxy::credential::RefreshPolicy;

use simulated::{Connected, Counts, Scenario};

const TENANTS: u32 = 2_000;
const HOUR: Duration = Duration::from_secs(3600);

fn scenario(connected: Connected) -> Scenario {
    Scenario {
        tenants: TENANTS,
        sidecars: 5,
        hours: 24,
        connected,
        request_every: Duration::from_secs(60),
        outage: None,
        policy: RefreshPolicy::default(),
    }
}

/// The most refreshes per second over any `seconds` in a row; with few tenants a single second tells nothing.
fn busiest(counts: &Counts, seconds: usize) -> f64 {
    let windows = counts.refreshes.windows(seconds).map(|window| window.iter().sum::<u32>());
    f64::from(windows.max().unwrap()) / seconds as f64
}

#[test]
fn tenants_connected_evenly_are_refreshed_evenly() {
    let counts = scenario(Connected::Evenly).play();
    assert!(busiest(&counts, 300) < 2.0 * counts.mean(), "{} of {}", busiest(&counts, 300), counts.mean());
    assert_eq!(counts.twice, 0);
    // Each token is refreshed once in its life, which the window makes five minutes shorter.
    assert!((23 * u64::from(TENANTS)..=27 * u64::from(TENANTS)).contains(&counts.total()), "{}", counts.total());
}

#[test]
fn tenants_connected_together_are_refreshed_over_the_window() {
    // One sidecar, so that what goes out of turn is less than what is due.
    let together = Scenario { sidecars: 1, request_every: Duration::from_secs(5), ..scenario(Connected::Together) };
    let counts = Scenario { tenants: 10_000, hours: 2, ..together }.play();
    let bound = 10_000.0 / 300.0;
    assert!(counts.busiest_ten() < 1.3 * bound, "{} of {bound}", counts.busiest_ten());
    assert_eq!(counts.twice, 0);
    assert!(counts.awaited < counts.total() / 20, "most are refreshed before a request has to wait");
}

#[test]
fn after_an_outage_the_turns_bound_the_rush() {
    let policy = RefreshPolicy { max_parallel: 2, ..RefreshPolicy::default() };
    let outage = Some((2 * HOUR, 3 * HOUR));
    let counts = Scenario { outage, policy, hours: 5, ..scenario(Connected::Evenly) }.play();
    // Five sidecars with two turns each, and 100 ms at least for each.
    assert!(counts.busiest_second() <= 100, "{}", counts.busiest_second());
    assert_eq!(counts.twice, 0);
    let in_outage = &counts.refreshes[2 * 3600 + 1..3 * 3600];
    assert!(in_outage.iter().all(|count| *count == 0));
    let tries: u32 = counts.not_sent.iter().sum();
    // A try and its backoff: at most one a minute and sidecar once the backoff is at its longest, and a few more
    // before.
    assert!(tries < TENANTS * 3 * 70, "{tries}");
}
