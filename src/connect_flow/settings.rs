//! What the configuration says about connecting. Replaced as a whole on reload.

use std::{fmt, sync::Arc};

use crate::{
    credential::Session,
    flexslot::{AuthorizationServer, ConsentClient, NoClient},
    model::{
        BaseUrl, Origin, RedirectUri, ScopeSet, SessionId, WebOrigin, connection::CONNECT_PATH, redirect_uri::CALLBACK,
    },
};

/// Everything of the configuration that this room needs.
#[derive(Clone)]
pub struct Settings {
    pub server: Arc<dyn AuthorizationServer>,
    /// The upstream's, to which alone goes what comes of a consent.
    pub origin: Origin,
    pub redirect_uri: RedirectUri,
    /// Those of further clients, of the same origin.
    pub further_uris: Vec<RedirectUri>,
    /// Where browsers reach us, where that is not our own address.
    pub public_url: Option<BaseUrl>,
    /// Asked for where a session does not say.
    pub scopes: ScopeSet,
    /// What has to be in `iss`, byte for byte (RFC 9207 section 2.4).
    pub issuer: String,
    /// Where a session may send its browser back to.
    pub return_origins: Vec<WebOrigin>,
    /// Where Flexslot asks its users, as a browser names it.
    pub flexslot: Option<WebOrigin>,
    /// Flexslot's page of what its user has allowed.
    pub manage_url: String,
}

// === impl Settings ===

impl Settings {
    /// The client that asks the session's user.
    pub(super) fn client(&self, session: &Session) -> Result<ConsentClient, NoClient> {
        self.server.client(session.client.as_deref(), &self.redirect_uri)
    }

    /// Where browsers have to be for a flow, because its cookie has to come with the callback: at the redirect URI's
    /// origin, below the public URL where that has the same.
    pub fn home(&self) -> BaseUrl {
        match &self.public_url {
            Some(public) if public.origin() == self.redirect_uri.origin() => public.clone(),
            Some(_) | None => BaseUrl::from(self.redirect_uri.origin().clone()),
        }
    }

    /// Where a browser begins with a session.
    pub fn link(&self, id: &SessionId) -> String {
        self.home().at(&id.path())
    }

    /// The same from pages of this room, which are at home, or below whatever path leads there.
    pub(super) fn path_of(&self, id: &SessionId) -> String {
        format!("{}{}", self.home().path(), id.path())
    }

    /// Whether a request that names `host` is at home.
    pub(super) fn is_home(&self, host: &str) -> bool {
        let home = self.redirect_uri.origin();
        format!("{}://{host}", home.scheme()).parse::<Origin>().is_ok_and(|origin| origin == *home)
    }

    /// The path that this room knows `path` by, where that is another: behind a web server that leaves the public URL's
    /// path as it is, links have it before their own, and the callback is the redirect URI's whatever that is.
    pub fn inner_path<'a>(&self, path: &'a str) -> Option<&'a str> {
        let is_inner = |path: &str| path == CALLBACK || path.starts_with(CONNECT_PATH);
        if is_inner(path) {
            return None;
        }
        let mut uris = std::iter::once(&self.redirect_uri).chain(&self.further_uris);
        if path != "/" && uris.any(|uri| uri.path() == path) {
            return Some(CALLBACK);
        }
        path.strip_prefix(self.public_url.as_ref()?.path()).filter(|rest| is_inner(rest))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("redirect_uri", &self.redirect_uri.as_str())
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;
    use crate::{connect_flow::tests::settings, model::SessionId};

    fn behind(public_url: &str, redirect_uri: &str) -> Settings {
        let public_url = Some(public_url.parse().unwrap());
        Settings { public_url, redirect_uri: redirect_uri.parse().unwrap(), ..settings() }
    }

    #[test]
    fn links_lead_to_where_the_callback_is() {
        let x = SessionId::from_text("x");
        assert_eq!(settings().link(&x), "http://127.0.0.1:3540/connect/x");
        let app = behind("https://app.example.com/flexslot", "https://app.example.com/flexslot/oauth/callback");
        assert_eq!(app.link(&x), "https://app.example.com/flexslot/connect/x");
        let local = behind("https://app.example.com/flexslot", "http://localhost:3540/oauth/callback");
        assert_eq!(local.link(&x), "http://localhost:3540/connect/x");
    }

    #[test]
    fn only_the_home_itself_is_home() {
        for (host, is) in [("127.0.0.1:3540", true), ("localhost:3540", false), ("127.0.0.1", false), ("", false)] {
            assert_eq!(settings().is_home(host), is, "{host}");
        }
        let app = behind("https://app.example.com", "https://app.example.com/oauth/callback");
        for (host, is) in [("app.example.com", true), ("APP.example.com:443", true), ("app.example.com:8443", false)] {
            assert_eq!(app.is_home(host), is, "{host}");
        }
    }

    #[test]
    fn paths_are_known_by_their_public_names_too() {
        let app = behind("https://app.example.com/flexslot", "https://app.example.com/auth/flexslot");
        for (path, inner) in [
            ("/connect/x", None),
            ("/oauth/callback", None),
            ("/flexslot/connect/x", Some("/connect/x")),
            ("/flexslot/connect/x/confirm", Some("/connect/x/confirm")),
            ("/flexslot/oauth/callback", Some("/oauth/callback")),
            ("/auth/flexslot", Some("/oauth/callback")),
            ("/flexslot/metrics", None),
            ("/flexslot/v1/tenants", None),
            ("/flexslotx/connect/x", None),
            ("/flexslot", None),
            ("/", None),
        ] {
            assert_eq!(app.inner_path(path), inner, "{path}");
        }
        let other = "https://app.example.com/auth/other".parse().unwrap();
        let two = Settings { further_uris: vec![other], ..app };
        assert_eq!(two.inner_path("/auth/other"), Some("/oauth/callback"));
        assert_eq!(settings().inner_path("/flexslot/connect/x"), None);
        assert_eq!(behind("https://app.example.com", "https://app.example.com/").inner_path("/"), None);
    }
}
