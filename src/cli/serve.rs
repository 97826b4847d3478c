//! `serve`, which is also what no command at all means.

use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::SignalKind;

use super::{
    Console, Failure, GlobalArgs, ServeOverrides, StreamKind, World,
    logging::{Logging, Rest},
    reread::{Origin, Rereader},
    service,
    signals::{Signals, catch},
    store::patiently,
};
use crate::{
    app::{
        self, App, Crew, Ended, Handed, Listeners, StartFailure, Surroundings,
        settings::{ADMIN_CONNECTIONS, METRICS_CONNECTIONS},
        storage::{KeyHolder, Storage},
    },
    config::Config,
    model::ListenOn,
};

/// Run the sidecar (the default)
///
/// On a terminal it begins with a link to the connections page. It stops on SIGTERM and SIGINT, after finishing what is under way; a second signal ends it at once. SIGHUP, and a
/// change of the file or of a secret's file, make it read its configuration again.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    pub(super) overrides: ServeOverrides,
}

/// Descriptors that no connection of an app's may take, beside those of operators and of token requests: for the store, the
/// log and the listeners; and those of a worker's runtime.
const OWN: usize = 48;
const OWN_OF_WORKER: usize = 8;

// === impl ServeArgs ===

impl ServeArgs {
    /// Whether no flag is given.
    pub(super) fn is_plain(&self) -> bool {
        self.overrides == ServeOverrides::default()
    }

    pub(super) fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        #[cfg(debug_assertions)]
        super::arm_failpoint(world.environment)?;
        let origin = Origin { source: global.source(world.environment), overrides: self.overrides.into() };
        let config = origin.read(world.environment)?;
        // Before any thread is started: it changes the environment.
        let handed = Handed::from_env();
        let handed = handed.map_err(|error| Failure::new(format!("LISTEN_FDS: a socket cannot be used: {error}")))?;
        let (logging, rest) = Logging::start(&config.log, world.console.err_kind())?;
        super::runtime()?.block_on(serve((config, handed), origin, (logging, rest), &mut world.console))
    }
}

async fn serve(
    (config, handed): (Config, Handed),
    origin: Origin,
    (logging, rest): (Logging, Rest),
    console: &mut Console,
) -> Result<(), Failure> {
    let rest = Arc::new(rest);
    let descriptors = raise_file_limit();
    let mut signals = Signals::new()?;
    let hangup = catch(SignalKind::hangup())?;
    let metrics = app::metrics()?;
    let around = Surroundings::system();
    let opening = Storage::open(&config.store, &around, Arc::clone(&metrics) as _);
    let waiting = |_: &str| tracing::info!("waiting for the desktop's keyring, which may ask for its password");
    let storage = patiently(&config.store, opening, waiting).await?;
    announce_new_key(&storage);
    let listeners = Listeners::bind(&config, handed)?;
    let crew = workers()?;
    let lasting = within(config.clone(), descriptors, crew.size());
    let app = App::build(lasting, storage, &around, (crew, Arc::clone(&metrics)))?;
    announce(&listeners, &config);
    // A link is for whoever sits there, and must not end up where log lines are collected.
    if console.err_kind() == StreamKind::Terminal {
        invite(&app, &listeners, console).await;
    }
    let (reloader, reloads) = app::reloads();
    let rereading = tokio::spawn(Rereader::new(origin, config, logging, (reloader, metrics)).run(hangup));
    let alive = tokio::spawn(service::stay_alive());
    let last = Arc::clone(&rest);
    let stop = async {
        // It is asked for the first time when requests are served.
        service::ready();
        signals.stop_or(move || last.write()).await;
        service::stopping();
    };
    let ended = app.run(listeners, reloads, stop).await;
    alive.abort();
    rereading.abort();
    match ended? {
        Ended::Drained | Ended::CutOff => Ok(()),
    }
}

/// The threads that serve requests, one for each processor.
pub(super) fn workers() -> Result<Crew, Failure> {
    Crew::of_all_cores().map_err(|error| Failure::new(format!("no threads could be started: {error}")))
}

/// Shows a way to the connections page. Without one the sidecar does all else that it is for.
async fn invite(app: &App, listeners: &Listeners, console: &mut Console) {
    match app.sign_in_link(listeners).await {
        Ok(Some(link)) => {
            console.tell(format_args!("The connections page, for one browser, within five minutes:\n\n    {link}\n"))
        }
        Ok(None) => {}
        Err(failure) => tracing::warn!(%failure, "there is no link to the connections page"),
    }
}

/// Takes as many descriptors as the system lets us have, and answers how many these are; `None` where there is no end of
/// them. The soft limit is 1,024 on most systems, for the sake of programs that use select(2); `limits.connections` is
/// ten times that, and each of them needs another descriptor on the way out.
fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files stays as it is");
            limit.current
        }
    }
}

/// Lowers `limits.connections` to what descriptors last for, two for each: one may have to go out. Beyond that callers
/// wait until others have gone, where else those who are connected would be told that Flexslot cannot be reached, and
/// probes nothing.
fn within(mut config: Config, descriptors: Option<u64>, workers: usize) -> Config {
    let Some(descriptors) = descriptors else { return config };
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    let connections = (descriptors.saturating_sub(own(&config, descriptors, workers)) / 2).max(1);
    if connections < config.limits.connections {
        tracing::info!(connections, descriptors, "descriptors last for fewer connections than limits.connections says");
        // The others keep their part of what there is.
        let (configured, limits) = (config.limits.connections, &mut config.limits);
        limits.connections_per_peer = (limits.connections_per_peer.saturating_mul(connections) / configured).max(1);
        limits.connections = connections;
    }
    config
}

/// How many of so many descriptors are for everything else.
fn own(config: &Config, descriptors: usize, workers: usize) -> usize {
    let of = |listeners: &[ListenOn], most| if listeners.is_empty() { 0 } else { most };
    let operators =
        of(&config.admin.listeners, ADMIN_CONNECTIONS) + of(&config.admin.metrics_listeners, METRICS_CONNECTIONS);
    // As many token requests as that may never be under way, and are no reason to take in nobody.
    let token_requests = config.refresh.max_parallel.min(descriptors / 4);
    OWN + OWN_OF_WORKER * workers + operators + token_requests
}

fn announce_new_key(storage: &Storage) {
    match &storage.new_key {
        Some(KeyHolder::File(file)) => {
            let file = file.path().display();
            tracing::info!(%file, "an encryption key was made; keep a copy of it apart from the store");
        }
        Some(KeyHolder::Keyring(keyring)) => {
            let item = keyring.name();
            tracing::info!(
                item,
                "an encryption key was made in the desktop's keyring; keep a copy of it apart from the store"
            );
        }
        None => {}
    }
}

fn announce(listeners: &Listeners, config: &Config) {
    let (listen, admin) = listeners.addresses();
    let admin = if admin.is_empty() { "off".to_owned() } else { admin };
    let (version, upstream, store) = (env!("CARGO_PKG_VERSION"), config.upstream.origin.as_str(), &config.store.engine);
    tracing::info!(version, listen, admin, upstream, %store, "flexslot-proxy is listening");
}

impl From<StartFailure> for Failure {
    fn from(failure: StartFailure) -> Self {
        let told = Self::new(failure.what);
        match failure.hint {
            Some(hint) => told.hint(hint),
            None => told,
        }
    }
}
