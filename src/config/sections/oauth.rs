//! `[oauth]`: the client in whose name users are asked for grants, and grants are refreshed.

use url::Url;

use super::{
    Admin,
    callback::{self, Callback, redirect_uri},
    oauth_clients::{self, NamedClient},
};
use crate::{
    config::{
        fault::Wrong,
        meaning::Resolver,
        near,
        origin::secure_url,
        reader::{Table, Value},
        report::{Setting, Spot},
        secret::{ConfiguredSecret, SecretSource},
    },
    model::{BaseUrl, Origin, RedirectUri, ScopeSet, scope::CATALOGUE, token::DpopMode},
};

/// `[oauth]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth {
    /// Without one only PATs work.
    pub client: Option<OAuthClient>,
    /// Further ones; neither name nor id comes twice.
    pub clients: Vec<NamedClient>,
    pub callback: Callback,
    /// What a user is asked for; at least one of Flexslot's catalogue, none twice.
    pub scopes: ScopeSet,
    /// Whether its tokens are bound to keys.
    pub dpop: DpopMode,
    /// What has to be in `iss` (RFC 9207 section 2.4), byte for byte; by default the upstream's origin.
    pub issuer: String,
    /// https, or http to a loopback host, like the others; by default Flexslot's path under the upstream.
    pub authorize_url: Url,
    pub token_url: Url,
    pub revoke_url: Url,
    pub introspect_url: Url,
}

/// An OAuth client of Flexslot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthClient {
    pub id: String,
    /// Absent: a public client.
    pub secret: Option<ConfiguredSecret>,
}

// === impl OAuth ===

impl OAuth {
    /// Whether the file names any client.
    pub fn names_a_client(&self) -> bool {
        self.client.is_some() || !self.clients.is_empty()
    }

    /// All that the file names, that of `[oauth]` itself first.
    pub fn all_clients(&self) -> impl Iterator<Item = &OAuthClient> {
        self.client.iter().chain(self.clients.iter().map(|named| &named.client))
    }
}

/// `[oauth]` as written.
#[derive(Debug, Default)]
pub(in crate::config) struct Written {
    client_id: Setting<String>,
    client_secret: Setting<SecretSource>,
    redirect_uri: Setting<RedirectUri>,
    scopes: Setting<ScopeSet>,
    dpop: Setting<DpopMode>,
    issuer: Setting<String>,
    authorize_url: Setting<Url>,
    token_url: Setting<Url>,
    revoke_url: Setting<Url>,
    introspect_url: Setting<Url>,
    clients: Vec<oauth_clients::Written>,
}

/// Where Flexslot's endpoints lie (its documentation).
const ENDPOINTS: &str = "/api/public/v1/oauth";

/// What most apps need: the contents of decks refer to cards.
const DEFAULT_SCOPES: &str = "decks:read cards:read";

const DPOP_MODES: [(&str, DpopMode); 3] = [
    (DpopMode::Auto.as_str(), DpopMode::Auto),
    (DpopMode::Always.as_str(), DpopMode::Always),
    (DpopMode::Off.as_str(), DpopMode::Off),
];

// === impl Written ===

impl Written {
    pub(in crate::config) fn read(mut table: Table<'_>) -> Self {
        let written = Self {
            client_id: table.key("client_id", |value| value.text("a client's id", client_id)),
            client_secret: table.key("client_secret", SecretSource::read_written),
            redirect_uri: table.key("redirect_uri", |value| value.text("a URL", redirect_uri)),
            scopes: table.key("scopes", scopes),
            dpop: table.key("dpop", dpop_mode),
            issuer: table.key("issuer", |value| value.text("a URL", issuer)),
            authorize_url: endpoint(&mut table, "authorize_url", "authorize"),
            token_url: endpoint(&mut table, "token_url", "token"),
            revoke_url: endpoint(&mut table, "revoke_url", "revoke"),
            introspect_url: endpoint(&mut table, "introspect_url", "introspect"),
            clients: table.tables("clients").into_iter().map(oauth_clients::Written::read).collect(),
        };
        table.finish();
        written
    }

    /// Where the secrets of clients are, by their ids.
    pub(in crate::config) fn secret_sources(&self, resolver: &Resolver<'_>) -> Vec<(String, SecretSource)> {
        let of = |id: &Setting<String>, secret: &Setting<SecretSource>| {
            let (id, secret) = (id.given()?, secret.given()?);
            Some((id.value.clone(), resolver.source(secret.value.clone(), secret.spot.place)))
        };
        let further = self.clients.iter().map(|client| of(&client.client_id, &client.client_secret));
        std::iter::once(of(&self.client_id, &self.client_secret)).chain(further).flatten().collect()
    }

    /// Where clients are named, with their ids.
    pub(in crate::config) fn client_spots(&self) -> Vec<(String, Spot)> {
        let ids = std::iter::once(&self.client_id).chain(self.clients.iter().map(|client| &client.client_id));
        ids.filter_map(|id| id.given().map(|id| (id.value.clone(), id.spot.clone()))).collect()
    }

    /// `admin` and `public_url` say where browsers can come back to.
    pub(in crate::config) fn meaning(
        self,
        upstream: &Origin,
        admin: &Admin,
        public_url: &Setting<BaseUrl>,
        resolver: &Resolver<'_>,
    ) -> OAuth {
        if let (Setting::Absent, Setting::Given(secret)) = (&self.client_id, &self.client_secret)
            && resolver.is_whole()
        {
            resolver.fault(&secret.spot, Wrong::new("a secret without oauth.client_id belongs to nobody"));
        }
        let secret = resolver.client_secret(self.client_secret);
        let at = |written: Setting<Url>, name: &str| {
            written.into_given().map_or_else(|| upstream.at(&format!("{ENDPOINTS}/{name}")), |at| at.value)
        };
        let callback = callback::Sources { redirect_uri: self.redirect_uri, public_url, admin }.meaning(resolver);
        let dpop = self.dpop.or(DpopMode::default());
        OAuth {
            clients: oauth_clients::meaning(self.clients, &self.client_id, &callback, dpop, resolver),
            client: self.client_id.into_given().map(|id| OAuthClient { id: id.value, secret }),
            callback,
            scopes: self.scopes.or(ScopeSet::new(DEFAULT_SCOPES)),
            dpop,
            issuer: self.issuer.or(upstream.as_str().to_owned()),
            authorize_url: at(self.authorize_url, "authorize"),
            token_url: at(self.token_url, "token"),
            revoke_url: at(self.revoke_url, "revoke"),
            introspect_url: at(self.introspect_url, "introspect"),
        }
    }
}

/// RFC 6749 appendix A.1: visible ASCII and spaces.
pub(super) fn client_id(text: &str) -> Result<String, Wrong> {
    let visible = text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    match visible && !text.trim().is_empty() {
        true => Ok(text.to_owned()),
        false => {
            Err(Wrong::new("not a client id").hint("write the client_id that Flexslot shows, such as \"flx_client_…\""))
        }
    }
}

/// The endpoint that the key `key` names; Flexslot's own is called `name`.
fn endpoint(table: &mut Table<'_>, key: &'static str, name: &str) -> Setting<Url> {
    let parse = |text: &str| {
        let url = secure_url(text, &format!("https://api.flexslot.gg{ENDPOINTS}/{name}"))?;
        // RFC 6749 sections 3.1 and 3.2.
        if url.fragment().is_some() { Err(Wrong::new("an endpoint has no fragment")) } else { Ok(url) }
    };
    table.key(key, |value| value.text("a URL", parse))
}

/// RFC 8414 section 2. It stays as it is written, because it is compared and never called.
fn issuer(text: &str) -> Result<String, Wrong> {
    let url = secure_url(text, "https://api.flexslot.gg")?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Wrong::new("an issuer has no query and no fragment"));
    }
    Ok(text.to_owned())
}

pub(super) fn dpop_mode(value: &Value<'_>) -> Option<DpopMode> {
    value.word(&DPOP_MODES)
}

pub(super) fn scopes(value: &Value<'_>) -> Option<ScopeSet> {
    let names = CATALOGUE.map(|(name, _)| name);
    let scopes = value.list("scopes", |scope| {
        scope.text("a scope", |text| match names.into_iter().find(|name| *name == text) {
            Some(name) => Ok(name),
            None => Err(Wrong::new("not a scope of Flexslot").hint(match near::nearest(text, &names) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => format!("known here: {}", names.join(", ")),
            })),
        })
    })?;
    let twice = scopes.iter().enumerate().any(|(at, scope)| scopes[..at].contains(scope));
    if scopes.is_empty() || twice {
        value.fault(
            Wrong::new("expected at least one scope, and each once").hint("write [\"decks:read\", \"cards:read\"]"),
        );
        return None;
    }
    Some(ScopeSet::new(&scopes.join(" ")))
}
