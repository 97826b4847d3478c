//! `[admin]`: where operators, probes and users' browsers reach the sidecar.

use std::net::Ipv4Addr;

use crate::{
    config::{
        listen::{self, Purpose},
        meaning::Resolver,
        origin,
        reader::Table,
        report::{At, Setting},
        secret::{ConfiguredSecret, SecretSource},
    },
    model::{BaseUrl, ListenAddress, ListenOn, WebOrigin},
};

/// `[admin]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Empty when off.
    pub listeners: Vec<ListenOn>,
    /// With `/healthz`, `/readyz` and `/metrics` only; empty when off.
    pub metrics_listeners: Vec<ListenOn>,
    /// `None`: one that the sidecar makes for itself.
    pub token: Option<ConfiguredSecret>,
    /// Where users' browsers reach the listener, where that is not its own address.
    pub public_url: Option<BaseUrl>,
    /// Where a connect session may send a browser back to.
    pub return_origins: Vec<WebOrigin>,
}

/// `[admin]` as written.
#[derive(Debug, Default)]
pub(in crate::config) struct Written {
    pub(in crate::config) listen: Setting<Vec<At<ListenOn>>>,
    pub(in crate::config) metrics_listen: Setting<Vec<At<ListenOn>>>,
    token: Setting<SecretSource>,
    pub(in crate::config) public_url: Setting<BaseUrl>,
    return_origins: Setting<Vec<WebOrigin>>,
}

/// The port of the admin listener.
pub(super) const PORT: u16 = 3540;

// === impl Admin ===

impl Admin {
    /// Loopback.
    pub(in crate::config) fn default_listeners() -> Vec<ListenOn> {
        vec![ListenOn::by_default((Ipv4Addr::LOCALHOST, PORT).into())]
    }

    /// The first of the listener's TCP ports, as configured: 0 is one that is known only once it is bound.
    pub fn port(&self) -> Option<u16> {
        self.ports().first().copied()
    }

    /// The listener's TCP ports; 0 is one that is known only once it is bound.
    pub(super) fn ports(&self) -> Vec<u16> {
        let port = |listener: &ListenOn| match listener.address {
            ListenAddress::Tcp(address) => Some(address.port()),
            ListenAddress::Unix { .. } => None,
        };
        self.listeners.iter().filter_map(port).collect()
    }
}

// === impl Written ===

impl Written {
    pub(in crate::config) fn read(mut table: Table<'_>) -> Self {
        let written = Self {
            listen: table.key("listen", |value| listen::read(value, Purpose::Operators)),
            metrics_listen: table.key("metrics_listen", |value| listen::read(value, Purpose::Operators)),
            token: table.key("token", SecretSource::read_written),
            public_url: table.key("public_url", |value| value.text("a URL", origin::base_url)),
            return_origins: table.key("return_origins", |value| {
                value.list("origins", |value| value.text("an origin", origin::page_origin))
            }),
        };
        table.finish();
        written
    }

    pub(in crate::config) fn meaning(self, resolver: &Resolver<'_>) -> Admin {
        Admin {
            listeners: listen::meaning(self.listen, Admin::default_listeners, resolver),
            metrics_listeners: listen::meaning(self.metrics_listen, Vec::new, resolver),
            token: resolver.admin_token(self.token),
            public_url: self.public_url.into_given().map(|at| at.value),
            return_origins: self.return_origins.or(Vec::new()),
        }
    }
}
