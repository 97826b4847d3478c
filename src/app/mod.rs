//! Builds every room from the configuration, in the order of their dependencies, and runs them.
//!
//! Rooms do not know `Config`: [`settings`] says what each of them is told of it.

pub mod admin_token;
pub mod client_manager;
pub mod connecting;
pub mod door;
pub mod failure;
pub mod finding;
mod listeners;
pub mod outbound;
pub mod probe;
mod receiver;
pub mod reload;
mod serving;
pub mod settings;
pub mod storage;
mod stored_clients;

use std::{convert::Infallible, fmt, pin::pin, sync::Arc, time::Duration};

use tokio::{
    join,
    sync::{oneshot, watch},
    time::{Instant, sleep, timeout_at},
};

pub use crate::{
    admin::metrics::Metrics,
    server::{
        crew::Crew,
        listen::{Handed, bind_tcp},
    },
};
use crate::{
    admin::{
        self, Admin, connections,
        health::{Phase, Readiness},
        trace::Traces,
    },
    config::{self, Config},
    connect_flow::{self, ConnectFlow},
    credential::{Credentials, coordinator::Parts},
    flexslot::StoredClients,
    model::{Clock, ListenOn, Random, Tracer},
    proxy::{Corridor, replay::ReplayMemory},
    server::{
        accept::Drained,
        access_log::Audience,
        admin_front::AdminFront,
        dispatch::{self, Front},
        request_id::RequestIds,
        tls::Tls,
    },
    store::{TokenStore, seal::Sealer},
    telemetry::{Exporter, Telemetry},
};
use admin_token::OwnToken;
pub use failure::StartFailure;
pub use listeners::Listeners;
use outbound::Outbound;
pub use reload::{Reloaded, Reloader, Reloads, reloads};
use serving::Serving;
use storage::Storage;

/// What the process hands in.
#[derive(Clone)]
pub struct Surroundings {
    pub clock: Arc<dyn Clock>,
    pub random: Random,
}

/// A sidecar, built and not yet running.
pub struct App {
    /// What requests are served by, as far as it can change while running.
    config: Config,
    /// The store that is open, as it was configured at the start. The configuration in use may name another one for the
    /// next start.
    opened: config::Store,
    credentials: Credentials,
    connecting: ConnectFlow,
    /// Where the data plane listens until the end, whatever the configuration says by then.
    bound: Vec<ListenOn>,
    /// The admin listener's, once it is bound.
    admin_port: Option<u16>,
    /// What callers over TLS are shown, once anything is bound.
    tls: Option<Tls>,
    /// Whether they need certificates there.
    wants_certificates: bool,
    corridor: Arc<Corridor>,
    crew: Arc<Crew>,
    front: Arc<Front>,
    admin: Arc<AdminFront>,
    /// Health and metrics only.
    metrics: Arc<AdminFront>,
    admin_settings: admin::Live,
    own_token: OwnToken,
    readiness: Arc<Readiness>,
    counters: Arc<Metrics>,
    telemetry: Telemetry,
    /// Until it runs.
    exporter: Option<Exporter>,
    /// What tells this process from its like, where traces are collected.
    instance: String,
    around: Surroundings,
    sealer: Sealer,
    outbound: Outbound,
    store: TokenStore,
    /// The OAuth clients of the store that are registered at the upstream.
    stored: Arc<StoredClients>,
    memory: ReplayMemory,
    draining: watch::Sender<bool>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything under way was finished.
    Drained,
    /// Some connections were cut off when `drain_timeout` was over.
    CutOff,
}

/// How long requests are still served that were sent before their senders could know that we are stopping. Who sends one
/// later, on a connection that was said to end, is told to go elsewhere.
const ON_THE_WAY: Duration = Duration::from_secs(1);

/// How long probes that are being answered at the end may take.
const ADMIN_DRAIN: Duration = Duration::from_secs(1);

/// The process's counters.
pub fn metrics() -> Result<Arc<Metrics>, StartFailure> {
    Metrics::new().map(Arc::new).map_err(|error| StartFailure::new(format!("the metrics cannot be set up: {error}")))
}

// === impl Surroundings ===

impl Surroundings {
    /// The machine's clock and randomness.
    pub fn system() -> Self {
        Self { clock: Arc::new(crate::model::SystemClock), random: Random::system() }
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Surroundings")
    }
}

// === impl App ===

impl App {
    /// Builds a sidecar on `storage`, whose requests `crew` serves.
    pub fn build(
        config: Config,
        storage: Storage,
        around: &Surroundings,
        (crew, counters): (Crew, Arc<Metrics>),
    ) -> Result<Self, StartFailure> {
        let outbound = Outbound::for_workers(&config, crew.size())?;
        let stored = stored_clients::of_store(&storage.store, &config.upstream.origin);
        let server = outbound.authorization_server(&config, &stored, around)?;
        let instance = storage.instance_lock(around)?;
        let store = storage.store.clone();
        let (telemetry, exporter) = Telemetry::new(Arc::clone(&counters) as _, &around.random);
        let instance_id = receiver::instance(&around.random);
        telemetry.reload(receiver::telemetry(&config, &outbound, &instance_id)?);
        let tracer: Arc<dyn Tracer> = Arc::new(telemetry.clone());
        let credentials = Credentials::new(Parts {
            settings: settings::credential(&config, Arc::clone(&server)),
            store: storage.store,
            spool: storage.spool,
            instance,
            clock: Arc::clone(&around.clock),
            random: around.random.clone(),
            observer: Arc::clone(&counters) as _,
            tracer: Arc::clone(&tracer),
        });
        let connecting = ConnectFlow::new(
            credentials.clone(),
            settings::connect_flow(&config, server, None),
            Arc::clone(&around.clock),
            around.random.clone(),
        );
        let memory = ReplayMemory::new(config.limits.replay_memory as u64);
        let corridor = settings::corridor(&config, outbound.upstreams(), memory.clone());
        let corridor = Arc::new(Corridor::new(corridor, credentials.clone(), Arc::clone(&counters) as _));
        let (draining, drained) = watch::channel(false);
        let traces = Arc::new(Traces::default());
        let told = Audience {
            observer: Arc::clone(&counters) as _,
            traces: Arc::clone(&traces),
            lines: settings::lines(&config),
        };
        let front = Front::new(dispatch::Parts {
            corridor: Arc::clone(&corridor),
            ids: RequestIds::new(&around.random),
            clock: Arc::clone(&around.clock),
            told,
            tracer,
            capacity: config.limits.connections,
            draining: drained,
        });
        let readiness = Arc::new(Readiness::default());
        let own_token = OwnToken::new(storage.state_dir, around);
        let admin_settings = settings::admin(&config, own_token.or_configured(&config)?, None);
        let admin_settings = admin::Live::new(admin_settings);
        let routes = Admin {
            credentials: credentials.clone(),
            metrics: Arc::clone(&counters),
            readiness: Arc::clone(&readiness),
            traces,
            settings: admin_settings.clone(),
            refusals: Arc::default(),
            clock: Arc::clone(&around.clock),
            random: around.random.clone(),
        };
        let ids = || RequestIds::new(&around.random);
        let metrics = AdminFront::new(admin::probes(routes.clone()), settings::metrics_guard(&config), ids());
        let routes = admin::router(routes).merge(connect_flow::http::router(connecting.clone()));
        let admin = AdminFront::new(routes, settings::admin_guard(&config), ids()).connecting(connecting.clone());
        Ok(Self {
            opened: config.store.clone(),
            bound: config.server.listeners.clone(),
            config,
            credentials,
            connecting,
            admin_port: None,
            tls: None,
            wants_certificates: false,
            corridor,
            crew: Arc::new(crew),
            front: Arc::new(front),
            admin: Arc::new(admin),
            metrics: Arc::new(metrics),
            admin_settings,
            own_token,
            readiness,
            counters,
            telemetry,
            exporter: Some(exporter),
            instance: instance_id,
            around: around.clone(),
            sealer: storage.sealer,
            outbound,
            store,
            stored,
            memory,
            draining,
        })
    }

    /// An address that signs one browser of this host in to the connections page; `None` where none can reach it.
    pub async fn sign_in_link(&self, listeners: &Listeners) -> Result<Option<String>, StartFailure> {
        let Some(page) = listeners.connections_page() else { return Ok(None) };
        let link = self.credentials.open_sign_in().await.map_err(|error| StartFailure::store(&error))?;
        Ok(Some(page.sign_in(&link.token)))
    }

    /// Serves until `shutdown`, which is polled first when it serves, taking over every configuration that comes in by `reloads`; then finishes what is under
    /// way, within `server.drain_timeout`.
    pub async fn run(
        mut self,
        listeners: Listeners,
        mut reloads: Reloads,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Ended, StartFailure> {
        let (limits, drain) = (settings::connections(&self.config), self.config.server.drain_timeout);
        self.admin_port = Some(listeners.ports().1).filter(|port| *port != 0);
        self.tls = listeners.tls.clone();
        self.wants_certificates = self.config.server.wants_certificates();
        let server = self.outbound.authorization_server(&self.config, &self.stored, &self.around)?;
        self.connecting.reload(settings::connect_flow(&self.config, server, self.admin_port));
        self.admin_settings.replace(self.admin_settings_of(&self.config)?);
        if let Some(page) = listeners.connections_page() {
            self.front.show_connections_page(page);
        }
        // First of all the admin listeners, so that probes are told that we are starting.
        let operators = settings::admin_connections(&self.config);
        let admin = Serving::start(listeners.admin, operators, Arc::clone(&self.admin), ADMIN_DRAIN);
        let probes = settings::metrics_connections(&self.config);
        let metrics = Serving::start(listeners.metrics, probes, Arc::clone(&self.metrics), ADMIN_DRAIN);
        if self.crew.is_apart() {
            self.credentials.live_here();
        }
        let _background = self.credentials.start().await.map_err(|error| StartFailure::store(&error))?;
        let (stop_exporting, stopped) = oneshot::channel::<Infallible>();
        let exporting = self.exporter.take().map(|exporter| tokio::spawn(exporter.run(async { drop(stopped.await) })));
        let (crew, front) = (Arc::clone(&self.crew), Arc::clone(&self.front));
        let data = Serving::by(crew, listeners.server, limits, front, drain);
        self.readiness.enter(Phase::Serving);
        let (credentials, counters) = (self.credentials.clone(), Arc::clone(&self.counters));
        let counting = connections::count(&credentials, &counters);
        tokio::pin!(shutdown, counting);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                () = &mut counting => {}
                reload::Request { config, outcome } = reloads.next() => {
                    // Who does not wait for the outcome does not need it.
                    let _ = outcome.send(self.reload(config).await);
                }
            }
        }
        let deadline = Instant::now() + drain;
        let ended = self.finish(data, drain).await;
        drop(stop_exporting);
        // What is left of the time is for the traces of the last requests.
        if let Some(exporting) = exporting {
            let _ = timeout_at(deadline, exporting).await;
        }
        // Last of all, so that probes are told that we are stopping.
        let _probes = join!(admin.stop(), metrics.stop());
        Ok(ended)
    }

    /// Ends the data plane and the token requests in good order, both within the same `drain`: one response may take all
    /// of it, and may still start a token request.
    async fn finish(&self, data: Serving, drain: Duration) -> Ended {
        tracing::info!(drain_timeout = ?drain, "stopping: no new connections, what is under way is finished");
        self.readiness.enter(Phase::Draining);
        let (last_response, responses) = oneshot::channel::<Infallible>();
        let serving = async {
            let drained = data.stop().await;
            drop(last_response);
            drained
        };
        let last_request = async { _ = responses.await };
        let mut ending = pin!(async { join!(serving, self.credentials.drain(last_request, drain)) });
        let (drained, ()) = tokio::select! {
            ended = &mut ending => ended,
            () = sleep(ON_THE_WAY) => {
                self.draining.send_replace(true);
                ending.await
            }
        };
        match drained {
            Drained::All => Ended::Drained,
            Drained::CutOff(connections) => {
                tracing::warn!(connections, "drain_timeout is over; connections were cut off");
                Ended::CutOff
            }
        }
    }

    fn admin_settings_of(&self, config: &Config) -> Result<admin::Settings, StartFailure> {
        Ok(settings::admin(config, self.own_token.or_configured(config)?, self.admin_port))
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("config", &self.config).finish_non_exhaustive()
    }
}
