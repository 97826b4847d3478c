//! Grants and the tokens that they yield.

mod grant_id;
mod intent;

use std::{fmt, time::Duration};

use sha2::{Digest, Sha256};

pub use self::{
    grant_id::{GrantId, InvalidGrantId},
    intent::{Attempt, Intent, Owner},
};
use super::{Origin, ProofKey, ScopeSet, Secret, Timestamp};

/// The life of an access token whose answer does not say (Flexslot's documentation).
pub const DEFAULT_LIFE: Duration = Duration::from_secs(3600);

/// Counts the token pairs of one grant. Compared, never guessed: only [`Grant::renewed`] makes the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

/// How an access token is presented (RFC 6749 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenType {
    /// RFC 6750.
    Bearer,
    /// RFC 9449; never sent as Bearer.
    Dpop,
}

/// Whether the tokens of an OAuth client are bound to keys (RFC 9449).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DpopMode {
    /// Where the client's object at Flexslot, or the token endpoint, demands it.
    #[default]
    Auto,
    Always,
    /// No proof is ever made. A grant that is bound is not used.
    Off,
}

/// One pair of tokens, as a token answer or an import brings it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSet {
    pub access: Secret,
    pub refresh: Secret,
    pub token_type: TokenType,
    pub scopes: ScopeSet,
    pub expires_at: Timestamp,
    /// When Flexslot answered with this pair. `None` for an imported pair, whose age nobody knows.
    pub answered_at: Option<Timestamp>,
    /// What a proof for these tokens is signed with. A pair of type [`TokenType::Dpop`] without one cannot be presented;
    /// the next one can.
    pub key: Option<ProofKey>,
}

/// A consent that is believed to hold, with its newest tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub id: GrantId,
    pub version: Version,
    /// The OAuth client that the consent was given to; no other may present its tokens.
    pub client_id: String,
    /// The origin that issued the tokens; they are sent nowhere else.
    pub origin: Origin,
    pub provenance: Provenance,
    pub tokens: TokenSet,
}

/// How a grant came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// Somebody has brought it. Nobody has said whose it is.
    Import,
    /// Its user has consented, and it was written down whose it is, or that Flexslot did not say.
    Consent,
}

/// How much life an access token has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Outside the refresh window.
    Fresh,
    /// Inside the window: used, and refreshed in the background.
    Ageing,
    /// Never sent again.
    Expired,
}

/// Why a grant is no longer connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisconnectReason {
    /// Flexslot answered `invalid_grant`.
    InvalidGrant,
    /// Flexslot answered `invalid_grant` to the last resort after a refresh whose outcome was lost.
    RefreshOutcomeLost,
    /// Somebody disconnected it here.
    Disconnected,
    /// Its OAuth client was revoked, and with it everything that it was given.
    ClientRevoked,
}

/// What the store knows of a tenant's consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantState {
    NeverConnected,
    Connected(Grant),
    /// A token request went out and nobody knows how it ended.
    Uncertain(Grant, Intent),
    Disconnected(Disconnected),
}

/// What is left of a grant whose tokens are deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnected {
    pub id: GrantId,
    pub version: Version,
    /// The OAuth client that it was given to, where that is known.
    pub client_id: Option<String>,
    pub reason: DisconnectReason,
    pub at: Timestamp,
}

// === impl Version ===

impl Version {
    /// The version of a grant's first pair.
    pub const FIRST: Self = Self(1);

    /// As read from a store.
    pub const fn from_stored(number: u64) -> Self {
        Self(number)
    }

    /// As written to a store.
    pub const fn number(self) -> u64 {
        self.0
    }

    const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

// === impl TokenType ===

impl TokenType {
    /// The name in a token answer; read without regard to case (RFC 6749 section 5.1).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Dpop => "DPoP",
        }
    }

    /// The type named `text`, if it is one that we know.
    pub fn from_name(text: &str) -> Option<Self> {
        [Self::Bearer, Self::Dpop].into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text))
    }
}

// === impl DpopMode ===

impl DpopMode {
    /// The word in proxy.toml.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Off => "off",
        }
    }
}

// === impl TokenSet ===

impl TokenSet {
    /// The access token's life from its answer to its end; [`DEFAULT_LIFE`] for an imported pair.
    pub fn life(&self) -> Duration {
        self.answered_at.map_or(DEFAULT_LIFE, |at| self.expires_at.left(at))
    }

    /// How long before its end the access token is refreshed: the smaller of `before_expiry` and a fifth of its life.
    pub fn refresh_window(&self, before_expiry: Duration) -> Duration {
        before_expiry.min(self.life() / 5)
    }

    /// How fresh the access token is at `now`, for a window that opens at `window_opens`.
    pub fn freshness(&self, now: Timestamp, window_opens: Timestamp) -> Freshness {
        if now >= self.expires_at {
            Freshness::Expired
        } else if now >= window_opens {
            Freshness::Ageing
        } else {
            Freshness::Fresh
        }
    }

    /// The age of the last token answer; `None` for an imported pair. An answer from the future counts as old.
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        self.answered_at.map(|at| now.since(at).unwrap_or(Duration::MAX))
    }

    /// SHA-256 of the refresh token, to name it without holding it.
    pub fn refresh_hash(&self) -> [u8; 32] {
        Sha256::digest(self.refresh.expose().as_bytes()).into()
    }
}

// === impl Grant ===

impl Grant {
    /// The same grant with the next pair of tokens.
    #[must_use]
    pub fn renewed(self, tokens: TokenSet) -> Self {
        Self { version: self.version.next(), tokens, ..self }
    }

    /// The same grant without its tokens.
    pub fn disconnected(&self, reason: DisconnectReason, at: Timestamp) -> Disconnected {
        Disconnected { id: self.id, version: self.version, client_id: Some(self.client_id.clone()), reason, at }
    }
}

// === impl Freshness ===

impl Freshness {
    /// The word in a trace.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Ageing => "ageing",
            Self::Expired => "expired",
        }
    }
}

// === impl DisconnectReason ===

impl DisconnectReason {
    /// The word in records, on cards and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidGrant => "invalid_grant",
            Self::RefreshOutcomeLost => "refresh_outcome_lost",
            Self::Disconnected => "disconnected",
            Self::ClientRevoked => "client_revoked",
        }
    }

    /// The reason named `text`.
    pub fn from_name(text: &str) -> Option<Self> {
        [Self::InvalidGrant, Self::RefreshOutcomeLost, Self::Disconnected, Self::ClientRevoked]
            .into_iter()
            .find(|reason| reason.as_str() == text)
    }
}

// === impl GrantState ===

impl GrantState {
    /// Which grant it is of, connected or not.
    pub fn id(&self) -> Option<GrantId> {
        match self {
            Self::NeverConnected => None,
            Self::Connected(grant) | Self::Uncertain(grant, _) => Some(grant.id),
            Self::Disconnected(end) => Some(end.id),
        }
    }

    /// The grant, where tokens exist.
    pub fn grant(&self) -> Option<&Grant> {
        match self {
            Self::Connected(grant) | Self::Uncertain(grant, _) => Some(grant),
            Self::NeverConnected | Self::Disconnected(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Freshness, ScopeSet, Secret, TokenSet, TokenType};
    use crate::model::Timestamp;
    use std::time::Duration;

    fn tokens(answered_at: Option<i64>, expires_at: i64) -> TokenSet {
        TokenSet {
            access: Secret::new("a"),
            refresh: Secret::new("r"),
            token_type: TokenType::Bearer,
            scopes: ScopeSet::unknown(),
            expires_at: Timestamp::from_secs(expires_at),
            answered_at: answered_at.map(Timestamp::from_secs),
            key: None,
        }
    }

    #[test]
    fn the_window_is_five_minutes_of_an_hour_and_a_fifth_of_a_short_life() {
        let window = |set: &TokenSet| set.refresh_window(Duration::from_secs(300)).as_secs();
        assert_eq!(window(&tokens(Some(0), 3600)), 300);
        assert_eq!(window(&tokens(Some(0), 100)), 20);
        assert_eq!(window(&tokens(None, 3600)), 300);
    }

    #[test]
    fn freshness_turns_at_the_window_and_at_the_end() {
        let set = tokens(Some(0), 3600);
        let at = |secs| set.freshness(Timestamp::from_secs(secs), Timestamp::from_secs(3300));
        assert_eq!(at(3299), Freshness::Fresh);
        assert_eq!(at(3300), Freshness::Ageing);
        assert_eq!(at(3599), Freshness::Ageing);
        assert_eq!(at(3600), Freshness::Expired);
    }

    #[test]
    fn an_answer_from_the_future_counts_as_old() {
        assert_eq!(tokens(Some(100), 3600).age(Timestamp::from_secs(50)), Some(Duration::MAX));
        assert_eq!(tokens(None, 3600).age(Timestamp::from_secs(50)), None);
    }
}
