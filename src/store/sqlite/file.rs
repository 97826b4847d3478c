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
use self::{
    look::{Files, Found},
    open::Open,
};
use super::refuse_other_owner;
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

/// Tells later whether a connection's files are still the store.
pub(super) struct Watch {
    name: Arc<Name>,
    files: Files,
}

// === impl StoreFile ===

impl StoreFile {
    /// Opens the store of that name, or makes it.
    pub(super) fn open(name: &Arc<Name>, access: Access) -> Result<Self, OpenError> {
        // Before anything is made there, which its owner could not open.
        if name.path().exists() {
            refuse_other_owner(name.path())?;
        }
        let turn = name.turn()?;
        let open = name.connect(&name.found()?, access, &turn);
        let is_not_ours = |error: &OpenError| matches!(error, OpenError::Foreign { .. } | OpenError::Newer { .. });
        let open = open.inspect_err(|error| {
            if is_not_ours(error) {
                name.leave(&turn);
            }
        })?;
        Ok(Self { name: Arc::clone(name), access, open: Some(open) })
    }

    /// The connection to the file that has the store's name now.
    pub(super) fn connection(&mut self) -> Result<&mut Connection, StoreError> {
        if self.lost(&self.name.found()?).is_some() {
            self.follow()?;
        }
        self.opened()
    }

    /// The connection, without a look.
    pub(super) fn opened(&mut self) -> Result<&mut Connection, StoreError> {
        let name = &self.name;
        self.open.as_mut().and_then(Open::connection).ok_or_else(|| name.unavailable("is not open"))
    }

    pub(super) fn watch(&self) -> Result<Watch, StoreError> {
        let open = self.open.as_ref().ok_or_else(|| self.name.unavailable("is not open"))?;
        Ok(Watch { name: Arc::clone(&self.name), files: open.files })
    }

    fn lost(&self, found: &Found) -> Option<&'static str> {
        lost(self.open.as_ref().map(|open| open.files), found)
    }

    /// Opens the files that have taken the place of ours, once they are complete.
    fn follow(&mut self) -> Result<(), StoreError> {
        let name = &self.name;
        let turn = name.turn().map_err(unavailable)?;
        // What was found before the turn came may be gone since.
        let mut found = name.found()?;
        let Some(what) = self.lost(&found) else { return Ok(()) };
        // At once, so that nobody takes our log for that of the file that has the name now. Where none has it, ours may be on
        // its way to another place, with its log to follow.
        if let (Some(open), Some(store)) = (&self.open, found.inode())
            && open.files.store != store
        {
            open.take_away_what_lies_beside();
            found = name.found()?;
        }
        if !name.may_be_opened(&found) {
            return Err(name.unavailable(what));
        }
        if let Some(open) = &self.open
            && Some(open.files.store) == found.inode()
        {
            // Where another log has the name, whoever made it has emptied ours.
            if found.beside[0].is_none_or(|log| log == open.files.beside[0]) {
                open.empty_the_log()?;
            }
            // The store stays, and a log must not get a second index.
            open.take_away_what_lies_beside();
        }
        self.open = None;
        let (before, found) = (found.inode(), name.found()?);
        if found.inode() != before {
            return Err(name.unavailable("was replaced while it was opened"));
        }
        self.open = Some(name.connect(&found, self.access, &turn).map_err(unavailable)?);
        tracing::warn!(file = %name.path().display(), what, "the store's file was opened anew");
        Ok(())
    }
}

// === impl Watch ===

impl Watch {
    /// Whether what is done by the connection is done to the store.
    ///
    /// # Errors
    ///
    /// What was just written may be lost with files that are not the store any more.
    pub(super) fn still_ours(&self) -> Result<(), StoreError> {
        match lost(Some(self.files), &self.name.found()?) {
            None => Ok(()),
            Some(what) => Err(self.name.unavailable(&format!("{what}; what was just written may be lost with it"))),
        }
    }
}

/// What has become of the files that are open, where others were found, or none.
fn lost(open: Option<Files>, found: &Found) -> Option<&'static str> {
    match (open, found.inode()) {
        (_, None) => Some("is gone"),
        (Some(open), Some(store)) if open.store == store => (found.files() != Some(open)).then_some("has lost its log"),
        (_, Some(_)) => Some("is another one than before"),
    }
}

fn unavailable(error: OpenError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
