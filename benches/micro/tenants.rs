//! A store in memory with a tenant of each kind, and the door to it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use flexslot_proxy::{
    credential::{Credentials, RefreshPolicy, Settings, coordinator::Parts},
    flexslot::{
        AuthorizationRequest, AuthorizationServer, Introspection, Redemption, Revocation, Revoke, TokenAnswer,
        TokenEndpoint, TokenError,
    },
    model::{
        Clock, Origin, ProofKey, Random, ScopeSet, Secret, SystemClock, TenantId, TokenSet, TokenType, Unobserved,
        Untraced,
    },
    store::{
        Existing, NewGrant, NewTenant, StoredPat, TokenStore,
        memory::MemoryBackend,
        seal::{KeyRing, Sealer},
    },
};
use url::Url;

use crate::at_once;

const CLIENT: &str = "flx_client_micro";

/// What a tenant has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Has {
    Pat,
    Grant,
    Both,
    /// A grant whose tokens are bound to a key.
    Bound,
}

/// Speaks for one client, and is never asked for anything.
struct Silent;

pub(crate) fn origin() -> Origin {
    "https://api.flexslot.gg".parse().expect("an origin")
}

/// An empty store.
pub(crate) fn store() -> TokenStore {
    let random = Random::system();
    let backend = MemoryBackend::new(Arc::new(SystemClock), &random);
    let sealer = Sealer::new(KeyRing::ephemeral(&random), random.clone());
    at_once(TokenStore::open(Arc::new(backend), sealer, random)).expect("opened")
}

/// Puts a tenant into `store`.
pub(crate) fn add(store: &TokenStore, name: &str, has: Has) -> TenantId {
    let tenant: TenantId = name.parse().expect("a tenant's name");
    let pat = StoredPat { pat: Secret::new(format!("flx_pat_{:032x}", 1)), origin: origin() };
    let new = NewTenant {
        tenant: tenant.clone(),
        pat: matches!(has, Has::Pat | Has::Both).then_some(pat),
        grant: (has != Has::Pat).then(|| grant(has)),
    };
    let imported = at_once(store.import(vec![new], Existing::Skip)).expect("imported");
    assert_eq!(imported.added, 1);
    tenant
}

/// Good for a day, so that nothing is ever refreshed.
fn grant(has: Has) -> NewGrant {
    let now = SystemClock.now();
    let is_bound = has == Has::Bound;
    let tokens = TokenSet {
        access: Secret::new(format!("flx_at_{:032x}", 1)),
        refresh: Secret::new(format!("flx_rt_{:032x}", 1)),
        token_type: if is_bound { TokenType::Dpop } else { TokenType::Bearer },
        scopes: ScopeSet::new("decks:read cards:read"),
        expires_at: now.plus(Duration::from_secs(24 * 3600)),
        answered_at: Some(now),
        key: is_bound.then(ProofKey::generate),
    };
    NewGrant { client_id: CLIENT.into(), origin: origin(), tokens }
}

/// The door to the tenants of `store`.
pub(crate) fn door(store: TokenStore) -> Credentials {
    let settings = Settings {
        origin: origin(),
        refresh: RefreshPolicy::default(),
        endpoint: Arc::new(Silent),
        server: Arc::new(Silent),
        tenants: HashMap::new(),
        cached_tenants: 1000,
    };
    let (clock, observer, tracer) = (Arc::new(SystemClock), Arc::new(Unobserved), Arc::new(Untraced));
    let random = Random::system();
    Credentials::new(Parts { settings, store, spool: None, instance: None, clock, random, observer, tracer })
}

// === impl Silent ===

#[async_trait::async_trait]
impl TokenEndpoint for Silent {
    fn knows(&self, client_id: &str) -> bool {
        client_id == CLIENT
    }

    async fn refresh(&self, _: &str, _: &Secret, _: Option<&ProofKey>) -> Result<TokenAnswer, TokenError> {
        Err(nobody())
    }
}

#[async_trait::async_trait]
impl AuthorizationServer for Silent {
    fn authorization_url(&self, _: &AuthorizationRequest<'_>) -> Url {
        origin().at("/")
    }

    async fn redeem(&self, _: &str, _: Redemption<'_>) -> Result<TokenAnswer, TokenError> {
        Err(nobody())
    }

    async fn revoke(&self, _: &str, _: Revoke<'_>) -> Result<Revocation, TokenError> {
        Err(nobody())
    }

    async fn introspect(&self, _: &str, _: &Secret) -> Result<Introspection, TokenError> {
        Err(nobody())
    }
}

fn nobody() -> TokenError {
    TokenError::NotSent("nobody is asked".into())
}
