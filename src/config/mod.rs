//! proxy.toml -> [`Config`]: first what is written, then what it means; every fault at once.

pub mod environment;
pub mod listen;
pub mod origin;
pub mod secret;
pub mod sections;

pub use environment::{Environment, SystemEnvironment};
pub use listen::{ListenAddress, Listener, Presence};
pub use origin::{AllowedHost, Origin, OutboundProxy, WebOrigin};
pub use secret::{ConfiguredSecret, SecretSource};
pub use sections::{
    Admin, Engine, ExtraRoots, Limits, Log, LogFormat, OAuth, OAuthClient, Refresh, RewriteUrls, Server, Store,
    StoreKey, Tenant, Upstream,
};

use std::path::PathBuf;

/// Everything that the program was told, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The file that it was read from; `None` for the built-in defaults.
    pub file: Option<PathBuf>,
    pub server: Server,
    pub admin: Admin,
    pub upstream: Upstream,
    pub oauth: OAuth,
    pub refresh: Refresh,
    pub store: Store,
    pub limits: Limits,
    pub log: Log,
    pub tenants: Vec<Tenant>,
}
