//! What the tests of this room are made of.

pub(super) mod meddled;

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    Cas, NewGrant, NewTenant, StoredPat, TokenStore,
    backend::Backend,
    conformance::ManualClock,
    memory::MemoryBackend,
    seal::{KeyRing, Sealer},
};
use crate::model::{
    Grant, GrantId, Provenance, Random, ScopeSet, Secret, TenantId, Timestamp, TokenSet, TokenType, Version,
    token::{Attempt, Intent, Owner},
};

pub(super) const ORIGIN: &str = "https://api.flexslot.gg";

/// A store in memory, and what is under it.
pub(super) struct World {
    pub(super) clock: Arc<ManualClock>,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) store: TokenStore,
}

impl World {
    pub(super) async fn new() -> Self {
        let clock = ManualClock::new();
        let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new(Arc::clone(&clock) as _, &Random::system()));
        let store = TokenStore::open(Arc::clone(&backend), sealer(1), Random::system()).await.expect("opened");
        Self { clock, backend, store }
    }

    /// Stores a grant whose tokens are named after the tenant, and reads it.
    pub(super) async fn connect(&self, name: &str) -> Grant {
        let new = NewTenant { pat: None, grant: Some(new_grant(name)), tenant: tenant(name) };
        let done = self.store.import(vec![new], super::Existing::Replace).await.expect("imported");
        assert_eq!(done.skipped, 0);
        self.grant(name).await.expect("connected")
    }

    /// Writes the intent to refresh a connected tenant's grant.
    pub(super) async fn begun(&self, name: &str) -> Intent {
        let record = self.store.load(&tenant(name)).await.expect("loaded");
        let grant = record.grant.grant().expect("connected");
        let intent = intent(grant);
        let at = record.revision.expect("a row");
        assert_eq!(self.store.begin(&tenant(name), at, grant, &intent).await, Ok(Cas::Stored));
        intent
    }

    pub(super) async fn grant(&self, name: &str) -> Option<Grant> {
        self.store.load(&tenant(name)).await.expect("loaded").grant.grant().cloned()
    }
}

pub(super) fn sealer(key: u8) -> Sealer {
    Sealer::new(ring(&[key]), Random::system())
}

/// A ring of keys that each consist of one byte.
pub(super) fn ring(keys: &[u8]) -> KeyRing {
    let lines: Vec<_> = keys.iter().map(|key| STANDARD.encode([*key; 32])).collect();
    KeyRing::parse(&Secret::new(lines.join("\n"))).expect("keys")
}

pub(super) fn tenant(name: &str) -> TenantId {
    name.parse().expect("a tenant's name")
}

pub(super) fn tokens(name: &str) -> TokenSet {
    TokenSet {
        access: Secret::new(format!("access-canary-{name}")),
        refresh: Secret::new(format!("refresh-canary-{name}")),
        token_type: TokenType::Bearer,
        scopes: ScopeSet::new("decks:read cards:read"),
        expires_at: Timestamp::from_secs(1_795_203_600),
        answered_at: Some(Timestamp::from_secs(1_795_200_000)),
        key: None,
    }
}

pub(super) fn new_grant(name: &str) -> NewGrant {
    NewGrant { client_id: "flx_client_1".into(), origin: ORIGIN.parse().expect("an origin"), tokens: tokens(name) }
}

pub(super) fn grant(name: &str) -> Grant {
    let NewGrant { client_id, origin, tokens } = new_grant(name);
    Grant {
        id: GrantId::random(&Random::system()),
        version: Version::FIRST,
        client_id,
        origin,
        provenance: Provenance::Import,
        tokens,
    }
}

pub(super) fn pat(text: &str) -> StoredPat {
    StoredPat { pat: Secret::new(text), origin: ORIGIN.parse().expect("an origin") }
}

pub(super) fn intent(grant: &Grant) -> Intent {
    Intent {
        grant: grant.id,
        version: grant.version,
        refresh_hash: grant.tokens.refresh_hash(),
        owner: Owner { host: "boot/host".into(), instance: "0".repeat(32) },
        at: Timestamp::from_secs(1_795_200_100),
        attempt: Attempt::First,
    }
}
