//! Sockets that somebody else has opened and listens on, before we were started and after we are gone: no connection is
//! refused meanwhile (`sd_listen_fds(3)`).

use std::{fmt, io, net::TcpListener, os::unix::net::UnixListener, path::PathBuf};

use listenfd::ListenFd;

use crate::model::ListenAddress;

/// What was handed over, and is still to be taken. Each goes to the listener whose address it is bound to.
#[derive(Debug, Default)]
pub struct Handed(Vec<HandedSocket>);

/// One of them.
#[derive(Debug)]
pub(super) enum HandedSocket {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

// === impl Handed ===

impl Handed {
    /// Takes what `LISTEN_FDS` speaks of, unless `LISTEN_PID` says that it is meant for somebody else. To be called once, before
    /// there are other threads.
    ///
    /// # Errors
    ///
    /// Something that is no listening socket of TCP or of the file system.
    pub fn from_env() -> io::Result<Self> {
        let mut given = ListenFd::from_env();
        let mut sockets = Vec::with_capacity(given.len());
        for at in 0..given.len() {
            let socket = match given.take_tcp_listener(at) {
                Ok(Some(listener)) => HandedSocket::Tcp(listener),
                // Not of TCP: it is still there to be taken as a unix socket.
                _ => HandedSocket::unix(given.take_unix_listener(at)?.ok_or(io::ErrorKind::InvalidInput)?)?,
            };
            sockets.push(socket);
        }
        Ok(Self(sockets))
    }

    /// The socket that is bound to `address`, if it was handed over.
    pub(super) fn take(&mut self, address: &ListenAddress) -> Option<HandedSocket> {
        let at = self.0.iter().position(|socket| socket.is_at(address))?;
        Some(self.0.swap_remove(at))
    }

    /// What nobody has taken, as one would type it; `None` where nothing is left.
    pub fn left(&self) -> Option<String> {
        let left: Vec<_> = self.0.iter().map(HandedSocket::to_string).collect();
        (!left.is_empty()).then(|| left.join(", "))
    }
}

// === impl HandedSocket ===

impl HandedSocket {
    fn unix(listener: UnixListener) -> io::Result<Self> {
        match listener.local_addr()?.as_pathname() {
            Some(path) => Ok(Self::Unix(listener, path.to_owned())),
            None => Err(io::Error::new(io::ErrorKind::InvalidInput, "a socket without a path")),
        }
    }

    fn is_at(&self, address: &ListenAddress) -> bool {
        match (self, address) {
            (Self::Tcp(listener), ListenAddress::Tcp(address)) => {
                listener.local_addr().is_ok_and(|bound| bound == *address)
            }
            (Self::Unix(_, bound), ListenAddress::Unix { path, .. }) => bound == path,
            (Self::Tcp(_), ListenAddress::Unix { .. }) | (Self::Unix(..), ListenAddress::Tcp(_)) => false,
        }
    }
}

impl fmt::Display for HandedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => address.fmt(f),
                Err(_) => f.write_str("a socket without an address"),
            },
            Self::Unix(_, path) => write!(f, "unix:{}", path.display()),
        }
    }
}
