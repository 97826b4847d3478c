//! One card, as Flexslot's guide on connected apps draws it; what are buttons there, are commands here.

use super::frame::{Frame, Sign};
use crate::model::{
    Ago, Card, ConnectionState, NextStep, ScopeSet, Timestamp,
    connection::{ALLOW_MORE, CONNECT, INVITATION, RECONNECT},
};

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

/// What the app may do, in plain words.
pub(in crate::cli) fn permissions(scopes: &ScopeSet) -> String {
    let words: Vec<_> = scopes.in_words().collect();
    match (scopes.as_str(), words.is_empty()) {
        (None, _) => "Permissions were not noted; Flexslot shows them.".to_owned(),
        (Some(_), true) => "Permissions: only what is public".to_owned(),
        (Some(_), false) => format!("Permissions: {}", words.join("; ")),
    }
}

// === impl Drawn ===

impl Drawn<'_> {
    fn headline(&mut self, sign: Sign) {
        if let Some(headline) = self.card.headline() {
            self.frame.headline(sign, headline);
        }
    }

    fn connected(&mut self) {
        self.headline(Sign::Ok);
        self.reason();
        self.frame.text(permissions(&self.card.scopes));
        self.last_used();
    }

    fn expiring(&mut self) {
        self.headline(Sign::Warn);
        if let Some(end) = self.card.refresh_expires_at.filter(|end| *end > self.around.now) {
            self.frame.text(format!("It ends {} unless it is used before.", self.ago(end)));
        }
        self.reason();
        self.frame.text(permissions(&self.card.scopes));
        self.last_used();
    }

    fn ended(&mut self) {
        self.headline(Sign::Warn);
        self.reason();
        self.was_connected_as();
        self.last_used();
        self.syncing();
    }

    fn invitation(&mut self) {
        if self.card.is_served_by_pat() {
            self.headline(Sign::Ok);
            self.syncing();
            self.reason();
            self.last_used();
        } else {
            self.frame.headline(Sign::None, self.card.state.in_words());
            self.frame.text(INVITATION);
            self.reason();
            if self.card.last_used.is_some() {
                self.last_used();
            }
        }
    }

    fn trouble(&mut self) {
        self.headline(Sign::Bad);
        self.reason();
        if self.card.next_step.is_none() {
            self.frame.text("There is nothing to do: it is tried again by itself.");
        }
        self.was_connected_as();
        self.last_used();
        self.syncing();
    }

    fn reason(&mut self) {
        if let Some(reason) = &self.card.reason {
            self.frame.text(reason.to_string());
        }
    }

    fn was_connected_as(&mut self) {
        if let Some(words) = self.card.was_connected_as() {
            self.frame.text(words);
        }
    }

    fn syncing(&mut self) {
        if let Some(words) = self.card.syncing() {
            self.frame.text(words);
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

    /// What can be done, each with its command.
    fn acts(&mut self) {
        let tenant = &self.card.tenant;
        self.frame.gap();
        match self.card.next_step {
            Some(NextStep::Connect) => self.frame.text(format!("{CONNECT}: flexslot-proxy connect {tenant}")),
            Some(NextStep::Reconnect) => self.frame.text(format!("{RECONNECT}: flexslot-proxy connect {tenant}")),
            Some(NextStep::AllowMore) => {
                let scopes: String = self.card.lacks.names().map(|scope| format!(" --scope {scope}")).collect();
                self.frame.text(format!("{ALLOW_MORE}: flexslot-proxy connect {tenant}{scopes}"));
            }
            Some(NextStep::SetPat) => {
                self.frame.text(format!("Set another one: flexslot-proxy tenant set-pat {tenant}"));
            }
            Some(NextStep::FixConfig) => {
                self.frame.text("To be mended in the configuration, proxy.toml: flexslot-proxy check");
            }
            None => {}
        }
        if self.card.has_grant() {
            self.frame.text(format!("Manage on Flexslot: {}", self.around.manage_url));
            self.frame.text(format!("Disconnect: flexslot-proxy disconnect {tenant}"));
        }
    }
}
