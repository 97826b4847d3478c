//! A bystander: another tenant, whose app asks all the while, and a probe beside it.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{interval, sleep, timeout},
};

use crate::{
    http::{self, Request},
    sidecar::readiness,
    tally::{shown, timed},
};

/// The bystander's name; it has a PAT.
pub(crate) const BYSTANDER: &str = "bystander";

/// How often it asks.
const EVERY: Duration = Duration::from_millis(50);

/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct Watch {
    asking: JoinHandle<Seen>,
    probing: JoinHandle<BTreeMap<String, usize>>,
    stop: watch::Sender<bool>,
}

/// What it saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    times: Vec<Duration>,
    failed: BTreeMap<String, usize>,
    probes: BTreeMap<String, usize>,
}

// === impl Watch ===

impl Watch {
    /// Asks at this proxy and this admin listener from now on, each time on a connection of its own.
    pub(crate) fn begin(proxy: u16, admin: u16) -> Self {
        let (stop, stopped) = watch::channel(false);
        let asking = tokio::spawn(ask(proxy, stopped.clone()));
        let probing = tokio::spawn(probe(admin, stopped));
        Self { asking, probing, stop }
    }

    pub(crate) async fn end(self) -> Seen {
        self.stop.send_replace(true);
        let mut seen = self.asking.await.unwrap_or_default();
        seen.probes = self.probing.await.unwrap_or_default();
        seen.times.sort_unstable();
        seen
    }
}

async fn ask(proxy: u16, stopped: watch::Receiver<bool>) -> Seen {
    let mut seen = Seen::default();
    let mut turns = interval(EVERY);
    while !*stopped.borrow() {
        turns.tick().await;
        match timed(timeout(PATIENCE, http::ask(proxy, &Request::get(BYSTANDER)))).await {
            (Ok(Ok(answer)), took) if answer.is_good() => seen.times.push(took),
            (Ok(Ok(answer)), _) => *seen.failed.entry(answer.to_string()).or_default() += 1,
            (Ok(Err(unanswered)), _) => *seen.failed.entry(unanswered.to_string()).or_default() += 1,
            (Err(_), _) => *seen.failed.entry("no answer within 2 s".into()).or_default() += 1,
        }
    }
    seen
}

async fn probe(admin: u16, stopped: watch::Receiver<bool>) -> BTreeMap<String, usize> {
    let mut probes = BTreeMap::new();
    let metrics = Request { path: "/metrics", ..Request::get("none") };
    while !*stopped.borrow() {
        *probes.entry(format!("/readyz {}", readiness(admin).await)).or_default() += 1;
        let scraped = timeout(PATIENCE, http::ask(admin, &metrics)).await;
        if !matches!(scraped, Ok(Ok(answer)) if answer.is_good()) {
            *probes.entry("/metrics not answered".to_owned()).or_default() += 1;
        }
        sleep(Duration::from_millis(200)).await;
    }
    probes
}

/// Asks until a request is answered as it should, and says how long that took.
pub(crate) async fn recovery(port: u16, request: &Request) -> String {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(120) {
        match timeout(PATIENCE, http::ask(port, request)).await {
            Ok(Ok(answer)) if answer.is_good() => return shown(&began.elapsed()),
            _ => sleep(Duration::from_millis(5)).await,
        }
    }
    "not within 2 minutes".to_owned()
}

// === impl Seen ===

impl Seen {
    pub(crate) fn failed(&self) -> usize {
        self.failed.values().sum()
    }
}

/// `all of 120 requests, half within 0.5 ms, the slowest 3.1 ms; /readyz ready`
impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let good = self.times.len();
        match self.failed() {
            0 => write!(f, "all of {good} requests")?,
            failed => write!(f, "{good} of {} requests", good + failed)?,
        }
        if let (Some(half), Some(slowest)) = (self.times.get(good / 2), self.times.last()) {
            write!(f, ", half within {}, the slowest {}", shown(half), shown(slowest))?;
        }
        for (what, count) in &self.failed {
            write!(f, ", {count} × {what}")?;
        }
        let mut probes: Vec<_> = self.probes.iter().collect();
        probes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        probes.iter().try_for_each(|(what, count)| write!(f, "; {count} × {what}"))
    }
}
