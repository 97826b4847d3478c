//! The origins of web pages.

use std::{fmt, str::FromStr};

use http::HeaderValue;
use url::Url;

/// A browser's origin as the `Origin` header spells it (RFC 6454 section 6.2): a scheme, a host, and the port where it
/// is not the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebOrigin(String);

/// Not an origin as browsers send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidWebOrigin {
    /// What the text would be an origin as.
    pub instead: Option<WebOrigin>,
}

// === impl WebOrigin ===

impl WebOrigin {
    /// As in the header.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the origin that `header` names: browsers compare and send exactly one form.
    pub fn matches(&self, header: &HeaderValue) -> bool {
        header == self.as_str()
    }
}

impl FromStr for WebOrigin {
    type Err = InvalidWebOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidWebOrigin> {
        let none = InvalidWebOrigin { instead: None };
        let url = Url::parse(text).map_err(|_| none.clone())?;
        if !url.username().is_empty() || url.password().is_some() || !url.has_host() {
            return Err(none);
        }
        let serialized = match url.scheme() {
            "http" | "https" => url.origin().ascii_serialization(),
            // Extensions and desktop shells have schemes of their own, whose origins the URL standard leaves opaque.
            scheme => format!("{scheme}://{}", url.authority()),
        };
        let is_one = serialized == text;
        let origin = Self(serialized);
        if is_one { Ok(origin) } else { Err(InvalidWebOrigin { instead: Some(origin) }) }
    }
}

// === impl InvalidWebOrigin ===

impl fmt::Display for InvalidWebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an origin")
    }
}

impl std::error::Error for InvalidWebOrigin {}

#[cfg(test)]
mod tests {
    use super::WebOrigin;
    use proptest::prelude::*;

    #[test]
    fn origins_are_taken_in_their_exact_form() {
        for text in [
            "https://app.example.com",
            "http://localhost:5173",
            "chrome-extension://abcdefgh",
            "https://[2001:db8::1]:8443",
        ] {
            assert_eq!(text.parse::<WebOrigin>().unwrap().as_str(), text);
        }
        for text in ["*", "null", "", "app.example.com", "file:///x", "https://user:canary@a"] {
            assert_eq!(text.parse::<WebOrigin>().unwrap_err().instead, None, "{text}");
        }
    }

    #[test]
    fn another_form_is_told_the_exact_one() {
        for (text, exact) in [
            ("https://app.example.com/", "https://app.example.com"),
            ("https://App.example.com/x", "https://app.example.com"),
            ("https://a:443", "https://a"),
        ] {
            let instead = text.parse::<WebOrigin>().unwrap_err().instead;
            assert_eq!(instead.as_ref().map(WebOrigin::as_str), Some(exact), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".{0,40}") {
            let _ = text.parse::<WebOrigin>();
        }
    }
}
