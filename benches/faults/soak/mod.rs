//! A sidecar under mixed load for as long as it is asked to, while everything around it fails now and then.
//!
//! Every failure that a client sees has to be one that was ordered or brought about, and stand in the log under the id that the
//! client was told; and the process has to weigh in the end what it weighed in the beginning.

mod client;
mod ledger;
mod plan;
mod sample;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tokio::{
    task::JoinSet,
    time::{interval, sleep, timeout},
};

use crate::{
    dice::Dice,
    failure::{Failure, Result},
    flexslot::State,
    place::Place,
    sidecar::Sidecar,
};
use client::Client;
use ledger::Ledger;
use plan::Planner;
use sample::Sample;

/// Requests per second, whether or not earlier ones have been answered.
const RATE: u64 = 150;

/// How many of a hundred token requests fail.
const TROUBLE: u64 = 15;

/// How often the configuration is read again.
const RELOAD: Duration = Duration::from_secs(30);

/// What the tasks of a soak share.
struct Soak {
    port: u16,
    upstream: Arc<State>,
    ledger: Ledger,
    /// Requests that have begun.
    begun: AtomicU64,
}

/// What happens to the sidecar meanwhile.
struct Events {
    place: Place,
    sidecar: Sidecar,
    reloads: u64,
    stops: Vec<Duration>,
    lines: Vec<serde_json::Value>,
}

pub(crate) async fn run(binary: &Path, minutes: u64) -> Result<()> {
    let (mut place, planner) = prepare(binary).await?;
    let sidecar = place.start().await?;
    let (port, upstream) = (place.proxy, Arc::clone(&place.flexslot.state));
    upstream.grants.trouble(TROUBLE, Dice::new(7));
    let soak = Arc::new(Soak { port, upstream, ledger: Ledger::default(), begun: AtomicU64::new(0) });
    let length = Duration::from_secs(60 * minutes);
    let load = tokio::spawn(load(Arc::clone(&soak), planner, length));
    let mut events = Events { place, sidecar, reloads: 0, stops: Vec::new(), lines: Vec::new() };
    let samples = events.unfold(&soak, length).await?;
    load.await.map_err(|error| Failure::new(format!("the load: {error}")))?;
    // What has been answered stands in the log within milliseconds.
    sleep(Duration::from_secs(1)).await;
    events.lines.extend(events.sidecar.log.take());
    events.sidecar.stop().await?;
    events.lines.extend(events.sidecar.log.take());
    conclude(&soak, &events, &samples)
}

/// Tenants of both kinds. Tokens live for minutes, and for times of their own.
async fn prepare(binary: &Path) -> Result<(Place, Planner)> {
    let mut place = Place::new(binary).await?;
    place
        .set("upstream", "response_timeout = \"5s\"")
        .set("refresh", "min_interval = \"1s\"\ngive_up = \"4s\"\nuncertain_after = \"6s\"\ntimeout = \"10s\"");
    let mut planner = Planner::new(Dice::new(1));
    for number in 0..12 {
        let name = planner.grant(number);
        let line = place.flexslot.state.grants.grant(&name, Duration::from_secs(60 + 15 * number));
        place.tenant(line);
    }
    for number in 0..4 {
        let name = planner.pat(number);
        let line = place.flexslot.state.grants.pat(&name);
        place.tenant(line);
    }
    Ok((place, planner))
}

/// Begins a request whenever one is due, and waits for the last ones.
async fn load(soak: Arc<Soak>, mut planner: Planner, length: Duration) {
    let (began, client) = (Instant::now(), Arc::new(Client::default()));
    let mut turns = interval(Duration::from_micros(1_000_000 / RATE));
    let mut under_way = JoinSet::new();
    while began.elapsed() < length {
        turns.tick().await;
        let plan = planner.next();
        soak.begun.fetch_add(1, Ordering::Relaxed);
        let (soak, client) = (Arc::clone(&soak), Arc::clone(&client));
        under_way.spawn(async move { client.serve(&plan, &soak).await });
        while under_way.try_join_next().is_some() {}
    }
    // Longer than any answer may take; what is still under way then has no outcome, and is missed in the end.
    let _ = timeout(Duration::from_secs(60), async { while under_way.join_next().await.is_some() {} }).await;
}

// === impl Events ===

impl Events {
    /// Reloads all along, and three restarts in the first quarter: after that the same process goes on to the end.
    async fn unfold(&mut self, soak: &Soak, length: Duration) -> Result<Vec<Sample>> {
        let began = Instant::now();
        let (mut samples, mut next_sample, mut next_reload) = (Vec::new(), Duration::ZERO, RELOAD);
        let mut restarts = [1, 2, 3].map(|part| length * part / 12).into_iter().peekable();
        while began.elapsed() < length {
            sleep(Duration::from_millis(100)).await;
            let now = began.elapsed();
            if restarts.next_if(|due| *due <= now).is_some() {
                self.restart(soak).await?;
            }
            if next_reload <= now {
                next_reload = now + RELOAD;
                self.reload()?;
            }
            if next_sample <= now {
                next_sample = now + Duration::from_secs(60).min(length / 10);
                self.lines.extend(self.sidecar.log.take());
                let sample = Sample::take(now, self.stops.len(), &self.sidecar, soak);
                println!("{sample}");
                samples.push(sample);
            }
        }
        Ok(samples)
    }

    fn reload(&mut self) -> Result<()> {
        self.reloads += 1;
        let body = if self.reloads.is_multiple_of(2) { "64MiB" } else { "63MiB" };
        self.place.replace("limits", format!("request_body = \"{body}\"")).write()?;
        self.sidecar.signal(Signal::HUP);
        Ok(())
    }

    async fn restart(&mut self, soak: &Soak) -> Result<()> {
        soak.ledger.restarting(true);
        self.stops.push(self.sidecar.stop().await?);
        self.lines.extend(self.sidecar.log.take());
        self.sidecar = self.place.start().await?;
        soak.ledger.restarting(false);
        Ok(())
    }
}

/// Prints what came of it, and fails where something is not explained.
fn conclude(soak: &Soak, events: &Events, samples: &[Sample]) -> Result<()> {
    let begun = soak.begun.load(Ordering::Relaxed);
    let counts = soak.upstream.grants.counts();
    let told = soak.ledger.total();
    println!("\n{begun} requests, {told} with an outcome");
    println!("{}", soak.ledger);
    let matched = soak.ledger.compare(&events.lines);
    println!("{matched}");
    println!("{} reloads; {} stops, which took {:.1?}", events.reloads, events.stops.len(), events.stops);
    println!(
        "{} refreshes, {} of which a second time after a failure on order; {} tokens refused on order; {} replays",
        counts.refreshes, counts.troubles, counts.refusals, counts.replays
    );
    let mut faults = matched.faults();
    faults.extend(sample::growth(samples));
    if counts.replays > 0 {
        faults.push(format!("{} refresh tokens were presented twice", counts.replays));
    }
    if told != begun {
        faults.push(format!("{} requests have no outcome", begun - told));
    }
    match &faults[..] {
        [] => Ok(()),
        faults => Err(Failure::new(faults.join("\n"))),
    }
}
