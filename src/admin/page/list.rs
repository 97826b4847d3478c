//! The list of cards, with its search, its filters and its pages.

use maud::{Markup, html};

use super::{
    Surroundings,
    asked::Asked,
    card::{self, ASK},
    result::Outcome,
};
use crate::{
    credential::{CardPage, PageEnd},
    model::{
        ConnectionState, TenantId,
        connection::{CONNECT, INVITATION},
    },
    web::Page,
};

/// What a tenant's name is, as browsers are told: the characters that mean something in a set stand escaped.
const NAME: &str = r"[A-Za-z0-9][A-Za-z0-9._:@+\|=\-]{0,127}";

/// How much of a page its cards may take, in bytes, together with the search in the filters' links: with what else is
/// around them it stays below 50 KB, however long the names of tenants and users and the lists of scopes are.
const ROOM: usize = 41_500;

/// The cards that there is room for, and where the next page goes on.
struct Part<'a> {
    cards: Vec<Markup>,
    next: Option<&'a TenantId>,
    end: PageEnd,
}

/// The page of these cards. `outcome` is of what was done just before.
pub(super) fn list(asked: &Asked, cards: &CardPage, around: &Surroundings<'_>, outcome: Option<&Outcome>) -> Page {
    let links = (1 + ConnectionState::ALL.len()) * asked.address().len();
    let part = Part::of(cards, around, ROOM.saturating_sub(links));
    let main = html! {
        div.top {
            h1 { "Connections" }
            form method="post" action="sign-out" {
                input type="hidden" name="csrf" value=(around.csrf);
                button { "Sign out" }
            }
        }
        @if let Some(outcome) = outcome { (outcome.note()) }
        (search(asked))
        (filters(asked))
        @if part.cards.is_empty() {
            (nothing(asked, part.end))
        } @else {
            form #(ASK) action="disconnect" { (asked.hidden()) }
            form method="post" action="connect" {
                input type="hidden" name="csrf" value=(around.csrf);
                ul.cards { @for card in &part.cards { (card) } }
            }
        }
        (pages(asked, &part))
        (another(*asked == Asked::default() && part.cards.is_empty(), around))
    };
    Page::new(outcome.map_or_else(|| "Flexslot connections".to_owned(), Outcome::title), main)
}

fn search(asked: &Asked) -> Markup {
    html! {
        form.search role="search" {
            label for="search" { "Tenants whose names begin with" }
            input #search name="search" type="search" value=[asked.search.as_deref()] maxlength="128" autocomplete="off"
                autocapitalize="none" spellcheck="false";
            @if let Some(state) = asked.state { input type="hidden" name="state" value=(state.as_str()); }
            button { "Search" }
        }
    }
}

fn filters(asked: &Asked) -> Markup {
    let states = [None].into_iter().chain(ConnectionState::ALL.map(Some));
    html! {
        nav aria-label="States" {
            ul.filters {
                @for state in states {
                    li {
                        a href=(asked.in_state(state).address()) aria-current=[(asked.state == state).then_some("true")] {
                            (state.map_or("All", ConnectionState::in_words))
                        }
                    }
                }
            }
        }
    }
}

fn nothing(asked: &Asked, end: PageEnd) -> Markup {
    html! {
        @match (end, asked.is_narrowed()) {
            (PageEnd::StoppedEarly, _) => {},
            (_, true) => p.panel { "No connection is like that. " a href="./" { "Show all" } },
            (_, false) if asked.after.is_some() => p.panel { "There are no more connections." },
            (_, false) => {
                div.panel {
                    p.says { "No connections yet" }
                    p { (INVITATION) }
                    p { "Connect the first tenant here, or import those that an app has: " code { "flexslot-proxy tenant import" } }
                }
            }
        }
    }
}

fn pages(asked: &Asked, part: &Part<'_>) -> Markup {
    let first = asked.after.is_some();
    html! {
        @if let (PageEnd::StoppedEarly, Some(reached)) = (part.end, part.next) {
            p.panel { "Searched as far as " strong { (reached) } ". There may be more." }
        }
        @if first || part.next.is_some() {
            nav.acts aria-label="Pages" {
                @if first { a.button href=(asked.after(None).address()) { "First page" } }
                @if let Some(next) = part.next {
                    a.button href=(asked.after(Some(next.clone())).address()) rel="next" { (onward(part.end)) }
                }
            }
        }
    }
}

const fn onward(end: PageEnd) -> &'static str {
    match end {
        PageEnd::StoppedEarly => "Search on",
        PageEnd::Full | PageEnd::Complete => "Next page",
    }
}

/// A tenant that has no card yet.
fn another(is_first: bool, around: &Surroundings<'_>) -> Markup {
    html! {
        form.another method="post" action="connect" {
            input type="hidden" name="csrf" value=(around.csrf);
            label for="tenant" { @if is_first { "Connect a tenant" } @else { "Connect another tenant" } }
            input #tenant name="tenant" required maxlength="128" pattern=(NAME) autocomplete="off"
                autocapitalize="none" spellcheck="false" title="Letters and digits; after the first also . _ : @ + | = -";
            button { (CONNECT) }
        }
    }
}

// === impl Part ===

impl<'a> Part<'a> {
    /// As many of `cards` as there is room for, and one at least.
    fn of(cards: &'a CardPage, around: &Surroundings<'_>, mut room: usize) -> Self {
        let (mut drawn, mut last) = (Vec::new(), None);
        for (at, shown) in cards.cards.iter().enumerate() {
            let card = card::draw(shown, at, around);
            let taken = card.0.len();
            if taken > room && last.is_some() {
                return Self { cards: drawn, next: last, end: PageEnd::Full };
            }
            (room, last) = (room.saturating_sub(taken), Some(&shown.tenant));
            drawn.push(card);
        }
        Self { cards: drawn, next: cards.next.as_ref(), end: cards.end }
    }
}
