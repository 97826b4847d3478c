//! `[oauth]`: the client in whose name grants are refreshed.

use url::Url;

use crate::{
    config::{
        fault::Wrong,
        meaning::Resolver,
        origin::secure_url,
        reader::Table,
        report::Setting,
        secret::{ConfiguredSecret, SecretSource},
    },
    model::Origin,
};

/// `[oauth]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth {
    /// Without one only PATs work.
    pub client: Option<OAuthClient>,
    /// https, or http to a loopback host; by default Flexslot's path under the upstream.
    pub token_url: Url,
}

/// An OAuth client of Flexslot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthClient {
    pub id: String,
    /// Absent: a public client.
    pub secret: Option<ConfiguredSecret>,
}

/// `[oauth]` as written.
#[derive(Debug, Default)]
pub(in crate::config) struct Written {
    client_id: Setting<String>,
    client_secret: Setting<SecretSource>,
    token_url: Setting<Url>,
}

/// The token endpoint's path (Flexslot's documentation).
const TOKEN_PATH: &str = "/api/public/v1/oauth/token";

// === impl Written ===

impl Written {
    pub(in crate::config) fn read(mut table: Table<'_>) -> Self {
        let written = Self {
            client_id: table.key("client_id", |value| value.text("a client's id", client_id)),
            client_secret: table.key("client_secret", SecretSource::read_written),
            token_url: table.key("token_url", |value| value.text("a URL", token_url)),
        };
        table.finish();
        written
    }

    pub(in crate::config) fn meaning(self, upstream: &Origin, resolver: &Resolver<'_>) -> OAuth {
        if let (Setting::Absent, Setting::Given(secret)) = (&self.client_id, &self.client_secret)
            && resolver.is_whole()
        {
            resolver.fault(&secret.spot, Wrong::new("a secret without oauth.client_id belongs to nobody"));
        }
        let secret = resolver.service_secret(self.client_secret);
        OAuth {
            client: self.client_id.into_given().map(|id| OAuthClient { id: id.value, secret }),
            token_url: self.token_url.into_given().map_or_else(|| upstream.at(TOKEN_PATH), |at| at.value),
        }
    }
}

/// RFC 6749 appendix A.1: visible ASCII and spaces.
fn client_id(text: &str) -> Result<String, Wrong> {
    let visible = text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    match visible && !text.trim().is_empty() {
        true => Ok(text.to_owned()),
        false => {
            Err(Wrong::new("not a client id").hint("write the client_id that Flexslot shows, such as \"flx_client_…\""))
        }
    }
}

fn token_url(text: &str) -> Result<Url, Wrong> {
    let url = secure_url(text, "https://api.flexslot.gg/api/public/v1/oauth/token")?;
    // RFC 6749 section 3.2.
    if url.fragment().is_some() { Err(Wrong::new("an endpoint has no fragment")) } else { Ok(url) }
}
