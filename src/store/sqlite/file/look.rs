//! What lies under the store's name and beside it.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use crate::store::files::beside;

/// What SQLite keeps beside a store's file: its log, and the index to that, which all processes share.
pub(super) const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// Device and number of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inode(u64, u64);

/// Tells whether a file is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) inode: Inode,
    length: u64,
    changed: (i64, i64),
}

/// What is under the store's name, and beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) store: Option<Stamp>,
    pub(super) beside: [Option<Inode>; 2],
}

/// A file and those beside it. SQLite keeps them for as long as a connection has them open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) store: Inode,
    pub(super) beside: [Inode; 2],
}

// === impl Found ===

impl Found {
    pub(super) fn look(path: &Path) -> io::Result<Self> {
        let inode = |path: &Path| Ok::<_, io::Error>(stamp(path)?.map(|stamp| stamp.inode));
        // The index first: SQLite makes it after the log, so that one without a log is one that has lost it.
        let [log, index] = BESIDE.map(|ending| beside(path, ending));
        let index = inode(&index)?;
        Ok(Self { beside: [inode(&log)?, index], store: stamp(path)? })
    }

    pub(super) fn inode(&self) -> Option<Inode> {
        self.store.map(|stamp| stamp.inode)
    }

    pub(super) fn files(&self) -> Option<Files> {
        let [log, index] = self.beside;
        Some(Files { store: self.inode()?, beside: [log?, index?] })
    }
}

/// Removes the file that belonged to another store's, if it is still that one.
pub(super) fn take_away(path: &Path, known: Option<Inode>) {
    if known.is_some() && stamp(path).is_ok_and(|found| found.map(|stamp| stamp.inode) == known) {
        let _ = fs::remove_file(path).inspect_err(|error| {
            tracing::error!(file = %path.display(), %error, "the log of a replaced store cannot be removed");
        });
    }
}

/// `None` where there is no such file.
fn stamp(path: &Path) -> io::Result<Option<Stamp>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(found) => Ok(Some(Stamp {
            inode: Inode(found.dev(), found.ino()),
            length: found.len(),
            changed: (found.mtime(), found.mtime_nsec()),
        })),
    }
}
