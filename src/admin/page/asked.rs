//! What the address of the list asks for.

use form_urlencoded::Serializer;
use maud::{Markup, html};
use serde::Deserialize;

use crate::{
    credential::CardQuery,
    model::{ConnectionState, TenantId},
};

/// How many cards a page has.
const CARDS: usize = 50;

/// The longest text that any tenant's name can begin with.
const LONGEST: usize = 128;

/// Which part of the list a page shows. People write addresses too: what makes no sense is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub(super) struct Asked {
    /// What the tenants' names begin with.
    pub(super) search: Option<String>,
    pub(super) state: Option<ConnectionState>,
    pub(super) after: Option<TenantId>,
}

/// The same as it stands in an address.
#[derive(Deserialize)]
struct Written {
    /// In the API, and in the links of problem documents, it has the shorter name.
    #[serde(alias = "q")]
    search: Option<String>,
    state: Option<String>,
    after: Option<String>,
}

// === impl Asked ===

impl Asked {
    /// As the list is asked for it.
    pub(super) fn query(&self) -> CardQuery {
        CardQuery { state: self.state, prefix: self.search.clone(), after: self.after.clone(), limit: CARDS }
    }

    /// Whether some tenants are left out on purpose.
    pub(super) fn is_narrowed(&self) -> bool {
        self.search.is_some() || self.state.is_some()
    }

    /// The same from its beginning, for connections in `state`.
    pub(super) fn in_state(&self, state: Option<ConnectionState>) -> Self {
        Self { search: self.search.clone(), state, after: None }
    }

    /// The same after a tenant.
    pub(super) fn after(&self, after: Option<TenantId>) -> Self {
        Self { after, ..self.clone() }
    }

    /// The address of this part of the list, from any of the pages: below whatever path a web server in front has put us.
    pub(super) fn address(&self) -> String {
        match Serializer::new(String::new()).extend_pairs(self.fields()).finish() {
            query if query.is_empty() => "./".to_owned(),
            query => format!("./?{query}"),
        }
    }

    /// What of it a form carries that comes back to this part of the list.
    pub(super) fn hidden(&self) -> Markup {
        html! { @for (name, value) in self.fields() { input type="hidden" name=(name) value=(value); } }
    }

    fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let search = self.search.as_deref().map(|search| ("search", search));
        let state = self.state.map(|state| ("state", state.as_str()));
        let after = self.after.as_ref().map(|after| ("after", after.as_str()));
        search.into_iter().chain(state).chain(after)
    }
}

impl From<Written> for Asked {
    fn from(written: Written) -> Self {
        let search = written.search.map(|search| search.trim().to_owned());
        Self {
            search: search.filter(|search| !search.is_empty() && search.len() <= LONGEST),
            state: written.state.as_deref().and_then(ConnectionState::from_name),
            after: written.after.and_then(|after| after.parse().ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Asked;
    use crate::model::ConnectionState;

    fn asked(query: &str) -> Asked {
        let address = format!("/?{query}").parse().unwrap();
        axum::extract::Query::try_from_uri(&address).unwrap().0
    }

    #[test]
    fn an_address_says_what_is_asked_and_reads_back() {
        let all = Asked {
            search: Some("org:1|a b".into()),
            state: Some(ConnectionState::Error),
            after: Some("a+b@c".parse().unwrap()),
        };
        assert_eq!(all.address(), "./?search=org%3A1%7Ca+b&state=error&after=a%2Bb%40c");
        assert_eq!(asked(all.address().strip_prefix("./?").unwrap()), all);
        assert_eq!(Asked::default().address(), "./");
    }

    #[test]
    fn what_makes_no_sense_is_not_asked_for() {
        assert_eq!(asked("search=++&state=fine&after=%2F"), Asked::default());
        assert_eq!(asked(&format!("search={}", "a".repeat(129))), Asked::default());
        assert_eq!(asked("search=+acme+").search.as_deref(), Some("acme"));
        assert_eq!(asked("q=acme").search.as_deref(), Some("acme"), "as errors link to it");
    }

    #[test]
    fn another_state_begins_at_the_first_tenant_and_keeps_the_search() {
        let narrowed = asked("search=a&state=error&after=ab").in_state(None);
        assert_eq!(narrowed, asked("search=a"));
    }
}
