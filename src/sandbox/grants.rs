//! The life of a grant: issue, rotation, replay, end.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde::Serialize;

use super::{
    Shared,
    dpop::{KeyPair, Thumbprint},
    ids,
    settings::PreviousAccess,
    world::{Registered, User},
};
use crate::model::{GrantId, ScopeSet, Secret, Timestamp, prefix};

/// One user's consent to one client, with every token that came of it.
pub(super) struct Grant {
    pub(super) id: GrantId,
    /// The order of issue.
    pub(super) number: u64,
    pub(super) user: Arc<User>,
    pub(super) client: Arc<Registered>,
    /// What the user allowed; a refresh never changes it.
    pub(super) scope: ScopeSet,
    pub(super) tally: Tally,
    state: Mutex<State>,
}

struct State {
    ended: Option<End>,
    /// 1 for the first pair; one more with each refresh.
    version: u64,
    /// Access tokens up to this version are expired, whatever their time says.
    expired_through: u64,
    refresh_expires: Timestamp,
    /// What the newest pair is bound to; a public client's refresh token is too (RFC 9449 section 5).
    key: Option<Thumbprint>,
}

/// What was asked of one grant.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) token_requests: AtomicU64,
    pub(super) refreshes: AtomicU64,
    pub(super) replays: AtomicU64,
    pub(super) after_end: AtomicU64,
    pub(super) resource_requests: AtomicU64,
}

/// Why a grant ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The client revoked it (RFC 7009).
    Revoked,
    /// The user did, at the connected-apps page.
    RevokedByUser,
    /// A spent refresh token was presented.
    RefreshReplay,
    /// A spent authorization code was presented.
    CodeReplay,
    /// Its client was revoked.
    ClientRevoked,
    /// A test or the control API ended it.
    Control,
}

pub(super) struct AccessToken {
    pub(super) grant: Arc<Grant>,
    pub(super) version: u64,
    pub(super) scope: ScopeSet,
    pub(super) issued: Timestamp,
    pub(super) expires: Timestamp,
    /// The key without which it is of no use; `None` for a bearer token.
    pub(super) key: Option<Thumbprint>,
    /// Set when this token alone was revoked.
    pub(super) revoked: super::world::Moment,
}

#[derive(Clone)]
pub(super) struct RefreshToken {
    pub(super) grant: Arc<Grant>,
    pub(super) version: u64,
}

/// Whether a token can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Live,
    Expired,
    /// Rotated out by a refresh.
    Spent,
    /// This token alone was revoked.
    Revoked,
    /// The whole grant is over.
    GrantEnded,
}

/// An authorization code.
pub(super) struct Code {
    pub(super) client: Arc<Registered>,
    pub(super) user: Arc<User>,
    pub(super) redirect_uri: String,
    pub(super) challenge: String,
    pub(super) scope: ScopeSet,
    pub(super) expires: Timestamp,
    pub(super) use_: Mutex<CodeUse>,
}

pub(super) enum CodeUse {
    Fresh,
    /// Made invalid by a failed try.
    Void,
    Redeemed(Arc<Grant>),
}

/// A token answer. The tokens print as `[redacted]`.
#[derive(Debug, Clone)]
pub struct TokenPair {
    pub access: Secret,
    pub refresh: Secret,
    pub expires_in: Duration,
    /// The scopes of the access token, separated by spaces.
    pub scope: String,
    pub grant: GrantId,
    /// 1 for the first pair of a grant.
    pub version: u64,
    /// The thumbprint of the key that it is bound to.
    pub jkt: Option<String>,
    /// The key pair, where the sandbox made it.
    pub key: Option<KeyPair>,
}

/// A grant as the control API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GrantView {
    pub id: String,
    pub user: String,
    pub client_id: String,
    pub scope: String,
    /// The version of the newest pair.
    pub version: u64,
    /// `None` while the grant lives.
    pub ended: Option<End>,
    /// Token requests that named this grant, whatever came of them.
    pub token_requests: u64,
    /// Those that rotated the pair.
    pub refreshes: u64,
    /// Those that presented a spent refresh token or code.
    pub replays: u64,
    /// Requests of any kind that carried a token of this grant after its end.
    pub presented_after_end: u64,
    pub resource_requests: u64,
    /// The thumbprint of the key that the newest pair is bound to; `None` for bearer tokens.
    pub jkt: Option<String>,
}

// === impl Grant ===

impl Grant {
    pub(super) fn end(&self, why: End) {
        self.state.lock().ended.get_or_insert(why);
    }

    pub(super) fn ended(&self) -> Option<End> {
        self.state.lock().ended
    }

    pub(super) fn expire_access(&self) {
        let mut state = self.state.lock();
        state.expired_through = state.version;
    }

    pub(super) fn expire_refresh(&self, now: Timestamp) {
        self.state.lock().refresh_expires = now;
    }

    pub(super) fn refresh_standing(&self, version: u64, now: Timestamp) -> Standing {
        self.state.lock().refresh_standing(version, now)
    }

    /// The key without which the refresh token is of no use. A confidential client's is bound by its secret instead.
    pub(super) fn refresh_key(&self) -> Option<Thumbprint> {
        if self.client.is_public() { self.state.lock().key.clone() } else { None }
    }

    pub(super) fn refresh_expires(&self) -> Timestamp {
        self.state.lock().refresh_expires
    }

    pub(super) fn view(&self) -> GrantView {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let state = self.state.lock();
        GrantView {
            id: self.id.to_string(),
            user: self.user.name.clone(),
            client_id: self.client.client_id.clone(),
            scope: self.scope.as_str().unwrap_or_default().to_owned(),
            version: state.version,
            ended: state.ended,
            token_requests: count(&self.tally.token_requests),
            refreshes: count(&self.tally.refreshes),
            replays: count(&self.tally.replays),
            presented_after_end: count(&self.tally.after_end),
            resource_requests: count(&self.tally.resource_requests),
            jkt: state.key.as_deref().map(str::to_owned),
        }
    }
}

// === impl State ===

impl State {
    fn refresh_standing(&self, version: u64, now: Timestamp) -> Standing {
        if version != self.version {
            Standing::Spent
        } else if self.ended.is_some() {
            Standing::GrantEnded
        } else if now >= self.refresh_expires {
            Standing::Expired
        } else {
            Standing::Live
        }
    }
}

// === impl AccessToken ===

impl AccessToken {
    /// `token_type` of the token response and of introspection.
    pub(super) fn token_type(&self) -> &'static str {
        token_type(self.key.is_some())
    }

    pub(super) fn standing(&self, now: Timestamp, previous: PreviousAccess) -> Standing {
        let state = self.grant.state.lock();
        if state.ended.is_some() {
            Standing::GrantEnded
        } else if self.revoked.has_come() {
            Standing::Revoked
        } else if self.version != state.version && previous == PreviousAccess::Ends {
            Standing::Spent
        } else if now >= self.expires || self.version <= state.expired_through {
            Standing::Expired
        } else {
            Standing::Live
        }
    }
}

pub(super) fn token_type(bound: bool) -> &'static str {
    if bound { "DPoP" } else { "Bearer" }
}

// === impl Shared ===

impl Shared {
    /// A new grant with its first pair, whose access token lives for `life` and is bound to `key`.
    pub(super) fn issue(
        &self,
        user: &Arc<User>,
        client: &Arc<Registered>,
        scope: &ScopeSet,
        life: Duration,
        key: Option<Thumbprint>,
    ) -> (Arc<Grant>, TokenPair) {
        let grant = Arc::new(Grant {
            id: GrantId::random(&self.random),
            number: self.grants_issued.fetch_add(1, Ordering::Relaxed),
            user: Arc::clone(user),
            client: Arc::clone(client),
            scope: scope.clone(),
            tally: Tally::default(),
            state: Mutex::new(State {
                ended: None,
                version: 1,
                expired_through: 0,
                refresh_expires: self.now().plus(self.settings.refresh_life),
                key: key.clone(),
            }),
        });
        user.grants.lock().push(Arc::clone(&grant));
        self.world.grants.insert(grant.id, Arc::clone(&grant));
        let pair = self.mint(&grant, 1, scope, life, key);
        (grant, pair)
    }

    /// Exchanges a refresh token for the next pair, bound to `key`. A spent one ends the whole grant; there is no grace
    /// window.
    pub(super) fn rotate(
        &self,
        token: &RefreshToken,
        scope: &ScopeSet,
        key: Option<Thumbprint>,
    ) -> Result<TokenPair, Standing> {
        let grant = &token.grant;
        let now = self.now();
        let mut state = grant.state.lock();
        let standing = state.refresh_standing(token.version, now);
        match standing {
            Standing::Live => {}
            Standing::Spent => {
                state.ended.get_or_insert(End::RefreshReplay);
                return Err(standing);
            }
            Standing::Expired | Standing::Revoked | Standing::GrantEnded => return Err(standing),
        }
        state.version += 1;
        state.refresh_expires = now.plus(self.settings.refresh_life);
        state.key.clone_from(&key);
        // Minted under the grant's lock, so that nobody sees the new version without its tokens.
        Ok(self.mint(grant, state.version, scope, self.settings.access_life, key))
    }

    fn mint(
        &self,
        grant: &Arc<Grant>,
        version: u64,
        scope: &ScopeSet,
        life: Duration,
        key: Option<Thumbprint>,
    ) -> TokenPair {
        let (access, refresh) =
            (ids::token(&self.random, prefix::ACCESS_TOKEN), ids::token(&self.random, prefix::REFRESH_TOKEN));
        let (now, jkt) = (self.now(), key.as_deref().map(str::to_owned));
        let entry = AccessToken {
            grant: Arc::clone(grant),
            version,
            scope: scope.clone(),
            issued: now,
            expires: now.plus(life),
            key,
            revoked: super::world::Moment::never(),
        };
        self.world.access.insert(ids::digest(access.expose()), Arc::new(entry));
        self.world.refresh.insert(ids::digest(refresh.expose()), RefreshToken { grant: Arc::clone(grant), version });
        TokenPair {
            access,
            refresh,
            expires_in: life,
            scope: scope.as_str().unwrap_or_default().to_owned(),
            grant: grant.id,
            version,
            jkt,
            key: None,
        }
    }
}

// === impl End ===

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Revoked => "revoked",
            Self::RevokedByUser => "revoked by the user",
            Self::RefreshReplay => "refresh token replayed",
            Self::CodeReplay => "code replayed",
            Self::ClientRevoked => "client revoked",
            Self::Control => "revoked by the control API",
        })
    }
}
