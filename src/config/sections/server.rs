//! `[server]`: where apps reach the sidecar, and who may.

use std::time::Duration;

use http::HeaderName;

use super::super::{AllowedHost, ConfiguredSecret, Listener, WebOrigin};
use crate::model::TenantId;

/// `[server]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// At least one.
    pub listeners: Vec<Listener>,
    pub tenant_header: HeaderName,
    pub default_tenant: Option<TenantId>,
    pub allowed_hosts: Vec<AllowedHost>,
    pub allowed_origins: Vec<WebOrigin>,
    pub client_token: Option<ConfiguredSecret>,
    pub allow_remote: bool,
    pub rewrite_urls: RewriteUrls,
    pub drain_timeout: Duration,
}

/// Where the upstream's own addresses are replaced by the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RewriteUrls {
    Off,
    /// `Location`, `Content-Location` and `Link`.
    Headers,
}
