//! `check`

mod lock;
mod names;

use std::{fmt, io, path::Path, sync::Arc};

use rustix::fs::{Access, access};

use super::{
    Console, Failure, GlobalArgs, ServeOverrides, World, console::printable, progress::counted, store::patiently,
};
use crate::{
    app::{
        StartFailure, Surroundings,
        client_manager::notes,
        finding::{Finding, Found},
        outbound::Outbound,
        probe::Probes,
        settings,
        storage::{KeyringWish, Storage, ask, keyring},
    },
    config::{Config, ConfigSource, Engine, KeyLocation, Overrides, StoreKey, TraceExport},
    model::{TenantId, Unobserved},
    store::OpenError,
};
use lock::Second;

/// Check configuration, key, store and lock, without starting anything
///
/// Prints one line for each, and fails if one of them would keep a sidecar from working. Nothing is created: a store
/// that does not exist yet is left to `serve`. A sidecar may run on the same store meanwhile.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct CheckArgs {
    /// Ask Flexslot, too: whether it can be reached, and what each credential is worth there
    ///
    /// Looks at TLS and clocks, at each personal access token, OAuth client and connection, and has a second process
    /// try the lock. Changes nothing, at Flexslot or here.
    #[arg(long)]
    online: bool,
    /// Ask about the credentials of this tenant only; can be given several times
    #[arg(long = "tenant", value_name = "TENANT", requires = "online")]
    tenants: Vec<TenantId>,
    /// Bid for a lock, as the second process of `check --online`
    #[arg(long, value_name = "NAME", hide = true, conflicts_with = "online")]
    bid: Option<TenantId>,
    #[command(flatten)]
    overrides: ServeOverrides,
}

/// What has been found so far.
struct Report<'a> {
    console: &'a mut Console,
    failed: Vec<&'static str>,
}

/// `ok    store          …`
struct Row<'a>(&'a Found);

// === impl CheckArgs ===

impl CheckArgs {
    pub(super) fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        let source = global.source(world.environment);
        let overrides: Overrides = self.overrides.into();
        let config = Config::load(&source, &overrides, world.environment)?;
        let runtime = super::runtime()?;
        if let Some(name) = &self.bid {
            return runtime.block_on(lock::bid(&config, name, world));
        }
        let around = world.surroundings();
        let mut report = Report { console: &mut world.console, failed: Vec::new() };
        report.add(Finding::Good(describe(&source, &config)).of("configuration"))?;
        if let Err(failure) = settings::tls(&config) {
            report.add(Finding::Bad(failure).of("tls"))?;
        }
        match (self.online, Outbound::new(&config)) {
            (_, Err(failure)) => report.add(Finding::Bad(failure).of("upstream"))?,
            (true, Ok(_)) => {}
            (false, Ok(_)) => report.add(
                Finding::Good(format!(
                    "{} is well-formed, trust roots and outbound proxy can be used; nobody tried to connect",
                    config.upstream.origin
                ))
                .of("upstream"),
            )?,
        }
        for passed_over in &config.traces.passed_over {
            report.add(Finding::doubtful(passed_over.to_string()).of("traces"))?;
        }
        if let Some(export) = &config.traces.export {
            report.add(traces(export).of("traces"))?;
        }
        runtime.block_on(async {
            // Nobody else finds a store that is this process's alone.
            let is_shared = !matches!(config.store.engine, Engine::Memory);
            let second = (self.online && is_shared).then_some(Second { source: &source, overrides: &overrides });
            let storage = storage(&config, &around, second, &mut report).await?;
            if let Some(storage) = &storage {
                names::unknown(&config, &storage.store).await.into_iter().try_for_each(|found| report.add(found))?;
            }
            if self.online && !report.has_failed("upstream") {
                let probes = Probes::new(&config, storage.as_ref(), &around).await?;
                probes.run(&self.tenants, |found| report.add(found)).await?;
            }
            Ok::<(), Failure>(())
        })?;
        report.end()
    }
}

fn describe(source: &ConfigSource, config: &Config) -> String {
    let from = source.path().map_or("built-in defaults".to_owned(), |path| path.display().to_string());
    format!("{from}, {} in it", counted(config.tenants.len() as u64, "tenant"))
}

/// Where traces go, without going there.
fn traces(export: &TraceExport) -> Finding {
    let (to, sample) = (export.url.origin().ascii_serialization(), export.sampler.ratio);
    match export.exposure() {
        None => Finding::Good(format!("exported to {to}, sampled at {sample}; nobody tried to connect")),
        Some(exposure) => Finding::doubtful(exposure),
    }
}

/// Key, store and lock, as far as they can be looked at; answers the store, where there is one that can be used.
async fn storage(
    config: &Config,
    around: &Surroundings,
    second: Option<Second<'_>>,
    report: &mut Report<'_>,
) -> Result<Option<Storage>, Failure> {
    let name = &config.store.engine;
    let looking = Storage::look(&config.store, around, Arc::new(Unobserved));
    let storage = match patiently(&config.store, looking, |what| report.console.tell(what)).await {
        Ok(Some(storage)) => storage,
        Ok(None) => {
            report.add(not_made_yet(name).await.of("store"))?;
            return Ok(None);
        }
        Err(failure) => {
            report.add(Finding::Bad(failure).of("store"))?;
            return Ok(None);
        }
    };
    report.add(keys(&storage).await.of("key"))?;
    let probed = match storage.store.probe().await {
        Ok(()) => Finding::Good(format!("{name} takes and gives back what is written")),
        Err(error) => Finding::Bad(StartFailure::new(error.to_string())),
    };
    report.add(probed.of("store"))?;
    report.add(lock::excludes(&storage, second, &around.random).await.of("lock"))?;
    // What cannot be found out is told by the other findings.
    let notes = storage.store.clients().await.map(|kept| notes(&kept)).unwrap_or_default();
    notes.into_iter().try_for_each(|note| report.add(Finding::doubtful(note).of("client")))?;
    let caveats = storage.store.caveats().await.unwrap_or_default();
    let mut caveats = storage.store.exposure().into_iter().chain(caveats);
    caveats.try_for_each(|caveat| report.add(Finding::doubtful(caveat).of("store")))?;
    Ok(Some(storage))
}

/// What `serve` would do about a store that is not there.
async fn not_made_yet(name: &Engine) -> Finding {
    if let Engine::Sqlite { path, .. } = name
        && let Some(finding) = not_writable(path)
    {
        return finding;
    }
    let has_key = match name.key() {
        Some(StoreKey { location: KeyLocation::Keyring(item), .. }) => {
            match ask(&keyring(item), KeyringWish::Read).await {
                Ok(found) => found.is_some(),
                Err(error) => return Finding::Bad(error.into()),
            }
        }
        Some(key) => key.text.is_some(),
        None => false,
    };
    let key = if has_key { "the configured key" } else { "a new key" };
    Finding::Good(format!("{name} does not exist yet; serve creates it, with {key}"))
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

// === impl Report ===

impl Report<'_> {
    fn add(&mut self, found: Found) -> Result<(), Failure> {
        self.console.data_line(Row(&found))?;
        if matches!(found.finding, Finding::Bad(_)) {
            self.failed.push(found.what);
        }
        Ok(())
    }

    fn has_failed(&self, what: &str) -> bool {
        self.failed.contains(&what)
    }

    fn end(self) -> Result<(), Failure> {
        match self.failed.len() as u64 {
            0 => Ok(()),
            failed => Err(Failure::new(format!("{} failed", counted(failed, "check")))),
        }
    }
}

// === impl Row ===

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found { what, finding } = self.0;
        let (mark, text, hint) = match finding {
            Finding::Good(text) => ("ok", text, None),
            Finding::Doubtful(StartFailure { what, hint }) => ("WARN", what, hint.as_deref()),
            Finding::Bad(StartFailure { what, hint }) => ("FAIL", what, hint.as_deref()),
        };
        write!(f, "{mark:<6}{what:<14}{}", printable(text))?;
        hint.map_or(Ok(()), |hint| write!(f, "\nhint: {}", printable(hint)))
    }
}
