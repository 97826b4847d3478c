//! Reads the configuration of a running sidecar again, whenever there is a reason to.

use std::{path::PathBuf, sync::Arc};

use tokio::signal::unix::Signal;

use super::{logging::Logging, service, watcher::Watcher};
use crate::{
    app::{Metrics, Reloaded, Reloader},
    config::{Config, ConfigSource, Environment, Faults, Overrides, SystemEnvironment},
};

/// What a sidecar was started with, so that its configuration can be read again.
pub(super) struct Origin {
    pub(super) source: ConfigSource,
    pub(super) overrides: Overrides,
}

/// Hands what it reads to the sidecar, if it is good and new.
pub(super) struct Rereader {
    origin: Origin,
    /// What takes a restart to change is as this has it.
    started: Config,
    /// What the sidecar works by otherwise.
    in_use: Config,
    logging: Logging,
    reloader: Reloader,
    standing: Standing,
    /// The files of what was read last, in use or not: whoever mends what was refused is noticed, too.
    files: Vec<PathBuf>,
    watcher: Watcher,
}

/// Whether what was read last is in use, as the metrics have it.
struct Standing {
    metrics: Arc<Metrics>,
    refused: bool,
}

/// Why the configuration is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// One of its files may have changed. A change that means nothing new is no reason for a line in the log.
    Look,
    /// A signal asks for it, which always gets its answer.
    Asked,
}

// === impl Origin ===

impl Origin {
    pub(super) fn read(&self, environment: &dyn Environment) -> Result<Config, Faults> {
        Config::load(&self.source, &self.overrides, environment)
    }
}

// === impl Rereader ===

impl Rereader {
    /// For a sidecar that runs with `started`.
    pub(super) fn new(
        origin: Origin,
        started: Config,
        logging: Logging,
        (reloader, metrics): (Reloader, Arc<Metrics>),
    ) -> Self {
        let files = started.watched_files();
        let watcher = Watcher::new(&files);
        let standing = Standing { metrics, refused: false };
        Self { origin, in_use: started.clone(), started, logging, reloader, standing, files, watcher }
    }

    /// Ends with the sidecar.
    pub(super) async fn run(mut self, mut hangup: Signal) {
        // Begins with a look, for what has changed after the configuration was read and before its files were watched.
        let mut reason = Reason::Look;
        loop {
            if reason == Reason::Asked {
                service::reloading();
            }
            match self.origin.read(&SystemEnvironment) {
                Ok(config) if config.watched_files() != self.files => {
                    self.files = config.watched_files();
                    self.watcher = Watcher::new(&self.files);
                    continue;
                }
                Ok(config) if reason == Reason::Look && self.in_use.says_the_same(&config) => {
                    self.in_use = config;
                    self.standing.as_before();
                }
                Ok(config) => self.hand_over(config).await,
                Err(faults) => {
                    self.standing.refused();
                    tracing::error!("the new configuration is not used, the old one stays:\n{faults}");
                }
            }
            // Also where the new one was refused: the sidecar is ready with the old one.
            if reason == Reason::Asked {
                service::ready();
            }
            reason = tokio::select! {
                Some(()) = hangup.recv() => Reason::Asked,
                () = self.watcher.changed() => Reason::Look,
            };
        }
    }

    /// The filter of the log belongs to the configuration: it changes with the rest of it, or not at all.
    async fn hand_over(&mut self, config: Config) {
        match self.reloader.reload(config.clone()).await {
            Reloaded::InUse => {
                self.logging.change(&config.log);
                for key in self.started.changes_needing_restart(&config) {
                    tracing::warn!(key, "this change takes effect only with the next start");
                }
                tracing::info!("the new configuration is in use");
                self.standing.taken();
                self.in_use = config;
            }
            Reloaded::Refused(failure) => {
                self.standing.refused();
                tracing::error!(%failure, "the new configuration cannot be used; the old one stays");
            }
            Reloaded::Stopping => {}
        }
    }
}

// === impl Standing ===

impl Standing {
    fn taken(&mut self) {
        self.refused = false;
        self.metrics.configuration_taken();
    }

    fn refused(&mut self) {
        self.refused = true;
        self.metrics.configuration_refused();
    }

    /// The files say what is in use. That is worth a line only after they have said something else.
    fn as_before(&mut self) {
        if self.refused {
            tracing::info!("the configuration is again the one that is in use");
        }
        self.taken();
    }
}
