//! Where Flexslot sends browsers back to.

use std::{fmt, str::FromStr};

use url::Url;

use super::{
    Origin,
    origin::{InvalidUrl, secure_url},
};

/// A redirect URI (RFC 6749 section 3.1.2) that Flexslot takes: `https`, or `http` to `localhost`, `127.0.0.1` or
/// `[::1]`. Flexslot compares it byte for byte with those that are registered, so its text stays as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUri {
    text: String,
    url: Url,
    origin: Origin,
}

/// Why a text is no [`RedirectUri`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidRedirectUri {
    Url(InvalidUrl),
    /// `http` to a host that Flexslot does not take for loopback.
    NotLoopback,
    Wildcard,
    Fragment,
    TooLong,
}

/// The path of the callback, below wherever the sidecar is reached.
pub const CALLBACK: &str = "/oauth/callback";

/// In bytes (Flexslot's documentation).
const LONGEST: usize = 512;

/// The hosts for which Flexslot takes `http`.
pub const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

// === impl RedirectUri ===

impl RedirectUri {
    /// The callback of a listener on this port of the loopback address.
    pub fn on_loopback(port: u16) -> Self {
        #[allow(clippy::expect_used, reason = "every port makes one; a test says so of the first and the last")]
        format!("http://127.0.0.1:{port}{CALLBACK}").parse().expect("a redirect URI")
    }

    /// Byte for byte as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The path, without a query.
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// Whether it is plain `http` to this machine.
    pub fn is_loopback(&self) -> bool {
        self.url.scheme() == "http"
    }
}

impl FromStr for RedirectUri {
    type Err = InvalidRedirectUri;

    fn from_str(text: &str) -> Result<Self, InvalidRedirectUri> {
        let url = secure_url(text).map_err(InvalidRedirectUri::Url)?;
        let origin: Origin = match url.as_str().parse() {
            Ok(origin) | Err(InvalidUrl::MoreThanOrigin(origin)) => origin,
            Err(invalid) => return Err(InvalidRedirectUri::Url(invalid)),
        };
        if url.scheme() == "http" && !LOOPBACK.contains(&origin.host()) {
            return Err(InvalidRedirectUri::NotLoopback);
        }
        if url.fragment().is_some() {
            return Err(InvalidRedirectUri::Fragment);
        }
        if text.contains('*') {
            return Err(InvalidRedirectUri::Wildcard);
        }
        if text.len() > LONGEST {
            return Err(InvalidRedirectUri::TooLong);
        }
        Ok(Self { text: text.to_owned(), url, origin })
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// === impl InvalidRedirectUri ===

impl fmt::Display for InvalidRedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(invalid) => invalid.fmt(f),
            Self::NotLoopback => f.write_str("Flexslot takes http:// only for localhost, 127.0.0.1 and [::1]"),
            Self::Wildcard => f.write_str("Flexslot takes no * in a redirect URI"),
            Self::Fragment => f.write_str("a redirect URI has no fragment"),
            Self::TooLong => write!(f, "Flexslot takes at most {LONGEST} bytes"),
        }
    }
}

impl std::error::Error for InvalidRedirectUri {}

#[cfg(test)]
mod tests {
    use super::{InvalidRedirectUri, RedirectUri};
    use crate::model::origin::InvalidUrl;
    use proptest::prelude::*;

    #[test]
    fn it_stays_as_it_was_written() {
        for (text, origin) in [
            ("https://App.example.com:443/Callback?x=%2f", "https://app.example.com"),
            ("http://localhost:3540/oauth/callback/", "http://localhost:3540"),
            ("http://[::1]:3540/oauth/callback", "http://[::1]:3540"),
            ("http://127.0.0.1", "http://127.0.0.1"),
        ] {
            let uri: RedirectUri = text.parse().unwrap();
            assert_eq!((uri.as_str(), uri.origin().as_str()), (text, origin));
        }
    }

    #[test]
    fn every_port_of_loopback_has_one() {
        assert_eq!(RedirectUri::on_loopback(1).as_str(), "http://127.0.0.1:1/oauth/callback");
        assert_eq!(RedirectUri::on_loopback(u16::MAX).path(), "/oauth/callback");
    }

    #[test]
    fn what_flexslot_would_not_register_is_none() {
        let long = format!("https://app.example.com/{}", "x".repeat(489));
        for (text, why) in [
            ("/oauth/callback", InvalidRedirectUri::Url(InvalidUrl::NotAbsolute)),
            ("com.example.app://callback", InvalidRedirectUri::Url(InvalidUrl::Scheme)),
            ("http://app.example.com/cb", InvalidRedirectUri::Url(InvalidUrl::Plaintext)),
            ("http://127.0.0.2:3540/cb", InvalidRedirectUri::NotLoopback),
            ("http://app.localhost:3540/cb", InvalidRedirectUri::NotLoopback),
            ("https://*.example.com/cb", InvalidRedirectUri::Wildcard),
            ("https://app.example.com/*", InvalidRedirectUri::Wildcard),
            ("https://app.example.com/cb#x", InvalidRedirectUri::Fragment),
            (&long, InvalidRedirectUri::TooLong),
        ] {
            assert_eq!(text.parse::<RedirectUri>(), Err(why), "{text}");
        }
        assert!(long[..512].parse::<RedirectUri>().is_ok());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(https?://)?[a-z0-9.:*#?@/-]{0,40}") {
            let _ = text.parse::<RedirectUri>();
        }
    }
}
