//! What people are told of a connection, in the words of Flexslot's own guide where it has any. The page and the terminal
//! say the same.

use std::fmt;

use super::{Card, ConnectionState, Identity, Reason};
use crate::model::ScopeSet;

/// The invitation of Flexslot's guide.
pub const INVITATION: &str = "Connect your Flexslot account to sync decks and sideboard guides.";

/// What begins a consent: the first one, and one where there was one before.
pub const CONNECT: &str = "Connect Flexslot";
pub const RECONNECT: &str = "Reconnect Flexslot";

/// What begins one for more scopes, beside a connection that goes on.
pub const ALLOW_MORE: &str = "Allow more on Flexslot";

/// "Connected to Flexslot as @george".
pub fn connected(username: Option<&str>) -> String {
    match username {
        Some(name) => format!("Connected to Flexslot as @{name}"),
        None => "Connected to Flexslot".to_owned(),
    }
}

// === impl ConnectionState ===

impl ConnectionState {
    /// As a list of states names it.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Connected => "Connected",
            Self::Expiring => "Expiring soon",
            Self::ReconnectRequired => "Reconnect required",
            Self::NotConnected => "Not connected",
            Self::Error => "Needs attention",
        }
    }
}

// === impl Card ===

impl Card {
    /// What it says first; an invitation has nothing to say before it.
    pub fn headline(&self) -> Option<String> {
        Some(match self.state {
            ConnectionState::Connected | ConnectionState::Expiring => connected(self.username.as_deref()),
            ConnectionState::ReconnectRequired => "Connection expired. Please reconnect.".to_owned(),
            ConnectionState::NotConnected if self.is_served_by_pat() => "Works with a personal access token".to_owned(),
            ConnectionState::NotConnected => return None,
            ConnectionState::Error => "Sorry, this connection needs attention.".to_owned(),
        })
    }

    /// Whether syncing goes on, where the connection itself does not serve it.
    pub fn syncing(&self) -> Option<&'static str> {
        match (self.state, self.is_served_by_pat()) {
            (ConnectionState::ReconnectRequired, true) => Some("Syncing goes on with the personal access token."),
            (ConnectionState::ReconnectRequired, false) => Some("Syncing has stopped until you reconnect."),
            (ConnectionState::NotConnected, true) => {
                Some("Not connected. Once you connect your Flexslot account, this app can do only what you allow.")
            }
            (ConnectionState::Error, true) if self.has_grant() => {
                Some("Until then, syncing goes on with the personal access token.")
            }
            _ => None,
        }
    }

    /// Whose a connection was that is no longer there, or no longer works.
    pub fn was_connected_as(&self) -> Option<String> {
        self.username.as_ref().map(|name| format!("It was connected as @{name}."))
    }
}

// === impl Reason ===

/// A sentence for the people whose connection it is.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidGrant => {
                f.write_str("Access was revoked on Flexslot, or the connection was not used for 30 days.")
            }
            Self::RefreshOutcomeLost => {
                f.write_str("An answer from Flexslot was lost while the connection was renewed.")
            }
            Self::Disconnected => f.write_str("It was disconnected here."),
            Self::ClientRevoked => {
                f.write_str("The app's registration at Flexslot was withdrawn, and every connection ended with it.")
            }
            Self::RefreshUncertain => {
                f.write_str("The connection is being renewed, and Flexslot has not answered yet.")
            }
            Self::RefreshUnavailable => f.write_str("The connection cannot be renewed for now; it is tried again."),
            Self::RefreshMisconfigured => {
                f.write_str("Flexslot refuses to renew the connection because of how this program is set up.")
            }
            Self::ProbablyExpired => {
                f.write_str("It was not used for 30 days, and Flexslot may have ended it; the next call will tell.")
            }
            Self::OtherClient(client) => {
                write!(f, "It was given to the OAuth client {client}, which neither the configuration nor the store has.")
            }
            Self::OtherOrigin(origin) => {
                write!(f, "It belongs to {origin}, and not to the Flexslot that is configured.")
            }
            Self::TokenUnusable => f.write_str(
                "Flexslot wants a proof with each call that this program is set up not to give, or what it gave cannot be used.",
            ),
            Self::LacksScopes(scopes) => write!(f, "Calls were refused: it needs permission to {}.", in_one_breath(scopes)),
            Self::SubjectChanged => f.write_str("Flexslot now names another account for this connection."),
            Self::UnauthorizedAfterRefresh => {
                f.write_str("Flexslot refuses this connection although it was just renewed.")
            }
            Self::Unreadable(what) => write!(f, "What is stored of it cannot be read: {what}."),
            Self::PatRejected => f.write_str("Flexslot refuses the personal access token."),
            Self::PatStandsIn => f.write_str("Some calls use the personal access token instead of the connection."),
        }
    }
}

/// What scopes allow, as a part of a sentence.
fn in_one_breath(scopes: &ScopeSet) -> String {
    let small = |words: &str| {
        let mut letters = words.chars();
        letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
    };
    scopes.in_words().map(small).collect::<Vec<_>>().join(", and to ")
}

// === impl Identity ===

impl Identity {
    /// As people call each other; the stable name where there is no other.
    pub fn handle(&self) -> String {
        self.username.as_ref().map_or_else(|| self.sub.clone(), |name| format!("@{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;
    use crate::model::ScopeSet;

    #[test]
    fn what_is_lacking_is_said_in_plain_words() {
        let told = Reason::LacksScopes(ScopeSet::new("decks:write exports:read")).to_string();
        assert_eq!(
            told,
            "Calls were refused: it needs permission to create, change and delete your decks, and to export your decks and guides."
        );
    }
}
