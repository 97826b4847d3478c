//! A connection with the files that it has open.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rusqlite::{Connection, config::DbConfig};

use super::look::{BESIDE, Files, Found, Inode, take_away};
use crate::store::{StoreError, files::beside};

pub(super) struct Open {
    /// `None` only while it is closed.
    connection: Option<Connection>,
    path: PathBuf,
    pub(super) files: Files,
}

/// Which files connections of this process have open. SQLite lets all of them that have the same store share one index: one
/// that comes to another log gets the index of the old log with it, which destroys the store.
static HELD: Mutex<Vec<Files>> = Mutex::new(Vec::new());

// === impl Open ===

impl Open {
    pub(super) fn new(connection: Connection, path: &Path, files: Files) -> Self {
        HELD.lock().push(files);
        Self { connection: Some(connection), path: path.to_owned(), files }
    }

    pub(super) fn connection(&mut self) -> Option<&mut Connection> {
        self.connection.as_mut()
    }

    /// Brings what the log has into the store, for a log that is about to be given up while the store stays: afterwards
    /// nothing is in it alone.
    pub(super) fn empty_the_log(&self) -> Result<(), StoreError> {
        let Some(connection) = &self.connection else { return Ok(()) };
        let counts =
            |row: &rusqlite::Row<'_>| Ok((row.get::<_, bool>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
        match connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], counts)? {
            (false, in_log, in_store) if in_log == in_store => Ok(()),
            _ => Err(StoreError::Unavailable("SQLite: its log is still being read".into())),
        }
    }

    /// The old file's log must not be taken for the new file's, nor get a second index. Not to be called after the connection
    /// is closed: the numbers of files that nobody has open are given to others.
    pub(super) fn take_away_what_lies_beside(&self) {
        for (file, ending) in self.files.beside.into_iter().zip(BESIDE) {
            take_away(&beside(&self.path, ending), Some(file));
        }
    }
}

impl Drop for Open {
    /// The last connection to a store takes along what lies beside it: it is to be out of [`HELD`] when that is gone.
    fn drop(&mut self) {
        let mut held = HELD.lock();
        if let Some(connection) = self.connection.take()
            && Found::look(&self.path).is_ok_and(|found| found.files() != Some(self.files))
        {
            // SQLite goes by names, and would write our log into a store that has gone on without it, and remove the next one.
            let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
        if let Some(place) = held.iter().position(|files| *files == self.files) {
            held.swap_remove(place);
        }
    }
}

/// Whether a connection of this process has these very files open.
pub(super) fn holds(files: Files) -> bool {
    HELD.lock().contains(&files)
}

/// Whether this process has the store open with anything else beside it than what was found there.
pub(super) fn holds_another_log(store: Inode, found: [Option<Inode>; 2]) -> bool {
    HELD.lock().iter().any(|files| files.store == store && files.beside.map(Some) != found)
}
