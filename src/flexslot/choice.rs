//! Which OAuth client asks a user.

use std::fmt;

use super::{OAuthClient, StoredClient};
use crate::model::{ClientDescription, RedirectUri, ScopeSet};

/// A client that asks a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentClient {
    pub client_id: String,
    /// Where Flexslot sends the browser back to; byte for byte as it is registered, as far as that is known.
    pub redirect_uri: RedirectUri,
    /// What to ask for, where that is the client's own.
    pub scopes: Option<ScopeSet>,
    /// All that it may ask for, where that is known.
    pub allowed: Option<Vec<String>>,
}

/// Why none asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoClient {
    /// There is none at all.
    None,
    /// There are these, and none of them is the usual one.
    Undecided(Vec<String>),
    /// None has this name or id.
    Unknown(String),
    /// More than one has this name.
    Ambiguous(String),
    /// Browsers come back to a place that Flexslot does not know of it.
    Unregistered { client: String, callback: String },
}

/// The client that `wish` names. Without a wish: that of `[oauth]` itself; else the only one of `[[oauth.clients]]`, and
/// none by accident where there are several; else the newest of the store to which browsers that come back here are known.
pub(super) fn choose(
    configured: &[OAuthClient],
    stored: &[StoredClient],
    wish: Option<&str>,
    callback: &RedirectUri,
) -> Result<ConsentClient, NoClient> {
    let Some(wish) = wish else { return usual(configured, stored, callback) };
    if let Some(client) = configured.iter().find(|client| client.client_id == wish) {
        return Ok(of_file(client, callback));
    }
    let named = configured.iter().find(|client| client.name.as_deref() == Some(wish));
    if let Some(client) = named {
        return Ok(of_file(client, callback));
    }
    let by_id = stored.iter().find(|kept| kept.client.client_id == wish);
    let mut by_name = stored.iter().filter(|kept| kept.client.name == wish);
    let kept = match (by_id, by_name.next(), by_name.next()) {
        (Some(kept), _, _) | (None, Some(kept), None) => kept,
        (None, Some(_), Some(_)) => return Err(NoClient::Ambiguous(wish.to_owned())),
        (None, None, _) => return Err(NoClient::Unknown(wish.to_owned())),
    };
    of_store(&kept.client, callback).ok_or_else(|| NoClient::Unregistered {
        client: kept.client.client_id.clone(),
        callback: callback.as_str().to_owned(),
    })
}

fn usual(
    configured: &[OAuthClient],
    stored: &[StoredClient],
    callback: &RedirectUri,
) -> Result<ConsentClient, NoClient> {
    let own = configured.iter().find(|client| client.name.is_none());
    match (own, configured) {
        (Some(client), _) | (None, [client]) => Ok(of_file(client, callback)),
        (None, []) => stored.iter().find_map(|kept| of_store(&kept.client, callback)).ok_or(NoClient::None),
        (None, several) => Err(NoClient::Undecided(several.iter().filter_map(|client| client.name.clone()).collect())),
    }
}

fn of_file(client: &OAuthClient, callback: &RedirectUri) -> ConsentClient {
    ConsentClient {
        client_id: client.client_id.clone(),
        redirect_uri: client.redirect_uri.as_ref().unwrap_or(callback).clone(),
        scopes: client.scopes.clone(),
        allowed: None,
    }
}

/// Flexslot compares byte for byte, and shows a page of errors to a user whom no URI leads back.
fn of_store(client: &ClientDescription, callback: &RedirectUri) -> Option<ConsentClient> {
    client.redirect_uris.iter().any(|uri| uri == callback.as_str()).then(|| ConsentClient {
        client_id: client.client_id.clone(),
        redirect_uri: callback.clone(),
        scopes: None,
        allowed: Some(client.scopes.clone()),
    })
}

// === impl ConsentClient ===

impl ConsentClient {
    /// What to ask for where nobody wishes anything: its own, else as much of `usual` as it may, else all that it may.
    pub fn asks(&self, usual: &ScopeSet) -> ScopeSet {
        let scopes = self.scopes.as_ref().unwrap_or(usual);
        let Some(allowed) = &self.allowed else { return scopes.clone() };
        let may: Vec<&str> = scopes
            .as_str()
            .into_iter()
            .flat_map(str::split_ascii_whitespace)
            .filter(|scope| self.may_ask(scope))
            .collect();
        ScopeSet::new(&if may.is_empty() { allowed.join(" ") } else { may.join(" ") })
    }

    /// Whether it may ask for `scope`, as far as is known.
    pub fn may_ask(&self, scope: &str) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.iter().any(|allowed| allowed == scope))
    }
}

// === impl NoClient ===

impl fmt::Display for NoClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("there is no OAuth client, neither in the configuration nor in the store"),
            Self::Undecided(names) => {
                write!(f, "there are several OAuth clients, and nothing says which is to ask: {}", names.join(", "))
            }
            Self::Unknown(wish) => {
                write!(f, "no OAuth client is called {:?}, neither in the configuration nor in the store", wish)
            }
            Self::Ambiguous(wish) => write!(f, "more than one OAuth client is called {wish:?}; take its client_id"),
            Self::Unregistered { client, callback } => {
                write!(f, "browsers come back to {callback}, which is none of the redirect URIs of {client}")
            }
        }
    }
}

impl std::error::Error for NoClient {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ClientStatus, ClientType, token::DpopMode};

    const HERE: &str = "http://127.0.0.1:3540/oauth/callback";

    fn here() -> RedirectUri {
        HERE.parse().unwrap()
    }

    fn file(name: Option<&str>, id: &str) -> OAuthClient {
        OAuthClient {
            name: name.map(str::to_owned),
            client_id: id.into(),
            client_secret: None,
            redirect_uri: None,
            scopes: None,
            dpop: DpopMode::Auto,
        }
    }

    fn kept(name: &str, id: &str, uri: &str) -> StoredClient {
        StoredClient {
            client: ClientDescription {
                client_id: id.into(),
                name: name.into(),
                client_type: Some(ClientType::Public),
                status: ClientStatus::Active,
                redirect_uris: vec![uri.into()],
                scopes: vec!["decks:read".into(), "guides:read".into()],
                dpop_bound_access_tokens: false,
                created_at: None,
                last_used_at: None,
                secret_rotated_at: None,
            },
            secret: None,
            rotating_until: None,
        }
    }

    fn chosen(configured: &[OAuthClient], stored: &[StoredClient], wish: Option<&str>) -> Result<String, NoClient> {
        choose(configured, stored, wish, &here()).map(|client| client.client_id)
    }

    #[test]
    fn without_a_wish_the_file_comes_first_and_then_the_newest_that_knows_us() {
        let stored = [kept("B", "b", "https://other.example/cb"), kept("A", "a", HERE), kept("C", "c", HERE)];
        let own = [file(None, "own"), file(Some("more"), "more")];
        assert_eq!(chosen(&own, &stored, None).as_deref(), Ok("own"));
        assert_eq!(chosen(&[file(Some("more"), "more")], &stored, None).as_deref(), Ok("more"));
        let undecided = NoClient::Undecided(vec!["x".into(), "y".into()]);
        assert_eq!(chosen(&[file(Some("x"), "1"), file(Some("y"), "2")], &stored, None), Err(undecided));
        assert_eq!(chosen(&[], &stored, None).as_deref(), Ok("a"));
        assert_eq!(chosen(&[], &stored[..1], None), Err(NoClient::None));
    }

    #[test]
    fn a_wish_is_a_name_or_an_id() {
        let stored = [kept("App", "a", HERE), kept("App", "b", HERE), kept("One", "c", HERE)];
        let own = [file(None, "own"), file(Some("more"), "flx_client_2")];
        for (wish, id) in
            [("own", "own"), ("more", "flx_client_2"), ("flx_client_2", "flx_client_2"), ("b", "b"), ("One", "c")]
        {
            assert_eq!(chosen(&own, &stored, Some(wish)).as_deref(), Ok(id));
        }
        assert_eq!(chosen(&own, &stored, Some("App")), Err(NoClient::Ambiguous("App".into())));
        assert_eq!(chosen(&own, &stored, Some("Other")), Err(NoClient::Unknown("Other".into())));
        let elsewhere = [kept("App", "a", "http://127.0.0.1:3540/oauth/callback/")];
        assert!(matches!(chosen(&[], &elsewhere, Some("App")), Err(NoClient::Unregistered { .. })));
    }

    #[test]
    fn a_client_asks_for_no_more_than_it_may() {
        let client = choose(&[], &[kept("A", "a", HERE)], None, &here()).unwrap();
        assert_eq!(client.asks(&ScopeSet::new("decks:read cards:read")).as_str(), Some("decks:read"));
        assert_eq!(client.asks(&ScopeSet::new("cards:read")).as_str(), Some("decks:read guides:read"));
        let own = OAuthClient { scopes: Some(ScopeSet::new("exports:read")), ..file(None, "own") };
        let client = choose(&[own], &[], None, &here()).unwrap();
        assert_eq!(client.asks(&ScopeSet::new("cards:read")).as_str(), Some("exports:read"));
    }
}
