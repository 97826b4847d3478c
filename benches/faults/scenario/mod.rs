//! The scenarios, and what each has to say.

mod certificates;
mod clients;
mod clock;
mod descriptors;
mod disk;
mod memory;
mod names;
mod operations;
mod upstream;

use std::{fmt, future::Future, path::Path, pin::Pin};

use crate::{
    cost::Cost,
    failure::Result,
    place::Place,
    sidecar::Sidecar,
    watch::{BYSTANDER, Watch},
};

/// One fault, or a few of the same kind.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Path) -> Running<'_>,
}

pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>>> + 'a>>;

/// A line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) fault: String,
    /// What clients see that it befalls.
    pub(crate) seen: String,
    /// What others see meanwhile, and the probes.
    pub(crate) healthy: String,
    /// From its end until the first good answer.
    pub(crate) recovery: String,
    pub(crate) cost: Option<Cost>,
}

/// A sidecar with a store on disk in front of the stand-in.
pub(crate) struct Stage {
    pub(crate) place: Place,
    pub(crate) sidecar: Sidecar,
}

pub(crate) const HEADING: &str = "\
| fault | what a client sees | another tenant, and the probes | recovery | memory (before, at most, after), descriptors |
|---|---|---|---|---|";

/// The tenant that the fault befalls. It has a PAT, unless a scenario gives it a grant.
pub(crate) const VICTIM: &str = "victim";

pub(crate) const ALL: [Scenario; 18] = [
    Scenario { name: "slow-heads", run: |binary| Box::pin(clients::slow_heads(binary)) },
    Scenario { name: "slow-bodies", run: |binary| Box::pin(clients::slow_bodies(binary)) },
    Scenario { name: "idle", run: |binary| Box::pin(clients::idle(binary)) },
    Scenario { name: "flood", run: |binary| Box::pin(clients::flood(binary)) },
    Scenario { name: "slow-upstream", run: |binary| Box::pin(upstream::slow(binary)) },
    Scenario { name: "resets", run: |binary| Box::pin(upstream::resets(binary)) },
    Scenario { name: "stalled-clients", run: |binary| Box::pin(upstream::stalled_clients(binary)) },
    Scenario { name: "descriptors", run: |binary| Box::pin(descriptors::exhausted(binary)) },
    Scenario { name: "memory", run: |binary| Box::pin(memory::limited(binary)) },
    Scenario { name: "names", run: |binary| Box::pin(names::failing(binary)) },
    Scenario { name: "clock-jumps", run: |binary| Box::pin(clock::jumps(binary)) },
    Scenario { name: "clock-stands-still", run: |binary| Box::pin(clock::stands_still(binary)) },
    Scenario { name: "store-disk-full", run: |binary| Box::pin(disk::store(binary)) },
    Scenario { name: "log-disk-full", run: |binary| Box::pin(disk::log(binary)) },
    Scenario { name: "certificates", run: |binary| Box::pin(certificates::faulty(binary)) },
    Scenario { name: "restarts", run: |binary| Box::pin(operations::restarts(binary)) },
    Scenario { name: "restarts-on-a-kept-socket", run: |binary| Box::pin(operations::kept_socket(binary)) },
    Scenario { name: "reloads", run: |binary| Box::pin(operations::reloads(binary)) },
];

// === impl Scenario ===

impl Scenario {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|scenario| scenario.name == name)
    }
}

// === impl Row ===

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, seen, healthy, recovery, cost } = self;
        let cost = cost.map(|cost| cost.to_string()).unwrap_or_default();
        write!(f, "| {fault} | {seen} | {healthy} | {recovery} | {cost} |")
    }
}

// === impl Stage ===

impl Stage {
    /// With what `plan` adds to the configuration.
    pub(crate) async fn set(binary: &Path, plan: impl FnOnce(&mut Place) -> &mut Place) -> Result<Self> {
        let mut place = furnished(binary).await?;
        let _ = plan(&mut place);
        let sidecar = place.start().await?;
        let stage = Self { place, sidecar };
        stage.warm().await;
        Ok(stage)
    }

    /// Threads, connections and caches of the first requests are nobody's fault.
    pub(crate) async fn warm(&self) {
        for _ in 0..20 {
            let _ = crate::http::ask(self.place.proxy, &crate::http::Request::get(BYSTANDER)).await;
        }
    }

    pub(crate) fn watch(&self) -> Watch {
        Watch::begin(self.place.proxy, self.place.admin)
    }

    pub(crate) fn cost(&self) -> Cost {
        Cost::begin(&self.sidecar)
    }
}

/// A place with both tenants.
pub(crate) async fn furnished(binary: &Path) -> Result<Place> {
    let mut place = Place::new(binary).await?;
    for name in [BYSTANDER, VICTIM] {
        let line = place.flexslot.state.grants.pat(name);
        place.tenant(line);
    }
    Ok(place)
}
