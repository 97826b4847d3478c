//! The ways out of the process: the upstream, and the OAuth server behind the same trust roots and the same outbound
//! proxy.

use std::{fmt, sync::Arc, time::Duration};

use http::uri::Scheme;
use rustls::{ClientConfig, RootCertStore};

use super::{StartFailure, Surroundings};
use crate::{
    config::{self, Config, OutboundProxy, TraceExport},
    flexslot::{
        Endpoints, HttpAuthorizationServer, KnownClients, OAuthClient, StoredClients,
        clients::{HttpClientManagement, MANAGEMENT_TIMEOUT},
        transport::client_builder,
    },
    model::token::DpopMode,
    proxy::upstream::{ProxySetting, Upstream, UpstreamParams, Upstreams, tls},
};

/// What all ways out share.
#[derive(Clone)]
pub struct Outbound {
    tls: Arc<ClientConfig>,
    upstreams: Upstreams,
}

// === impl Outbound ===

impl Outbound {
    /// Reads the trust roots and prepares the upstream's pool; connects to nothing yet.
    pub fn new(config: &Config) -> Result<Self, StartFailure> {
        Self::for_workers(config, 1)
    }

    /// The same with a pool for each of `workers`.
    pub fn for_workers(config: &Config, workers: usize) -> Result<Self, StartFailure> {
        let tls = trust(config)?;
        let proxy = match &config.upstream.proxy {
            None => ProxySetting::Off,
            Some(proxy) => proxy_setting(proxy),
        };
        let params = UpstreamParams {
            origin: config.upstream.origin.clone(),
            tls: Arc::clone(&tls),
            proxy,
            connect_timeout: config.upstream.connect_timeout,
            response_timeout: config.upstream.response_timeout,
            body_idle_timeout: config.upstream.body_idle_timeout,
            pool_idle_timeout: config.upstream.pool_idle_timeout,
            header_size: config.limits.header_size,
        };
        let upstream =
            Upstream::new(params).map_err(|error| StartFailure::new(format!("[upstream] cannot be used: {error}")))?;
        Ok(Self { tls, upstreams: Upstreams::new(&upstream, workers) })
    }

    /// The upstream for each worker; clones share their connections.
    pub fn upstreams(&self) -> Upstreams {
        self.upstreams.clone()
    }

    /// A client that looks at pages on this machine, or where its user's browser finds them.
    pub fn pages(&self, patience: Duration) -> Result<reqwest::Client, StartFailure> {
        let mut tls = (*self.tls).clone();
        tls.alpn_protocols.clear();
        let built = client_builder(patience, patience).tls_backend_preconfigured(tls).no_proxy().build();
        built.map_err(|error| StartFailure::new(format!("no client for pages could be made: {error}")))
    }

    /// The OAuth server, with the clients of the configuration and those of the store.
    pub fn authorization_server(
        &self,
        config: &Config,
        stored: &Arc<StoredClients>,
        around: &Surroundings,
    ) -> Result<Arc<HttpAuthorizationServer>, StartFailure> {
        let http = self.asking(config, config.refresh.give_up)?;
        let dpop = config.oauth.dpop;
        let own = config.oauth.client.iter().map(|client| own_client(client, dpop));
        let configured = own.chain(config.oauth.clients.iter().map(named_client)).collect();
        let clients = KnownClients { configured, stored: Arc::clone(stored), dpop };
        let endpoints = Endpoints {
            authorize: config.oauth.authorize_url.clone(),
            token: config.oauth.token_url.clone(),
            revoke: config.oauth.revoke_url.clone(),
            introspect: config.oauth.introspect_url.clone(),
        };
        let (clock, random) = (Arc::clone(&around.clock), around.random.clone());
        Ok(Arc::new(HttpAuthorizationServer::new(http, endpoints, clients, config.refresh.give_up, clock, random)))
    }

    /// Flexslot's management of OAuth clients.
    pub fn client_management(
        &self,
        config: &Config,
        around: &Surroundings,
    ) -> Result<Arc<HttpClientManagement>, StartFailure> {
        let http = self.asking(config, MANAGEMENT_TIMEOUT)?;
        Ok(Arc::new(HttpClientManagement::new(http, config.upstream.origin.clone(), Arc::clone(&around.clock))))
    }

    /// A client for the receiver of exported traces: through the same outbound proxy, and with trust roots of its own, the
    /// system's and those of `traces.ca_file`.
    pub(super) fn receiving(
        &self,
        config: &Config,
        export: &TraceExport,
        patience: Duration,
    ) -> Result<reqwest::Client, StartFailure> {
        let extra_roots = export.extra_roots.as_ref().map_or(&[][..], |roots| &roots.certificates);
        let tls = match export.url.scheme() {
            "https" => tls::client_config(extra_roots),
            _ => tls::with_roots(RootCertStore::empty()).map(Arc::new).map_err(tls::TlsConfigError::Unsupported),
        };
        let tls = tls.map_err(|error| StartFailure::new(format!("traces cannot be exported over TLS: {error}")))?;
        Self { tls, upstreams: self.upstreams() }.asking(config, patience)
    }

    /// A client for requests that are sent once.
    fn asking(&self, config: &Config, give_up: Duration) -> Result<reqwest::Client, StartFailure> {
        // Requests to it speak HTTP/1.1 on connections of their own.
        let mut tls = (*self.tls).clone();
        tls.alpn_protocols.clear();
        let mut builder =
            client_builder(config.upstream.connect_timeout, give_up).tls_backend_preconfigured(tls).no_proxy();
        if let Some(proxy) = &config.upstream.proxy {
            let all = reqwest::Proxy::https(proxy.url.expose())
                .map_err(|_| StartFailure::new("upstream.proxy is no URL of a proxy"))?;
            builder = builder.proxy(all.no_proxy(reqwest::NoProxy::from_string(&proxy.bypass)));
        }
        builder
            .build()
            .map_err(|error| StartFailure::new(format!("no client for the OAuth server could be made: {error}")))
    }
}

fn named_client(named: &config::NamedClient) -> OAuthClient {
    OAuthClient {
        name: Some(named.name.clone()),
        redirect_uri: named.redirect_uri.clone(),
        scopes: named.scopes.clone(),
        ..own_client(&named.client, named.dpop)
    }
}

fn own_client(client: &config::OAuthClient, dpop: DpopMode) -> OAuthClient {
    OAuthClient {
        name: None,
        client_id: client.id.clone(),
        client_secret: client.secret.as_ref().map(|configured| configured.secret.clone()),
        redirect_uri: None,
        scopes: None,
        dpop,
    }
}

/// The trust roots. A plain-text upstream on loopback needs none, and starts on a machine that has none.
fn trust(config: &Config) -> Result<Arc<ClientConfig>, StartFailure> {
    let extra_roots = config.upstream.extra_roots.as_ref().map_or(&[][..], |roots| &roots.certificates);
    let asked = [&config.oauth.token_url, &config.oauth.revoke_url, &config.oauth.introspect_url];
    let needs_none = *config.upstream.origin.scheme() == Scheme::HTTP && asked.iter().all(|url| url.scheme() == "http");
    match tls::client_config(extra_roots) {
        Ok(config) => Ok(config),
        Err(tls::TlsConfigError::NoRoots) if needs_none => tls::with_roots(RootCertStore::empty())
            .map(Arc::new)
            .map_err(|error| StartFailure::new(format!("TLS cannot be set up: {error}"))),
        Err(error) => Err(StartFailure::new(format!("TLS cannot be set up: {error}")).hint(
            "install the system's trust roots (Debian: ca-certificates), or name a PEM file in upstream.ca_file",
        )),
    }
}

fn proxy_setting(proxy: &OutboundProxy) -> ProxySetting {
    ProxySetting::Through { url: proxy.url.expose().to_owned(), bypass: proxy.bypass.clone() }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").finish_non_exhaustive()
    }
}
