//! How a new configuration gets to a sidecar that runs, what it changes there, and how the one who sent it learns what
//! became of it.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{App, StartFailure, outbound::Outbound, receiver, settings, storage, stored_clients};
use crate::{
    admin,
    config::{Config, KeyLocation},
    connect_flow, credential,
    flexslot::StoredClients,
    model::ListenOn,
    proxy::{self, replay::ReplayMemory},
    store::seal::KeyRing,
    telemetry,
};

/// Hands new configurations to a running sidecar.
#[derive(Debug)]
pub struct Reloader(mpsc::Sender<Request>);

/// The sidecar's end: the configurations that it is handed.
#[derive(Debug)]
pub struct Reloads(mpsc::Receiver<Request>);

/// What became of a new configuration.
#[must_use]
#[derive(Debug)]
pub enum Reloaded {
    /// The requests that come from now on are served by it.
    InUse,
    /// It cannot be used, and nothing has changed.
    Refused(StartFailure),
    /// The sidecar is stopping, and takes over nothing more.
    Stopping,
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) config: Config,
    pub(super) outcome: oneshot::Sender<Result<(), StartFailure>>,
}

/// A new configuration that has been found usable: all that can fail has been done, and nothing has changed yet.
struct Prepared {
    config: Config,
    outbound: Outbound,
    stored: Arc<StoredClients>,
    memory: ReplayMemory,
    keys: Option<KeyRing>,
    corridor: proxy::Settings,
    credential: credential::Settings,
    connecting: connect_flow::Settings,
    admin: admin::Settings,
    tls: Option<Arc<rustls::ServerConfig>>,
    /// Where it has changed.
    telemetry: Option<Option<telemetry::Settings>>,
}

/// How long a reload waits for the store to say which key it is sealed with.
const LOOK_AT_KEY: Duration = Duration::from_secs(2);

/// Both ends.
pub fn reloads() -> (Reloader, Reloads) {
    let (sender, receiver) = mpsc::channel(1);
    (Reloader(sender), Reloads(receiver))
}

// === impl Reloader ===

impl Reloader {
    /// Hands over `config`; comes back once it is in use as a whole or refused as a whole.
    pub async fn reload(&self, config: Config) -> Reloaded {
        let (outcome, told) = oneshot::channel();
        // Where the sidecar is gone, so is the other end of `told`.
        let _ = self.0.send(Request { config, outcome }).await;
        match told.await {
            Ok(Ok(())) => Reloaded::InUse,
            Ok(Err(failure)) => Reloaded::Refused(failure),
            Err(_) => Reloaded::Stopping,
        }
    }
}

// === impl Reloads ===

impl Reloads {
    /// The next configuration; never, once there is nobody left to send one.
    pub(super) async fn next(&mut self) -> Request {
        match self.0.recv().await {
            Some(request) => request,
            None => std::future::pending().await,
        }
    }
}

// === impl App ===

impl App {
    /// Takes over a new configuration as far as it can be while running: the whole of it, or nothing.
    pub(super) async fn reload(&mut self, config: Config) -> Result<(), StartFailure> {
        let mut keys = self.changed_keys(&config).await;
        if keys.is_err() {
            // The store may have left our key behind while this process was stopped.
            let _ = timeout(LOOK_AT_KEY, self.credentials.look_at_key()).await;
            keys = self.changed_keys(&config).await;
        }
        let prepared = self.prepare(config, keys?).await?;
        self.adopt(prepared);
        Ok(())
    }

    /// What keeps strangers out of an address that is bound already must not go with the address in the file.
    fn stays_guarded(&self, config: &Config) -> Result<(), StartFailure> {
        let server = &config.server;
        let wants_tokens = server.client_token.is_some() || !server.callers.is_empty();
        // Where nothing is said of TLS any more, those that speak it go on as they do.
        let wants_certificates =
            if server.tls.is_some() { server.wants_certificates() } else { self.wants_certificates };
        let is_open = |on: &&ListenOn| !(on.address.is_local() || on.tls && wants_certificates);
        match self.bound.iter().find(is_open) {
            Some(open) if !server.allow_remote && !wants_tokens => {
                let what =
                    format!("{} is listened on until the next start, and would be open to anybody", open.address);
                Err(StartFailure::new(what)
                    .hint("restart the sidecar for this change, or keep what callers have to show"))
            }
            _ => Ok(()),
        }
    }

    async fn prepare(&self, config: Config, keys: Option<KeyRing>) -> Result<Prepared, StartFailure> {
        self.stays_guarded(&config)?;
        // A new way out is built only where the way out has changed: pooled connections are worth keeping.
        let outbound = match config.upstream == self.config.upstream {
            true => self.outbound.clone(),
            false => Outbound::for_workers(&config, self.crew.size())?,
        };
        let stored = match config.upstream.origin == self.config.upstream.origin {
            true => Arc::clone(&self.stored),
            false => stored_clients::loaded(&self.store, &config.upstream.origin).await,
        };
        let server = outbound.authorization_server(&config, &stored, &self.around)?;
        let memory = if config.limits.replay_memory == self.config.limits.replay_memory {
            self.memory.clone()
        } else {
            ReplayMemory::new(config.limits.replay_memory as u64)
        };
        let corridor = settings::corridor(&config, outbound.upstreams(), memory.clone());
        let credential = settings::credential(&config, Arc::clone(&server) as _);
        let connecting = settings::connect_flow(&config, server, self.admin_port);
        let admin = self.admin_settings_of(&config)?;
        let tls = settings::tls(&config)?;
        let is_exported_as_before = config.traces == self.config.traces && config.upstream == self.config.upstream;
        let telemetry = match is_exported_as_before {
            true => None,
            false => Some(receiver::telemetry(&config, &outbound, &self.instance)?),
        };
        Ok(Prepared { config, outbound, stored, memory, keys, corridor, credential, connecting, admin, tls, telemetry })
    }

    fn adopt(&mut self, prepared: Prepared) {
        let Prepared {
            config,
            outbound,
            stored,
            memory,
            keys,
            corridor,
            credential,
            connecting,
            admin,
            tls,
            telemetry,
        } = prepared;
        if let Some(settings) = telemetry {
            self.telemetry.reload(settings);
        }
        // Listeners with TLS stay so until the next start, and show what they did where nothing else is said.
        if let (Some(shown), Some(tls)) = (&self.tls, tls) {
            shown.replace(tls);
            self.wants_certificates = config.server.wants_certificates();
        }
        if let Some(ring) = keys {
            self.sealer.replace(ring);
        }
        self.corridor.reload(corridor);
        self.credentials.reload(credential);
        self.connecting.reload(connecting);
        self.front.set_lines(settings::lines(&config));
        self.admin_settings.replace(admin);
        self.admin.set_guard(settings::admin_guard(&config));
        self.metrics.set_guard(settings::metrics_guard(&config));
        (self.config, self.outbound, self.stored, self.memory) = (config, outbound, stored, memory);
    }

    /// The keys of the store that is open, as the new configuration has them; another store's are for the next start.
    async fn changed_keys(&self, config: &Config) -> Result<Option<KeyRing>, StartFailure> {
        if config.store.lies_where(&self.opened) {
            let location = config.store.key_location();
            let keys = storage::keys(&config.store).await?;
            // The next start would find the store without its key: better said while the key may be at hand.
            if let (None, Some(file)) = (&keys, location.and_then(KeyLocation::file)) {
                return Err(key_file_is_gone(file));
            }
            if keys.as_ref().is_none_or(|ring| ring.holds(self.sealer.sealing_key())) {
                return Ok(keys);
            }
            let place = match location {
                Some(KeyLocation::Keyring(_)) => "the desktop's keyring",
                Some(KeyLocation::Secret(_)) | None => "the key file",
            };
            let what = format!("{place} no longer holds the key that the store is sealed with");
            let failure = StartFailure::new(what);
            return Err(failure.hint("put it back, on any line; a new first line seals from then on"));
        }
        Ok(None)
    }
}

/// It was there when the store was opened.
fn key_file_is_gone(file: &Path) -> StartFailure {
    let what = format!(
        "the encryption key file {} is gone; what was read from it stays in use until this process ends, and the next start will fail",
        file.display()
    );
    StartFailure::new(what).hint("put it back")
}
