//! The ways out of the process: the upstream, and the OAuth server behind the same trust roots and the same outbound
//! proxy.

use std::{fmt, sync::Arc, time::Duration};

use http::uri::Scheme;
use rustls::{ClientConfig, RootCertStore};

use super::{StartFailure, Surroundings};
use crate::{
    config::{Config, OutboundProxy},
    flexslot::{Endpoints, HttpAuthorizationServer, OAuthClient, http::client_builder},
    proxy::upstream::{ProxySetting, Upstream, UpstreamParams, tls},
};

/// What all ways out share.
#[derive(Clone)]
pub struct Outbound {
    tls: Arc<ClientConfig>,
    upstream: Upstream,
}

// === impl Outbound ===

impl Outbound {
    /// Reads the trust roots and prepares the upstream's pool; connects to nothing yet.
    pub fn new(config: &Config) -> Result<Self, StartFailure> {
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
        Ok(Self { tls, upstream })
    }

    /// The upstream; clones share its connections.
    pub fn upstream(&self) -> Upstream {
        self.upstream.clone()
    }

    /// A client that looks at pages on this machine, or where its user's browser finds them.
    pub fn pages(&self, patience: Duration) -> Result<reqwest::Client, StartFailure> {
        let mut tls = (*self.tls).clone();
        tls.alpn_protocols.clear();
        let built = client_builder(patience, patience).tls_backend_preconfigured(tls).no_proxy().build();
        built.map_err(|error| StartFailure::new(format!("no client for pages could be made: {error}")))
    }

    /// The OAuth server, with the clients of the configuration.
    pub fn authorization_server(
        &self,
        config: &Config,
        around: &Surroundings,
    ) -> Result<Arc<HttpAuthorizationServer>, StartFailure> {
        // Requests to it speak HTTP/1.1 on connections of their own.
        let mut tls = (*self.tls).clone();
        tls.alpn_protocols.clear();
        let mut builder = client_builder(config.upstream.connect_timeout, config.refresh.give_up)
            .tls_backend_preconfigured(tls)
            .no_proxy();
        if let Some(proxy) = &config.upstream.proxy {
            let all = reqwest::Proxy::https(proxy.url.expose())
                .map_err(|_| StartFailure::new("upstream.proxy is no URL of a proxy"))?;
            builder = builder.proxy(all.no_proxy(reqwest::NoProxy::from_string(&proxy.bypass)));
        }
        let http = builder
            .build()
            .map_err(|error| StartFailure::new(format!("no client for the OAuth server could be made: {error}")))?;
        let client = config.oauth.client.as_ref().map(|client| OAuthClient {
            client_id: client.id.clone(),
            client_secret: client.secret.as_ref().map(|configured| configured.secret.clone()),
            dpop: config.oauth.dpop,
        });
        let clients = client.into_iter().collect();
        let endpoints = Endpoints {
            authorize: config.oauth.authorize_url.clone(),
            token: config.oauth.token_url.clone(),
            revoke: config.oauth.revoke_url.clone(),
            introspect: config.oauth.introspect_url.clone(),
        };
        Ok(Arc::new(HttpAuthorizationServer::new(
            http,
            endpoints,
            clients,
            Arc::clone(&around.clock),
            around.random.clone(),
        )))
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
