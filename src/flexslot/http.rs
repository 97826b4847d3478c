//! The OAuth server over HTTP.

mod sending;
#[cfg(test)]
mod tests;
mod tokens;

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;
use url::Url;

use super::{
    AuthorizationRequest, AuthorizationServer, ConsentClient, Introspection, KnownClients, NoClient, Redemption,
    Revocation, Revoke, TokenAnswer, TokenEndpoint, TokenError, answer, choice, dpop::Prover, transport::Answer,
};
use crate::model::{Clock, ProofKey, Random, RedirectUri, Secret};

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

// === impl HttpAuthorizationServer ===

impl HttpAuthorizationServer {
    /// `http` is a client made by [`client_builder`](super::transport::client_builder), with trust roots and proxy as the
    /// upstream has them.
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

    /// When nothing more is sent for what begins now, since half of its time is gone.
    fn late(&self) -> Instant {
        Instant::now() + self.give_up / 2
    }
}

// === impl TokenEndpoint, AuthorizationServer for HttpAuthorizationServer ===

#[async_trait]
impl TokenEndpoint for HttpAuthorizationServer {
    fn knows(&self, client_id: &str) -> bool {
        self.clients.knows(client_id)
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
        self.clients.may_prove(client_id)
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
