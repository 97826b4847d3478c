//! A connection with the files that it has open.

use std::path::Path;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::look::{BESIDE, Files, Inode, take_away};
use crate::store::files::beside;

pub(super) struct Open {
    /// `None` only while it is closed.
    connection: Option<Connection>,
    pub(super) files: Files,
}

/// Which files connections of this process have open. SQLite lets all of them that have the same store share one index: one
/// that comes to another log gets the index of the old log with it, which destroys the store.
static HELD: Mutex<Vec<Files>> = Mutex::new(Vec::new());

// === impl Open ===

impl Open {
    pub(super) fn new(connection: Connection, files: Files) -> Self {
        HELD.lock().push(files);
        Self { connection: Some(connection), files }
    }

    pub(super) fn connection(&mut self) -> Option<&mut Connection> {
        self.connection.as_mut()
    }

    /// The old file's log must not be taken for the new file's. Not to be called after the connection is closed: the
    /// numbers of files that nobody has open are given to others.
    pub(super) fn take_away_what_lies_beside(&self, path: &Path) {
        self.files
            .beside
            .into_iter()
            .zip(BESIDE)
            .for_each(|(file, ending)| take_away(&beside(path, ending), Some(file)));
    }
}

impl Drop for Open {
    /// The last connection to a store takes along what lies beside it: it is to be out of [`HELD`] when that is gone.
    fn drop(&mut self) {
        let mut held = HELD.lock();
        drop(self.connection.take());
        if let Some(place) = held.iter().position(|files| *files == self.files) {
            held.swap_remove(place);
        }
    }
}

/// Whether this process has the store open with anything else beside it than what was found there.
pub(super) fn holds_another_log(store: Inode, found: [Option<Inode>; 2]) -> bool {
    HELD.lock().iter().any(|files| files.store == store && files.beside.map(Some) != found)
}
