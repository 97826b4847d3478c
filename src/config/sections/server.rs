//! `[server]`: where apps reach the sidecar, and who may.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use http::HeaderName;

use super::{
    callers::{self, Caller},
    tls::{self, ServerTls},
};
use crate::{
    config::{
        listen::{self, Purpose},
        meaning::Resolver,
        names::tenant_header,
        origin,
        reader::{Table, Value},
        report::{At, Setting},
        secret::{ConfiguredSecret, SecretSource},
        units,
    },
    model::{HostPattern, ListenOn, TenantId, WebOrigin},
};

/// `[server]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// At least one.
    pub listeners: Vec<ListenOn>,
    pub tenant_header: HeaderName,
    pub default_tenant: Option<TenantId>,
    pub allowed_hosts: Vec<HostPattern>,
    pub allowed_origins: Vec<WebOrigin>,
    pub client_token: Option<ConfiguredSecret>,
    /// With any of them, as with `client_token`, whoever calls needs a token.
    pub callers: Vec<Caller>,
    /// For the listeners that say `tls = true`; there where one does.
    pub tls: Option<ServerTls>,
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
    /// Also in JSON.
    Bodies,
}

/// `[server]` as written.
#[derive(Debug, Default)]
pub(in crate::config) struct Written {
    pub(in crate::config) listen: Setting<Vec<At<ListenOn>>>,
    tenant_header: Setting<HeaderName>,
    pub(in crate::config) default_tenant: Setting<TenantId>,
    allowed_hosts: Setting<Vec<HostPattern>>,
    allowed_origins: Setting<Vec<WebOrigin>>,
    client_token: Setting<SecretSource>,
    callers: Vec<callers::Written>,
    pub(in crate::config) tls: Setting<tls::Written>,
    pub(in crate::config) allow_remote: Setting<bool>,
    rewrite_urls: Setting<RewriteUrls>,
    drain_timeout: Setting<Duration>,
}

/// The port on which apps find the sidecar.
const PORT: u16 = 3539;

// === impl Server ===

impl Server {
    /// Whether callers over TLS need a certificate.
    pub fn wants_certificates(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.client_roots.is_some())
    }

    /// Both loopback addresses.
    pub(in crate::config) fn default_listeners() -> Vec<ListenOn> {
        let addresses: [SocketAddr; 2] = [(Ipv4Addr::LOCALHOST, PORT).into(), (Ipv6Addr::LOCALHOST, PORT).into()];
        addresses.map(ListenOn::by_default).into()
    }
}

// === impl Written ===

impl Written {
    pub(in crate::config) fn read(mut table: Table<'_>) -> Self {
        let written = Self {
            listen: table.key("listen", |value| listen::read(value, Purpose::Apps)),
            tenant_header: table.key("tenant_header", |value| value.text("a header's name", tenant_header)),
            default_tenant: table.key("default_tenant", listen::tenant_name),
            allowed_hosts: table.key("allowed_hosts", |value| {
                value.list("host names", |host| host.text("a host name", origin::host_pattern))
            }),
            allowed_origins: table.key("allowed_origins", |value| {
                value.list("origins", |value| value.text("an origin", origin::web_origin))
            }),
            client_token: table.key("client_token", SecretSource::read_written),
            callers: table.tables("callers").into_iter().map(callers::Written::read).collect(),
            tls: table.key("tls", |value| value.table().map(tls::Written::read)),
            allow_remote: table.key("allow_remote", Value::boolean),
            rewrite_urls: table.key("rewrite_urls", rewrite_urls),
            drain_timeout: table.key("drain_timeout", units::duration),
        };
        table.finish();
        written
    }

    /// Whether callers over TLS need a certificate.
    pub(in crate::config) fn wants_certificates(&self) -> bool {
        self.tls.given().is_some_and(|at| !matches!(at.value.client_ca, Setting::Absent))
    }

    /// Whether whoever calls needs a token.
    pub(in crate::config) fn wants_tokens(&self) -> bool {
        !matches!(self.client_token, Setting::Absent) || !self.callers.is_empty()
    }

    pub(in crate::config) fn meaning(self, resolver: &Resolver<'_>) -> Server {
        let client_token = resolver.caller_token(self.client_token);
        Server {
            listeners: listen::meaning(self.listen, Server::default_listeners, resolver),
            tenant_header: self.tenant_header.or(HeaderName::from_static("x-flexslot-tenant")),
            default_tenant: self.default_tenant.into_given().map(|at| at.value),
            allowed_hosts: self.allowed_hosts.or(Vec::new()),
            allowed_origins: self.allowed_origins.or(Vec::new()),
            callers: callers::meaning(self.callers, client_token.as_ref(), resolver),
            client_token,
            tls: self.tls.into_given().filter(|_| resolver.serves()).and_then(|at| at.value.meaning(resolver)),
            allow_remote: self.allow_remote.or(false),
            rewrite_urls: self.rewrite_urls.or(RewriteUrls::Headers),
            drain_timeout: self.drain_timeout.or(Duration::from_secs(25)),
        }
    }
}

fn rewrite_urls(value: &Value<'_>) -> Option<RewriteUrls> {
    value.word(&[("off", RewriteUrls::Off), ("headers", RewriteUrls::Headers), ("bodies", RewriteUrls::Bodies)])
}
