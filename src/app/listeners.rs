//! The sockets of a sidecar, bound before it is built.

use super::StartFailure;
use crate::{
    config::Config,
    model::ListenOn,
    server::{
        connections_page::ConnectionsPage,
        listen::{self, Listener},
    },
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
        Ok(Self {
            admin: bind(&config.admin.listeners)?,
            metrics: bind(&config.admin.metrics_listeners)?,
            server: bind(&config.server.listeners)?,
        })
    }

    /// The connections page, where a browser can reach it by TCP.
    pub fn connections_page(&self) -> Option<ConnectionsPage> {
        self.admin.iter().find_map(Listener::local_addr).map(ConnectionsPage::at)
    }

    /// The addresses of the data plane and of the admin listener, as one would type them.
    pub fn addresses(&self) -> (String, String) {
        let list = |listeners: &mut dyn Iterator<Item = &Listener>| {
            listeners.map(Listener::to_string).collect::<Vec<_>>().join(", ")
        };
        (list(&mut self.server.iter()), list(&mut self.admin.iter().chain(&self.metrics)))
    }

    /// The first TCP port of the data plane and of the admin listener; 0 where there is none.
    pub fn ports(&self) -> (u16, u16) {
        let port = |listeners: &[Listener]| {
            listeners.iter().find_map(Listener::local_addr).map_or(0, |address| address.port())
        };
        (port(&self.server), port(&self.admin))
    }
}

#[cfg(test)]
mod tests {
    use super::{ListenOn, Listener, Listeners};
    use crate::model::ListenAddress;

    fn bound(address: ListenAddress) -> Listener {
        Listener::bind(&ListenOn::required(address)).unwrap()
    }

    fn tcp() -> Listener {
        bound(ListenAddress::Tcp("127.0.0.1:0".parse().unwrap()))
    }

    #[tokio::test]
    async fn the_connections_page_is_where_a_browser_reaches_the_admin_listener() {
        let dir = tempfile::tempdir().unwrap();
        let socket = bound(ListenAddress::Unix { path: dir.path().join("admin.sock"), mode: 0o600 });
        let admin = tcp();
        let port = admin.local_addr().unwrap().port();
        let listeners = Listeners { server: vec![tcp()], admin: vec![socket, admin], metrics: vec![tcp()] };
        let page = listeners.connections_page().unwrap().url_of(None);
        assert_eq!(page, format!("http://127.0.0.1:{port}/"));
    }

    #[tokio::test]
    async fn without_a_tcp_address_of_the_admin_listener_there_is_none() {
        let listeners = Listeners { server: vec![tcp()], admin: Vec::new(), metrics: vec![tcp()] };
        assert_eq!(listeners.connections_page(), None);
    }
}
