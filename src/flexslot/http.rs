//! The token endpoint over HTTP.

use std::{collections::HashMap, error::Error, fmt, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use form_urlencoded::byte_serialize;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::header::HeaderValue;
use url::Url;
use zeroize::Zeroizing;

use super::{TokenAnswer, TokenEndpoint, TokenError, answer};
use crate::model::{
    Clock, Secret,
    failpoint::{Step, reach},
};

/// A token answer is a few hundred bytes; whatever is longer than this is none.
const LONGEST_ANSWER: usize = 64 * 1024;

/// An OAuth client of the configuration. Without a secret it is a public client (RFC 6749 section 2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthClient {
    pub client_id: String,
    pub client_secret: Option<Secret>,
}

/// Asks the token endpoint, one fresh connection per request.
///
/// A kept-alive connection could be stale, and then nobody knows whether the request was read; a token request must
/// know.
pub struct HttpTokenEndpoint {
    http: reqwest::Client,
    token_url: Url,
    clients: HashMap<String, OAuthClient>,
    clock: Arc<dyn Clock>,
}

// === impl HttpTokenEndpoint ===

impl HttpTokenEndpoint {
    /// `http` is a client made by [`client_builder`], with trust roots and proxy as the upstream has them.
    pub fn new(http: reqwest::Client, token_url: Url, clients: Vec<OAuthClient>, clock: Arc<dyn Clock>) -> Self {
        let clients = clients.into_iter().map(|client| (client.client_id.clone(), client)).collect();
        Self { http, token_url, clients, clock }
    }

    async fn exchange(&self, request: reqwest::Request) -> Result<TokenAnswer, TokenError> {
        let mut response = self.http.execute(request).await.map_err(|error| self.unanswered(&error))?;
        reach(Step::AnswerBegun);
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) =
            response.chunk().await.map_err(|_| TokenError::Unknown("the answer broke off".into()))?
        {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(TokenError::Unknown("the answer is too long for a token answer".into()));
            }
            body.extend_from_slice(&chunk);
        }
        answer::read(status, &headers, &body, self.clock.now())
    }

    /// Before a connection stands nothing can have been sent; after that nobody knows.
    fn unanswered(&self, error: &reqwest::Error) -> TokenError {
        if error.is_connect() {
            let origin = self.token_url.origin().ascii_serialization();
            TokenError::NotSent(format!("could not connect to {origin}: {}", no_connection(error)))
        } else if error.is_builder() {
            cannot_be_asked()
        } else if error.is_timeout() {
            TokenError::Unknown("no answer in time".into())
        } else {
            TokenError::Unknown("the connection ended before the answer".into())
        }
    }
}

/// A reqwest client that does what a token request needs and nothing by itself: no redirects, no retries, no kept
/// connections, HTTP/1.1.
///
/// `connect_timeout` is for DNS, connect and TLS; `give_up` for the whole exchange.
pub fn client_builder(connect_timeout: Duration, give_up: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .http1_only()
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(connect_timeout)
        .timeout(give_up)
        .referer(false)
        .user_agent(concat!("flexslot-proxy/", env!("CARGO_PKG_VERSION")))
}

#[async_trait]
impl TokenEndpoint for HttpTokenEndpoint {
    fn knows(&self, client_id: &str) -> bool {
        self.clients.contains_key(client_id)
    }

    async fn refresh(&self, client_id: &str, refresh: &Secret) -> Result<TokenAnswer, TokenError> {
        let client = self.clients.get(client_id).ok_or_else(|| {
            TokenError::Misconfigured("the grant's OAuth client is not configured; check [oauth]".into())
        })?;
        let mut request = self.http.post(self.token_url.clone()).header(ACCEPT, "application/json");
        if let Some(secret) = &client.client_secret {
            request = request.header(AUTHORIZATION, basic(&client.client_id, secret)?);
        }
        let request = request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(refresh_form(client, refresh))
            .build()
            .map_err(|_| cannot_be_asked())?;
        self.exchange(request).await
    }
}

impl fmt::Debug for HttpTokenEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTokenEndpoint").field("token_url", &self.token_url.as_str()).finish_non_exhaustive()
    }
}

/// The body of a refresh (RFC 6749 section 6). A public client names itself in it; a confidential one does so in its
/// header.
fn refresh_form(client: &OAuthClient, refresh: &Secret) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token").append_pair("refresh_token", refresh.expose());
    if client.client_secret.is_none() {
        form.append_pair("client_id", &client.client_id);
    }
    form.finish()
}

/// Client authentication by HTTP Basic; both parts are form-encoded first (RFC 6749 section 2.3.1).
fn basic(client_id: &str, secret: &Secret) -> Result<HeaderValue, TokenError> {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Zeroizing::new(format!("{}:{}", encode(client_id), encode(secret.expose())));
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes())))
        .map_err(|_| TokenError::Misconfigured("oauth.client_secret cannot stand in a header; check it".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn cannot_be_asked() -> TokenError {
    TokenError::Misconfigured("no token request can be made of oauth.token_url; check it".into())
}

/// Why there is no connection: in our own words where TLS failed, because a certificate's names are the other side's
/// text; else the operating system's, or the HTTP library's, which hold neither URL nor header.
fn no_connection(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no connection in time".into();
    }
    let mut innermost: &(dyn Error + 'static) = error;
    loop {
        if let Some(tls) = innermost.downcast_ref() {
            return no_trust(tls).into();
        }
        // An io::Error does not name what it wraps as its source.
        let wrapped = innermost.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| innermost.source()) {
            Some(inner) => innermost = inner,
            None => return innermost.to_string(),
        }
    }
}

fn no_trust(error: &rustls::Error) -> &'static str {
    use rustls::{CertificateError, Error};
    match error {
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired"
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is not trusted; upstream.ca_file names further roots"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another host",
        Error::InvalidCertificate(_) => "its certificate is not valid",
        _ => "TLS failed",
    }
}

#[cfg(test)]
mod tests;
