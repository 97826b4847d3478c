//! One card, as Flexslot's guide on connected apps draws it; what are buttons there, are commands here.

use super::frame::{Frame, Sign};
use crate::model::{Ago, Card, ConnectionState, CredentialKind, NextStep, ScopeSet, Timestamp, scope};

/// The invitation of Flexslot's guide.
const INVITATION: &str = "Connect your Flexslot account to sync decks and sideboard guides.";

/// What cards say besides what is in them.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    pub(super) now: Timestamp,
    /// Where users see and revoke what they allowed, at Flexslot.
    pub(super) manage_url: String,
}

/// A card in the making.
struct Drawn<'a> {
    card: &'a Card,
    around: &'a Surroundings,
    frame: Frame,
}

/// The card's frame and what stands in it.
pub(super) fn draw(card: &Card, around: &Surroundings) -> Frame {
    let mut drawn = Drawn { card, around, frame: Frame::new(card.tenant.as_str()) };
    match card.state {
        ConnectionState::Connected => drawn.connected(),
        ConnectionState::Expiring => drawn.expiring(),
        ConnectionState::ReconnectRequired => drawn.ended(),
        ConnectionState::NotConnected => drawn.invitation(),
        ConnectionState::Error => drawn.trouble(),
    }
    drawn.acts();
    drawn.frame
}

/// "Connected to Flexslot as @george".
pub(in crate::cli) fn connected(username: Option<&str>) -> String {
    match username {
        Some(name) => format!("Connected to Flexslot as @{name}"),
        None => "Connected to Flexslot".to_owned(),
    }
}

/// What the app may do, in plain words.
pub(in crate::cli) fn permissions(scopes: &ScopeSet) -> String {
    let Some(granted) = scopes.as_str() else { return "Permissions were not noted; Flexslot shows them.".to_owned() };
    let words: Vec<_> = granted.split_ascii_whitespace().map(|scope| scope::in_words(scope).unwrap_or(scope)).collect();
    match words.is_empty() {
        true => "Permissions: only what is public".to_owned(),
        false => format!("Permissions: {}", words.join("; ")),
    }
}

// === impl Drawn ===

impl Drawn<'_> {
    fn connected(&mut self) {
        self.frame.headline(Sign::Ok, connected(self.card.username.as_deref()));
        self.reason();
        self.frame.text(permissions(&self.card.scopes));
        self.last_used();
    }

    fn expiring(&mut self) {
        self.frame.headline(Sign::Warn, connected(self.card.username.as_deref()));
        if let Some(end) = self.card.refresh_expires_at.filter(|end| *end > self.around.now) {
            self.frame.text(format!("It ends {} unless it is used before.", self.ago(end)));
        }
        self.reason();
        self.frame.text(permissions(&self.card.scopes));
        self.last_used();
    }

    fn ended(&mut self) {
        self.frame.headline(Sign::Warn, "Connection expired. Please reconnect.");
        self.reason();
        self.was_connected_as();
        self.last_used();
        self.frame.text(match self.card.serves {
            Some(_) => "Syncing goes on with the personal access token.",
            None => "Syncing has stopped until you reconnect.",
        });
    }

    fn invitation(&mut self) {
        match self.card.serves {
            Some(CredentialKind::Pat) => {
                self.frame.headline(Sign::Ok, "Works with a personal access token");
                self.frame.text(
                    "Not connected. Once you connect your Flexslot account, this app can do only what you allow.",
                );
                self.reason();
                self.last_used();
            }
            _ => {
                self.frame.headline(Sign::None, "Not connected");
                self.frame.text(INVITATION);
                self.reason();
                if self.card.last_used.is_some() {
                    self.last_used();
                }
            }
        }
    }

    fn trouble(&mut self) {
        self.frame.headline(Sign::Bad, "This connection needs attention.");
        self.reason();
        if self.card.next_step.is_none() {
            self.frame.text("There is nothing to do: it is tried again by itself.");
        }
        self.was_connected_as();
        self.last_used();
        if self.card.serves == Some(CredentialKind::Pat) && self.has_grant() {
            self.frame.text("Until then, syncing goes on with the personal access token.");
        }
    }

    fn reason(&mut self) {
        if let Some(reason) = &self.card.reason {
            self.frame.text(reason.to_string());
        }
    }

    fn was_connected_as(&mut self) {
        if let Some(name) = &self.card.username {
            self.frame.text(format!("It was connected as @{name}."));
        }
    }

    fn last_used(&mut self) {
        self.frame.text(match self.card.last_used {
            Some(then) => format!("Last used {}", self.ago(then)),
            None => "Not used yet".to_owned(),
        });
    }

    fn ago(&self, then: Timestamp) -> Ago {
        Ago { then, now: self.around.now }
    }

    /// A grant that is stored has an end; whatever else is known of a connection can outlive it.
    fn has_grant(&self) -> bool {
        self.card.expires_at.is_some()
    }

    /// What can be done, each with its command.
    fn acts(&mut self) {
        let tenant = &self.card.tenant;
        self.frame.gap();
        match (self.card.next_step, self.card.state) {
            (Some(NextStep::Connect), _) => {
                self.frame.text(format!("Connect Flexslot: flexslot-proxy connect {tenant}"))
            }
            (Some(NextStep::Reconnect), _) | (None, ConnectionState::Expiring) => {
                self.frame.text(format!("Reconnect Flexslot: flexslot-proxy connect {tenant}"));
            }
            (Some(NextStep::SetPat), _) => {
                self.frame.text(format!("Set another one: flexslot-proxy tenant set-pat {tenant}"));
            }
            (Some(NextStep::FixConfig), _) => {
                self.frame.text("To be mended in the configuration, proxy.toml: flexslot-proxy check");
            }
            (None, _) => {}
        }
        if self.has_grant() {
            self.frame.text(format!("Manage on Flexslot: {}", self.around.manage_url));
            self.frame.text(format!("Disconnect: flexslot-proxy disconnect {tenant}"));
        }
    }
}
