//! Whoever has opened a connection to us.

use std::net::SocketAddr;

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Both ends of it, as our socket has them.
    Tcp { ours: SocketAddr, theirs: SocketAddr },
    /// The user whose process has opened it, by the kernel's word (`SO_PEERCRED`).
    Unix { uid: u32 },
}

// === impl Peer ===

impl Peer {
    /// Whether it has come by a way that is on this host alone.
    pub fn is_here(self) -> bool {
        match self {
            Self::Unix { .. } => true,
            Self::Tcp { theirs, .. } => theirs.ip().to_canonical().is_loopback(),
        }
    }
}
