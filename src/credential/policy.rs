//! What the configuration says about credentials. Replaced as a whole on reload.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use crate::{
    flexslot::{AuthorizationServer, TokenEndpoint},
    model::{AllowRule, CredentialKind, Grant, Origin, PatFallback, Secret, TenantId, Timestamp, token::Intent},
};

/// Everything of the configuration that this room needs.
#[derive(Clone)]
pub struct Settings {
    /// The upstream's origin. A stored credential of another origin is never sent.
    pub origin: Origin,
    pub refresh: RefreshPolicy,
    pub endpoint: Arc<dyn TokenEndpoint>,
    /// The same server as the endpoint.
    pub server: Arc<dyn AuthorizationServer>,
    /// Tenants that the file names; the others have [`TenantPolicy::default`].
    pub tenants: HashMap<TenantId, Arc<TenantPolicy>>,
    /// About how many tenants are kept in memory.
    pub cached_tenants: usize,
}

/// When and how tokens are refreshed. See `[refresh]` in `proxy.toml.example`.
#[derive(Debug, Clone)]
pub struct RefreshPolicy {
    pub before_expiry: Duration,
    pub min_interval: Duration,
    pub timeout: Duration,
    pub uncertain_after: Duration,
    pub max_parallel: usize,
    pub spread: Duration,
    /// How long after its last token answer an idle grant is refreshed; `None`: never.
    pub keep_alive: Option<Duration>,
}

/// One tenant's rules.
#[derive(Debug, Clone)]
pub struct TenantPolicy {
    /// A PAT of the file; it wins over the store's.
    pub pat: Option<Secret>,
    /// The kinds that may be used, in order of preference.
    pub credentials: Vec<CredentialKind>,
    pub pat_fallback: PatFallback,
    /// Absent: everything that the corridor lets through.
    pub allow: Option<Vec<AllowRule>>,
}

// === impl Settings ===

impl Settings {
    /// The rules for `tenant`: its own where the file names it, else the defaults.
    pub(super) fn policy(&self, tenant: &TenantId) -> Arc<TenantPolicy> {
        self.tenants.get(tenant).map_or_else(Arc::default, Arc::clone)
    }

    /// Whether the file names `tenant`, which then exists whatever the store says.
    pub(super) fn names(&self, tenant: &TenantId) -> bool {
        self.tenants.contains_key(tenant)
    }

    /// Why this configuration may not present `grant` to anybody, if it may not; words that go on from "the grant
    /// cannot be used".
    pub(super) fn objection_to(&self, grant: &Grant) -> Option<String> {
        self.objection(&grant.origin, &grant.client_id)
    }

    /// The same for any grant from `own` that was given to the client `client_id`.
    pub(super) fn objection(&self, own: &Origin, client_id: &str) -> Option<String> {
        if *own != self.origin {
            let configured = &self.origin;
            return Some(format!(
                "it belongs to {own}, and upstream.url is {configured}; set it back, or import a grant of {configured}"
            ));
        }
        if !self.endpoint.knows(client_id) {
            return Some(format!("it belongs to the OAuth client {client_id}, which [oauth] does not name"));
        }
        None
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("origin", &self.origin).field("refresh", &self.refresh).finish_non_exhaustive()
    }
}

// === impl RefreshPolicy ===

impl RefreshPolicy {
    /// What is left at `now` of the time in which nobody else may present what `intent` names; nothing where it lies in
    /// the future.
    pub(super) fn left_of(&self, intent: &Intent, now: Timestamp) -> Duration {
        self.uncertain_after.saturating_sub(now.since(intent.at).unwrap_or(Duration::MAX))
    }
}

/// The defaults of `[refresh]`.
impl Default for RefreshPolicy {
    fn default() -> Self {
        Self {
            before_expiry: Duration::from_secs(300),
            min_interval: Duration::from_secs(30),
            timeout: Duration::from_secs(10),
            uncertain_after: Duration::from_secs(120),
            max_parallel: 32,
            spread: Duration::ZERO,
            keep_alive: None,
        }
    }
}

// === impl TenantPolicy ===

impl Default for TenantPolicy {
    fn default() -> Self {
        Self {
            pat: None,
            credentials: vec![CredentialKind::OAuth, CredentialKind::Pat],
            pat_fallback: PatFallback::Always,
            allow: None,
        }
    }
}
