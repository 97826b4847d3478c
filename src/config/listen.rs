//! Addresses to listen on.

use std::{fmt, net::SocketAddr, path::PathBuf};

use crate::model::TenantId;

/// One address that a server binds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub address: ListenAddress,
    /// Every request that arrives here is this tenant's.
    pub tenant: Option<TenantId>,
    pub presence: Presence,
}

/// Where to bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    Tcp(SocketAddr),
    /// A unix socket and the permission bits that it gets.
    Unix {
        path: PathBuf,
        mode: u32,
    },
}

/// What it means that the host lacks the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Somebody wrote the address down: not getting it is an error.
    Required,
    /// A default, such as `[::1]` on a host without IPv6.
    SkipIfAbsent,
}

/// The permission bits of a unix socket for which none are given.
pub(super) const DEFAULT_SOCKET_MODE: u32 = 0o600;

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

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}
