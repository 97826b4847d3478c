//! The OAuth clients that this process may speak for: those of the configuration, and the store's.

use std::sync::Arc;

use super::StoredClients;
use crate::model::{RedirectUri, ScopeSet, Secret, token::DpopMode};

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

// === impl KnownClients ===

impl KnownClients {
    fn configured(&self, client_id: &str) -> Option<&OAuthClient> {
        self.configured.iter().find(|client| client.client_id == client_id)
    }

    /// Whether it is one of them.
    pub(super) fn knows(&self, client_id: &str) -> bool {
        self.configured(client_id).is_some() || self.stored.has(client_id)
    }

    /// Whether the client's tokens may be presented with proofs of possession.
    pub(super) fn may_prove(&self, client_id: &str) -> bool {
        self.dpop(client_id) != DpopMode::Off
    }

    pub(super) fn dpop(&self, client_id: &str) -> DpopMode {
        self.configured(client_id).map_or(self.dpop, |client| client.dpop)
    }

    /// The client's secrets, each once, the likeliest first; `None` among them where it has none. Nothing of a client
    /// that is not known.
    pub(super) fn secrets(&self, client_id: &str) -> Vec<Option<Secret>> {
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
