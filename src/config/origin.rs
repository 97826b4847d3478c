//! Origins, hosts and the outbound proxy: addresses that exist only if they passed their checks.

use std::fmt;

use url::Url;

use crate::model::Secret;

/// Where Flexslot is: scheme, host and port, nothing else. `http` only for loopback hosts.
#[derive(Clone, PartialEq, Eq)]
pub struct Origin {
    url: Url,
    text: String,
}

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

// === impl Origin ===

impl Origin {
    /// The serialized origin, such as `https://api.flexslot.gg`, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same as a URL, whose path is `/`.
    pub fn url(&self) -> &Url {
        &self.url
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({})", self.text)
    }
}

// === impl WebOrigin ===

impl WebOrigin {
    /// As in the header.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl AllowedHost ===

impl AllowedHost {
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
