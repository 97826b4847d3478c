//! Origins, hosts and the outbound proxy: addresses that exist only if they passed their checks.

use url::Url;

use super::fault::Wrong;
use crate::model::{
    BaseUrl, HostPattern, Origin, Secret, WebOrigin,
    base_url::InvalidBaseUrl,
    host::InvalidHost,
    origin::{self, InvalidUrl},
    web_origin::InvalidWebOrigin,
};

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

// === impl OutboundProxy ===

impl OutboundProxy {
    /// The URL of a proxy; http because what goes through it is TLS of our own. As in curl, the scheme may be missing.
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
        InvalidUrl::NotAscii => wrong.hint("write it as nameservers have it: labels that begin with xn--"),
        InvalidUrl::MoreThanOrigin(origin) => wrong.hint(format!("write \"{origin}\"")),
        InvalidUrl::Plaintext => wrong.hint("write https://"),
        InvalidUrl::Credentials | InvalidUrl::Scheme => wrong,
    }
}

/// The origin of web pages.
pub(super) fn web_origin(text: &str) -> Result<WebOrigin, Wrong> {
    text.parse().map_err(|invalid: InvalidWebOrigin| {
        let hint = match &invalid.instead {
            Some(origin) => format!("write \"{}\"", origin.as_str()),
            None => "write scheme, host and port, such as \"https://app.example.com\"".to_owned(),
        };
        Wrong::new(invalid.to_string()).hint(hint)
    })
}

/// The origin of pages that browsers are sent to. Other schemes than these lead to programs, or are programs themselves.
pub(super) fn page_origin(text: &str) -> Result<WebOrigin, Wrong> {
    let origin = web_origin(text)?;
    match origin.as_str().split_once("://") {
        Some(("https" | "http", _)) => Ok(origin),
        _ => Err(Wrong::new("neither https:// nor http://")),
    }
}

/// Where browsers reach the sidecar.
pub(super) fn base_url(text: &str) -> Result<BaseUrl, Wrong> {
    let example = "https://app.example.com/flexslot";
    text.parse().map_err(|invalid| match invalid {
        InvalidBaseUrl::Url(invalid) => not_secure(invalid, example),
        invalid @ InvalidBaseUrl::MoreThanPath => Wrong::new(invalid.to_string()).hint(format!("write \"{example}\"")),
    })
}

/// A host by which the sidecar may be called, or a pattern of such.
pub(super) fn host_pattern(text: &str) -> Result<HostPattern, Wrong> {
    text.parse().map_err(|invalid: InvalidHost| {
        Wrong::new(invalid.to_string()).hint("write a name without scheme, port and path, such as \"proxy.internal\"")
    })
}

#[cfg(test)]
mod tests {
    use super::{FLEXSLOT, OutboundProxy, flexslot, origin, web_origin};

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
    fn a_hint_says_how_browsers_write_an_origin() {
        let hint = |text| web_origin(text).unwrap_err().hint;
        assert_eq!(hint("https://App.example.com/x").as_deref(), Some("write \"https://app.example.com\""));
        assert!(hint("*").is_some_and(|hint| hint.contains("scheme, host and port")));
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
}
