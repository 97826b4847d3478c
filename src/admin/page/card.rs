//! One card, as Flexslot's guide on connected apps draws it.

use maud::{Markup, html};

use super::{Surroundings, words};
use crate::{
    model::{
        Card, ConnectionState, NextStep, PatState,
        connection::{ALLOW_MORE, CONNECT, INVITATION, RECONNECT},
    },
    web::Sign,
};

/// A card in the making.
struct Drawn<'a> {
    card: &'a Card,
    around: &'a Surroundings<'a>,
    /// Tells the elements of this card from those of the others.
    at: usize,
}

/// The button that begins a consent.
#[derive(Clone, Copy)]
struct Begin {
    words: &'static str,
    class: Option<&'static str>,
}

/// The form that asks about a disconnect. It knows where in the list one was, so that no card has to.
pub(super) const ASK: &str = "ask";

/// Draws a card, inside the form of the list.
pub(super) fn draw(card: &Card, at: usize, around: &Surroundings<'_>) -> Markup {
    let drawn = Drawn { card, around, at };
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
    /// What the card says first, with how that is at a glance.
    fn headline(&self) -> Option<(Sign, String)> {
        let sign = match self.card.state {
            ConnectionState::Connected | ConnectionState::NotConnected => Sign::Ok,
            ConnectionState::Expiring | ConnectionState::ReconnectRequired => Sign::Warn,
            ConnectionState::Error => Sign::Bad,
        };
        self.card.headline().map(|words| (sign, words))
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
                    (self.syncing())
                    (self.last_used())
                },
                ConnectionState::NotConnected => {
                    @match (self.begin(), self.card.is_served_by_pat()) {
                        (Some(_), false) => p { (INVITATION) },
                        (Some(_), true) => (self.syncing()),
                        (None, false) => p { "It needs a personal access token." },
                        (None, true) => {},
                    }
                    (self.reason())
                    @if self.card.next_step == Some(NextStep::SetPat) {
                        (words::step(self.card.next_step, &self.card.tenant))
                    }
                    @if self.card.is_served_by_pat() || self.card.last_used.is_some() { (self.last_used()) }
                },
                ConnectionState::Error => {
                    (self.reason())
                    (words::step(self.card.next_step, &self.card.tenant))
                    (self.syncing())
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
        html! { @if let Some(words) = self.card.was_connected_as() { p { (words) } } }
    }

    fn syncing(&self) -> Markup {
        html! { @if let Some(words) = self.card.syncing() { p { (words) } } }
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

    /// The consent that is offered: first where it mends something, in second place where all is well for now.
    fn begin(&self) -> Option<Begin> {
        match (self.card.state, self.card.next_step) {
            (ConnectionState::Connected, Some(NextStep::AllowMore)) => Some(Begin::MORE.first()),
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
            @if begin.is_some() || self.card.has_grant() {
                div.acts {
                    @if let Some(Begin { words, class }) = begin {
                        button #{ "b" (at) } class=[class] name="tenant" value=(tenant) aria-labelledby=(named("b")) {
                            (words)
                        }
                    }
                    @if self.card.has_grant() {
                        a.button #{ "m" (at) } href=(self.around.manage_url) aria-labelledby=(named("m")) {
                            "Manage on Flexslot"
                        }
                        button.stop #{ "d" (at) } form=(ASK) name="tenant" value=(tenant) aria-labelledby=(named("d")) {
                            "Disconnect"
                        }
                    }
                }
            }
        }
    }
}

// === impl Begin ===

impl Begin {
    const NEW: Self = Self { words: CONNECT, class: None };
    const AGAIN: Self = Self { words: RECONNECT, class: None };
    const MORE: Self = Self { words: ALLOW_MORE, class: None };

    /// The same as what one most likely wants.
    const fn first(self) -> Self {
        Self { class: Some("main"), ..self }
    }
}
