//! The sockets of a sidecar, bound before it is built.

use super::{StartFailure, settings};
use crate::{
    config::Config,
    model::ListenOn,
    server::{
        connections_page::ConnectionsPage,
        listen::{self, Handed, Listener},
        tls::Tls,
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
    /// What those of the data plane show that speak TLS.
    pub tls: Option<Tls>,
}

// === impl Listeners ===

impl Listeners {
    /// Binds what the configuration names, but for what was handed over.
    pub fn bind(config: &Config, mut handed: Handed) -> Result<Self, StartFailure> {
        let tls = settings::tls(config)?.map(Tls::new);
        let mut bind = |on: &[ListenOn]| {
            listen::bind_all(on, &mut handed, tls.as_ref()).map_err(|error| StartFailure::listen(&error))
        };
        let (admin, metrics) = (bind(&config.admin.listeners)?, bind(&config.admin.metrics_listeners)?);
        let server = bind(&config.server.listeners)?;
        if let Some(left) = handed.left() {
            let what = format!("was started with a socket that nothing here listens on: {left}");
            return Err(StartFailure::new(what).hint(
                "server.listen, admin.listen or admin.metrics_listen has to name its address exactly as the socket has it",
            ));
        }
        Ok(Self { server, admin, metrics, tls })
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
        let listeners = Listeners { server: vec![tcp()], admin: vec![socket, admin], metrics: vec![tcp()], tls: None };
        let page = listeners.connections_page().unwrap().url_of(None);
        assert_eq!(page, format!("http://127.0.0.1:{port}/"));
    }

    #[tokio::test]
    async fn without_a_tcp_address_of_the_admin_listener_there_is_none() {
        let listeners = Listeners { server: vec![tcp()], admin: Vec::new(), metrics: vec![tcp()], tls: None };
        assert_eq!(listeners.connections_page(), None);
    }
}
