//! What each room is told of the configuration.

use std::{collections::HashMap, sync::Arc};

use super::StartFailure;
use crate::{
    admin,
    config::{self, Callback, Config, RewriteUrls},
    connect_flow,
    credential::{self, RefreshPolicy, TenantPolicy},
    flexslot::{AuthorizationServer, HttpAuthorizationServer},
    model::{HostPattern, RedirectUri, Secret, WebOrigin},
    proxy::{
        self,
        guard::{Guard, NamedCaller, Pages},
        replay::{ReplayLimits, ReplayMemory},
        upstream::Upstreams,
        urls::{Bodies, Rewriting},
    },
    server::{accept::Limits, access_log::Lines, tls::server_config, wire::WireLimits},
};

/// The credential room's part.
pub fn credential(config: &Config, server: Arc<HttpAuthorizationServer>) -> credential::Settings {
    let tenants: HashMap<_, _> = config
        .tenants
        .iter()
        .map(|tenant| {
            let policy = TenantPolicy {
                pat: tenant.pat.as_ref().map(|configured| configured.secret.clone()),
                credentials: tenant.credentials.clone(),
                pat_fallback: tenant.pat_fallback,
                allow: tenant.allow.clone(),
            };
            (tenant.name.clone(), Arc::new(policy))
        })
        .collect();
    let refresh = RefreshPolicy {
        before_expiry: config.refresh.before_expiry,
        min_interval: config.refresh.min_interval,
        timeout: config.refresh.timeout,
        uncertain_after: config.refresh.uncertain_after,
        max_parallel: config.refresh.max_parallel,
        spread: config.refresh.spread,
        keep_alive: config.refresh.keep_alive,
    };
    let cached_tenants = config.limits.cached_tenants;
    let (origin, endpoint) = (config.upstream.origin.clone(), Arc::clone(&server) as _);
    credential::Settings { origin, refresh, endpoint, server, tenants, cached_tenants }
}

/// What callers over TLS are shown and asked for.
pub fn tls(config: &Config) -> Result<Option<Arc<rustls::ServerConfig>>, StartFailure> {
    let Some(tls) = &config.server.tls else { return Ok(None) };
    let Some(key) = &tls.key else { return Ok(None) };
    let client_roots = tls.client_roots.as_ref().map(|roots| &roots.certificates[..]);
    match server_config(tls.chain.clone(), &key.secret, client_roots) {
        Ok(config) => Ok(Some(config)),
        Err(error) => Err(StartFailure::new(error.to_string())),
    }
}

fn named_caller(caller: &config::Caller) -> Option<NamedCaller> {
    let token = caller.token.as_ref()?.secret.clone();
    Some(NamedCaller { name: caller.name.as_str().into(), token, speaks_for: caller.speaks_for.clone() })
}

/// The corridor's part.
pub fn corridor(config: &Config, upstream: Upstreams, memory: ReplayMemory) -> proxy::Settings {
    let guard = Guard {
        upstream: Some(config.upstream.origin.clone()),
        client_token: config.server.client_token.as_ref().map(|configured| configured.secret.clone()),
        callers: config.server.callers.iter().filter_map(named_caller).collect(),
        ..host_and_origin(config)
    };
    proxy::Settings {
        guard,
        tenant_header: config.server.tenant_header.clone(),
        default_tenant: config.server.default_tenant.clone(),
        upstream,
        origin: config.upstream.origin.clone(),
        rewrite_urls: match config.server.rewrite_urls {
            RewriteUrls::Off => None,
            RewriteUrls::Headers => Some(Bodies::Untouched),
            RewriteUrls::Bodies => Some(Bodies::Json),
        }
        .map(|bodies| Rewriting { upstream: config.upstream.origin.clone(), bodies }),
        replay: ReplayLimits {
            replay_body: config.limits.replay_body as u64,
            request_body: config.limits.request_body,
            idle_timeout: config.upstream.body_idle_timeout,
            memory,
        },
        in_flight_per_tenant: config.limits.in_flight_per_tenant,
    }
}

/// The admin room's part, while its listener is bound to `admin_port`; `None` where it has no port, or none yet.
pub fn admin(config: &Config, token: Secret, admin_port: Option<u16>) -> admin::Settings {
    let public_url = config.admin.public_url.clone();
    admin::Settings {
        token,
        port: admin_port.or_else(|| config.admin.port()).unwrap_or_default(),
        connect_at: public_url.clone().unwrap_or_else(|| redirect_uri(config, admin_port).origin().clone().into()),
        public_url,
        return_origins: config.admin.return_origins.clone(),
        client_id: config.oauth.client.as_ref().map(|client| client.id.clone()),
        redirect_uri: redirect_uri(config, admin_port),
        manage_url: manage_url(config),
    }
}

/// The connect flow's part, while the admin listener is bound to `admin_port`; `None` where it has no port, or none yet.
pub fn connect_flow(
    config: &Config,
    server: Arc<dyn AuthorizationServer>,
    admin_port: Option<u16>,
) -> connect_flow::Settings {
    connect_flow::Settings {
        server,
        origin: config.upstream.origin.clone(),
        redirect_uri: redirect_uri(config, admin_port),
        further_uris: config.oauth.clients.iter().filter_map(|named| named.redirect_uri.clone()).collect(),
        public_url: config.admin.public_url.clone(),
        scopes: config.oauth.scopes.clone(),
        issuer: config.oauth.issuer.clone(),
        return_origins: config.admin.return_origins.clone(),
        flexslot: config.oauth.authorize_url.origin().ascii_serialization().parse::<WebOrigin>().ok(),
        manage_url: manage_url(config),
    }
}

fn redirect_uri(config: &Config, admin_port: Option<u16>) -> RedirectUri {
    let configured = match config.oauth.callback {
        Callback::AdminPort(port) => port,
        Callback::Fixed(_) => 0,
    };
    config.oauth.callback.bound_to(admin_port.unwrap_or(configured))
}

/// Where users see, and can revoke, what they have allowed: on Flexslot's site, or where a stand-in of it has the same.
pub fn manage_url(config: &Config) -> String {
    match config.upstream.origin.as_str() {
        "https://api.flexslot.gg" => format!("https://flexslot.gg{CONNECTED_APPS}"),
        _ => config.upstream.origin.at(CONNECTED_APPS).into(),
    }
}

/// The path of that page (Flexslot's documentation).
const CONNECTED_APPS: &str = "/account/connected-apps";

/// The admin listener's rules: its names and the public one, no web pages but its own, no client token.
pub fn admin_guard(config: &Config) -> Guard {
    let mut guard = Guard { pages: Pages::Own, ..metrics_guard(config) };
    if let Some(public) = &config.admin.public_url {
        guard.allowed_hosts.extend(public.origin().host().parse::<HostPattern>().ok());
        guard.allowed_origins.extend(public.origin().as_str().parse::<WebOrigin>().ok());
    }
    guard
}

/// The rules where there are health and metrics only: no web pages at all.
pub fn metrics_guard(config: &Config) -> Guard {
    Guard { allowed_origins: Vec::new(), ..host_and_origin(config) }
}

fn host_and_origin(config: &Config) -> Guard {
    Guard {
        allowed_hosts: config.server.allowed_hosts.clone(),
        allowed_origins: config.server.allowed_origins.clone(),
        pages: Pages::None,
        client_token: None,
        callers: Vec::new(),
        upstream: None,
    }
}

/// How many connections operators and the programs of theirs have at a time, and how many whoever collects metrics or probes
/// has by a listener of its own. Their descriptors are counted beside those of callers.
pub const ADMIN_CONNECTIONS: usize = 40;
pub const METRICS_CONNECTIONS: usize = 24;

/// What connections may cost.
pub fn connections(config: &Config) -> Limits {
    limits(config, config.limits.connections, config.limits.connections_per_peer)
}

/// The same of those of operators.
pub fn admin_connections(config: &Config) -> Limits {
    limits(config, ADMIN_CONNECTIONS, ADMIN_CONNECTIONS * 3 / 4)
}

/// The same of those for metrics and probes.
pub fn metrics_connections(config: &Config) -> Limits {
    limits(config, METRICS_CONNECTIONS, METRICS_CONNECTIONS * 3 / 4)
}

fn limits(config: &Config, connections: usize, per_peer: usize) -> Limits {
    Limits {
        connections,
        per_peer,
        wire: WireLimits {
            header_size: config.limits.header_size,
            header_timeout: config.limits.header_timeout,
            keep_alive_timeout: config.limits.keep_alive_timeout,
            write_timeout: config.upstream.body_idle_timeout,
        },
    }
}

/// Whether the access log is written.
pub fn lines(config: &Config) -> Lines {
    if config.log.access { Lines::Written } else { Lines::Off }
}
