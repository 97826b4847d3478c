//! What the configuration says about connecting. Replaced as a whole on reload.

use std::{fmt, sync::Arc};

use crate::{
    flexslot::AuthorizationServer,
    model::{BaseUrl, Origin, RedirectUri, ScopeSet, WebOrigin, redirect_uri::CALLBACK},
};

/// Everything of the configuration that this room needs.
#[derive(Clone)]
pub struct Settings {
    pub server: Arc<dyn AuthorizationServer>,
    /// In whose name users are asked; `None`: only PATs work.
    pub client_id: Option<String>,
    pub redirect_uri: RedirectUri,
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

/// The paths of this room that are links begin with it.
const CONNECT: &str = "/connect/";

// === impl Settings ===

impl Settings {
    /// Where browsers have to be for a flow, because its cookie has to come with the callback: at the redirect URI's
    /// origin, below the public URL where that has the same.
    pub fn home(&self) -> BaseUrl {
        match &self.public_url {
            Some(public) if public.origin() == self.redirect_uri.origin() => public.clone(),
            Some(_) | None => BaseUrl::from(self.redirect_uri.origin().clone()),
        }
    }

    /// Whether a request that names `host` is at home.
    pub(super) fn is_home(&self, host: &str) -> bool {
        let home = self.redirect_uri.origin();
        format!("{}://{host}", home.scheme()).parse::<Origin>().is_ok_and(|origin| origin == *home)
    }

    /// The path that this room knows `path` by, where that is another: behind a web server that leaves the public URL's
    /// path as it is, links have it before their own, and the callback is the redirect URI's whatever that is.
    pub fn inner_path<'a>(&self, path: &'a str) -> Option<&'a str> {
        let is_inner = |path: &str| path == CALLBACK || path.starts_with(CONNECT);
        if is_inner(path) {
            return None;
        }
        if path == self.redirect_uri.path() && path != "/" {
            return Some(CALLBACK);
        }
        path.strip_prefix(self.public_url.as_ref()?.path()).filter(|rest| is_inner(rest))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("client_id", &self.client_id)
            .field("redirect_uri", &self.redirect_uri.as_str())
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}
