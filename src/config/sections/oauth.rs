//! `[oauth]`: the client in whose name grants are refreshed.

use url::Url;

use super::super::ConfiguredSecret;

/// `[oauth]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth {
    /// Without one only PATs work.
    pub client: Option<OAuthClient>,
    /// https, or http to a loopback host.
    pub token_url: Url,
}

/// An OAuth client of Flexslot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthClient {
    pub id: String,
    /// Absent: a public client.
    pub secret: Option<ConfiguredSecret>,
}
