//! A strict OAuth server that does what a test says.

use std::{
    collections::{HashMap, VecDeque},
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use url::Url;

use super::world::CLIENT;
use crate::{
    flexslot::{
        AuthorizationRequest, AuthorizationServer, ConsentClient, Introspection, NoClient, Redemption, Revocation,
        Revoke, TokenAnswer, TokenEndpoint, TokenError,
    },
    model::{Identity, ProofKey, RedirectUri, Secret, TokenType},
};

/// What the scripted Flexslot does with the next token request.
pub(super) enum Behaviour {
    NotSent,
    Refuse(Option<Duration>),
    /// Rotates, and the answer is lost.
    LoseAnswer,
    /// Nothing is rotated, and nobody can know.
    LoseQuestion,
    Misconfigured,
    Panic,
}

/// What it does with the next revocation.
pub(super) enum OnRevoke {
    NotSent,
    RefuseForNow(Option<Duration>),
    Refuse,
    NeverAnswer,
}

/// A strict OAuth server: a spent refresh token revokes the grant.
#[derive(Default)]
pub(super) struct Flexslot {
    grants: Mutex<HashMap<String, Line>>,
    pub(super) script: Mutex<VecDeque<Behaviour>>,
    pub(super) requests: AtomicUsize,
    pub(super) replays: AtomicUsize,
    /// When set, answers wait for a permit, after the rotation.
    pub(super) gate: Mutex<Option<Arc<Semaphore>>>,
    pub(super) life: AtomicUsize,
    pub(super) on_revoke: Mutex<VecDeque<OnRevoke>>,
    /// Every refresh token that it was told to revoke.
    pub(super) revoked: Mutex<Vec<String>>,
    /// When set, revocations wait for a permit before they are done.
    pub(super) revoke_gate: Mutex<Option<Arc<Semaphore>>>,
    /// Whose grants are, by their names; those that are not in it are of nobody that it names.
    pub(super) users: Mutex<HashMap<String, Identity>>,
    pub(super) introspections: AtomicUsize,
    /// When set, it says whose grants are when there is a permit.
    pub(super) introspect_gate: Mutex<Option<Arc<Semaphore>>>,
    /// When set, tokens are bound to keys.
    pub(super) binds: AtomicBool,
    /// The key that each token request brought along.
    pub(super) keys: Mutex<Vec<Option<ProofKey>>>,
    /// How often it was told that the store's clients have changed, and that they can be read again.
    pub(super) clients_changed: AtomicUsize,
    pub(super) clients_if_due: AtomicUsize,
    /// What no client may ask for.
    pub(super) unasked: Mutex<Vec<&'static str>>,
    /// The clients that can ask users, the usual one first.
    pub(super) asking: Mutex<Vec<&'static str>>,
}

/// One grant's rotating line of refresh tokens: `name.number`.
#[derive(Clone, Copy)]
struct Line {
    current: u64,
    revoked: bool,
}

// === impl Flexslot ===

impl Flexslot {
    /// The pair that a consent yields.
    pub(super) fn issue(&self, grant: &str) -> (Secret, Secret) {
        self.grants.lock().insert(grant.to_owned(), Line { current: 0, revoked: false });
        (Secret::new(format!("at.{grant}.0")), Secret::new(format!("{grant}.0")))
    }

    pub(super) fn revoke(&self, grant: &str) {
        self.grants.lock().get_mut(grant).unwrap().revoked = true;
    }

    pub(super) fn will(&self, behaviour: Behaviour) {
        self.script.lock().push_back(behaviour);
    }

    pub(super) fn hold(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.gate.lock() = Some(Arc::clone(&gate));
        gate
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub(super) fn replays(&self) -> usize {
        self.replays.load(Ordering::SeqCst)
    }

    /// Whether the grant's newest refresh token could still be used.
    pub(super) fn is_active(&self, grant: &str) -> bool {
        !self.grants.lock()[grant].revoked
    }

    pub(super) fn on_revoke(&self, does: OnRevoke) {
        self.on_revoke.lock().push_back(does);
    }

    /// What it was told to revoke so far.
    pub(super) fn revoked(&self) -> Vec<String> {
        self.revoked.lock().clone()
    }

    pub(super) fn hold_revocations(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.revoke_gate.lock() = Some(Arc::clone(&gate));
        gate
    }

    /// Names the user of a grant.
    pub(super) fn name_user(&self, grant: &str, sub: &str, username: &str) {
        let user = Identity { sub: sub.into(), username: Some(username.into()) };
        self.users.lock().insert(grant.into(), user);
    }

    pub(super) fn hold_introspections(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.introspect_gate.lock() = Some(Arc::clone(&gate));
        gate
    }

    pub(super) fn introspections(&self) -> usize {
        self.introspections.load(Ordering::SeqCst)
    }

    /// Only its newest refresh token ends a grant (RFC 7009 section 2.1).
    fn end(&self, refresh: &Secret) {
        let (name, number) = refresh.expose().split_once('.').unwrap();
        let mut grants = self.grants.lock();
        let line = grants.get_mut(name).unwrap();
        line.revoked |= line.current == number.parse::<u64>().unwrap();
        self.revoked.lock().push(refresh.expose().to_owned());
    }

    fn rotate(&self, refresh: &Secret) -> Result<TokenAnswer, TokenError> {
        let (name, number) = refresh.expose().split_once('.').unwrap();
        let number: u64 = number.parse().unwrap();
        let mut grants = self.grants.lock();
        let line = grants.get_mut(name).unwrap();
        if number != line.current {
            line.revoked = true;
            self.replays.fetch_add(1, Ordering::SeqCst);
        }
        if line.revoked {
            return Err(TokenError::Revoked);
        }
        line.current += 1;
        let next = line.current;
        let life = match self.life.load(Ordering::SeqCst) {
            0 => 3600,
            life => life as u64,
        };
        Ok(TokenAnswer {
            access: Secret::new(format!("at.{name}.{next}")),
            refresh: Some(Secret::new(format!("{name}.{next}"))),
            token_type: TokenType::Bearer,
            expires_in: Some(Duration::from_secs(life)),
            scope: None,
            key: None,
        })
    }
}

#[async_trait]
impl TokenEndpoint for Flexslot {
    fn knows(&self, client_id: &str) -> bool {
        client_id == CLIENT
    }

    fn may_ask(&self, _: &str, scope: &str) -> bool {
        !self.unasked.lock().contains(&scope)
    }

    async fn clients_changed(&self) {
        self.clients_changed.fetch_add(1, Ordering::SeqCst);
    }

    async fn clients_if_due(&self) {
        self.clients_if_due.fetch_add(1, Ordering::SeqCst);
    }

    async fn refresh(
        &self,
        _client_id: &str,
        refresh: &Secret,
        key: Option<&ProofKey>,
    ) -> Result<TokenAnswer, TokenError> {
        self.keys.lock().push(key.cloned());
        let behaviour = self.script.lock().pop_front();
        if !matches!(behaviour, Some(Behaviour::NotSent)) {
            self.requests.fetch_add(1, Ordering::SeqCst);
        }
        let bound = |answer| if self.binds.load(Ordering::SeqCst) { bind(answer, key) } else { answer };
        let answer = match behaviour {
            None => self.rotate(refresh).map(bound),
            Some(Behaviour::NotSent) => Err(TokenError::NotSent("connection refused".into())),
            Some(Behaviour::Refuse(retry_after)) => Err(TokenError::RefusedForNow { what: "429".into(), retry_after }),
            Some(Behaviour::LoseAnswer) => self.rotate(refresh).and(Err(TokenError::Unknown("lost".into()))),
            Some(Behaviour::LoseQuestion) => Err(TokenError::Unknown("lost".into())),
            Some(Behaviour::Misconfigured) => Err(TokenError::Misconfigured("401 invalid_client".into())),
            Some(Behaviour::Panic) => panic!("scripted"),
        };
        let gate = self.gate.lock().clone();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        answer
    }
}

#[async_trait]
impl AuthorizationServer for Flexslot {
    fn client(&self, wish: Option<&str>, callback: &RedirectUri) -> Result<ConsentClient, NoClient> {
        let asking = self.asking.lock();
        let found = asking.iter().find(|client| wish.is_none_or(|wish| wish == **client)).ok_or(NoClient::None)?;
        let client_id = (*found).to_owned();
        Ok(ConsentClient { client_id, redirect_uri: callback.clone(), scopes: None, allowed: None })
    }

    fn authorization_url(&self, _: &AuthorizationRequest<'_>) -> Url {
        unreachable!("consents are asked for elsewhere")
    }

    async fn redeem(&self, _: &str, _: Redemption<'_>) -> Result<TokenAnswer, TokenError> {
        unreachable!("codes are redeemed elsewhere")
    }

    async fn revoke(&self, _client_id: &str, what: Revoke<'_>) -> Result<Revocation, TokenError> {
        let does = self.on_revoke.lock().pop_front();
        let gate = self.revoke_gate.lock().clone();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        match does {
            None => {
                self.end(what.token());
                Ok(Revocation::Accepted)
            }
            Some(OnRevoke::Refuse) => Ok(Revocation::Refused("400".into())),
            Some(OnRevoke::NotSent) => Err(TokenError::NotSent("connection refused".into())),
            Some(OnRevoke::RefuseForNow(retry_after)) => {
                Err(TokenError::RefusedForNow { what: "429".into(), retry_after })
            }
            Some(OnRevoke::NeverAnswer) => pending().await,
        }
    }

    async fn introspect(&self, _client_id: &str, token: &Secret) -> Result<Introspection, TokenError> {
        self.introspections.fetch_add(1, Ordering::SeqCst);
        let gate = self.introspect_gate.lock().clone();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        let name = token.expose().split('.').nth(1).unwrap();
        if !self.is_active(name) {
            return Ok(Introspection::Inactive);
        }
        Ok(Introspection::Active { identity: self.users.lock().get(name).cloned(), scope: None })
    }
}

/// The same tokens, bound to the grant's own key or to a new one.
fn bind(answer: TokenAnswer, key: Option<&ProofKey>) -> TokenAnswer {
    let key = key.cloned().unwrap_or_else(ProofKey::generate);
    TokenAnswer { token_type: TokenType::Dpop, key: Some(key), ..answer }
}

/// An endpoint that speaks for the world's client, and is to make no proofs.
pub(super) struct NoProofs;

#[async_trait]
impl TokenEndpoint for NoProofs {
    fn knows(&self, client_id: &str) -> bool {
        client_id == CLIENT
    }

    fn may_prove(&self, _: &str) -> bool {
        false
    }

    async fn refresh(&self, _: &str, _: &Secret, _: Option<&ProofKey>) -> Result<TokenAnswer, TokenError> {
        unreachable!("a bound grant is not presented")
    }
}

/// An endpoint that speaks for one other client.
pub(super) struct OtherClient(pub(super) &'static str);

#[async_trait]
impl TokenEndpoint for OtherClient {
    fn knows(&self, client_id: &str) -> bool {
        client_id == self.0
    }

    async fn refresh(
        &self,
        _client_id: &str,
        _refresh: &Secret,
        _: Option<&ProofKey>,
    ) -> Result<TokenAnswer, TokenError> {
        panic!("a grant of another client was presented")
    }
}
