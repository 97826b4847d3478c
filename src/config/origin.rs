//! Origins, hosts and the outbound proxy: addresses that exist only if they passed their checks.

use url::{Host, Url};

use super::fault::Wrong;
use crate::model::{
    Origin, Secret,
    origin::{self, InvalidUrl},
};

/// A browser's origin as the `Origin` header spells it (RFC 6454 section 6.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebOrigin(String);

/// A host that requests may name in `Host`, in lower case, without a port; IPv6 literals in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedHost {
    Name(String),
    /// `*.example.com`: every name that ends in this text, which begins with a dot.
    Suffix(String),
}

/// An HTTP proxy for calls to Flexslot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundProxy {
    /// `http://[user:password@]host:port`; a secret because it may hold a password.
    pub url: Secret,
    /// The list of `NO_PROXY`: hosts that are reached straight.
    pub bypass: String,
}

/// Flexslot's own origin (Flexslot's documentation).
const FLEXSLOT: &str = "https://api.flexslot.gg";

// === impl WebOrigin ===

impl WebOrigin {
    /// A scheme, a host and, where it is not the scheme's own, a port. Browsers compare and send exactly this form.
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let not_one =
            || Wrong::new("not an origin").hint("write scheme, host and port, such as \"https://app.example.com\"");
        if text == "*" || text == "null" {
            return Err(not_one());
        }
        let url = Url::parse(text).map_err(|_| not_one())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(not_one());
        }
        let serialized = match url.scheme() {
            "http" | "https" => url.origin().ascii_serialization(),
            // Extensions and desktop shells have schemes of their own, whose origins the URL standard leaves opaque.
            scheme => format!("{scheme}://{}", url.authority()),
        };
        match serialized == text && url.has_host() {
            true => Ok(Self(serialized)),
            false if url.has_host() => Err(not_one().hint(format!("write \"{serialized}\""))),
            false => Err(not_one()),
        }
    }

    /// As in the header.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl AllowedHost ===

impl AllowedHost {
    /// A host name, `*.` and a host name, or an IP literal; without a port, because the port is known by the connection.
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        let not_one = || {
            Wrong::new("not a host name").hint("write a name without scheme, port and path, such as \"proxy.internal\"")
        };
        let (suffix, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let host = match Host::parse(name) {
            Ok(host) if !name.ends_with('.') => host,
            Ok(_) | Err(_) => return Err(not_one()),
        };
        match (suffix, host) {
            (false, host) if !host.to_string().contains('*') => Ok(Self::Name(host.to_string())),
            (true, Host::Domain(domain)) if !domain.contains('*') => Ok(Self::Suffix(format!(".{domain}"))),
            _ => Err(not_one()),
        }
    }

    /// Whether `host` (without a port) is meant.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Name(name) => name.eq_ignore_ascii_case(host),
            Self::Suffix(suffix) => host
                .len()
                .checked_sub(suffix.len())
                .filter(|&at| at > 0)
                .and_then(|at| host.get(at..))
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix)),
        }
    }
}

// === impl OutboundProxy ===

impl OutboundProxy {
    /// The URL of a proxy; http because what goes through it is TLS of our own. As in curl, the scheme may be left away.
    pub(super) fn parse_url(text: &str) -> Result<Url, Wrong> {
        let not_one = || Wrong::new("not the URL of an HTTP proxy").hint("write \"http://proxy.internal:3128\"");
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&text).map_err(|_| not_one())?;
        let plain = url.scheme() == "http"
            && url.has_host()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        plain.then_some(url).ok_or_else(not_one)
    }
}

/// Flexslot's own origin.
pub(super) fn flexslot() -> Origin {
    #[allow(clippy::expect_used, reason = "a constant; a test parses it")]
    FLEXSLOT.parse().expect("Flexslot's origin is one")
}

/// Where Flexslot is.
pub(super) fn origin(text: &str) -> Result<Origin, Wrong> {
    text.parse().map_err(|invalid| not_secure(invalid, FLEXSLOT))
}

/// A URL that secrets may be sent to; `example` is one for the hint.
pub(super) fn secure_url(text: &str, example: &str) -> Result<Url, Wrong> {
    origin::secure_url(text).map_err(|invalid| not_secure(invalid, example))
}

fn not_secure(invalid: InvalidUrl, example: &str) -> Wrong {
    let wrong = Wrong::new(invalid.to_string());
    match invalid {
        InvalidUrl::NotAbsolute => wrong.hint(format!("write \"{example}\"")),
        InvalidUrl::MoreThanOrigin(origin) => wrong.hint(format!("write \"{origin}\"")),
        InvalidUrl::Plaintext => wrong.hint("write https://"),
        InvalidUrl::Credentials | InvalidUrl::Scheme => wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::{AllowedHost, FLEXSLOT, OutboundProxy, WebOrigin, flexslot, origin};
    use proptest::prelude::*;

    #[test]
    fn flexslots_own_origin_is_one() {
        assert_eq!(flexslot().as_str(), FLEXSLOT);
    }

    #[test]
    fn a_hint_says_what_to_write_instead() {
        let hint = |text| origin(text).unwrap_err().hint;
        assert_eq!(hint("api.flexslot.gg").as_deref(), Some("write \"https://api.flexslot.gg\""));
        assert_eq!(hint("https://Api.test/api?canary").as_deref(), Some("write \"https://api.test\""));
        assert_eq!(hint("https://user:canary@api.test"), None);
    }

    #[test]
    fn browser_origins_are_taken_in_their_exact_form() {
        for text in [
            "https://app.example.com",
            "http://localhost:5173",
            "chrome-extension://abcdefgh",
            "https://[2001:db8::1]:8443",
        ] {
            assert_eq!(WebOrigin::parse(text).unwrap().as_str(), text);
        }
        for text in [
            "*",
            "null",
            "",
            "app.example.com",
            "https://app.example.com/",
            "https://App.example.com",
            "https://a:443",
            "file:///x",
        ] {
            assert!(WebOrigin::parse(text).is_err(), "{text}");
        }
        let hint = WebOrigin::parse("https://App.example.com/x").unwrap_err().hint;
        assert_eq!(hint.as_deref(), Some("write \"https://app.example.com\""));
    }

    #[test]
    fn hosts_are_names_suffixes_or_literals_without_ports() {
        let matches = |pattern: &str, host: &str| AllowedHost::parse(pattern).unwrap().matches(host);
        assert!(matches("proxy.internal", "Proxy.Internal"));
        assert!(!matches("proxy.internal", "xproxy.internal"));
        assert!(matches("*.internal", "a.b.internal"));
        assert!(!matches("*.internal", "internal"));
        assert!(!matches("*.internal", ".internal"));
        assert!(matches("10.0.0.1", "10.0.0.1"));
        assert!(matches("[FD00::1]", "[fd00::1]"));
        for text in ["", "*", "*.", "a:80", "https://a", "a/b", "*.*.a", "a.*", "*.10.0.0.1", "a b"] {
            assert!(AllowedHost::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn outbound_proxies_speak_http() {
        for text in ["http://proxy:3128", "proxy:3128", "http://u:p@proxy:3128/"] {
            assert!(OutboundProxy::parse_url(text).is_ok(), "{text}");
        }
        for text in ["", "https://proxy:1", "socks5://proxy:1", "http://proxy/path", "http://"] {
            assert!(OutboundProxy::parse_url(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".{0,40}") {
            let _ = (origin(&text), WebOrigin::parse(&text), AllowedHost::parse(&text), OutboundProxy::parse_url(&text));
        }

        #[test]
        fn a_suffix_matches_only_longer_names(host in "[a-zé.]{0,12}") {
            let pattern = AllowedHost::parse("*.example").unwrap();
            prop_assert_eq!(pattern.matches(&host), host.ends_with(".example") && host.len() > 8);
        }
    }
}
