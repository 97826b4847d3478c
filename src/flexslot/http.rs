//! The OAuth server over HTTP.

use std::{collections::HashMap, error::Error, fmt, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use form_urlencoded::byte_serialize;
use http::{
    HeaderMap, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use reqwest::header::HeaderValue;
use url::Url;
use zeroize::Zeroizing;

use super::{
    AuthorizationRequest, AuthorizationServer, Introspection, Redemption, Revocation, TokenAnswer, TokenEndpoint,
    TokenError, answer,
};
use crate::model::{
    Clock, Secret,
    failpoint::{Step, reach},
};

/// An answer is a few hundred bytes; whatever is longer than this is none.
const LONGEST_ANSWER: usize = 64 * 1024;

/// An OAuth client of the configuration. Without a secret it is a public client (RFC 6749 section 2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthClient {
    pub client_id: String,
    pub client_secret: Option<Secret>,
}

/// Where each of the server's endpoints is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// For browsers (RFC 6749 section 3.1).
    pub authorize: Url,
    pub token: Url,
    pub revoke: Url,
    pub introspect: Url,
}

/// Asks the OAuth server, one fresh connection per request.
///
/// A kept-alive connection could be stale, and then nobody knows whether the request was read; a token request must
/// know.
pub struct HttpAuthorizationServer {
    http: reqwest::Client,
    endpoints: Endpoints,
    clients: HashMap<String, OAuthClient>,
    clock: Arc<dyn Clock>,
}

/// A complete answer. Its body may hold tokens, and is wiped.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Zeroizing<Vec<u8>>,
}

// === impl HttpAuthorizationServer ===

impl HttpAuthorizationServer {
    /// `http` is a client made by [`client_builder`], with trust roots and proxy as the upstream has them.
    pub fn new(http: reqwest::Client, endpoints: Endpoints, clients: Vec<OAuthClient>, clock: Arc<dyn Clock>) -> Self {
        let clients = clients.into_iter().map(|client| (client.client_id.clone(), client)).collect();
        Self { http, endpoints, clients, clock }
    }

    /// Posts `form` in the name of `client_id`, and reads the answer to its end.
    async fn post(&self, url: &Url, client_id: &str, form: &[(&str, &str)]) -> Result<Answer, TokenError> {
        let client = self.clients.get(client_id).ok_or_else(|| {
            TokenError::Misconfigured("the grant's OAuth client is not configured; check [oauth]".into())
        })?;
        let mut request = self.http.post(url.clone()).header(ACCEPT, "application/json");
        if let Some(secret) = &client.client_secret {
            request = request.header(AUTHORIZATION, basic(&client.client_id, secret)?);
        }
        let request = request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body(client, form))
            .build()
            .map_err(|_| cannot_be_asked(url))?;
        let mut response = self.http.execute(request).await.map_err(|error| unanswered(url, &error))?;
        reach(Step::AnswerBegun);
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) =
            response.chunk().await.map_err(|_| TokenError::Unknown("the answer broke off".into()))?
        {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(TokenError::Unknown("the answer is too long".into()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body })
    }
}

/// Before a connection stands nothing can have been sent; after that nobody knows.
fn unanswered(url: &Url, error: &reqwest::Error) -> TokenError {
    if error.is_connect() {
        let origin = url.origin().ascii_serialization();
        TokenError::NotSent(format!("could not connect to {origin}: {}", no_connection(error)))
    } else if error.is_builder() {
        cannot_be_asked(url)
    } else if error.is_timeout() {
        TokenError::Unknown("no answer in time".into())
    } else {
        TokenError::Unknown("the connection ended before the answer".into())
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
impl TokenEndpoint for HttpAuthorizationServer {
    fn knows(&self, client_id: &str) -> bool {
        self.clients.contains_key(client_id)
    }

    async fn refresh(&self, client_id: &str, refresh: &Secret) -> Result<TokenAnswer, TokenError> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.expose())];
        let Answer { status, headers, body } = self.post(&self.endpoints.token, client_id, &form).await?;
        answer::read(status, &headers, &body, self.clock.now())
    }
}

#[async_trait]
impl AuthorizationServer for HttpAuthorizationServer {
    fn authorization_url(&self, request: &AuthorizationRequest<'_>) -> Url {
        request.url(&self.endpoints.authorize)
    }

    async fn redeem(&self, client_id: &str, redemption: Redemption<'_>) -> Result<TokenAnswer, TokenError> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", redemption.code.expose()),
            ("redirect_uri", redemption.redirect_uri),
            ("code_verifier", redemption.verifier.expose()),
        ];
        let Answer { status, headers, body } = self.post(&self.endpoints.token, client_id, &form).await?;
        answer::read(status, &headers, &body, self.clock.now())
    }

    async fn revoke(&self, client_id: &str, refresh: &Secret) -> Result<Revocation, TokenError> {
        let form = [("token", refresh.expose()), ("token_type_hint", "refresh_token")];
        let Answer { status, headers, body } = self.post(&self.endpoints.revoke, client_id, &form).await?;
        answer::revocation(status, &headers, &body, self.clock.now())
    }

    async fn introspect(&self, client_id: &str, token: &Secret) -> Result<Introspection, TokenError> {
        let form = [("token", token.expose()), ("token_type_hint", "access_token")];
        let Answer { status, headers, body } = self.post(&self.endpoints.introspect, client_id, &form).await?;
        answer::introspection(status, &headers, &body, self.clock.now())
    }
}

impl fmt::Debug for HttpAuthorizationServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpAuthorizationServer").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

/// The body of a request. A public client names itself in it; a confidential one does so in its header.
fn body(client: &OAuthClient, form: &[(&str, &str)]) -> String {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(form);
    if client.client_secret.is_none() {
        body.append_pair("client_id", &client.client_id);
    }
    body.finish()
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

fn cannot_be_asked(url: &Url) -> TokenError {
    TokenError::Misconfigured(format!("no request can be made of {url}; check the URLs in [oauth]"))
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
