//! Origins: Flexslot's, to which credentials belong, and those of web pages.

use std::{fmt, str::FromStr, sync::Arc};

use http::uri::{Authority, Scheme};
use url::{Host, ParseError, Position, Url};

/// Where Flexslot is: scheme, host and port (RFC 6454 section 4), `http` only for loopback hosts. Cheap to clone.
///
/// A credential belongs to the origin that issued it and is sent nowhere else. Two origins are equal where their
/// serialized forms are.
#[derive(Clone)]
pub struct Origin(Arc<Parts>);

struct Parts {
    /// Its path is `/`, and nothing follows.
    url: Url,
    scheme: Scheme,
    authority: Authority,
    port: u16,
}

/// Why a text is no [`Origin`], or no [`secure_url`]. Shows nothing of the text but an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidUrl {
    /// Not an absolute URL with a host.
    NotAbsolute,
    /// Its host has letters outside of ASCII, which have a form in ASCII (RFC 5890 section 2.3.2.1, A-labels).
    NotAscii,
    /// It has a user's name or a password in it.
    Credentials,
    /// `http` to a host that is not loopback.
    Plaintext,
    /// Neither `https` nor `http`.
    Scheme,
    /// An origin was asked for, and this one is followed by a path, a query or a fragment.
    MoreThanOrigin(Origin),
}

/// An absolute URL without credentials that is `https`, or `http` to a loopback host: one that secrets may be sent to.
pub fn secure_url(text: &str) -> Result<Url, InvalidUrl> {
    // The URL standard drops white space and takes "https:host" for "https://host". A typing error is more likely.
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') || !text.contains("://") {
        return Err(InvalidUrl::NotAbsolute);
    }
    let url = Url::parse(text).map_err(|error| match error {
        ParseError::IdnaError if !text.is_ascii() => InvalidUrl::NotAscii,
        _ => InvalidUrl::NotAbsolute,
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidUrl::Credentials);
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(InvalidUrl::Plaintext),
        _ => Err(InvalidUrl::Scheme),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

// === impl Origin ===

impl Origin {
    /// The serialized origin (RFC 6454 section 6.2), such as `https://api.flexslot.gg`: in lower case, without a port
    /// that is the scheme's own, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0.url[..Position::BeforePath]
    }

    /// `https` or `http`.
    pub fn scheme(&self) -> &Scheme {
        &self.0.scheme
    }

    /// Host and port as in `Host`: the port only where it is not the scheme's own.
    pub fn authority(&self) -> &Authority {
        &self.0.authority
    }

    /// A name in lower case, or an address; IPv6 in brackets.
    pub fn host(&self) -> &str {
        self.0.authority.host()
    }

    /// The port, the scheme's own where none is written.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The URL of `path`, which begins with a slash, at this origin.
    pub fn at(&self, path: &str) -> Url {
        let mut url = self.0.url.clone();
        url.set_path(path);
        url
    }
}

/// An origin and nothing else; a slash at its end is forgiven.
impl FromStr for Origin {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let mut url = secure_url(text)?;
        let is_origin = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        url.set_path("/");
        url.set_query(None);
        url.set_fragment(None);
        // The URL standard allows a few characters in a host that a request could not name (RFC 3986 section 3.2.2).
        let authority = url.authority().parse().map_err(|_| InvalidUrl::NotAbsolute)?;
        let scheme = if url.scheme() == "https" { Scheme::HTTPS } else { Scheme::HTTP };
        let port = url.port_or_known_default().ok_or(InvalidUrl::NotAbsolute)?;
        let origin = Self(Arc::new(Parts { url, scheme, authority, port }));
        if is_origin { Ok(origin) } else { Err(InvalidUrl::MoreThanOrigin(origin)) }
    }
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Origin {}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

// === impl InvalidUrl ===

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "not an absolute URL",
            Self::NotAscii => "the host is not written in ASCII",
            Self::Credentials => "credentials do not belong in this URL",
            Self::Plaintext => "http:// is only for loopback hosts",
            Self::Scheme => "neither https:// nor http://",
            Self::MoreThanOrigin(_) => "has more than scheme, host and port",
        })
    }
}

impl std::error::Error for InvalidUrl {}

#[cfg(test)]
mod tests {
    use super::{InvalidUrl, Origin};
    use proptest::prelude::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap()
    }

    #[test]
    fn an_origin_has_one_form_however_it_is_written() {
        for (text, serialized) in [
            ("https://api.flexslot.gg", "https://api.flexslot.gg"),
            ("https://api.flexslot.gg/", "https://api.flexslot.gg"),
            ("https://API.flexslot.gg:443", "https://api.flexslot.gg"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://sandbox.localhost:1", "http://sandbox.localhost:1"),
            ("http://127.0.0.1:1", "http://127.0.0.1:1"),
            ("http://[::1]:1", "http://[::1]:1"),
        ] {
            assert_eq!(origin(text).as_str(), serialized, "{text}");
        }
        assert_eq!(origin("https://API.flexslot.gg:443/"), origin("https://api.flexslot.gg"));
        assert_ne!(origin("http://localhost:1"), origin("http://localhost:2"));
    }

    #[test]
    fn an_origin_can_be_taken_apart() {
        let parts = |text: &str| {
            let origin = origin(text);
            (origin.scheme().to_string(), origin.authority().to_string(), origin.host().to_owned(), origin.port())
        };
        let of = |scheme: &str, authority: &str, host: &str, port| (scheme.into(), authority.into(), host.into(), port);
        assert_eq!(parts("https://Api.test:443"), of("https", "api.test", "api.test", 443));
        assert_eq!(parts("http://[::1]"), of("http", "[::1]", "[::1]", 80));
        assert_eq!(parts("http://[::1]:81"), of("http", "[::1]:81", "[::1]", 81));
        assert_eq!(origin("https://api.test:8443").at("/a/b").as_str(), "https://api.test:8443/a/b");
    }

    #[test]
    fn what_secrets_must_not_be_sent_to_is_no_origin() {
        for (text, why) in [
            ("", InvalidUrl::NotAbsolute),
            ("api.flexslot.gg", InvalidUrl::NotAbsolute),
            ("https://b\u{fc}cher.test", InvalidUrl::NotAscii),
            ("https:api.flexslot.gg", InvalidUrl::NotAbsolute),
            ("https://", InvalidUrl::NotAbsolute),
            ("https://api.flexslot.gg ", InvalidUrl::NotAbsolute),
            ("https://a\"b", InvalidUrl::NotAbsolute),
            ("https://user:canary@api.flexslot.gg", InvalidUrl::Credentials),
            ("http://api.flexslot.gg", InvalidUrl::Plaintext),
            ("http://localhost.example.com", InvalidUrl::Plaintext),
            ("ftp://localhost", InvalidUrl::Scheme),
        ] {
            assert_eq!(text.parse::<Origin>(), Err(why), "{text}");
        }
    }

    #[test]
    fn what_follows_an_origin_is_told_from_it() {
        for text in ["https://Api.test/api", "https://api.test?canary", "https://api.test#canary", "https://api.test/?"]
        {
            assert_eq!(text.parse::<Origin>(), Err(InvalidUrl::MoreThanOrigin(origin("https://api.test"))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_serialized_form_parses_back(text in "(https?://)?[a-z0-9.:\\[\\]\"@/-]{0,24}") {
            if let Ok(origin) = text.parse::<Origin>() {
                prop_assert_eq!(origin.as_str().parse::<Origin>(), Ok(origin));
            }
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".{0,40}") {
            let _ = text.parse::<Origin>();
        }
    }
}
