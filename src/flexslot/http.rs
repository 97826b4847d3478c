//! The OAuth server over HTTP.

use std::{collections::HashSet, error::Error, fmt, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use form_urlencoded::byte_serialize;
use http::{
    HeaderMap, Method, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use parking_lot::Mutex;
use reqwest::header::HeaderValue;
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;
use zeroize::Zeroizing;

use super::{
    AuthorizationRequest, AuthorizationServer, ConsentClient, Introspection, NoClient, Redemption, Revocation, Revoke,
    StoredClients, TokenAnswer, TokenEndpoint, TokenError, answer,
    answer::ProofRefusal,
    choice,
    dpop::{DPOP, Proof, Proven, Prover, Wanted, without_query},
};
use crate::model::{
    Clock, ProofKey, Random, RedirectUri, ScopeSet, Secret, TokenType,
    failpoint::{Step, reach},
    token::DpopMode,
};

/// An answer is a few hundred bytes; whatever is longer than this is none.
const LONGEST_ANSWER: usize = 64 * 1024;

/// How often the store is looked at for a secret that Flexslot takes.
const LOOKS: usize = 3;

/// An OAuth client of the configuration. Without a secret it is a public client (RFC 6749 section 2.1), unless the store
/// has one for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthClient {
    /// What operators call it; the one of `[oauth]` itself has no name.
    pub name: Option<String>,
    pub client_id: String,
    pub client_secret: Option<Secret>,
    /// Its own, where that is another than the sidecar's.
    pub redirect_uri: Option<RedirectUri>,
    /// What a user is asked for in its name, where that is its own.
    pub scopes: Option<ScopeSet>,
    /// Whether its tokens are bound to keys.
    pub dpop: DpopMode,
}

/// All clients that this process may speak for.
#[derive(Debug, Clone)]
pub struct KnownClients {
    /// Those of the configuration, that of `[oauth]` itself first.
    pub configured: Vec<OAuthClient>,
    pub stored: Arc<StoredClients>,
    /// Whether the tokens of the store's are bound to keys.
    pub dpop: DpopMode,
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
    clients: KnownClients,
    /// How long a token request may take, with all that is sent for it: others count on its being over by then.
    give_up: Duration,
    /// Clients whose tokens Flexslot binds to keys, as far as it has shown.
    bound: Mutex<HashSet<String>>,
    prover: Prover,
    clock: Arc<dyn Clock>,
    random: Random,
}

/// What a request's proof is made by.
struct Binding<'a> {
    key: &'a ProofKey,
    /// What an answer to an earlier try has said of proofs.
    wanted: Option<Wanted>,
}

/// A complete answer. Its body may hold tokens, and is wiped.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
}

// === impl HttpAuthorizationServer ===

impl HttpAuthorizationServer {
    /// `http` is a client made by [`client_builder`], with trust roots and proxy as the upstream has them.
    pub fn new(
        http: reqwest::Client,
        endpoints: Endpoints,
        clients: KnownClients,
        give_up: Duration,
        clock: Arc<dyn Clock>,
        random: Random,
    ) -> Self {
        Self { http, endpoints, clients, give_up, bound: Mutex::default(), prover: Prover::default(), clock, random }
    }

    /// Asks for tokens, in `give_up`.
    async fn tokens(
        &self,
        client_id: &str,
        form: &[(&str, &str)],
        key: Option<&ProofKey>,
    ) -> Result<TokenAnswer, TokenError> {
        let answer = timeout(self.give_up, self.tokens_bound(client_id, form, key)).await;
        answer.unwrap_or_else(|_| Err(TokenError::Unknown("no answer in time".into())))
    }

    /// Asks for tokens, bound to `key` where the grant has one; else to a new one, where they are to be bound.
    ///
    /// A request that is refused for its proof is made once more with another: one for want of any (which tells us that
    /// the client's tokens are bound), and one for a nonce, or for its time. The code or refresh token is not spent by
    /// that, because a server judges the proof first (RFC 9449 sections 5 and 8). Where half of the time is gone, nothing
    /// more is sent.
    async fn tokens_bound(
        &self,
        client_id: &str,
        form: &[(&str, &str)],
        key: Option<&ProofKey>,
    ) -> Result<TokenAnswer, TokenError> {
        let late = self.late();
        let mode = self.clients.dpop(client_id);
        let mut key = match mode {
            DpopMode::Off => None,
            DpopMode::Always => Some(key.cloned().unwrap_or_else(ProofKey::generate)),
            DpopMode::Auto => key.cloned().or_else(|| self.is_bound(client_id).then(ProofKey::generate)),
        };
        let (mut wanted, mut sent_again) = (None, false);
        loop {
            let asked = self.clock.now();
            let binding = key.as_ref().map(|key| Binding { key, wanted: wanted.take() });
            let (Answer { status, headers, body }, proof) =
                self.post(&self.endpoints.token, client_id, form, binding, late).await?;
            let now = self.clock.now();
            let refusal = answer::refusal_of_proof(status, &body);
            match (&proof, refusal) {
                (None, Some(_)) if mode == DpopMode::Auto && Instant::now() < late => {
                    self.prover.heard(&headers, asked, now);
                    self.learn_bound(client_id);
                    key = Some(ProofKey::generate());
                    continue;
                }
                (None, _) => self.prover.heard(&headers, asked, now),
                (Some(proof), refusal) => {
                    let other = self.prover.answered(proof, &headers, now);
                    if refusal.is_some() && other.is_some() && !sent_again && Instant::now() < late {
                        (wanted, sent_again) = (other, true);
                        continue;
                    }
                    if refusal == Some(ProofRefusal::Nonce) {
                        // Nothing is misconfigured: the next try has another nonce.
                        return Err(TokenError::RefusedForNow { what: "400 use_dpop_nonce".into(), retry_after: None });
                    }
                }
            }
            let answer = answer::read(status, &headers, &body, self.clock.now())?;
            if answer.token_type == TokenType::Dpop {
                self.learn_bound(client_id);
            }
            return Ok(TokenAnswer { key, ..answer });
        }
    }

    /// When nothing more is sent for what begins now, since half of its time is gone.
    fn late(&self) -> Instant {
        Instant::now() + self.give_up / 2
    }

    /// Whether Flexslot binds the client's tokens, as far as it has shown or as its client object says.
    fn is_bound(&self, client_id: &str) -> bool {
        let kept = self.clients.stored.get(client_id);
        kept.is_some_and(|kept| kept.client.dpop_bound_access_tokens) || self.bound.lock().contains(client_id)
    }

    fn learn_bound(&self, client_id: &str) {
        if self.bound.lock().insert(client_id.to_owned()) {
            tracing::info!(client_id, "Flexslot binds this OAuth client's tokens to keys (DPoP)");
        }
    }

    fn proof(&self, Binding { key, wanted }: &Binding<'_>) -> Proof {
        let url = without_query(&self.endpoints.token);
        let (proven, now) = (Proven { method: &Method::POST, url: &url, token: None }, self.clock.now());
        self.prover.prove(wanted.clone(), key, &proven, now, &self.random)
    }

    /// Posts `form` in the name of `client_id`, with a proof where it is to be bound, and reads the answer to its end. Answers which
    /// proof that was for.
    ///
    /// A secret that Flexslot refuses (`invalid_client`) may have been replaced a moment ago: then the same form goes out
    /// with another one, and a proof of its own, where there is one. That presents no token twice, because a server
    /// authenticates the client before it looks at the grant (RFC 6749 sections 3.2.1 and 6), and spends nothing of a
    /// client that it does not know. The store is looked at again only where the last look has brought a secret. A secret
    /// that is on its way is waited for until it is `late`; then nothing was presented that counts.
    async fn post(
        &self,
        url: &Url,
        client_id: &str,
        form: &[(&str, &str)],
        binding: Option<Binding<'_>>,
        late: Instant,
    ) -> Result<(Answer, Option<Proof>), TokenError> {
        let mut refused = None;
        let (mut tried, mut looks, mut may_look) = (Vec::new(), 0, true);
        loop {
            if let Some(secret) = self.clients.secrets(client_id).into_iter().find(|secret| !tried.contains(secret)) {
                let proof = binding.as_ref().map(|binding| self.proof(binding));
                let answer = self.send(url, (client_id, secret.as_ref()), form, proof.as_ref()).await?;
                if !answer::is_invalid_client(answer.status, &answer.body) {
                    secret.iter().for_each(|secret| self.clients.stored.took(client_id, secret));
                    return Ok((answer, proof));
                }
                tried.push(secret);
                refused = Some((answer, proof));
                // What the last look brought may have been replaced since.
                may_look = looks < LOOKS;
            } else if may_look {
                (may_look, looks) = (false, looks + 1);
                self.clients.stored.load().await;
                // Whoever replaces it may not have got it into the store yet.
                let settled = timeout_at(late, self.clients.stored.settled(client_id)).await;
                let what = "the secret of its OAuth client is being replaced";
                settled.map_err(|_| TokenError::NotSent(what.into()))?;
            } else {
                let what = "the grant's OAuth client is not configured; check [oauth], and client list";
                return refused.ok_or_else(|| TokenError::Misconfigured(what.into()));
            }
        }
    }

    async fn send(
        &self,
        url: &Url,
        (client_id, secret): (&str, Option<&Secret>),
        form: &[(&str, &str)],
        proof: Option<&Proof>,
    ) -> Result<Answer, TokenError> {
        let mut request = self.http.post(url.clone()).header(ACCEPT, "application/json");
        if let Some(proof) = proof {
            request = request.header(DPOP, proof.value());
        }
        if let Some(secret) = secret {
            request = request.header(AUTHORIZATION, basic(client_id, secret)?);
        }
        let request = request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body(client_id, secret, form))
            .build()
            .map_err(|_| cannot_be_asked(url))?;
        let response = self.http.execute(request).await.map_err(|error| unanswered(url, &error))?;
        reach(Step::AnswerBegun);
        read_answer(response).await
    }
}

// === impl KnownClients ===

impl KnownClients {
    fn configured(&self, client_id: &str) -> Option<&OAuthClient> {
        self.configured.iter().find(|client| client.client_id == client_id)
    }

    fn dpop(&self, client_id: &str) -> DpopMode {
        self.configured(client_id).map_or(self.dpop, |client| client.dpop)
    }

    /// The client's secrets, each once, the likeliest first; `None` among them where it has none. Nothing of a client
    /// that is not known.
    fn secrets(&self, client_id: &str) -> Vec<Option<Secret>> {
        let (configured, kept) = (self.configured(client_id), self.stored.get(client_id));
        let is_known = configured.is_some() || kept.is_some();
        let of_file = configured.and_then(|client| client.client_secret.clone());
        let mut secrets: Vec<_> = [of_file, kept.and_then(|kept| kept.secret)].into_iter().flatten().collect();
        secrets.dedup();
        secrets.sort_by_key(|secret| !self.stored.was_taken(client_id, secret));
        match secrets.is_empty() && is_known {
            true => vec![None],
            false => secrets.into_iter().map(Some).collect(),
        }
    }
}

/// Reads an answer to its end.
pub(super) async fn read_answer(mut response: reqwest::Response) -> Result<Answer, TokenError> {
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|_| TokenError::Unknown("the answer broke off".into()))? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(TokenError::Unknown("the answer is too long".into()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, headers, body })
}

/// Before a connection stands nothing can have been sent; after that nobody knows.
pub(super) fn unanswered(url: &Url, error: &reqwest::Error) -> TokenError {
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
        self.clients.configured(client_id).is_some() || self.clients.stored.has(client_id)
    }

    fn may_ask(&self, client_id: &str, scope: &str) -> bool {
        let kept = self.clients.stored.get(client_id);
        kept.is_none_or(|kept| kept.client.scopes.is_empty() || kept.client.scopes.iter().any(|may| may == scope))
    }

    async fn settled(&self, client_id: &str) {
        self.clients.stored.settled(client_id).await;
    }

    async fn clients_changed(&self) {
        self.clients.stored.load().await;
    }

    async fn clients_if_due(&self) {
        self.clients.stored.load_if_due().await;
    }

    fn may_prove(&self, client_id: &str) -> bool {
        self.clients.dpop(client_id) != DpopMode::Off
    }

    async fn refresh(
        &self,
        client_id: &str,
        refresh: &Secret,
        key: Option<&ProofKey>,
    ) -> Result<TokenAnswer, TokenError> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.expose())];
        self.tokens(client_id, &form, key).await
    }
}

#[async_trait]
impl AuthorizationServer for HttpAuthorizationServer {
    fn client(&self, wish: Option<&str>, callback: &RedirectUri) -> Result<ConsentClient, NoClient> {
        choice::choose(&self.clients.configured, &self.clients.stored.active(), wish, callback)
    }

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
        self.tokens(client_id, &form, None).await
    }

    async fn revoke(&self, client_id: &str, what: Revoke<'_>) -> Result<Revocation, TokenError> {
        let form = [("token", what.token().expose()), ("token_type_hint", what.hint())];
        let (url, late) = (&self.endpoints.revoke, self.late());
        let (Answer { status, headers, body }, _) = self.post(url, client_id, &form, None, late).await?;
        answer::revocation(status, &headers, &body, self.clock.now())
    }

    async fn introspect(&self, client_id: &str, token: &Secret) -> Result<Introspection, TokenError> {
        let form = [("token", token.expose()), ("token_type_hint", "access_token")];
        let (url, late) = (&self.endpoints.introspect, self.late());
        let (Answer { status, headers, body }, _) = self.post(url, client_id, &form, None, late).await?;
        answer::introspection(status, &headers, &body, self.clock.now())
    }
}

impl fmt::Debug for HttpAuthorizationServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpAuthorizationServer").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

/// The body of a request. A public client names itself in it; a confidential one does so in its header.
fn body(client_id: &str, secret: Option<&Secret>, form: &[(&str, &str)]) -> String {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(form);
    if secret.is_none() {
        body.append_pair("client_id", client_id);
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
mod secrets_tests;
#[cfg(test)]
mod tests;
