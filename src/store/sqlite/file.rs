//! The store's file under a running process: replaced by a copy, or gone.
//!
//! SQLite goes on with the files that it has open, also when their names have gone to others; a process would work on a
//! store that nobody else sees and that is gone with it, or keep another log for the same store than its neighbours, which
//! destroys it. So the names are looked at before each job and after each commit, and where they name other files, those
//! are opened. A file that is being put in place is left alone until it has not changed for a moment; one that is gone is
//! made anew after the same time.

mod look;
mod name;
mod open;

use std::sync::Arc;

use rusqlite::Connection;

pub(super) use self::name::Name;
use self::{look::Found, open::Open};
use crate::store::{OpenError, StoreError};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Write,
    Read,
}

/// A connection to the file that has the store's name.
pub(super) struct StoreFile {
    name: Arc<Name>,
    access: Access,
    /// `None` after the file was replaced and before the new one could be opened.
    open: Option<Open>,
}

// === impl StoreFile ===

impl StoreFile {
    /// Opens the store of that name, or makes it.
    pub(super) fn open(name: &Arc<Name>, access: Access) -> Result<Self, OpenError> {
        let turn = name.turn()?;
        let found = name.found()?;
        let open = name.connect(&found, access, &turn)?;
        Ok(Self { name: Arc::clone(name), access, open: Some(open) })
    }

    /// The connection to the file that has the store's name now.
    pub(super) fn connection(&mut self) -> Result<&mut Connection, StoreError> {
        let name = Arc::clone(&self.name);
        if self.lost(&name.found()?).is_some() {
            self.follow()?;
        }
        let open = self.open.as_mut().and_then(Open::connection);
        open.ok_or_else(|| name.unavailable("is not open"))
    }

    /// Whether what the connection has done since [`Self::connection`] was done to the store.
    ///
    /// # Errors
    ///
    /// It may be lost with a file that is not the store any more.
    pub(super) fn still_ours(&self) -> Result<(), StoreError> {
        match self.lost(&self.name.found()?) {
            None => Ok(()),
            Some(what) => Err(self.name.unavailable(&format!("{what}; what was just written may be lost with it"))),
        }
    }

    /// What has become of the files that are open, where others were found, or none.
    fn lost(&self, found: &Found) -> Option<&'static str> {
        match (&self.open, found.inode()) {
            (_, None) => Some("is gone"),
            (Some(open), Some(file)) if open.files.store == file => {
                (found.files() != Some(open.files)).then_some("has lost its log")
            }
            (_, Some(_)) => Some("is another one than before"),
        }
    }

    /// Opens the file that has taken the place of ours, once it is complete.
    fn follow(&mut self) -> Result<(), StoreError> {
        let name = &self.name;
        let turn = name.turn().map_err(unavailable)?;
        // What was found before the turn came may be gone since.
        let found = name.found()?;
        let Some(what) = self.lost(&found) else { return Ok(()) };
        let may_be_opened = name.may_be_opened(found.store);
        // At once, so that nobody takes our log for that of the file that has the name now. Where none has, ours may be on its
        // way to another place, with its log to follow.
        if let (Some(open), Some(file)) = (&self.open, found.inode())
            && open.files.store != file
        {
            open.take_away_what_lies_beside(&name.path);
        }
        if !may_be_opened {
            return Err(name.unavailable(what));
        }
        // Closed first: one that is the last of its file would take away what the next has made beside it.
        self.open = None;
        self.open = Some(name.connect(&found, self.access, &turn).map_err(unavailable)?);
        tracing::warn!(file = %name.path.display(), what, "the store's file was opened anew");
        Ok(())
    }
}

fn unavailable(error: OpenError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
