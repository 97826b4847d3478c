//! What tenants of a world are given.

use std::time::Duration;

use flexslot_proxy::{
    model::{Clock, GrantId, Origin, ProofKey, ScopeSet, Secret, SystemClock, TenantId, TokenSet, TokenType},
    sandbox::{Client, SCOPES},
    store::{Existing, NewGrant, NewTenant, StoredPat},
};

use super::{CLIENT, World};

/// A tenant of a world.
pub(crate) struct Tenant<'w> {
    pub(super) world: &'w World,
    pub(super) name: TenantId,
}

/// A grant to be given.
#[derive(Debug, Clone)]
pub(crate) struct GrantOf {
    scopes: String,
    /// Seconds from now until the access token ends, as the sidecar is told.
    ends_in: i64,
    client: String,
    /// What its tokens are bound to, as the sidecar is told.
    key: Option<ProofKey>,
    loses_key: bool,
}

// === impl Tenant ===

impl Tenant<'_> {
    /// A PAT in the store, of the sandbox's user of the same name, who has a deck.
    pub(crate) async fn with_pat(&self) -> Secret {
        self.add_user();
        let pat = self.world.sandbox.add_pat(self.name.as_str());
        self.with_this_pat(pat.expose()).await;
        pat
    }

    /// This PAT in the store.
    pub(crate) async fn with_this_pat(&self, pat: &str) {
        let (pat, origin) = (Secret::new(pat), self.origin());
        self.world.store.put_pat(&self.name, &StoredPat { pat, origin }).await.unwrap();
    }

    /// A grant in the store, of the sandbox's user of the same name, who has a deck. Answers the sandbox's name of it.
    pub(crate) async fn with_grant(&self, of: GrantOf) -> GrantId {
        self.add_user();
        if of.client != CLIENT {
            self.world.sandbox.add_client(Client::public(of.client.clone()));
        }
        let (jkt, life) = (of.key.as_ref().map(ProofKey::thumbprint), Duration::from_secs(3600));
        let pair =
            self.world.sandbox.issue_grant_bound_to(self.name.as_str(), &of.client, &of.scopes, life, jkt).unwrap();
        let now = SystemClock.now();
        let seconds = Duration::from_secs(of.ends_in.unsigned_abs());
        let tokens = TokenSet {
            access: pair.access,
            refresh: pair.refresh,
            token_type: if of.key.is_some() { TokenType::Dpop } else { TokenType::Bearer },
            scopes: ScopeSet::new(&of.scopes),
            expires_at: if of.ends_in < 0 { now.minus(seconds) } else { now.plus(seconds) },
            answered_at: None,
            key: of.key.filter(|_| !of.loses_key),
        };
        if of.ends_in < 0 {
            self.world.sandbox.expire_access(pair.grant).unwrap();
        }
        let grant = NewGrant { client_id: of.client, origin: self.origin(), tokens };
        let new = NewTenant { tenant: self.name.clone(), pat: None, grant: Some(grant) };
        self.world.store.import(vec![new], Existing::Replace).await.unwrap();
        pair.grant
    }

    fn add_user(&self) {
        self.world.sandbox.add_deck(self.name.as_str(), "Deck");
    }

    fn origin(&self) -> Origin {
        self.world.sidecar().config.upstream.origin.clone()
    }
}

// === impl GrantOf ===

impl GrantOf {
    /// All scopes, and an hour to go.
    pub(crate) fn an_hour() -> Self {
        Self { scopes: SCOPES.join(" "), ends_in: 3600, client: CLIENT.to_owned(), key: None, loses_key: false }
    }

    /// All scopes; the access token ended a minute ago.
    pub(crate) fn expired() -> Self {
        Self { ends_in: -60, ..Self::an_hour() }
    }

    /// All scopes; the access token ends so soon that it is inside its window.
    pub(crate) fn ageing() -> Self {
        Self { ends_in: 20, ..Self::an_hour() }
    }

    /// The same with these scopes.
    pub(crate) fn scopes(self, scopes: &str) -> Self {
        Self { scopes: scopes.to_owned(), ..self }
    }

    /// The same, bound to a new key.
    pub(crate) fn bound(self) -> Self {
        Self { key: Some(ProofKey::generate()), ..self }
    }

    /// The same, with the key lost.
    pub(crate) fn without_its_key(self) -> Self {
        Self { loses_key: true, ..self }
    }

    /// The same under another OAuth client.
    pub(crate) fn client(self, client: &str) -> Self {
        Self { client: client.to_owned(), ..self }
    }
}
