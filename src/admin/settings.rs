//! What the room is told of the configuration.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::model::{BaseUrl, RedirectUri, Secret, WebOrigin};

/// What a reload may change, as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What callers of the API present.
    pub token: Secret,
    /// The listener's port, for the names of cookies: a browser keeps those of all ports of a host together. 0 where
    /// there is none.
    pub port: u16,
    /// Where users' browsers reach the listener, where that is not its own address.
    pub public_url: Option<BaseUrl>,
    /// Where connect links lead.
    pub connect_at: BaseUrl,
    /// Where a connect session may send a browser back to.
    pub return_origins: Vec<WebOrigin>,
    /// That of grants which are brought without one.
    pub client_id: Option<String>,
    /// Where browsers come back to from Flexslot.
    pub redirect_uri: RedirectUri,
    /// Where users see and revoke what they allowed, at Flexslot.
    pub manage_url: String,
}

/// The settings in use. Cheap to clone; all clones change together.
#[derive(Debug, Clone)]
pub struct Live(Arc<ArcSwap<Settings>>);

// === impl Settings ===

impl Settings {
    /// Where browsers reach the listener, for one that names `host`; `None` where that is the listener itself.
    pub(super) fn public_base(&self, host: &str) -> Option<&BaseUrl> {
        self.public_url.as_ref().filter(|url| url.origin().authority().as_str().eq_ignore_ascii_case(host))
    }
}

// === impl Live ===

impl Live {
    /// Begins with `settings`.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(settings)))
    }

    /// Takes over new ones.
    pub fn replace(&self, settings: Settings) {
        self.0.store(Arc::new(settings));
    }

    /// Those of this moment.
    pub fn get(&self) -> Arc<Settings> {
        self.0.load_full()
    }
}
