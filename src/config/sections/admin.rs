//! `[admin]`: where operators and probes reach the sidecar.

use std::net::Ipv4Addr;

use crate::{
    config::{
        listen::{self, Purpose},
        meaning::Resolver,
        reader::Table,
        report::{At, Setting},
    },
    model::ListenOn,
};

/// `[admin]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Empty when off.
    pub listeners: Vec<ListenOn>,
    /// With `/healthz`, `/readyz` and `/metrics` only; empty when off.
    pub metrics_listeners: Vec<ListenOn>,
}

/// `[admin]` as written.
#[derive(Debug, Default)]
pub(in crate::config) struct Written {
    pub(in crate::config) listen: Setting<Vec<At<ListenOn>>>,
    pub(in crate::config) metrics_listen: Setting<Vec<At<ListenOn>>>,
}

/// The port of the admin listener.
const PORT: u16 = 3540;

// === impl Admin ===

impl Admin {
    /// Loopback.
    pub(in crate::config) fn default_listeners() -> Vec<ListenOn> {
        vec![ListenOn::by_default((Ipv4Addr::LOCALHOST, PORT).into())]
    }
}

// === impl Written ===

impl Written {
    pub(in crate::config) fn read(mut table: Table<'_>) -> Self {
        let written = Self {
            listen: table.key("listen", |value| listen::read(value, Purpose::Operators)),
            metrics_listen: table.key("metrics_listen", |value| listen::read(value, Purpose::Operators)),
        };
        table.finish();
        written
    }

    pub(in crate::config) fn meaning(self, resolver: &Resolver<'_>) -> Admin {
        Admin {
            listeners: listen::meaning(self.listen, Admin::default_listeners, resolver),
            metrics_listeners: listen::meaning(self.metrics_listen, Vec::new, resolver),
        }
    }
}
