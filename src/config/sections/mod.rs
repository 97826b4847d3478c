//! One file per table of proxy.toml.

mod admin;
mod limits;
mod log;
mod oauth;
mod refresh;
mod server;
mod store;
mod tenants;
mod upstream;

pub use admin::Admin;
pub use limits::Limits;
pub use log::{Log, LogFormat};
pub use oauth::{OAuth, OAuthClient};
pub use refresh::Refresh;
pub use server::{RewriteUrls, Server};
pub use store::{Engine, Store, StoreKey};
pub use tenants::Tenant;
pub use upstream::{ExtraRoots, Upstream};
