//! One file per table of proxy.toml: its meaning, its form as written, and the way from one to the other.

pub(super) mod admin;
mod callback;
mod callers;
pub(super) mod limits;
pub(super) mod log;
pub(super) mod oauth;
mod oauth_clients;
pub(super) mod refresh;
pub(super) mod server;
pub(super) mod store;
mod store_key;
pub(super) mod store_url;
pub(super) mod tenants;
pub(super) mod tls;
pub(super) mod traces;
pub(super) mod upstream;

pub use admin::Admin;
pub use callback::Callback;
pub use callers::Caller;
pub use limits::Limits;
pub use log::{Log, LogFormat};
pub use oauth::{OAuth, OAuthClient};
pub use oauth_clients::NamedClient;
pub use refresh::Refresh;
pub use server::{RewriteUrls, Server};
pub use store::{Engine, Store};
pub use store_key::{KeyLocation, StoreKey};
pub use store_url::{ServerKind, ServerUrl};
pub use tenants::Tenant;
pub use tls::ServerTls;
pub use traces::{PassedOver, TraceExport, Traces};
pub use upstream::{ExtraRoots, Upstream};
