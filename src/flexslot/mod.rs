//! What Flexslot's OAuth server speaks.
//!
//! [`TokenEndpoint`] and [`AuthorizationServer`] are traits so that a renewal and a connect flow can be tested against a
//! scripted server; [`http::HttpAuthorizationServer`] is the real thing, [`transport`] what it sends requests with, and
//! [`answer`] reads what it is told without doing any I/O. [`authorize`] and [`pkce`] make what the browser is sent there
//! with, and [`dpop`] the proofs that tokens are presented with that are bound to a key. [`clients`] is the management of
//! OAuth clients, [`registry`] those that the store keeps, and [`choice`] which of all of them asks a user.

pub mod answer;
pub mod authorize;
pub mod choice;
pub mod clients;
pub mod dpop;
pub mod http;
mod known_clients;
pub mod pkce;
pub mod registry;
pub mod transport;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use url::Url;

use crate::model::{Identity, ProofKey, RedirectUri, Secret, TokenType};

pub use self::{
    authorize::AuthorizationRequest,
    choice::{ConsentClient, NoClient},
    http::{Endpoints, HttpAuthorizationServer},
    known_clients::{KnownClients, OAuthClient},
    pkce::{Challenge, Verifier},
    registry::{ClientSource, StoredClient, StoredClients},
};

/// A successful answer of the token endpoint (RFC 6749 section 5.1), as far as it was usable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenAnswer {
    pub access: Secret,
    /// Absent: the refresh token that was presented stays the current one.
    pub refresh: Option<Secret>,
    pub token_type: TokenType,
    /// Absent when the answer says nothing usable.
    pub expires_in: Option<Duration>,
    /// Absent: the scopes are those of before.
    pub scope: Option<String>,
    /// The key whose possession was proven with the request. Where the tokens are bound, they are bound to it.
    pub key: Option<ProofKey>,
}

/// A code that came by the browser, and what it takes to redeem it (RFC 6749 section 4.1.3, RFC 7636 section 4.5).
#[derive(Debug)]
pub struct Redemption<'a> {
    pub code: &'a Secret,
    pub verifier: Verifier,
    /// The one of the authorization request.
    pub redirect_uri: &'a str,
}

/// What is to be revoked (RFC 7009 section 2.1).
#[derive(Debug, Clone, Copy)]
pub enum Revoke<'a> {
    /// The grant goes with it.
    Refresh(&'a Secret),
    /// For a grant that came without a refresh token. Whether the grant goes with it, Flexslot does not say.
    Access(&'a Secret),
}

/// Flexslot's last word on a token that was to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// It is of no use any more (RFC 7009 section 2.2), if it ever was.
    Accepted,
    /// Asking again would change nothing. Says what was refused, and what to mend.
    Refused(String),
}

/// What Flexslot says of a token (RFC 7662 section 2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Introspection {
    /// It is no token of this client, or no longer one.
    Inactive,
    Active {
        /// `None` where the answer names nobody.
        identity: Option<Identity>,
        scope: Option<String>,
    },
}

/// Why a request to the OAuth server brought nothing, by what that means for the token or the code that was presented.
///
/// `Display` is for users and operators: it says in our own words what happened, and of a misconfiguration what to
/// mend. Of the server's text it repeats an error code at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenError {
    /// It never left (DNS, connect, TLS); may be presented again. Says where it could not go, and why.
    NotSent(String),
    /// Flexslot does not want it now (429; 503 with `Retry-After` or an OAuth error body); may be presented again.
    /// `what` is the status, and the error code where there is one.
    RefusedForNow { what: String, retry_after: Option<Duration> },
    /// It was sent, and no complete answer came back: it may already be spent.
    Unknown(String),
    /// `invalid_grant`: whatever was presented is of no use any more.
    Revoked,
    /// Any other refusal: the fault is in the configuration, not in the grant. Says what to mend.
    Misconfigured(String),
}

/// The token endpoint, as a renewal sees it.
#[async_trait]
pub trait TokenEndpoint: Send + Sync + 'static {
    /// Whether `client_id` is a client that this process may speak for.
    fn knows(&self, client_id: &str) -> bool;

    /// Whether tokens of that client may be presented with proofs of possession.
    fn may_prove(&self, _client_id: &str) -> bool {
        true
    }

    /// Whether that client may ask for `scope`, as far as is known.
    fn may_ask(&self, _client_id: &str, _scope: &str) -> bool {
        true
    }

    /// Waits, for a bounded time, while the secret of `client_id` is being replaced: the one that there is may be void,
    /// and the next not there yet.
    async fn settled(&self, _client_id: &str) {}

    /// The store's clients have changed.
    async fn clients_changed(&self) {}

    /// The store is in reach: its clients are read again, where that did not work the last time.
    async fn clients_if_due(&self) {}

    /// Presents `refresh` (RFC 6749 section 6), with a proof by `key` where the grant has one; once to a server that
    /// looks at it. One that refuses the proof, or the client itself (`invalid_client`), has not, and may be asked again
    /// with another proof or another secret.
    async fn refresh(
        &self,
        client_id: &str,
        refresh: &Secret,
        key: Option<&ProofKey>,
    ) -> Result<TokenAnswer, TokenError>;
}

/// The rest of the OAuth server, as connecting and disconnecting see it.
#[async_trait]
pub trait AuthorizationServer: Send + Sync + 'static {
    /// The client that asks a user: the one that `wish` names, by its name or its id, else the usual one. `callback` is
    /// where browsers come back to unless the client has a place of its own. A server without clients has none that asks.
    fn client(&self, _wish: Option<&str>, _callback: &RedirectUri) -> Result<ConsentClient, NoClient> {
        Err(NoClient::None)
    }

    /// Where the browser goes to ask its user.
    fn authorization_url(&self, request: &AuthorizationRequest<'_>) -> Url;

    /// Presents a code once.
    async fn redeem(&self, client_id: &str, redemption: Redemption<'_>) -> Result<TokenAnswer, TokenError>;

    /// Has Flexslot end `what` (RFC 7009). An error leaves it open whether it has ended; it may be asked again.
    async fn revoke(&self, client_id: &str, what: Revoke<'_>) -> Result<Revocation, TokenError>;

    /// Asks what `token` is worth, and whose it is.
    async fn introspect(&self, client_id: &str, token: &Secret) -> Result<Introspection, TokenError>;
}

// === impl Revoke ===

impl<'a> Revoke<'a> {
    /// The token itself.
    pub const fn token(self) -> &'a Secret {
        let (Self::Refresh(token) | Self::Access(token)) = self;
        token
    }

    /// Its `token_type_hint`.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Refresh(_) => "refresh_token",
            Self::Access(_) => "access_token",
        }
    }
}

// === impl TokenError ===

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(what) => write!(f, "the request was not sent: {what}"),
            Self::RefusedForNow { what, .. } => write!(f, "Flexslot refused the request for now, with {what}"),
            Self::Unknown(what) => write!(f, "the request was sent, and its outcome is unknown: {what}"),
            Self::Revoked => f.write_str("Flexslot refused the request with invalid_grant"),
            Self::Misconfigured(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for TokenError {}
