//! Socket files: made so that nobody else can connect in between, and removed only while they are ours.

use std::{
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

use super::BACKLOG;
use crate::model::Random;

/// A socket file of ours, known by device and inode: the name may belong to a newer process by the time we go.
#[derive(Debug)]
pub(super) struct SocketFile {
    pub(super) path: PathBuf,
    identity: (u64, u64),
}

/// Binds in a directory that only we can enter, sets the mode there, and moves the socket to its place: its mode is
/// never wider than asked for, and whoever finds the name can connect.
pub(super) fn bind(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    refuse_if_taken(path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Where others may write too, nobody can be there first.
    let nursery = parent.join(format!(".fsp-{:016x}", u64::from_le_bytes(Random::system().bytes())));
    let cradle = nursery.join("s");
    std::fs::DirBuilder::new().mode(0o700).create(&nursery)?;
    let bound = (|| {
        // A file's descriptor is a short name for its path, where `cradle` is longer than an address holds although
        // `path` is not.
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
        Ok((listener, file))
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
