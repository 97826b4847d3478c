//! OAuth clients as Flexslot manages them, and its rules for a new one (its documentation, client management and "Create
//! a new OAuth2 client").
//!
//! The rules are checked here, all of them at once, so that Flexslot is asked for nothing that it would refuse.

mod checked;

use std::fmt;

use super::{RedirectUri, Timestamp};

pub use checked::ClientWish;

/// Whether a client can keep a secret (RFC 6749 section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientType {
    Confidential,
    /// It has none; PKCE alone protects its codes.
    Public,
}

/// How a client stands at Flexslot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientStatus {
    Active,
    Suspended,
    /// Kept there for audit, and in no list.
    Revoked,
}

/// An OAuth client, as Flexslot describes it; without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientDescription {
    pub client_id: String,
    pub name: String,
    /// `None` where nobody has said; the samples of the documentation leave it out.
    pub client_type: Option<ClientType>,
    pub status: ClientStatus,
    /// Byte for byte as they are registered.
    pub redirect_uris: Vec<String>,
    pub scopes: Vec<String>,
    /// Whether every token of this client is bound to a key (RFC 9449).
    pub dpop_bound_access_tokens: bool,
    pub created_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    pub secret_rotated_at: Option<Timestamp>,
}

/// A client that Flexslot can be asked for: every rule holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClient {
    pub name: ApplicationName,
    pub redirect_uris: Vec<RedirectUri>,
    /// Of Flexslot's catalogue, each once.
    pub scopes: Vec<&'static str>,
    pub client_type: ClientType,
    pub urls: ClientUrls<Option<ClientUrl>>,
}

/// What a client is called on Flexslot's consent page: 1 to 255 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationName(String);

/// A page about a client: an absolute http or https URL of at most 512 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientUrl(String);

/// The pages about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientUrls<T> {
    pub application: T,
    pub logo: T,
    pub privacy_policy: T,
    pub tos: T,
}

/// One thing that is wrong with a wish for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFault {
    pub field: ClientField,
    /// In words that go on from the field.
    pub what: String,
}

/// What of a wish is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientField {
    Name,
    RedirectUris,
    /// This one of them.
    RedirectUri(String),
    Scopes,
    Scope(String),
    ApplicationUrl,
    LogoUrl,
    PrivacyUrl,
    TosUrl,
}

/// A partner's clients, active and suspended ones (Flexslot's documentation).
pub const MOST_CLIENTS: usize = 10;

/// The longest application name, in characters.
const LONGEST_NAME: usize = 255;

/// The longest URL of a client's pages, in characters.
const LONGEST_URL: usize = 512;

// === impl ClientType ===

impl ClientType {
    /// The word in Flexslot's API and in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confidential => "confidential",
            Self::Public => "public",
        }
    }

    /// The type with that word.
    pub fn from_name(text: &str) -> Option<Self> {
        [Self::Confidential, Self::Public].into_iter().find(|kind| kind.as_str() == text)
    }
}

// === impl ClientStatus ===

impl ClientStatus {
    /// The word in Flexslot's API and in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        }
    }

    /// The status with that word.
    pub fn from_name(text: &str) -> Option<Self> {
        [Self::Active, Self::Suspended, Self::Revoked].into_iter().find(|status| status.as_str() == text)
    }

    /// Whether such a client counts towards [`MOST_CLIENTS`].
    pub const fn counts(self) -> bool {
        matches!(self, Self::Active | Self::Suspended)
    }
}

// === impl ClientDescription ===

impl ClientDescription {
    /// Whether it is what `new` asks for, as far as Flexslot describes a client.
    pub fn is_as(&self, new: &NewClient) -> bool {
        let same = |theirs: &[String], ours: &mut dyn Iterator<Item = &str>| {
            let ours: Vec<_> = ours.collect();
            theirs.len() == ours.len() && ours.iter().all(|own| theirs.iter().any(|their| their == own))
        };
        self.name == new.name.as_str()
            && self.client_type.is_none_or(|kind| kind == new.client_type)
            && same(&self.redirect_uris, &mut new.redirect_uris.iter().map(RedirectUri::as_str))
            && same(&self.scopes, &mut new.scopes.iter().copied())
    }
}

// === impl ApplicationName ===

impl ApplicationName {
    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn check(text: String) -> Result<Self, String> {
        match text.chars().count() {
            0 => Err("is empty; Flexslot shows it to users who are asked".into()),
            long if long > LONGEST_NAME => Err(format!("has {long} characters; Flexslot takes at most {LONGEST_NAME}")),
            _ => Ok(Self(text)),
        }
    }
}

// === impl ClientUrl ===

impl ClientUrl {
    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn check(text: String) -> Result<Self, String> {
        let long = text.chars().count();
        if long > LONGEST_URL {
            return Err(format!("has {long} characters; Flexslot takes at most {LONGEST_URL}"));
        }
        match url::Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "https" | "http") && url.has_host() => Ok(Self(text)),
            _ => Err("is no absolute http:// or https:// URL".into()),
        }
    }
}

// === impl ClientFault ===

impl fmt::Display for ClientFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.what)
    }
}

impl fmt::Display for ClientField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("--name"),
            Self::RedirectUris => f.write_str("--redirect-uri"),
            Self::RedirectUri(uri) => write!(f, "--redirect-uri {}:", uri.escape_debug()),
            Self::Scopes => f.write_str("--scope"),
            Self::Scope(scope) => write!(f, "--scope {}:", scope.escape_debug()),
            Self::ApplicationUrl => f.write_str("--url"),
            Self::LogoUrl => f.write_str("--logo-url"),
            Self::PrivacyUrl => f.write_str("--privacy-url"),
            Self::TosUrl => f.write_str("--tos-url"),
        }
    }
}

#[cfg(test)]
mod tests;
