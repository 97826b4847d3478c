//! A tenant's connection.

use serde::{Deserialize, Serialize};

use crate::model::{Card, CredentialKind, NextStep, Reason, ScopeSet, Timestamp};

/// One connection. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardDocument {
    pub tenant: String,
    /// `connected`, `expiring`, `reconnect_required`, `not_connected` or `error`.
    pub state: String,
    /// What an ordinary request gets: `oauth`, `pat` or `none`.
    pub serves: String,
    pub username: Option<String>,
    /// Those of the grant; none where nobody has told.
    pub scopes: Vec<ScopeDocument>,
    /// Those that calls were refused for want of.
    pub missing_scopes: Vec<ScopeDocument>,
    /// `none`, `ok` or `rejected`.
    pub pat: String,
    pub last_used: Option<String>,
    /// The access token's end.
    pub expires_at: Option<String>,
    /// The refresh token's end, 30 days after the last token answer; `None` where nobody knows when that was.
    pub refresh_expires_at: Option<String>,
    /// Why the state is not simply good, or what else there is to know, in a word.
    pub reason: Option<String>,
    /// The same in a sentence.
    pub detail: Option<String>,
    /// What can be done: `connect`, `reconnect`, `allow_more`, `set_pat` or `fix_config`.
    pub action: Option<String>,
    /// Where its user sees and revokes what they allowed, at Flexslot.
    pub manage_url: String,
}

/// A scope as Flexslot names it, and as people read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeDocument {
    pub scope: String,
    /// The scope itself where this version does not know it.
    pub description: String,
}

// === impl CardDocument ===

impl CardDocument {
    /// The document of `card`, whose grant is managed at `manage_url`.
    pub fn new(card: &Card, manage_url: &str) -> Self {
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Self {
            tenant: card.tenant.to_string(),
            state: card.state.as_str().to_owned(),
            serves: card.serves.map_or("none", CredentialKind::as_str).to_owned(),
            username: card.username.clone(),
            scopes: ScopeDocument::of(&card.scopes),
            missing_scopes: ScopeDocument::of(&card.lacks),
            pat: card.pat.as_str().to_owned(),
            last_used: time(card.last_used),
            expires_at: time(card.expires_at),
            refresh_expires_at: time(card.refresh_expires_at),
            reason: card.reason.as_ref().map(|reason| reason.as_str().to_owned()),
            detail: card.reason.as_ref().map(Reason::to_string),
            action: card.next_step.map(|step| NextStep::as_str(step).to_owned()),
            manage_url: manage_url.to_owned(),
        }
    }
}

// === impl ScopeDocument ===

impl ScopeDocument {
    /// Each scope of `scopes`.
    pub fn of(scopes: &ScopeSet) -> Vec<Self> {
        let scopes = scopes.names().zip(scopes.in_words());
        scopes.map(|(name, words)| Self { scope: name.to_owned(), description: words.to_owned() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::CardDocument;
    use crate::model::{Card, ConnectionState, CredentialKind, NextStep, PatState, Reason, ScopeSet, Timestamp};
    use serde_json::json;

    fn card() -> Card {
        Card {
            tenant: "acme".parse().unwrap(),
            state: ConnectionState::Connected,
            serves: Some(CredentialKind::OAuth),
            username: Some("george".into()),
            scopes: ScopeSet::new("decks:read new:scope"),
            lacks: ScopeSet::unknown(),
            pat: PatState::None,
            last_used: Some(Timestamp::from_secs(1_795_200_000)),
            expires_at: Some(Timestamp::from_secs(1_795_203_600)),
            refresh_expires_at: Some(Timestamp::from_secs(1_797_792_000)),
            reason: None,
            next_step: None,
        }
    }

    #[test]
    fn a_card_has_the_fields_that_are_promised_and_no_other() {
        let document = serde_json::to_value(CardDocument::new(&card(), "https://f.test/apps")).unwrap();
        assert_eq!(
            document,
            json!({
                "tenant": "acme", "state": "connected", "serves": "oauth", "username": "george",
                "scopes": [
                    {"scope": "decks:read", "description": "Read your decks"},
                    {"scope": "new:scope", "description": "new:scope"},
                ],
                "missing_scopes": [], "pat": "none", "last_used": "2026-11-20T18:40:00Z", "expires_at": "2026-11-20T19:40:00Z",
                "refresh_expires_at": "2026-12-20T18:40:00Z", "reason": null, "detail": null, "action": null,
                "manage_url": "https://f.test/apps",
            })
        );
    }

    #[test]
    fn a_reason_comes_in_a_word_and_in_a_sentence() {
        let card = Card {
            state: ConnectionState::ReconnectRequired,
            serves: None,
            scopes: ScopeSet::unknown(),
            reason: Some(Reason::InvalidGrant),
            next_step: Some(NextStep::Reconnect),
            ..card()
        };
        let document = CardDocument::new(&card, "");
        assert_eq!((document.serves.as_str(), document.scopes.len()), ("none", 0));
        assert_eq!(
            (document.reason.as_deref(), document.action.as_deref()),
            (Some("invalid_grant"), Some("reconnect"))
        );
        assert_eq!(document.detail, card.reason.map(|reason| reason.to_string()));
    }
}
