//! Where we are reached: TCP addresses and unix sockets.

mod handed;
mod unix;

use std::{
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
};

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};
use tracing::info;

pub use self::handed::Handed;
use self::handed::HandedSocket;
use super::tls::Tls;
use crate::{
    model::{ListenAddress, ListenOn, Need, Peer, TenantId},
    proxy::guard::Reach,
};
use unix::SocketFile;

/// Connections that the kernel keeps for us while we are busy. One over it is dropped, and its client's kernel tries
/// again a second later, which looks like a slow sidecar. 4096 is what `net.core.somaxconn` is by default since Linux
/// 5.4; where that is less, the kernel caps it (listen(2)), and where an administrator wants fewer, that is the place
/// to say so.
pub(super) const BACKLOG: i32 = 4096;

/// An address could not be listened on.
#[derive(Debug)]
pub struct BindError {
    pub address: ListenAddress,
    pub source: io::Error,
}

/// A bound listener. Dropping it stops listening and removes its socket file.
#[derive(Debug)]
pub struct Listener {
    socket: ListenerSocket,
    keeper: Keeper,
    tenant: Option<TenantId>,
    uids: Option<Vec<u32>>,
    tls: Option<Tls>,
}

/// Who has the socket besides us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeper {
    Nobody,
    /// Whoever has started us. It goes on listening when we are gone.
    Starter,
}

#[derive(Debug)]
enum ListenerSocket {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
    /// Its file is somebody else's, and stays.
    HandedUnix(UnixListener, PathBuf),
}

/// An accepted connection.
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// An accepted connection between two runtimes.
#[derive(Debug)]
pub(super) enum Detached {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

/// Takes over what was handed over for `addresses`, and binds the others: all, or none, for those that were bound are
/// closed again when one fails. Needs a tokio runtime.
///
/// # Errors
///
/// An address cannot be had, or its callers are to speak TLS and `tls` is none: never in clear instead.
pub fn bind_all(addresses: &[ListenOn], handed: &mut Handed, tls: Option<&Tls>) -> Result<Vec<Listener>, BindError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for on in addresses {
        match Listener::at(on, handed, tls) {
            Ok(listener) => listeners.push(listener),
            Err(error) if on.need == Need::IfPresent && error.is_absent() => {
                info!(address = %on.address, "this host has no such address; not listening there");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(listeners)
}

// === impl BindError ===

impl BindError {
    /// Whether the host has no such address at all.
    fn is_absent(&self) -> bool {
        let absent = [Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT, Errno::PROTONOSUPPORT].map(Errno::raw_os_error);
        self.source.raw_os_error().is_some_and(|errno| absent.contains(&errno))
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.address, self.source)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

// === impl Listener ===

impl Listener {
    fn at(on: &ListenOn, handed: &mut Handed, tls: Option<&Tls>) -> Result<Self, BindError> {
        let listener = match handed.take(&on.address) {
            Some(socket) => Self::taken_over(on, socket)?,
            None => Self::bind(on)?,
        };
        match (on.tls, tls) {
            (false, _) => Ok(listener),
            (true, Some(tls)) => Ok(Self { tls: Some(tls.clone()), ..listener }),
            (true, None) => {
                let source = io::Error::other("TLS is asked for, and there is no certificate");
                Err(BindError { address: on.address.clone(), source })
            }
        }
    }

    /// Binds one address. Needs a tokio runtime.
    pub fn bind(on: &ListenOn) -> Result<Self, BindError> {
        let socket = match &on.address {
            ListenAddress::Tcp(address) => bind_tcp(*address).map(ListenerSocket::Tcp),
            ListenAddress::Unix { path, mode } => {
                unix::bind(path, *mode).map(|(listener, file)| ListenerSocket::Unix(listener, file))
            }
        };
        Self::new(on, Keeper::Nobody, socket)
    }

    fn taken_over(on: &ListenOn, socket: HandedSocket) -> Result<Self, BindError> {
        let socket = match socket {
            HandedSocket::Tcp(listener) => {
                listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)).map(ListenerSocket::Tcp)
            }
            HandedSocket::Unix(listener, path) => listener
                .set_nonblocking(true)
                .and_then(|()| UnixListener::from_std(listener))
                .map(|listener| ListenerSocket::HandedUnix(listener, path)),
        };
        Self::new(on, Keeper::Starter, socket)
    }

    fn new(on: &ListenOn, keeper: Keeper, socket: io::Result<ListenerSocket>) -> Result<Self, BindError> {
        match socket {
            Ok(socket) => Ok(Self { socket, keeper, tenant: on.tenant.clone(), uids: on.uids.clone(), tls: None }),
            Err(source) => Err(BindError { address: on.address.clone(), source }),
        }
    }

    /// Whether connections that nobody has accepted wait for somebody else when we are gone.
    pub(super) fn outlives_us(&self) -> bool {
        self.keeper == Keeper::Starter
    }

    /// The tenant of every request that arrives here.
    pub fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// What its callers are shown, where they speak TLS.
    pub(super) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// How `stream`, which was accepted here, has reached us.
    ///
    /// # Errors
    ///
    /// The client is gone again.
    pub(super) fn reach(&self, stream: &Stream) -> io::Result<Reach> {
        match stream {
            Stream::Tcp(stream) => {
                let local = stream.local_addr()?.ip();
                Ok(if self.tls.is_some() { Reach::Tls(local) } else { Reach::Tcp(local) })
            }
            Stream::Unix(stream) => {
                let Some(uids) = &self.uids else { return Ok(Reach::Unix) };
                let uid = stream.peer_cred()?.uid();
                Ok(if uids.contains(&uid) { Reach::Unix } else { Reach::Barred { uid } })
            }
        }
    }

    /// Who has the other end of `stream`, which was accepted here.
    ///
    /// # Errors
    ///
    /// The client is gone again.
    pub(super) fn peer(stream: &Stream) -> io::Result<Peer> {
        Ok(match stream {
            Stream::Tcp(stream) => Peer::Tcp { ours: stream.local_addr()?, theirs: stream.peer_addr()? },
            Stream::Unix(stream) => Peer::Unix { uid: stream.peer_cred()?.uid() },
        })
    }

    /// The address that was bound, with the port that port 0 became; `None` for a unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.socket {
            ListenerSocket::Tcp(listener) => listener.local_addr().ok(),
            ListenerSocket::Unix(..) | ListenerSocket::HandedUnix(..) => None,
        }
    }

    /// The next connection.
    pub async fn accept(&self) -> io::Result<Stream> {
        match &self.socket {
            ListenerSocket::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            ListenerSocket::Unix(listener, _) | ListenerSocket::HandedUnix(listener, _) => {
                listener.accept().await.map(|(stream, _)| Stream::Unix(stream))
            }
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.socket, self.local_addr()) {
            (ListenerSocket::Unix(_, file), _) => write!(f, "unix:{}", file.path.display()),
            (ListenerSocket::HandedUnix(_, path), _) => write!(f, "unix:{}", path.display()),
            (_, Some(address)) if self.tls.is_some() => write!(f, "https://{address}"),
            (_, Some(address)) => write!(f, "http://{address}"),
            (_, None) => f.write_str("a closed socket"),
        }
    }
}

/// Listens on a TCP address, as all of this program does. Needs a tokio runtime.
pub fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

// === impl Stream ===

impl Stream {
    /// Takes it out of the runtime that accepted it.
    pub(super) fn detach(self) -> io::Result<Detached> {
        match self {
            Self::Tcp(stream) => stream.into_std().map(Detached::Tcp),
            Self::Unix(stream) => stream.into_std().map(Detached::Unix),
        }
    }
}

// === impl Detached ===

impl Detached {
    /// Gives it to the runtime that this is called on.
    pub(super) fn attach(self) -> io::Result<Stream> {
        match self {
            Self::Tcp(stream) => TcpStream::from_std(stream).map(Stream::Tcp),
            Self::Unix(stream) => UnixStream::from_std(stream).map(Stream::Unix),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, out),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, out),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // sockets have no buffer of ours
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests;
