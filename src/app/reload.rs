//! How a new configuration gets to a sidecar that runs, and how the one who sent it learns what became of it.

use tokio::sync::{mpsc, oneshot};

use super::StartFailure;
use crate::config::Config;

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
