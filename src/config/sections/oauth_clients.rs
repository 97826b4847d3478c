//! `[[oauth.clients]]`: further OAuth clients, beside that of `[oauth]` itself.

use super::{
    callback::{self, Callback, redirect_uri},
    oauth::{OAuthClient, client_id, dpop_mode, scopes},
};
use crate::{
    config::{fault::Wrong, meaning::Resolver, reader::Table, report::Setting, secret::SecretSource},
    model::{RedirectUri, ScopeSet, token::DpopMode},
};

/// One of `[[oauth.clients]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedClient {
    /// What `connect --client` calls it; no two have the same.
    pub name: String,
    pub client: OAuthClient,
    /// Its own, where that is another than `oauth.redirect_uri`; of the same origin.
    pub redirect_uri: Option<RedirectUri>,
    /// What a user is asked for in its name; `None`: `oauth.scopes`.
    pub scopes: Option<ScopeSet>,
    /// By default `oauth.dpop`.
    pub dpop: DpopMode,
}

/// One of `[[oauth.clients]]` as written.
#[derive(Debug, Default)]
pub(super) struct Written {
    name: Setting<String>,
    pub(super) client_id: Setting<String>,
    pub(super) client_secret: Setting<SecretSource>,
    redirect_uri: Setting<RedirectUri>,
    scopes: Setting<ScopeSet>,
    dpop: Setting<DpopMode>,
}

/// In characters.
const LONGEST_NAME: usize = 255;

// === impl Written ===

impl Written {
    pub(super) fn read(mut table: Table<'_>) -> Self {
        let written = Self {
            name: table.key("name", |value| value.text("a name", name)),
            client_id: table.key("client_id", |value| value.text("a client's id", client_id)),
            client_secret: table.key("client_secret", SecretSource::read_written),
            redirect_uri: table.key("redirect_uri", |value| value.text("a URL", redirect_uri)),
            scopes: table.key("scopes", scopes),
            dpop: table.key("dpop", dpop_mode),
        };
        if matches!(written.name, Setting::Absent) {
            table.missing("name", "write name = \"billing\", which connect --client takes");
        }
        if matches!(written.client_id, Setting::Absent) {
            table.missing("client_id", "write the client_id that Flexslot shows, such as \"flx_client_…\"");
        }
        table.finish();
        written
    }

    /// `None` where it has no name or no id; that is a fault by now.
    fn meaning(self, callback: &Callback, dpop: DpopMode, resolver: &Resolver<'_>) -> Option<NamedClient> {
        if let Some(at) = self.redirect_uri.given() {
            callback::check_further(callback, &at.value, &at.spot, resolver);
        }
        let secret = resolver.client_secret(self.client_secret);
        Some(NamedClient {
            name: self.name.into_given()?.value,
            client: OAuthClient { id: self.client_id.into_given()?.value, secret },
            redirect_uri: self.redirect_uri.into_given().map(|at| at.value),
            scopes: self.scopes.into_given().map(|at| at.value),
            dpop: self.dpop.or(dpop),
        })
    }
}

/// All of `[[oauth.clients]]`; a name or an id that comes twice is a fault, `own` that of `[oauth]` among the ids.
pub(super) fn meaning(
    written: Vec<Written>,
    own: &Setting<String>,
    callback: &Callback,
    dpop: DpopMode,
    resolver: &Resolver<'_>,
) -> Vec<NamedClient> {
    resolver.refuse_repeats(written.iter().map(|client| &client.name), "name");
    resolver.refuse_repeats(std::iter::once(own).chain(written.iter().map(|client| &client.client_id)), "client");
    written.into_iter().filter_map(|client| client.meaning(callback, dpop, resolver)).collect()
}

fn name(text: &str) -> Result<String, Wrong> {
    let fits = (1..=LONGEST_NAME).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    match fits && text.trim() == text {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new("not a name").hint("write one of 1 to 255 characters, such as \"billing\"")),
    }
}
