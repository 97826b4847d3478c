//! A day of many tenants on many sidecars, on virtual time: how many token requests Flexslot gets, second by second.
//!
//! `cargo bench --bench day`, or with other numbers: `cargo bench --bench day -- TENANTS SIDECARS HOURS`.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a program for people at a terminal")]
#![allow(clippy::cast_possible_truncation, reason = "virtual times and counts are small")]

#[path = "day/simulation.rs"]
mod simulation;

use std::{env, time::Duration};

use flexslot_proxy::{
    credential::{RefreshPolicy, schedule},
    model::{GrantId, Random, ScopeSet, Timestamp, TokenType, Version},
    store::GrantSummary,
};
use simulation::{Connected, Counts, Scenario};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn main() {
    #[allow(clippy::disallowed_methods, reason = "the numbers of the day")]
    let numbers: Vec<u32> = env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let number = |index: usize, default| numbers.get(index).copied().unwrap_or(default);
    let (tenants, sidecars, hours) = (number(0, 1_000_000), number(1, 50), number(2, 24));
    let even = Scenario {
        tenants,
        sidecars,
        hours,
        connected: Connected::Evenly,
        request_every: Duration::from_secs(60),
        outage: None,
        policy: RefreshPolicy::default(),
    };
    let together = Scenario { connected: Connected::Together, ..even.clone() };
    let busy = Scenario { request_every: Duration::from_secs(5), hours: hours.min(3), ..together.clone() };
    let outage = Scenario { outage: Some((2 * HOUR, 3 * HOUR)), hours: hours.min(5), ..even.clone() };

    println!(
        "{tenants} tenants, {sidecars} sidecars; each tenant's requests come to 3 of them; an access token lives for an hour\n"
    );
    println!(
        "| tenants connected | a request every | hours | refreshes | per second, mean | busiest second | busiest ten, mean | bound | busiest ten of it | awaited | adopted | twice |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    let mean = f64::from(tenants) / 3600.0;
    let window = f64::from(tenants) / even.policy.before_expiry.as_secs_f64();
    let parallel = f64::from(sidecars) * even.policy.max_parallel as f64 / 0.1;
    row("evenly", &even, 2.0 * mean);
    row("together", &together, window);
    row("together", &busy, window);
    let counts = row("evenly; an hour's outage", &outage, parallel);
    after_outage(&counts);
    keep_alive(tenants);
}

fn row(name: &str, scenario: &Scenario, bound: f64) -> Counts {
    let counts = scenario.play();
    let busiest = counts.busiest_second();
    println!(
        "| {name} | {} s | {} | {} | {:.0} | {busiest} | {:.0} | {bound:.0} | {:.0} % | {:.1} % | {} | {} |",
        scenario.request_every.as_secs(),
        scenario.hours,
        counts.total(),
        counts.mean(),
        counts.busiest_ten(),
        100.0 * counts.busiest_ten() / bound,
        100.0 * counts.awaited as f64 / counts.total() as f64,
        counts.adopted,
        counts.twice,
    );
    counts
}

fn after_outage(counts: &Counts) {
    let tries: u64 = counts.not_sent.iter().map(|count| u64::from(*count)).sum();
    let busiest = counts.not_sent.iter().max().expect("an hour");
    let usual = 2.0 * counts.mean();
    let over = counts.refreshes.iter().skip(3 * 3600).position(|count| f64::from(*count) < usual);
    println!(
        "\nIn the outage: {tries} tries, {busiest} in the busiest second. Back to less than twice the mean after {over:?} s."
    );
}

/// A crowd that was connected together and has lain idle since.
fn keep_alive(tenants: u32) {
    let (random, connected) = (Random::system(), Timestamp::from_secs(1_795_200_000));
    let period = 20 * DAY;
    let mut per_minute = vec![0_u32; 2 * 24 * 60 + 1];
    for _ in 0..tenants {
        let grant = GrantSummary {
            id: GrantId::random(&random),
            version: Version::FIRST,
            client_id: String::new(),
            origin: "https://api.flexslot.gg".parse().expect("an origin"),
            token_type: TokenType::Bearer,
            scopes: ScopeSet::unknown(),
            expires_at: connected.plus(HOUR),
            answered_at: Some(connected),
            intent: None,
        };
        let due = schedule::keep_alive_due(&grant, None, period).expect("it was connected");
        per_minute[(due.left(connected.plus(period)).as_secs() / 60) as usize] += 1;
    }
    let busiest = per_minute.iter().max().expect("two days");
    println!(
        "\nIdle since they were connected together, with keep_alive = \"20d\": due over two days, {:.1} per second in the busiest minute.",
        f64::from(*busiest) / 60.0
    );
}
