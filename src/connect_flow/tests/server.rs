//! An OAuth server that says what a test wants, and remembers what it was asked.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use url::Url;

use crate::{
    flexslot::{
        AuthorizationRequest, AuthorizationServer, ConsentClient, Introspection, NoClient, Redemption, Revocation,
        Revoke, TokenAnswer, TokenEndpoint, TokenError,
    },
    model::{Identity, ProofKey, RedirectUri, Secret, TokenType},
};

/// The user of every consent, unless a test says otherwise.
pub(super) const GEORGE: &str = "george";

/// By default it gives every code a grant of [`GEORGE`]'s.
#[derive(Default)]
pub(super) struct Server {
    /// What comes of the next code; a grant where nothing is said.
    pub(super) redeems: Mutex<VecDeque<Result<TokenAnswer, TokenError>>>,
    /// What is said of the next access token.
    pub(super) introspects: Mutex<VecDeque<Result<Introspection, TokenError>>>,
    /// What is said to the next revocation.
    pub(super) revokes: Mutex<VecDeque<Result<Revocation, TokenError>>>,
    /// When set, answers to codes wait for a permit.
    pub(super) gate: Mutex<Option<Arc<Semaphore>>>,
    /// Whether it has a client that asks; it has one, unless a test says otherwise.
    pub(super) no_client: AtomicBool,
    /// Whose grants are given.
    pub(super) user: Mutex<Option<&'static str>>,
    /// Every request that reached it: `redeem CODE VERIFIER-LENGTH REDIRECT_URI`, `introspect TOKEN`, `revoke HINT TOKEN`.
    asked: Mutex<Vec<String>>,
}

/// The tokens that come for a code.
pub(super) fn tokens(of: &str) -> TokenAnswer {
    TokenAnswer {
        access: Secret::new(format!("at.{of}")),
        refresh: Some(Secret::new(format!("rt.{of}"))),
        token_type: TokenType::Bearer,
        expires_in: Some(Duration::from_secs(3600)),
        scope: Some("decks:read cards:read".into()),
        key: None,
    }
}

/// What is said of an active token of `name`'s.
pub(super) fn active(name: &str) -> Introspection {
    let identity = Identity { sub: format!("sub-{name}"), username: Some(name.to_owned()) };
    Introspection::Active { identity: Some(identity), scope: None }
}

// === impl Server ===

impl Server {
    /// What it was asked, in order.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }

    fn note(&self, what: String) {
        self.asked.lock().push(what);
    }
}

#[async_trait]
impl AuthorizationServer for Server {
    fn client(&self, wish: Option<&str>, callback: &RedirectUri) -> Result<ConsentClient, NoClient> {
        if self.no_client.load(Ordering::Relaxed) {
            return Err(NoClient::None);
        }
        let client_id = wish.unwrap_or(super::world::CLIENT).to_owned();
        let allowed = (wish == Some("reader")).then(|| vec!["decks:read".to_owned()]);
        Ok(ConsentClient { client_id, redirect_uri: callback.clone(), scopes: None, allowed })
    }

    fn authorization_url(&self, request: &AuthorizationRequest<'_>) -> Url {
        request.url(&"https://flexslot.test/authorize".parse().unwrap())
    }

    async fn redeem(&self, _: &str, redemption: Redemption<'_>) -> Result<TokenAnswer, TokenError> {
        let Redemption { code, verifier, redirect_uri } = redemption;
        let length = verifier.into_stored().expose().len();
        self.note(format!("redeem {} {length} {redirect_uri}", code.expose()));
        let gate = self.gate.lock().clone();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        self.redeems.lock().pop_front().unwrap_or_else(|| Ok(tokens(code.expose())))
    }

    async fn revoke(&self, _: &str, what: Revoke<'_>) -> Result<Revocation, TokenError> {
        self.note(format!("revoke {} {}", what.hint(), what.token().expose()));
        self.revokes.lock().pop_front().unwrap_or(Ok(Revocation::Accepted))
    }

    async fn introspect(&self, _: &str, token: &Secret) -> Result<Introspection, TokenError> {
        self.note(format!("introspect {}", token.expose()));
        let user = self.user.lock().unwrap_or(GEORGE);
        self.introspects.lock().pop_front().unwrap_or_else(|| Ok(active(user)))
    }
}

#[async_trait]
impl TokenEndpoint for Server {
    fn knows(&self, client_id: &str) -> bool {
        client_id == super::world::CLIENT
    }

    async fn refresh(&self, _: &str, _: &Secret, _: Option<&ProofKey>) -> Result<TokenAnswer, TokenError> {
        panic!("no token of these tests is old enough")
    }
}
