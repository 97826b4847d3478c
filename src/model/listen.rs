//! Addresses to listen on.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use super::TenantId;

/// One address to bind, and what is special about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenOn {
    pub address: ListenAddress,
    /// The tenant of every request that arrives here.
    pub tenant: Option<TenantId>,
    /// On a unix socket: the user ids whose processes are served; `None`: whoever can open it.
    pub uids: Option<Vec<u32>>,
    /// Over TCP: callers speak TLS.
    pub tls: bool,
    pub need: Need,
}

/// Where to bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// Port 0 takes any free one. An IPv6 address takes no IPv4, so that `0.0.0.0` and `[::]` can both be listened on.
    Tcp(SocketAddr),
    /// A unix socket, with the permission bits that it gets.
    Unix { path: PathBuf, mode: u32 },
}

/// What it means that the host lacks an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Somebody wrote the address down: not getting it is an error.
    Required,
    /// Go without: a default such as `[::1]`, which a host without IPv6 does not have.
    IfPresent,
}

/// How a listener that is bound to `address` is called from this host: one that is bound to every address, by loopback's.
pub fn from_here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip().to_canonical() {
        ip if !ip.is_unspecified() => return address,
        ip if ip.is_ipv4() => Ipv4Addr::LOCALHOST.into(),
        _ => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

// === impl ListenOn ===

impl ListenOn {
    /// An address that somebody wrote down, for all tenants.
    pub const fn required(address: ListenAddress) -> Self {
        Self { address, tenant: None, uids: None, tls: false, need: Need::Required }
    }

    /// A default address for all tenants.
    pub fn by_default(address: SocketAddr) -> Self {
        Self { need: Need::IfPresent, ..Self::required(ListenAddress::Tcp(address)) }
    }
}

// === impl ListenAddress ===

impl ListenAddress {
    /// Whether only processes of this host can connect. An unspecified address (`0.0.0.0`, `[::]`) reaches beyond.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix { .. } => true,
        }
    }
}

/// As proxy.toml writes it.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ListenAddress, from_here};

    #[test]
    fn a_listener_on_every_address_is_called_by_loopback() {
        for (listens, called) in [
            ("127.0.0.1:3540", "127.0.0.1:3540"),
            ("0.0.0.0:3540", "127.0.0.1:3540"),
            ("[::]:3540", "[::1]:3540"),
            ("[::1]:80", "[::1]:80"),
            ("10.0.0.5:3540", "10.0.0.5:3540"),
        ] {
            assert_eq!(from_here(listens.parse().unwrap()).to_string(), called);
        }
    }

    #[test]
    fn unspecified_addresses_reach_beyond_loopback() {
        let tcp = |text: &str| ListenAddress::Tcp(text.parse().unwrap());
        for text in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(tcp(text).is_local(), "{text}");
        }
        for text in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"] {
            assert!(!tcp(text).is_local(), "{text}");
        }
        assert!(ListenAddress::Unix { path: "/x".into(), mode: 0o600 }.is_local());
    }
}
