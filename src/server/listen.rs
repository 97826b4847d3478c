//! Where we are reached: TCP addresses and unix sockets.

use std::{
    fmt, io,
    net::SocketAddr,
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};
use tracing::info;

use crate::model::{ListenAddress, ListenOn, Need, TenantId};

/// Connections that the kernel keeps for us while we are busy. One over it is dropped, and its client's kernel tries again a second later,
/// which looks like a slow sidecar. 4096 is what `net.core.somaxconn` is by default since Linux 5.4; where that is less, the kernel caps it
/// (listen(2)), and where an administrator wants fewer, that is the place to say so.
const BACKLOG: i32 = 4096;

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
    tenant: Option<TenantId>,
}

#[derive(Debug)]
enum ListenerSocket {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// An accepted connection.
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket file of ours, known by device and inode: the name may belong to a newer process by the time we go.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

/// Binds all addresses, or none: the listeners that were bound are closed again when one fails. Needs a tokio runtime.
pub fn bind_all(addresses: &[ListenOn]) -> Result<Vec<Listener>, BindError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for on in addresses {
        match Listener::bind(on) {
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
    /// Binds one address. Needs a tokio runtime.
    pub fn bind(on: &ListenOn) -> Result<Self, BindError> {
        let socket = match &on.address {
            ListenAddress::Tcp(address) => bind_tcp(*address).map(ListenerSocket::Tcp),
            ListenAddress::Unix { path, mode } => bind_unix(path, *mode),
        };
        match socket {
            Ok(socket) => Ok(Self { socket, tenant: on.tenant.clone() }),
            Err(source) => Err(BindError { address: on.address.clone(), source }),
        }
    }

    /// The tenant of every request that arrives here.
    pub fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// The address that was bound, with the port that port 0 became; `None` for a unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.socket {
            ListenerSocket::Tcp(listener) => listener.local_addr().ok(),
            ListenerSocket::Unix(..) => None,
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
            ListenerSocket::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.socket, self.local_addr()) {
            (ListenerSocket::Unix(_, file), _) => write!(f, "unix:{}", file.path.display()),
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

/// Binds in a directory that only we can enter, sets the mode there, and moves the socket to its place: its mode is never wider than
/// asked for, and whoever finds the name can connect.
fn bind_unix(path: &Path, mode: u32) -> io::Result<ListenerSocket> {
    refuse_if_taken(path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let nursery = parent.join(format!(".fsp-{}", std::process::id()));
    let cradle = nursery.join("s");
    // In a container every process has the same id, so these may be a dead one's.
    let _absent = std::fs::remove_file(&cradle);
    let _absent = std::fs::remove_dir(&nursery);
    std::fs::DirBuilder::new().mode(0o700).create(&nursery)?;
    let bound = (|| {
        // A file's descriptor is a short name for its path, where `cradle` is longer than an address holds although `path` is not.
        let directory = std::fs::File::open(&nursery)?;
        let address = SockAddr::unix(&cradle)
            .or_else(|_too_long| SockAddr::unix(format!("/proc/self/fd/{}/s", directory.as_raw_fd())))?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address)?;
        std::fs::set_permissions(&cradle, std::fs::Permissions::from_mode(mode))?;
        socket.listen(BACKLOG)?;
        let listener = UnixListener::from_std(socket.into())?;
        let metadata = std::fs::symlink_metadata(&cradle)?;
        std::fs::rename(&cradle, path)?;
        let file = SocketFile { path: path.to_owned(), identity: (metadata.dev(), metadata.ino()) };
        Ok(ListenerSocket::Unix(listener, file))
    })();
    let _gone = std::fs::remove_file(&cradle);
    let _gone = std::fs::remove_dir(&nursery);
    bound
}

/// Fails where `path` is somebody's: a file that is no socket, or a socket that a living process listens on.
fn refuse_if_taken(path: &Path) -> io::Result<()> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file exists and is not a socket"));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?; // a full backlog must not hold us up; it is a sign of life as well
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        _ => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens on this socket")),
    }
}

// === impl SocketFile ===

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) == self.identity);
        if ours {
            let _gone = std::fs::remove_file(&self.path);
        }
    }
}

// === impl Stream ===

impl Stream {
    /// The address by which the client reached us; `None` on a unix socket.
    pub fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        match self {
            Self::Tcp(stream) => stream.local_addr().map(Some),
            Self::Unix(_) => Ok(None),
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
