//! `check`

use std::{fmt, sync::Arc, time::Duration};

use super::{Console, Failure, GlobalArgs, ServeOverrides, World};
use crate::{
    app::{Surroundings, outbound::Outbound, storage::Storage},
    config::{Config, ConfigSource, Engine},
    model::{TenantId, Unobserved, token::Owner},
    store::backend::Bid,
};

/// Check configuration, key, store and lock, without starting anything
///
/// Prints one line for each, and fails if one of them would keep a sidecar from working. Nothing is created: a store that does not exist yet is
/// left to `serve`. A sidecar may run on the same store meanwhile.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    overrides: ServeOverrides,
}

/// How long the leases of the lock's check last at most.
const LEASE: Duration = Duration::from_secs(5);

/// What one check found.
enum Finding {
    Good(String),
    Bad(Failure),
}

/// `ok    store          …`
struct Row<'a>(&'a str, &'a Finding);

// === impl CheckArgs ===

impl CheckArgs {
    pub(super) fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        let source = global.source(world.environment);
        let config = Config::load(&source, &self.overrides.into(), world.environment)?;
        report(&mut world.console, "configuration", Finding::Good(describe(&source, &config)))?;
        let ways_out = match Outbound::new(&config) {
            Ok(_) => Finding::Good(format!("{}, trust roots and outbound proxy can be used", config.upstream.origin)),
            Err(failure) => Finding::Bad(failure.into()),
        };
        let mut bad = report(&mut world.console, "upstream", ways_out)?;
        for (what, finding) in super::runtime()?.block_on(storage(&config)) {
            bad += report(&mut world.console, what, finding)?;
        }
        match bad {
            0 => Ok(()),
            1 => Err(Failure::new("1 check failed")),
            bad => Err(Failure::new(format!("{bad} checks failed"))),
        }
    }
}

fn describe(source: &ConfigSource, config: &Config) -> String {
    let from = source.path().map_or("built-in defaults".to_owned(), |path| path.display().to_string());
    let tenants = config.tenants.len();
    format!("{from}, {tenants} tenant{} in it", if tenants == 1 { "" } else { "s" })
}

/// Key, store and lock, as far as they can be looked at.
async fn storage(config: &Config) -> Vec<(&'static str, Finding)> {
    let name = match &config.store.engine {
        Engine::Memory => "memory:".to_owned(),
        Engine::Sqlite { path, key } if !path.exists() => {
            let key = if key.text.is_some() { "the configured key" } else { "a new key" };
            let finding = format!("sqlite:{} does not exist yet; serve creates it, with {key}", path.display());
            return vec![("store", Finding::Good(finding))];
        }
        Engine::Sqlite { path, .. } => format!("sqlite:{}", path.display()),
    };
    let storage = match Storage::open(&config.store, &Surroundings::system(), Arc::new(Unobserved)).await {
        Ok(storage) => storage,
        Err(failure) => return vec![("store", Finding::Bad(failure.into()))],
    };
    let key = ("key", Finding::Good(format!("the store opens with key {}", storage.sealer.sealing_key())));
    let probed = match storage.store.probe().await {
        Ok(()) => Finding::Good(format!("{name} takes and gives back what is written")),
        Err(error) => Finding::Bad(Failure::new(error.to_string())),
    };
    vec![key, ("store", probed), ("lock", lock(&storage).await)]
}

/// Whether of two processes that want to renew for the same tenant one has to wait.
async fn lock(storage: &Storage) -> Finding {
    let owner = |instance: &str| Owner { host: "check".to_owned(), instance: instance.to_owned() };
    let (first, second) = (owner("first"), owner("second"));
    let name = format!("check-{}", std::process::id());
    let Ok(tenant) = name.parse::<TenantId>() else {
        return Finding::Bad(Failure::new("no name for the lock's check"));
    };
    let bids = (storage.store.bid(&tenant, &first, LEASE).await, storage.store.bid(&tenant, &second, LEASE).await);
    let released = storage.store.release(&tenant, &first).await;
    match (bids, released) {
        ((Ok(Bid::Won), Ok(Bid::Lost { .. })), Ok(())) => {
            Finding::Good("of two processes that want to renew, one waits".to_owned())
        }
        ((Ok(_), Ok(_)), Ok(())) => Finding::Bad(Failure::new("the store lends the same lease twice")),
        ((Err(error), _) | (_, Err(error)), _) | (_, Err(error)) => Finding::Bad(Failure::new(error.to_string())),
    }
}

/// Prints a finding; answers how many are bad.
fn report(console: &mut Console, what: &str, finding: Finding) -> Result<usize, Failure> {
    console.data_line(Row(what, &finding))?;
    Ok(usize::from(matches!(finding, Finding::Bad(_))))
}

// === impl Row ===

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Finding::Good(text) => write!(f, "ok    {:<14}{text}", self.0),
            Finding::Bad(failure) => write!(f, "FAIL  {:<14}{failure}", self.0),
        }
    }
}
