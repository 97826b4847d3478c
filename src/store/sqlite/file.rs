//! The store's file under a running process: replaced by a copy, or gone.
//!
//! SQLite goes on with the file that it has open, also when its name has gone to another one; a process would work on a
//! store that nobody else sees and that is gone with it. So the name is looked at before each job, and where it names
//! another file, that one is opened. A file that is being put in place is left alone until it has not changed for a
//! moment; one that is gone is made anew after the same time.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rusqlite::Connection;

use super::{create_missing, file_error, make_private, refuse_other_owner, schema};
use crate::{
    model::{Clock, Random, Timestamp},
    store::{
        OpenError, StoreError,
        files::{beside, dir_of},
    },
};

/// How long a new file, or none, must have been there before it is taken for the store.
const STILL: Duration = Duration::from_secs(2);

/// What SQLite keeps beside a store's file.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Write,
    Read,
}

/// The store's name, and which file of that name is the store. All connections of a process share it.
pub(super) struct Name {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    random: Random,
    bearer: Mutex<Bearer>,
}

#[derive(Default)]
struct Bearer {
    /// The one that is the store.
    file: Option<Inode>,
    /// Another one, or none, and since when.
    other: Option<(Option<Stamp>, Timestamp)>,
}

/// A connection to the file that has the store's name.
pub(super) struct StoreFile {
    name: Arc<Name>,
    access: Access,
    /// `None` after the file was replaced and before the new one could be opened.
    open: Option<Open>,
}

struct Open {
    connection: Connection,
    file: Inode,
    /// The files beside it, as far as they are there yet.
    beside: [Option<Inode>; 2],
}

/// Device and number of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Inode(u64, u64);

/// Tells whether a file is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: Inode,
    length: u64,
    changed: (i64, i64),
}

// === impl Name ===

impl Name {
    pub(super) fn new(path: &Path, clock: Arc<dyn Clock>, random: Random) -> Self {
        Self { path: path.to_owned(), clock, random, bearer: Mutex::default() }
    }

    /// Whether the file that was found under the name may be opened, or made where there is none.
    fn may_be_opened(&self, found: Option<Stamp>) -> bool {
        let now = self.clock.now();
        let mut bearer = self.bearer.lock();
        if bearer.file.is_some() && bearer.file == found.map(|stamp| stamp.inode) {
            return true;
        }
        let since = match bearer.other {
            Some((stamp, since)) if stamp == found => since,
            _ => now,
        };
        bearer.other = Some((found, since));
        now.since(since).is_none_or(|still| still >= STILL)
    }

    fn connect(&self, access: Access) -> Result<Open, OpenError> {
        create_missing(&self.path)?;
        refuse_other_owner(&self.path)?;
        let file = stamp(&self.path).map_err(file_error(&self.path, "look at the store's file"))?;
        let mut connection = schema::open(&self.path, &self.random)?;
        make_private(&self.path)?;
        if access == Access::Read {
            connection = schema::open_reader(&self.path)?;
        }
        let file = file.ok_or_else(|| self.unavailable("was taken away"))?.inode;
        *self.bearer.lock() = Bearer { file: Some(file), other: None };
        Ok(Open { connection, file, beside: [None; 2] })
    }

    fn unavailable(&self, what: &str) -> StoreError {
        StoreError::Unavailable(format!("its file {} {what}", self.path.display()))
    }
}

// === impl StoreFile ===

impl StoreFile {
    /// Opens the store of that name, or makes it.
    pub(super) fn open(name: &Arc<Name>, access: Access) -> Result<Self, OpenError> {
        Ok(Self { name: Arc::clone(name), access, open: Some(name.connect(access)?) })
    }

    /// The connection to the file that has the store's name now.
    pub(super) fn connection(&mut self) -> Result<&mut Connection, StoreError> {
        let name = Arc::clone(&self.name);
        let found = stamp(&name.path).map_err(|error| name.unavailable(&format!("cannot be looked at: {error}")))?;
        if self.open.as_ref().map(|open| open.file) != found.map(|stamp| stamp.inode) || found.is_none() {
            self.follow(found)?;
        }
        let open = self.open.as_mut().ok_or_else(|| name.unavailable("is not open"))?;
        open.look_beside(&name.path);
        Ok(&mut open.connection)
    }

    /// Opens the file that has taken the place of ours, once it is complete.
    fn follow(&mut self, found: Option<Stamp>) -> Result<(), StoreError> {
        let name = &self.name;
        let what = if found.is_some() { "is another one than before" } else { "is gone" };
        if !name.may_be_opened(found) {
            return Err(name.unavailable(what));
        }
        // One process after the other, so that none takes away what another has just made.
        let turn = File::open(dir_of(&name.path)).and_then(|dir| dir.lock().map(|()| dir));
        let _turn = turn.map_err(|error| name.unavailable(&format!("cannot be opened anew: {error}")))?;
        if let Some(open) = self.open.take() {
            open.take_away_what_lies_beside(&name.path);
        }
        self.open = Some(name.connect(self.access).map_err(|error| StoreError::Unavailable(error.to_string()))?);
        tracing::warn!(file = %name.path.display(), what, "the store's file was opened anew");
        Ok(())
    }
}

// === impl Open ===

impl Open {
    /// Notes which files lie beside ours, so that they can be told from those of another.
    fn look_beside(&mut self, path: &Path) {
        for (known, ending) in self.beside.iter_mut().zip(BESIDE) {
            if known.is_none() {
                *known = stamp(&beside(path, ending)).ok().flatten().map(|stamp| stamp.inode);
            }
        }
    }

    /// Closes the connection. The old file's log must not be taken for the new file's.
    fn take_away_what_lies_beside(self, path: &Path) {
        drop(self.connection);
        for (known, ending) in self.beside.into_iter().zip(BESIDE) {
            let path = beside(path, ending);
            if known.is_some() && stamp(&path).is_ok_and(|found| found.map(|stamp| stamp.inode) == known) {
                let _ = fs::remove_file(&path).inspect_err(|error| {
                    tracing::error!(file = %path.display(), %error, "the log of a replaced store cannot be removed");
                });
            }
        }
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
