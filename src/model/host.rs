//! Hosts by which the sidecar may be called.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use url::Host;

/// Hosts that requests may name in `Host` besides those that are always ours. Ports are left out of it: which one we
/// are reached by is not ours to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// A name, in lower case.
    Name(String),
    /// `*.example.com`: every name that ends in this text, which begins with a dot and is in lower case.
    Below(String),
    /// Every literal of this address.
    Address(IpAddr),
}

/// Neither a host name, nor `*.` and a host name, nor an IP literal (IPv6 in brackets).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidHost;

/// The address that a host is a literal of: IPv6 in brackets, an IPv4-mapped one as IPv4 (RFC 4291 section 2.5.5.2).
pub fn address_literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(|address| IpAddr::V6(address).to_canonical()),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// Whether `host`, a name or an address without brackets, is this machine (RFC 6761 section 6.3).
pub fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// Whether `host` has something before `suffix`, which begins with a dot, and ends in it. Case makes no difference.
pub fn is_below(host: &str, suffix: &str) -> bool {
    let at = host.len().checked_sub(suffix.len()).filter(|&at| at > 0);
    at.and_then(|at| host.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

// === impl HostPattern ===

impl HostPattern {
    /// Whether `host`, without a port, is meant. Case makes no difference.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Name(name) => name.eq_ignore_ascii_case(host),
            Self::Below(suffix) => is_below(host, suffix),
            Self::Address(address) => address_literal(host) == Some(*address),
        }
    }
}

impl FromStr for HostPattern {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let (is_suffix, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let host = Host::parse(name).map_err(|_| InvalidHost)?;
        match (is_suffix, host) {
            (_, Host::Domain(domain)) if domain.contains('*') || domain.ends_with('.') => Err(InvalidHost),
            (false, Host::Domain(domain)) => Ok(Self::Name(domain)),
            (true, Host::Domain(domain)) => Ok(Self::Below(format!(".{domain}"))),
            (false, Host::Ipv4(address)) => Ok(Self::Address(address.into())),
            (false, Host::Ipv6(address)) => Ok(Self::Address(IpAddr::V6(address).to_canonical())),
            (true, Host::Ipv4(_) | Host::Ipv6(_)) => Err(InvalidHost),
        }
    }
}

// === impl InvalidHost ===

impl fmt::Display for InvalidHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a host name")
    }
}

impl std::error::Error for InvalidHost {}

#[cfg(test)]
mod tests {
    use super::{HostPattern, is_loopback};
    use proptest::prelude::*;

    fn matches(pattern: &str, host: &str) -> bool {
        pattern.parse::<HostPattern>().unwrap().matches(host)
    }

    #[test]
    fn a_name_is_matched_whole_and_without_regard_to_case() {
        assert!(matches("proxy.internal", "Proxy.Internal"));
        assert!(matches("Proxy.Internal", "proxy.internal"));
        assert!(!matches("proxy.internal", "xproxy.internal"));
    }

    #[test]
    fn this_machine_is_told_from_others() {
        for host in ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.evil.example", "alocalhost", "10.0.0.1", "0.0.0.0", "::", "fd00::1", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_star_stands_for_every_name_below() {
        assert!(matches("*.internal", "a.B.Internal"));
        assert!(!matches("*.internal", "internal"));
        assert!(!matches("*.internal", ".internal"));
        assert!(!matches("*.internal", "xinternal"));
    }

    #[test]
    fn an_address_is_matched_in_every_way_to_write_it() {
        assert!(matches("10.0.0.1", "10.0.0.1"));
        assert!(matches("10.0.0.1", "[::ffff:10.0.0.1]"));
        assert!(matches("[FD00::1]", "[fd00:0::1]"));
        assert!(!matches("[fd00::1]", "fd00::1"));
        assert!(!matches("10.0.0.1", "10.0.0.10"));
    }

    #[test]
    fn ports_schemes_and_other_stars_make_no_pattern() {
        for text in ["", "*", "*.", "a.", "a:80", "https://a", "a/b", "*.*.a", "a.*", "*.10.0.0.1", "*.[::1]", "a b"] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn only_longer_names_are_below(host in "[a-zé.]{0,12}") {
            prop_assert_eq!(matches("*.example", &host), host.ends_with(".example") && host.len() > 8);
        }

        #[test]
        fn arbitrary_text_never_panics(pattern in ".{0,40}", host in ".{0,40}") {
            let _ = pattern.parse::<HostPattern>().map(|pattern| pattern.matches(&host));
        }
    }
}
