//! The list of cards, with its search, its filters and its pages.

use maud::{Markup, html};

use super::{Surroundings, asked::Asked, card, result::Outcome};
use crate::{
    credential::{CardPage, PageEnd},
    model::{
        ConnectionState,
        connection::{CONNECT, INVITATION},
    },
    web::Page,
};

/// What a tenant's name is, as browsers are told: the characters that mean something in a set stand escaped.
const NAME: &str = r"[A-Za-z0-9][A-Za-z0-9._:@+\|=\-]{0,127}";

/// The page of these cards. `outcome` is of what was done just before.
pub(super) fn list(asked: &Asked, cards: &CardPage, around: &Surroundings<'_>, outcome: Option<&Outcome>) -> Page {
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
        @if cards.cards.is_empty() {
            (nothing(asked, cards))
        } @else {
            form method="post" action="connect" {
                input type="hidden" name="csrf" value=(around.csrf);
                ul.cards {
                    @for (at, shown) in cards.cards.iter().enumerate() { (card::draw(shown, at, asked, around)) }
                }
            }
        }
        (pages(asked, cards))
        (another(asked, cards, around))
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

fn nothing(asked: &Asked, cards: &CardPage) -> Markup {
    html! {
        @match (cards.end, asked.is_narrowed()) {
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

fn pages(asked: &Asked, cards: &CardPage) -> Markup {
    let first = asked.after.is_some();
    html! {
        @if let (PageEnd::StoppedEarly, Some(reached)) = (cards.end, &cards.next) {
            p.panel { "Searched as far as " strong { (reached) } ". There may be more." }
        }
        @if first || cards.next.is_some() {
            nav.acts aria-label="Pages" {
                @if first { a.button href=(asked.after(None).address()) { "First page" } }
                @if let Some(next) = &cards.next {
                    a.button href=(asked.after(Some(next.clone())).address()) rel="next" { (onward(cards.end)) }
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
fn another(asked: &Asked, cards: &CardPage, around: &Surroundings<'_>) -> Markup {
    let is_first = cards.cards.is_empty() && *asked == Asked::default();
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
