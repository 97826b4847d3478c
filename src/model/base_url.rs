//! Where browsers reach the sidecar.

use std::{fmt, str::FromStr, sync::Arc};

use super::{
    Origin,
    origin::{InvalidUrl, secure_url},
};

/// An origin, and the path below which the sidecar's own paths begin there: `https://app.example.com/flexslot`, without
/// a slash at its end. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    origin: Origin,
    /// Empty, or a slash and more.
    path: Arc<str>,
}

/// Why a text is no [`BaseUrl`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidBaseUrl {
    Url(InvalidUrl),
    /// A query or a fragment follows.
    MoreThanPath,
}

// === impl BaseUrl ===

impl BaseUrl {
    /// Scheme, host and port.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What comes before a path here: nothing, or a slash and more.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The URL of `path`, which begins with a slash and may have a query, below this one.
    pub fn at(&self, path: &str) -> String {
        format!("{self}{path}")
    }
}

impl From<Origin> for BaseUrl {
    fn from(origin: Origin) -> Self {
        Self { origin, path: "".into() }
    }
}

/// A slash at the end is forgiven.
impl FromStr for BaseUrl {
    type Err = InvalidBaseUrl;

    fn from_str(text: &str) -> Result<Self, InvalidBaseUrl> {
        let url = secure_url(text).map_err(InvalidBaseUrl::Url)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidBaseUrl::MoreThanPath);
        }
        let origin = match text.parse() {
            Ok(origin) | Err(InvalidUrl::MoreThanOrigin(origin)) => origin,
            Err(invalid) => return Err(InvalidBaseUrl::Url(invalid)),
        };
        Ok(Self { origin, path: url.path().trim_end_matches('/').into() })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

// === impl InvalidBaseUrl ===

impl fmt::Display for InvalidBaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(invalid) => invalid.fmt(f),
            Self::MoreThanPath => f.write_str("has more than scheme, host, port and path"),
        }
    }
}

impl std::error::Error for InvalidBaseUrl {}

#[cfg(test)]
mod tests {
    use super::{BaseUrl, InvalidBaseUrl};
    use crate::model::origin::InvalidUrl;

    #[test]
    fn paths_begin_below_it() {
        for (text, callback) in [
            ("https://App.example.com", "https://app.example.com/oauth/callback"),
            ("https://app.example.com/", "https://app.example.com/oauth/callback"),
            ("https://app.example.com/flexslot", "https://app.example.com/flexslot/oauth/callback"),
            ("https://app.example.com/a/b//", "https://app.example.com/a/b/oauth/callback"),
            ("http://localhost:5000/x", "http://localhost:5000/x/oauth/callback"),
        ] {
            assert_eq!(text.parse::<BaseUrl>().unwrap().at("/oauth/callback"), callback);
        }
    }

    #[test]
    fn what_nothing_can_be_appended_to_is_none() {
        for (text, why) in [
            ("app.example.com", InvalidBaseUrl::Url(InvalidUrl::NotAbsolute)),
            ("http://app.example.com", InvalidBaseUrl::Url(InvalidUrl::Plaintext)),
            ("https://user:canary@app.example.com/x", InvalidBaseUrl::Url(InvalidUrl::Credentials)),
            ("https://app.example.com/?x", InvalidBaseUrl::MoreThanPath),
            ("https://app.example.com/x#y", InvalidBaseUrl::MoreThanPath),
        ] {
            assert_eq!(text.parse::<BaseUrl>(), Err(why), "{text}");
        }
    }
}
