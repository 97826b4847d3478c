//! One card, as Flexslot's guide on connected apps draws it.

use maud::{Markup, html};

use super::{Surroundings, asked::Asked, words};
use crate::{
    model::{Card, ConnectionState, CredentialKind, NextStep, PatState},
    web::Sign,
};

/// A card in the making.
struct Drawn<'a> {
    card: &'a Card,
    around: &'a Surroundings<'a>,
    asked: &'a Asked,
    /// Tells the elements of this card from those of the others.
    at: usize,
}

/// The button that begins a consent.
#[derive(Clone, Copy)]
struct Begin {
    words: &'static str,
    class: Option<&'static str>,
}

/// Draws a card of the part of the list that `asked` names, inside the form of the list.
pub(super) fn draw(card: &Card, at: usize, asked: &Asked, around: &Surroundings<'_>) -> Markup {
    let drawn = Drawn { card, around, asked, at };
    let headline = drawn.headline();
    html! {
        li.panel.card.(headline.as_ref().map_or("new", |(sign, _)| sign.class())) {
            h2 #{ "t" (at) } { (card.tenant) }
            @if let Some((sign, words)) = headline { p.says.(sign.class()) { (sign) (words) } }
            (drawn.details())
            (drawn.acts())
        }
    }
}

// === impl Drawn ===

impl Drawn<'_> {
    /// What the card says first; an invitation has none.
    fn headline(&self) -> Option<(Sign, String)> {
        let connected = || words::connected(self.card.username.as_deref());
        Some(match self.card.state {
            ConnectionState::Connected => (Sign::Ok, connected()),
            ConnectionState::Expiring => (Sign::Warn, connected()),
            ConnectionState::ReconnectRequired => (Sign::Warn, "Connection expired. Please reconnect.".to_owned()),
            ConnectionState::NotConnected if self.pat_serves() => {
                (Sign::Ok, "Works with a personal access token".to_owned())
            }
            ConnectionState::NotConnected => return None,
            ConnectionState::Error => (Sign::Bad, "Sorry, this connection needs attention.".to_owned()),
        })
    }

    fn details(&self) -> Markup {
        html! {
            @match self.card.state {
                ConnectionState::Connected => {
                    (self.reason())
                    @if self.card.next_step.is_some() { (words::step(self.card.next_step, &self.card.tenant)) }
                    (words::permissions(&self.card.scopes))
                    (self.last_used())
                },
                ConnectionState::Expiring => {
                    @if let Some(end) = self.card.refresh_expires_at.filter(|end| *end > self.around.now) {
                        p { "It ends " (words::time(end, self.around.now)) " unless it is used before." }
                    }
                    (self.reason())
                    (words::permissions(&self.card.scopes))
                    (self.last_used())
                },
                ConnectionState::ReconnectRequired => {
                    (self.reason())
                    (self.was_connected_as())
                    @if self.pat_serves() {
                        p { "Syncing goes on with the personal access token." }
                    } @else {
                        p { "Syncing has stopped until you reconnect." }
                    }
                    (self.last_used())
                },
                ConnectionState::NotConnected => {
                    @match (self.begin(), self.pat_serves()) {
                        (Some(_), false) => p { (words::INVITATION) },
                        (Some(_), true) => {
                            p { "Not connected. Once you connect your Flexslot account, this app can do only what you allow." }
                        },
                        (None, false) => p { "It needs a personal access token." },
                        (None, true) => {},
                    }
                    (self.reason())
                    @if self.card.next_step == Some(NextStep::SetPat) {
                        (words::step(self.card.next_step, &self.card.tenant))
                    }
                    @if self.pat_serves() || self.card.last_used.is_some() { (self.last_used()) }
                },
                ConnectionState::Error => {
                    (self.reason())
                    (words::step(self.card.next_step, &self.card.tenant))
                    @if self.pat_serves() && self.has_grant() {
                        p { "Until then, syncing goes on with the personal access token." }
                    }
                    (self.was_connected_as())
                    (self.last_used())
                },
            }
        }
    }

    fn reason(&self) -> Markup {
        html! { @if let Some(reason) = &self.card.reason { p { (reason.to_string()) } } }
    }

    fn was_connected_as(&self) -> Markup {
        html! { @if let Some(name) = &self.card.username { p { "It was connected as @" (name) "." } } }
    }

    fn last_used(&self) -> Markup {
        html! {
            p.soft {
                @match self.card.last_used {
                    Some(then) => { "Last used " (words::time(then, self.around.now)) },
                    None => "Not used yet",
                }
            }
        }
    }

    fn pat_serves(&self) -> bool {
        self.card.serves == Some(CredentialKind::Pat)
    }

    /// A grant that is there has an end; whatever else is known of a connection may outlive it.
    fn has_grant(&self) -> bool {
        self.card.expires_at.is_some()
    }

    /// The consent that is offered: first where it mends something, in second place where all is well for now.
    fn begin(&self) -> Option<Begin> {
        match (self.card.state, self.card.next_step) {
            (ConnectionState::Connected, _) => None,
            (ConnectionState::Expiring, _) => Some(Begin::AGAIN),
            (ConnectionState::ReconnectRequired, _) | (ConnectionState::Error, Some(NextStep::Reconnect)) => {
                Some(Begin::AGAIN.first())
            }
            (_, Some(NextStep::Connect)) => Some(Begin::NEW.first()),
            // Its other credential is no longer taken, and a connection would do.
            (ConnectionState::NotConnected, Some(_)) if self.card.pat == PatState::Rejected => Some(Begin::NEW.first()),
            (ConnectionState::NotConnected | ConnectionState::Error, _) => None,
        }
    }

    /// What can be done. Each is named with its tenant, for who hears it without seeing the card around it.
    fn acts(&self) -> Markup {
        let (tenant, at) = (&self.card.tenant, self.at);
        let named = |act: &str| format!("{act}{at} t{at}");
        let begin = self.begin();
        html! {
            @if begin.is_some() || self.has_grant() {
                div.acts {
                    @if let Some(Begin { words, class }) = begin {
                        button #{ "b" (at) } class=[class] name="tenant" value=(tenant) aria-labelledby=(named("b")) {
                            (words)
                        }
                    }
                    @if self.has_grant() {
                        a.button #{ "m" (at) } href=(self.around.manage_url) aria-labelledby=(named("m")) {
                            "Manage on Flexslot"
                        }
                        a.button.stop #{ "d" (at) } href=(self.asked.address_for("disconnect", tenant))
                            aria-labelledby=(named("d")) { "Disconnect" }
                    }
                }
            }
        }
    }
}

// === impl Begin ===

impl Begin {
    const NEW: Self = Self { words: "Connect Flexslot", class: None };
    const AGAIN: Self = Self { words: "Reconnect Flexslot", class: None };

    /// The same as what one most likely wants.
    const fn first(self) -> Self {
        Self { class: Some("main"), ..self }
    }
}
