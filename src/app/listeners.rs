//! The sockets of a sidecar, bound before it is built.

use super::StartFailure;
use crate::{
    config::Config,
    model::ListenOn,
    server::listen::{self, Listener},
};

/// The sockets of a sidecar.
#[derive(Debug, Default)]
pub struct Listeners {
    /// The data plane's.
    pub server: Vec<Listener>,
    /// The admin listener's.
    pub admin: Vec<Listener>,
    /// Those that serve health and metrics only.
    pub metrics: Vec<Listener>,
}

// === impl Listeners ===

impl Listeners {
    /// Binds what the configuration names.
    pub fn bind(config: &Config) -> Result<Self, StartFailure> {
        let bind = |on: &[ListenOn]| listen::bind_all(on).map_err(|error| StartFailure::listen(&error));
        let admin = bind(&config.admin.listeners)?;
        let metrics = bind(&config.admin.metrics_listeners)?;
        Ok(Self { server: bind(&config.server.listeners)?, admin, metrics })
    }

    /// The addresses of the data plane and of the admin listener, as one would type them.
    pub fn addresses(&self) -> (String, String) {
        let list = |listeners: &[Listener]| listeners.iter().map(Listener::to_string).collect::<Vec<_>>().join(", ");
        (list(&self.server), list(&self.admin))
    }

    /// The first TCP port of the data plane and of the admin listener; 0 where there is none.
    pub fn ports(&self) -> (u16, u16) {
        let port = |listeners: &[Listener]| {
            listeners.iter().find_map(Listener::local_addr).map_or(0, |address| address.port())
        };
        (port(&self.server), port(&self.admin))
    }
}
