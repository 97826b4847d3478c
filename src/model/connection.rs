//! A tenant's connection to Flexslot, as people and apps are shown it.

mod words;

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

pub use words::{ALLOW_MORE, CONNECT, INVITATION, RECONNECT, connected};

use super::{CredentialKind, Origin, Random, ScopeSet, Secret, TenantId, Timestamp};

/// What a card says first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionState {
    Connected,
    /// Connected, and its refresh token has less than seven days left.
    Expiring,
    /// There was a grant, and it ended without anybody having disconnected it here.
    ReconnectRequired,
    /// Never connected, or disconnected here.
    NotConnected,
    /// Something has to be mended that connecting alone does not mend, or nobody can tell how the connection is.
    Error,
}

/// How a tenant's PAT is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PatState {
    None,
    Ok,
    /// Flexslot has refused it three times in a row, as far as this process knows.
    Rejected,
}

/// Why a card is not simply green, or what else there is to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Flexslot answered `invalid_grant`: its user has revoked it, or the refresh token had expired.
    InvalidGrant,
    /// A refresh went out and its outcome was lost.
    RefreshOutcomeLost,
    /// Somebody disconnected it here.
    Disconnected,
    /// The OAuth client that it was given to was revoked.
    ClientRevoked,
    /// A token request is out and nobody knows yet how it ended.
    RefreshUncertain,
    /// Its token has expired, and no refresh can be had for now.
    RefreshUnavailable,
    /// Its token has expired, and Flexslot refuses to refresh it because of how this program is set up.
    RefreshMisconfigured,
    /// The last token answer was 30 days ago: Flexslot may have ended it, and the next call will tell.
    ProbablyExpired,
    /// It was given to an OAuth client that neither the configuration nor the store has.
    OtherClient(String),
    /// It belongs to another origin than the configured upstream.
    OtherOrigin(Origin),
    /// Its tokens are bound to a key, and the configuration lets no proof be made; or they cannot stand in a header.
    TokenUnusable,
    /// Flexslot has refused calls for want of these.
    LacksScopes(ScopeSet),
    /// Flexslot names another user for the same connection.
    SubjectChanged,
    /// Flexslot refuses a token that was just refreshed.
    UnauthorizedAfterRefresh,
    /// Its record cannot be read. Says which, and why.
    Unreadable(String),
    /// Flexslot refuses the PAT.
    PatRejected,
    /// The grant lacks a scope, or could not be used for another reason, and the PAT stands in for it.
    PatStandsIn,
}

/// What the reader of a card can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NextStep {
    Connect,
    Reconnect,
    /// Ask its user for the scopes that it lacks; the connection goes on meanwhile.
    AllowMore,
    SetPat,
    FixConfig,
}

/// Who a grant acts for at Flexslot, as far as Flexslot says (RFC 7662 section 2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Stable.
    pub sub: String,
    /// For display; its owner may change it.
    pub username: Option<String>,
}

/// One tenant's connection, without any secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    pub tenant: TenantId,
    pub state: ConnectionState,
    /// What an ordinary request of the tenant gets now.
    pub serves: Option<CredentialKind>,
    pub username: Option<String>,
    /// Those of the grant; unknown without one.
    pub scopes: ScopeSet,
    /// Those that requests were refused for want of, and that its OAuth client may ask for.
    pub lacks: ScopeSet,
    pub pat: PatState,
    pub last_used: Option<Timestamp>,
    /// The access token's end.
    pub expires_at: Option<Timestamp>,
    /// The refresh token's end: 30 days after the last token answer. `None` where nobody knows (an imported pair).
    pub refresh_expires_at: Option<Timestamp>,
    pub reason: Option<Reason>,
    pub next_step: Option<NextStep>,
}

/// Names a connect session, and is all that it takes to open it: as secret as a token. URL-safe text.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId(Secret);

/// The paths of connect sessions begin with it.
pub const CONNECT_PATH: &str = "/connect/";

// === impl ConnectionState ===

impl ConnectionState {
    /// Every state, the good ones first.
    pub const ALL: [Self; 5] =
        [Self::Connected, Self::Expiring, Self::ReconnectRequired, Self::NotConnected, Self::Error];

    /// The word in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Expiring => "expiring",
            Self::ReconnectRequired => "reconnect_required",
            Self::NotConnected => "not_connected",
            Self::Error => "error",
        }
    }

    /// The state with that word.
    pub fn from_name(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

// === impl PatState ===

impl PatState {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ok => "ok",
            Self::Rejected => "rejected",
        }
    }
}

// === impl Reason ===

impl Reason {
    /// The word in the API.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::InvalidGrant => "invalid_grant",
            Self::RefreshOutcomeLost => "refresh_outcome_lost",
            Self::Disconnected => "disconnected",
            Self::ClientRevoked => "client_revoked",
            Self::RefreshUncertain => "refresh_uncertain",
            Self::RefreshUnavailable => "refresh_unavailable",
            Self::RefreshMisconfigured => "refresh_misconfigured",
            Self::ProbablyExpired => "probably_expired",
            Self::OtherClient(_) => "other_client",
            Self::OtherOrigin(_) => "other_origin",
            Self::TokenUnusable => "token_unusable",
            Self::LacksScopes(_) => "insufficient_scope",
            Self::SubjectChanged => "subject_changed",
            Self::UnauthorizedAfterRefresh => "unauthorized_after_refresh",
            Self::Unreadable(_) => "unreadable",
            Self::PatRejected => "pat_rejected",
            Self::PatStandsIn => "pat_stands_in",
        }
    }
}

// === impl NextStep ===

impl NextStep {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reconnect => "reconnect",
            Self::AllowMore => "allow_more",
            Self::SetPat => "set_pat",
            Self::FixConfig => "fix_config",
        }
    }
}

// === impl Card ===

impl Card {
    /// Whether an ordinary request of the tenant gets its PAT now.
    pub fn is_served_by_pat(&self) -> bool {
        self.serves == Some(CredentialKind::Pat)
    }

    /// Whether a grant is there: it has an end, and whatever else is known of a connection may outlive it.
    pub const fn has_grant(&self) -> bool {
        self.expires_at.is_some()
    }
}

// === impl SessionId ===

impl SessionId {
    /// A new one: 32 random bytes in base64url.
    pub fn random(random: &Random) -> Self {
        Self(Secret::new(URL_SAFE_NO_PAD.encode(random.bytes::<32>())))
    }

    /// As it came in a URL; whether there is such a session is for the store to say.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(Secret::new(text))
    }

    /// Where its page is, below wherever the sidecar is reached.
    pub fn path(&self) -> String {
        format!("{CONNECT_PATH}{}", self.expose())
    }

    /// The text itself. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::{ConnectionState, SessionId};
    use crate::model::Random;

    #[test]
    fn states_are_found_by_their_words() {
        for state in ConnectionState::ALL {
            assert_eq!(ConnectionState::from_name(state.as_str()), Some(state));
        }
        assert_eq!(ConnectionState::from_name("fine"), None);
    }

    #[test]
    fn a_session_id_is_url_safe_and_not_shown() {
        let id = SessionId::random(&Random::system());
        assert_eq!(id.expose().len(), 43);
        assert!(id.expose().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
        assert_eq!(format!("{id:?}"), "SessionId([redacted])");
    }
}
