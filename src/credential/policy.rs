//! What the configuration says about credentials. Replaced as a whole on reload.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use crate::{
    flexslot::{AuthorizationServer, TokenEndpoint},
    model::{
        AllowRule, CredentialKind, Grant, Origin, PatFallback, Secret, TenantId, Timestamp, TokenType, token::Intent,
        trace::GrantFinding,
    },
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

/// Why a grant cannot be presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Objection {
    /// It belongs to another origin than the configured upstream.
    OtherOrigin { own: Origin, upstream: Origin },
    /// It was given to this OAuth client, which is not configured.
    OtherClient(String),
    /// Its tokens are bound to a key (RFC 9449), and the configuration lets no proof be made.
    Bound,
    /// Its access token cannot stand in a header.
    Malformed,
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

    /// Why this configuration may not present `grant` to anybody, if it may not.
    pub(super) fn objection_to(&self, grant: &Grant) -> Option<Objection> {
        self.objection(&grant.origin, &grant.client_id)
            .or_else(|| self.objection_to_type(&grant.client_id, grant.tokens.token_type))
    }

    /// The same for any grant from `own` that was given to the client `client_id`.
    pub(super) fn objection(&self, own: &Origin, client_id: &str) -> Option<Objection> {
        if *own != self.origin {
            return Some(Objection::OtherOrigin { own: own.clone(), upstream: self.origin.clone() });
        }
        (!self.endpoint.knows(client_id)).then(|| Objection::OtherClient(client_id.to_owned()))
    }

    /// The same for any tokens of that type.
    pub(super) fn objection_to_type(&self, client_id: &str, token_type: TokenType) -> Option<Objection> {
        (token_type == TokenType::Dpop && !self.endpoint.may_prove(client_id)).then_some(Objection::Bound)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("origin", &self.origin).field("refresh", &self.refresh).finish_non_exhaustive()
    }
}

// === impl Objection ===

/// In words that go on from "the grant cannot be used".
impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherOrigin { own, upstream } => {
                write!(
                    f,
                    "it belongs to {own}, and upstream.url is {upstream}; set it back, or import a grant of {upstream}"
                )
            }
            Self::OtherClient(client) => {
                write!(f, "it belongs to the OAuth client {client}, which neither [oauth] nor the store has")
            }
            Self::Bound => {
                f.write_str("its tokens are bound to a key (DPoP), and oauth.dpop is \"off\"; set it to \"auto\"")
            }
            Self::Malformed => f.write_str("its access token cannot stand in a header"),
        }
    }
}

/// As a trace has it.
impl From<&Objection> for GrantFinding {
    fn from(objection: &Objection) -> Self {
        match objection {
            Objection::OtherOrigin { .. } => Self::OtherOrigin,
            Objection::OtherClient(_) => Self::OtherClient,
            Objection::Bound => Self::Bound,
            Objection::Malformed => Self::Malformed,
        }
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

impl TenantPolicy {
    /// The PAT of the file, where it serves whatever the store says. Where the store may have a grant that it must not
    /// stand in for, it does not.
    pub(super) fn pat_that_needs_no_store(&self) -> Option<&Secret> {
        let serves = self.pat_fallback == PatFallback::Always || !self.credentials.contains(&CredentialKind::OAuth);
        self.pat.as_ref().filter(|_| serves)
    }
}

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
