//! What cards say with more than text, in the words of Flexslot's own guide where it has any.

use maud::{Markup, html};

use crate::model::{Ago, NextStep, ScopeSet, TenantId, Timestamp};

/// A time as people say it, with the exact one for who wants to know.
pub(super) fn time(then: Timestamp, now: Timestamp) -> Markup {
    let exact = then.to_string();
    let shown = exact.replace('T', " ").replace('Z', " UTC");
    html! { time datetime=(exact) title=(shown) { (Ago { then, now }.to_string()) } }
}

/// What the app may do.
pub(super) fn permissions(scopes: &ScopeSet) -> Markup {
    if scopes.as_str().is_none() {
        return html! { p { "What this app can do was not noted; Flexslot shows it." } };
    }
    let mut scopes = scopes.in_words().peekable();
    html! {
        @if scopes.peek().is_some() {
            p { "This app can:" }
            ul { @for scope in scopes { li { (scope) } } }
        } @else {
            p { "This app can only read what is public." }
        }
    }
}

/// What there is to do about trouble.
pub(super) fn step(step: Option<NextStep>, tenant: &TenantId) -> Markup {
    match step {
        Some(NextStep::Connect) => html! { p { "Please connect Flexslot." } },
        Some(NextStep::Reconnect) => html! { p { "Please reconnect Flexslot." } },
        Some(NextStep::AllowMore) => html! {},
        Some(NextStep::SetPat) => {
            html! { p { "Please set one: " code { "flexslot-proxy tenant set-pat " (tenant) } } }
        }
        Some(NextStep::FixConfig) => {
            html! { p { "Whoever runs flexslot-proxy can mend this in its configuration, " code { "proxy.toml" } "." } }
        }
        None => html! {
            p { "It is tried again by itself. Should it stay like this, the log of flexslot-proxy says more." }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{permissions, time};
    use crate::model::{ScopeSet, Timestamp};

    #[test]
    fn a_time_is_said_and_told_exactly() {
        let now = Timestamp::from_secs(1_795_200_000);
        assert_eq!(
            time(Timestamp::from_secs(now.secs() - 120), now).into_string(),
            "<time datetime=\"2026-11-20T18:38:00Z\" title=\"2026-11-20 18:38:00 UTC\">2 minutes ago</time>"
        );
    }

    #[test]
    fn permissions_are_in_plain_words_where_there_are_any() {
        let said = |scopes| permissions(&scopes).into_string();
        let list = said(ScopeSet::new("decks:read  tournaments:read"));
        assert!(list.contains("<li>Read your decks</li><li>tournaments:read</li>"), "{list}");
        assert!(said(ScopeSet::new("")).contains("only read what is public"));
        assert!(said(ScopeSet::unknown()).contains("was not noted"));
    }
}
