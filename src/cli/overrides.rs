//! The flags that override the file.

use crate::config::Overrides;

/// Flags of the commands that run or check a sidecar. The environment variables are read by `config`, which knows which
/// of both to blame.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Instead of what proxy.toml says")]
pub struct ServeOverrides {
    /// Where apps reach the sidecar: addresses separated by commas, in place of all of server.listen
    ///
    /// Such as 127.0.0.1:3539, localhost:3539 or unix:/run/flexslot-proxy/proxy.sock.
    /// [env: FLEXSLOT_PROXY_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    #[command(flatten)]
    admin: AdminListen,
    /// How log lines look: auto, text or json
    /// [env: FLEXSLOT_PROXY_LOG_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// What is logged: a level such as debug, or a filter such as info,access=off
    /// [env: FLEXSLOT_PROXY_LOG_LEVEL]
    #[arg(long, value_name = "FILTER")]
    log_level: Option<String>,
    #[command(flatten)]
    store: StoreOverrides,
}

/// Flags of the commands that ask a running sidecar.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Instead of what proxy.toml says")]
pub struct AdminOverrides {
    #[command(flatten)]
    admin: AdminListen,
    /// The sidecar's store, beside which its admin token lies unless admin.token is set
    /// [env: FLEXSLOT_PROXY_STORE]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

/// Where operators, probes, browsers and other commands reach a sidecar.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct AdminListen {
    /// Where the sidecar's admin listener is: 127.0.0.1:3540, unix:/run/flexslot-proxy/admin.sock or "off"
    /// [env: FLEXSLOT_PROXY_ADMIN_LISTEN]
    #[arg(long, value_name = "ADDRESS", help_heading = "Instead of what proxy.toml says")]
    pub(super) admin_listen: Option<String>,
}

/// Flags of every command that works with stored credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Instead of what proxy.toml says")]
pub struct StoreOverrides {
    /// Flexslot's origin, such as http://127.0.0.1:3541 for the sandbox
    /// [env: FLEXSLOT_PROXY_UPSTREAM]
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Where credentials are kept: sqlite:PATH, redis://HOST, postgres://USER@HOST/DATABASE or memory:
    /// [env: FLEXSLOT_PROXY_STORE]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

// === impl ServeOverrides ===

impl From<ServeOverrides> for Overrides {
    fn from(given: ServeOverrides) -> Self {
        let ServeOverrides { listen, admin: AdminListen { admin_listen }, log_format, log_level, store } = given;
        Self { listen, admin_listen, log_format, log_level, ..store.into() }
    }
}

// === impl AdminOverrides ===

impl From<AdminOverrides> for Overrides {
    fn from(AdminOverrides { admin, store }: AdminOverrides) -> Self {
        Self { store, ..admin.into() }
    }
}

// === impl AdminListen ===

impl From<AdminListen> for Overrides {
    fn from(AdminListen { admin_listen }: AdminListen) -> Self {
        Self { admin_listen, ..Self::default() }
    }
}

// === impl StoreOverrides ===

impl From<StoreOverrides> for Overrides {
    fn from(StoreOverrides { upstream, store }: StoreOverrides) -> Self {
        Self { upstream, store, ..Self::default() }
    }
}
