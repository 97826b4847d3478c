//! `check`

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use rustix::fs::{Access, access};

use super::{Console, Failure, GlobalArgs, ServeOverrides, World, console::printable, progress::counted};
use crate::{
    app::{StartFailure, Surroundings, client_desk::notes, outbound::Outbound, storage::Storage},
    config::{Config, ConfigSource, Engine},
    model::{TenantId, Unobserved, token::Owner},
    store::{OpenError, backend::Bid},
};

/// Check configuration, key, store and lock, without starting anything
///
/// Prints one line for each, and fails if one of them would keep a sidecar from working. Nothing is created: a store
/// that does not exist yet is left to `serve`. A sidecar may run on the same store meanwhile.
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
    /// It works, and an operator should know.
    Doubtful(String),
    Bad(StartFailure),
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
            Ok(_) => Finding::Good(format!(
                "{} is well-formed, trust roots and outbound proxy can be used; nobody tried to connect",
                config.upstream.origin
            )),
            Err(failure) => Finding::Bad(failure),
        };
        let mut bad = report(&mut world.console, "upstream", ways_out)?;
        for (what, finding) in super::runtime()?.block_on(storage(&config)) {
            bad += report(&mut world.console, what, finding)?;
        }
        match bad {
            0 => Ok(()),
            bad => Err(Failure::new(format!("{} failed", counted(bad, "check")))),
        }
    }
}

fn describe(source: &ConfigSource, config: &Config) -> String {
    let from = source.path().map_or("built-in defaults".to_owned(), |path| path.display().to_string());
    format!("{from}, {} in it", counted(config.tenants.len() as u64, "tenant"))
}

/// Key, store and lock, as far as they can be looked at.
async fn storage(config: &Config) -> Vec<(&'static str, Finding)> {
    let name = &config.store.engine;
    let around = Surroundings::system();
    let storage = match Storage::look(&config.store, &around, Arc::new(Unobserved)).await {
        Ok(Some(storage)) => storage,
        Ok(None) => {
            if let Engine::Sqlite { path, .. } = name
                && let Some(finding) = not_writable(path)
            {
                return vec![("store", finding)];
            }
            let has_key = name.key().is_some_and(|key| key.text.is_some());
            let key = if has_key { "the configured key" } else { "a new key" };
            let finding = format!("{name} does not exist yet; serve creates it, with {key}");
            return vec![("store", Finding::Good(finding))];
        }
        Err(failure) => return vec![("store", Finding::Bad(failure))],
    };
    let key = ("key", keys(&storage).await);
    let probed = match storage.store.probe().await {
        Ok(()) => Finding::Good(format!("{name} takes and gives back what is written")),
        Err(error) => Finding::Bad(StartFailure::new(error.to_string())),
    };
    let mut findings = vec![key, ("store", probed), ("lock", lock(&storage).await)];
    // What cannot be found out is told by the other findings.
    let caveats = storage.store.caveats().await.unwrap_or_default();
    let caveats = storage.store.exposure().into_iter().chain(caveats);
    let notes = storage.store.clients().await.map(|kept| notes(&kept)).unwrap_or_default();
    findings.extend(notes.into_iter().map(|note| ("clients", Finding::Doubtful(printable(&note)))));
    findings.extend(caveats.map(|caveat| ("store", Finding::Doubtful(caveat))));
    findings
}

/// Why `serve` could not make a database at `path`, if it could not. What is missing above it is made too, so the
/// directory that counts is the nearest one that is there.
fn not_writable(path: &Path) -> Option<Finding> {
    let dir = path.ancestors().skip(1).map(|dir| if dir.as_os_str().is_empty() { Path::new(".") } else { dir });
    let dir = dir.into_iter().find(|dir| dir.exists())?;
    let error = match dir.is_dir() {
        true => access(dir, Access::WRITE_OK | Access::EXEC_OK).err()?.into(),
        false => io::ErrorKind::NotADirectory.into(),
    };
    let error = OpenError::File { path: path.to_owned(), doing: "create the store", error };
    Some(Finding::Bad(error.into()))
}

/// Which records are sealed with which key. All of them are opened.
async fn keys(storage: &Storage) -> Finding {
    let survey = match storage.store.survey().await {
        Ok(survey) => survey,
        Err(error) => return Finding::Bad(StartFailure::new(error.to_string())),
    };
    let first = storage.sealer.sealing_key();
    let mut found = format!("{} sealed with key {first}, which seals", counted(survey.of(first), "record"));
    for (key, records) in survey.by_key.iter().filter(|(key, _)| **key != first) {
        found.push_str(&format!("; {} with key {key} (key rotate seals them anew)", counted(*records, "record")));
    }
    let unneeded = storage.sealer.keys().others().into_iter().filter(|key| survey.of(*key) == 0);
    unneeded.for_each(|key| found.push_str(&format!("; none with key {key}")));
    let Some(named) = survey.named.first() else { return Finding::Good(found) };
    let unreadable = counted(survey.unreadable, "record");
    Finding::Bad(StartFailure::new(format!("{unreadable} cannot be read, such as: {named}; {found}")).hint(
        "put the key that is missing into store.encryption_key, behind the first, or forget the tenant with tenant remove",
    ))
}

/// Whether of two processes that want to renew for the same tenant one has to wait.
async fn lock(storage: &Storage) -> Finding {
    let owner = |instance: &str| Owner { host: "check".to_owned(), instance: instance.to_owned() };
    let (first, second) = (owner("first"), owner("second"));
    let name = format!("check-{}", std::process::id());
    let Ok(tenant) = name.parse::<TenantId>() else {
        return Finding::Bad(StartFailure::new("no name for the lock's check"));
    };
    let store = &storage.store;
    let bids = match store.now().await {
        Ok(now) => {
            let by = now.plus(LEASE);
            (store.bid(&tenant, &first, LEASE, by).await, store.bid(&tenant, &second, LEASE, by).await)
        }
        Err(error) => return Finding::Bad(StartFailure::new(error.to_string())),
    };
    let released = storage.store.release(&tenant, &first).await;
    match (bids, released) {
        ((Ok(Bid::Won), Ok(Bid::Lost { .. })), Ok(())) => {
            Finding::Good("of two processes that want to renew, one waits".to_owned())
        }
        ((Ok(Bid::Late), Ok(_)) | (Ok(_), Ok(Bid::Late)), Ok(())) => {
            Finding::Bad(StartFailure::new(format!("the store takes longer than {LEASE:?} to lend a lease")))
        }
        ((Ok(_), Ok(_)), Ok(())) => Finding::Bad(StartFailure::new("the store lends the same lease twice")),
        ((Err(error), _) | (_, Err(error)), _) | (_, Err(error)) => Finding::Bad(StartFailure::new(error.to_string())),
    }
}

/// Prints a finding; answers how many are bad.
fn report(console: &mut Console, what: &str, finding: Finding) -> Result<u64, Failure> {
    console.data_line(Row(what, &finding))?;
    Ok(u64::from(matches!(finding, Finding::Bad(_))))
}

// === impl Row ===

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Finding::Good(text) => write!(f, "ok    {:<14}{text}", self.0),
            Finding::Doubtful(text) => write!(f, "WARN  {:<14}{text}", self.0),
            Finding::Bad(StartFailure { what, hint }) => {
                write!(f, "FAIL  {:<14}{what}", self.0)?;
                hint.iter().try_for_each(|hint| write!(f, "\nhint: {hint}"))
            }
        }
    }
}
