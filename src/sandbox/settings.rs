//! What a sandbox is started with.

use std::time::Duration;

use super::dpop::ProofRules;
use crate::model::Secret;

/// Every scope of Flexslot's catalogue.
pub const SCOPES: [&str; 8] = [
    "cards:read",
    "decks:read",
    "decks:write",
    "exports:read",
    "guides:read",
    "guides:write",
    "sideboards:read",
    "sideboards:write",
];

/// How the sandbox behaves where Flexslot's documentation leaves a choice, and what it starts with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The origin that goes into `iss`, `Location` and page links. `None`: the listener's address.
    pub issuer: Option<String>,
    /// The life of an access token.
    pub access_life: Duration,
    /// The life of a refresh token, counted from its issue; every refresh issues a new one.
    pub refresh_life: Duration,
    /// The life of an authorization code; Flexslot does not document its own.
    pub code_life: Duration,
    pub consent: Consent,
    pub loopback_ports: LoopbackPorts,
    pub previous_access: PreviousAccess,
    pub client_revocation: ClientRevocation,
    pub proofs: ProofRules,
    /// How many requests are remembered for [`Sandbox::requests`](super::Sandbox::requests).
    pub recorded_requests: usize,
    pub seed: Seed,
}

/// What happens at the authorization endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// The signed-in user allows at once.
    Automatic,
    /// A page with Allow and Deny.
    Page,
}

/// Whether `127.0.0.1` and `[::1]` redirect URIs match on any port. Flexslot's pages contradict each other; `localhost`
/// never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoopbackPorts {
    Exact,
    Flexible,
}

/// What a refresh does to the access token before it; not documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreviousAccess {
    /// It ends with the refresh: the strict reading.
    Ends,
    /// It lives on until its own expiry.
    LivesOn,
}

/// How an OAuth client is revoked through the API; the action exists, its method and path are not documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientRevocation {
    /// `DELETE /me/partner/oauth2-clients/{client_id}`.
    Delete,
    /// `DELETE` answers 405; `POST …/{client_id}/revoke` works.
    Post,
    /// Only the dashboard can.
    Neither,
}

/// The world at the start.
#[derive(Debug, Clone, Default)]
pub struct Seed {
    pub users: Vec<SeedUser>,
    pub clients: Vec<Client>,
}

/// A user at the start.
#[derive(Debug, Clone)]
pub struct SeedUser {
    pub name: String,
    pub decks: u32,
    pub role: Role,
}

/// Whether a user stands behind an approved partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Player,
    Partner,
}

/// An OAuth client as handed to [`Sandbox::add_client`](super::Sandbox::add_client).
#[derive(Debug, Clone)]
pub struct Client {
    pub client_id: String,
    /// `None` makes a public client.
    pub secret: Option<Secret>,
    pub name: String,
    pub redirect_uris: Vec<String>,
    pub allowed_scopes: Vec<String>,
    pub grant_types: Vec<String>,
    /// The user whose partner owns it, for the `/me/partner/oauth2-clients` endpoints.
    pub owner: Option<String>,
    /// Whether every token of its is bound to a key (RFC 9449 section 5.2).
    pub dpop_bound_access_tokens: bool,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            issuer: None,
            access_life: Duration::from_secs(3600),
            refresh_life: Duration::from_secs(30 * 24 * 3600),
            code_life: Duration::from_secs(60),
            consent: Consent::Automatic,
            loopback_ports: LoopbackPorts::Exact,
            previous_access: PreviousAccess::Ends,
            client_revocation: ClientRevocation::Delete,
            proofs: ProofRules::default(),
            recorded_requests: 1000,
            seed: Seed::default(),
        }
    }
}

// === impl Seed ===

impl Seed {
    /// What a stand-alone sandbox starts with: the partner `george` and the player `ada` with three decks each, and the
    /// public client `flx_client_sandbox` with every scope, whose only redirect URI is `redirect_uri`.
    pub fn sample(redirect_uri: &str) -> Self {
        let user = |name: &str, role| SeedUser { name: name.into(), decks: 3, role };
        Self {
            users: vec![user("george", Role::Partner), user("ada", Role::Player)],
            clients: vec![Client::public("flx_client_sandbox").redirect_uri(redirect_uri)],
        }
    }
}

// === impl Client ===

impl Client {
    /// A public client that may ask for every scope and has no redirect URI yet.
    pub fn public(client_id: impl Into<String>) -> Self {
        let client_id = client_id.into();
        Self {
            name: client_id.clone(),
            client_id,
            secret: None,
            redirect_uris: Vec::new(),
            allowed_scopes: SCOPES.map(String::from).into(),
            grant_types: ["authorization_code", "refresh_token"].map(String::from).into(),
            owner: None,
            dpop_bound_access_tokens: false,
        }
    }

    /// The same with a secret.
    pub fn confidential(client_id: impl Into<String>, secret: Secret) -> Self {
        Self { secret: Some(secret), ..Self::public(client_id) }
    }

    /// The same with one more redirect URI.
    #[must_use]
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uris.push(uri.into());
        self
    }

    /// The same with tokens that are bound to a key.
    #[must_use]
    pub fn dpop_bound(mut self) -> Self {
        self.dpop_bound_access_tokens = true;
        self
    }

    /// The same with no other scopes than these, separated by spaces.
    #[must_use]
    pub fn scopes(mut self, scopes: &str) -> Self {
        self.allowed_scopes = scopes.split(' ').map(String::from).collect();
        self
    }
}
