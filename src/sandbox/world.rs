//! What exists at the stand-in: users, clients, grants, tokens. Tokens are kept as digests.
//!
//! Every request finds what it needs by key. The only locks held are a map's shard for one look-up, and one grant's or
//! one user's own lock; none across an await.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use dashmap::DashMap;
use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};

use super::{
    grants::{AccessToken, Code, Grant, RefreshToken},
    ids::{self, Digest},
    oauth::Pending,
    partner::Partner,
    resources::Shelf,
    settings::Client,
};
use crate::model::{GrantId, Random, ScopeSet, Secret, Timestamp, prefix};

pub(super) struct World {
    pub(super) users: DashMap<String, Arc<User>>,
    pub(super) clients: DashMap<String, Arc<Registered>>,
    pub(super) grants: DashMap<GrantId, Arc<Grant>>,
    pub(super) access: DashMap<Digest, Arc<AccessToken>>,
    pub(super) refresh: DashMap<Digest, RefreshToken>,
    pub(super) codes: DashMap<Digest, Arc<Code>>,
    pub(super) pats: DashMap<Digest, Arc<Pat>>,
    /// Consent pages that wait for a click, by their nonce.
    pub(super) pending: DashMap<String, Arc<Pending>>,
    /// The user whose browser it is.
    pub(super) signed_in: RwLock<Option<String>>,
}

pub(super) struct User {
    pub(super) name: String,
    /// The stable id of introspection's `sub`.
    pub(super) sub: String,
    pub(super) shelf: Mutex<Shelf>,
    pub(super) partner: Mutex<Option<Partner>>,
    pub(super) grants: Mutex<Vec<Arc<Grant>>>,
    /// Proves that a form of the connected-apps page was served by that page.
    pub(super) csrf: String,
}

/// A personal access token.
pub(super) struct Pat {
    pub(super) id: String,
    pub(super) user: Arc<User>,
    pub(super) prefix: String,
    pub(super) scopes: ScopeSet,
    pub(super) created: Timestamp,
    pub(super) last_used: Moment,
    pub(super) revoked: Moment,
}

/// A registered OAuth client.
pub(super) struct Registered {
    pub(super) id: String,
    pub(super) client_id: String,
    pub(super) name: String,
    pub(super) urls: Urls,
    pub(super) redirect_uris: Vec<String>,
    pub(super) allowed_scopes: Vec<String>,
    pub(super) grant_types: Vec<String>,
    pub(super) owner: Option<String>,
    pub(super) created: Timestamp,
    pub(super) last_used: Moment,
    pub(super) revoked: Moment,
    pub(super) secret: Mutex<Option<Digest>>,
    pub(super) secret_rotated: Moment,
    pub(super) dpop_bound: AtomicBool,
}

/// A client's links; each may be empty.
#[derive(Debug, Default, Clone)]
pub(super) struct Urls {
    pub(super) application: String,
    pub(super) logo: String,
    pub(super) privacy: String,
    pub(super) tos: String,
}

/// A time that may not have come yet, set without a lock.
pub(super) struct Moment(AtomicI64);

// === impl World ===

impl World {
    pub(super) fn new() -> Self {
        Self {
            users: DashMap::new(),
            clients: DashMap::new(),
            grants: DashMap::new(),
            access: DashMap::new(),
            refresh: DashMap::new(),
            codes: DashMap::new(),
            pats: DashMap::new(),
            pending: DashMap::new(),
            signed_in: RwLock::new(None),
        }
    }

    /// The user of that name, made where there is none. The first one is the one who is signed in.
    pub(super) fn add_user(&self, name: &str, random: &Random, now: Timestamp) -> Arc<User> {
        self.signed_in.write().get_or_insert_with(|| name.to_owned());
        let user = self.users.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(User {
                name: name.to_owned(),
                sub: ids::uuid(random, now),
                shelf: Mutex::default(),
                partner: Mutex::default(),
                grants: Mutex::default(),
                csrf: ids::nonce(random),
            })
        });
        Arc::clone(&user)
    }

    pub(super) fn user(&self, name: &str) -> Option<Arc<User>> {
        self.users.get(name).map(|user| Arc::clone(&user))
    }

    pub(super) fn client(&self, client_id: &str) -> Option<Arc<Registered>> {
        self.clients.get(client_id).map(|client| Arc::clone(&client))
    }

    pub(super) fn access(&self, token: &str) -> Option<Arc<AccessToken>> {
        self.access.get(&ids::digest(token)).map(|token| Arc::clone(&token))
    }

    pub(super) fn refresh(&self, token: &str) -> Option<RefreshToken> {
        self.refresh.get(&ids::digest(token)).map(|token| token.clone())
    }

    pub(super) fn pat(&self, token: &str) -> Option<Arc<Pat>> {
        self.pats.get(&ids::digest(token)).map(|pat| Arc::clone(&pat))
    }

    pub(super) fn code(&self, code: &str) -> Option<Arc<Code>> {
        self.codes.get(&ids::digest(code)).map(|code| Arc::clone(&code))
    }

    pub(super) fn grant(&self, id: GrantId) -> Option<Arc<Grant>> {
        self.grants.get(&id).map(|grant| Arc::clone(&grant))
    }

    /// Every grant, oldest first.
    pub(super) fn all_grants(&self) -> Vec<Arc<Grant>> {
        let mut grants: Vec<_> = self.grants.iter().map(|grant| Arc::clone(&grant)).collect();
        grants.sort_by_key(|grant| grant.number);
        grants
    }
}

// === impl Pat ===

impl Pat {
    /// The metadata of `GET /me/access-tokens/`.
    pub(super) fn json(&self) -> Value {
        let scopes: Vec<&str> = self.scopes.as_str().unwrap_or_default().split(' ').collect();
        json!({
            "id": self.id, "name": "sandbox", "token_prefix": self.prefix, "scopes": scopes,
            "created_at": self.created.to_string(), "last_used_at": self.last_used.json(),
            "expires_at": null, "revoked_at": self.revoked.json(),
        })
    }
}

// === impl Registered ===

impl Registered {
    pub(super) fn new(client: Client, urls: Urls, random: &Random, now: Timestamp) -> Self {
        Self {
            id: ids::uuid(random, now),
            client_id: client.client_id,
            name: client.name,
            urls,
            redirect_uris: client.redirect_uris,
            allowed_scopes: client.allowed_scopes,
            grant_types: client.grant_types,
            owner: client.owner,
            created: now,
            last_used: Moment::never(),
            revoked: Moment::never(),
            secret_rotated: if client.secret.is_some() { Moment::at(now) } else { Moment::never() },
            dpop_bound: AtomicBool::new(client.dpop_bound_access_tokens),
            secret: Mutex::new(client.secret.map(|secret| ids::digest(secret.expose()))),
        }
    }

    pub(super) fn is_public(&self) -> bool {
        self.secret.lock().is_none()
    }

    pub(super) fn is_dpop_bound(&self) -> bool {
        self.dpop_bound.load(Ordering::Relaxed)
    }

    pub(super) fn is_active(&self) -> bool {
        !self.revoked.has_come()
    }

    /// Whether `secret` is right for this client: the right one, or none for a public client.
    pub(super) fn accepts(&self, secret: Option<&str>) -> bool {
        *self.secret.lock() == secret.map(ids::digest)
    }

    pub(super) fn may_use(&self, grant_type: &str) -> bool {
        self.grant_types.iter().any(|allowed| allowed == grant_type)
    }

    /// Sets a new secret; the old one is invalid at once.
    pub(super) fn rotate_secret(&self, random: &Random, now: Timestamp) -> Secret {
        let secret = ids::token(random, prefix::CLIENT_SECRET);
        *self.secret.lock() = Some(ids::digest(secret.expose()));
        self.secret_rotated.set(now);
        secret
    }

    /// The client object of the management endpoints.
    pub(super) fn json(&self) -> Value {
        let updated = [&self.revoked, &self.secret_rotated].iter().filter_map(|at| at.get()).max();
        json!({
            "id": self.id, "client_id": self.client_id,
            "client_type": if self.is_public() { "public" } else { "confidential" },
            "application_name": self.name, "application_url": self.urls.application,
            "application_logo_url": self.urls.logo, "privacy_policy_url": self.urls.privacy, "tos_url": self.urls.tos,
            "redirect_uris": self.redirect_uris, "allowed_scopes": self.allowed_scopes, "grant_types": self.grant_types,
            "require_pkce": true, "dpop_bound_access_tokens": self.is_dpop_bound(),
            "status": if self.is_active() { "active" } else { "revoked" },
            "secret_rotated_at": self.secret_rotated.json(), "last_used_at": self.last_used.json(),
            "created_at": self.created.to_string(), "updated_at": updated.unwrap_or(self.created).to_string(),
        })
    }
}

// === impl Moment ===

impl Moment {
    const NEVER: i64 = i64::MIN;

    pub(super) fn never() -> Self {
        Self(AtomicI64::new(Self::NEVER))
    }

    pub(super) fn at(time: Timestamp) -> Self {
        Self(AtomicI64::new(time.millis()))
    }

    pub(super) fn set(&self, time: Timestamp) {
        self.0.store(time.millis(), Ordering::Release);
    }

    pub(super) fn get(&self) -> Option<Timestamp> {
        let millis = self.0.load(Ordering::Acquire);
        (millis != Self::NEVER).then(|| Timestamp::from_millis(millis))
    }

    pub(super) fn has_come(&self) -> bool {
        self.get().is_some()
    }

    pub(super) fn json(&self) -> Value {
        self.get().map_or(Value::Null, |at| at.to_string().into())
    }
}
