//! Which file is the store, and how one connection after the other opens it.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};

use super::{
    Access,
    look::{BESIDE, Found, Inode, Stamp, take_away},
    open::{Open, holds_another_log},
};
use crate::{
    model::{Clock, Random, Timestamp},
    store::{
        OpenError, StoreError,
        files::{beside, dir_of},
        sqlite::{create_missing, file_error, make_private, refuse_other_owner, schema},
    },
};

/// How long a new file, or none, must have been there before it is taken for the store.
const STILL: Duration = Duration::from_secs(2);

/// How long a process waits before it asks again whether it is its turn to open the store, and how often it asks.
const TURN: Duration = Duration::from_millis(10);
const TURNS: u32 = 500;

/// The store's name, and which file of that name is the store. All connections of a process share it.
pub(in super::super) struct Name {
    pub(super) path: PathBuf,
    clock: Arc<dyn Clock>,
    random: Random,
    turns: u32,
    /// Before the lock that all processes share, so that of two threads that ask all the time both get their turn.
    turn: Mutex<()>,
    bearer: Mutex<Bearer>,
}

#[derive(Default)]
struct Bearer {
    /// The one that is the store.
    file: Option<Inode>,
    /// Another one, or none, and since when.
    other: Option<(Option<Stamp>, Timestamp)>,
}

/// Held by the one connection of all processes that opens the store.
pub(super) struct Turn<'n> {
    _in_process: MutexGuard<'n, ()>,
    _dir: File,
}

// === impl Name ===

impl Name {
    pub(in super::super) fn new(path: &Path, clock: Arc<dyn Clock>, random: Random) -> Self {
        Self { path: path.to_owned(), clock, random, turns: TURNS, turn: Mutex::default(), bearer: Mutex::default() }
    }

    /// Whether the file that was found under the name may be opened, or made where there is none.
    pub(super) fn may_be_opened(&self, found: Option<Stamp>) -> bool {
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

    /// Opens what was found, or makes it. Needs the [`Turn`]: what lies beside it must not change hands meanwhile.
    pub(super) fn connect(&self, found: &Found, access: Access, _turn: &Turn<'_>) -> Result<Open, OpenError> {
        let look = || Found::look(&self.path).map_err(file_error(&self.path, "look at the store's file"));
        let before = match found.inode() {
            // Made only here: where one is gone since, its log is not.
            None => {
                self.make(found)?;
                look()?.inode()
            }
            Some(file) if holds_another_log(file, found.beside) => {
                return Err(self.unavailable("has another log than the one that this process still has open").into());
            }
            file => file,
        };
        refuse_other_owner(&self.path)?;
        if let [None, index @ Some(_)] = found.beside {
            // Of a log that somebody took away. SQLite never leaves the one without the other.
            take_away(&beside(&self.path, BESIDE[1]), index);
        }
        let mut connection = schema::open(&self.path, &self.random)?;
        make_private(&self.path)?;
        if access == Access::Read {
            connection = schema::open_reader(&self.path)?;
        }
        // What lies beside it is looked at while the connection keeps it: before, another process may take it along.
        let files = look()?.files().ok_or_else(|| self.unavailable("was taken away while it was opened"))?;
        if before != Some(files.store) {
            return Err(self.unavailable("was replaced while it was opened").into());
        }
        *self.bearer.lock() = Bearer { file: Some(files.store), other: None };
        Ok(Open::new(connection, files))
    }

    /// Makes the file where there is none. What lies beside it is of one that is gone, and SQLite would go on with it.
    fn make(&self, found: &Found) -> Result<(), OpenError> {
        found.beside.into_iter().zip(BESIDE).for_each(|(file, ending)| take_away(&beside(&self.path, ending), file));
        create_missing(&self.path)
    }

    /// Waits until nobody else opens the store, so that none takes away what another has just made.
    pub(super) fn turn(&self) -> Result<Turn<'_>, OpenError> {
        let taken = || self.unavailable("is being opened by another process, which does not get done");
        let failed = || file_error(&self.path, "take turns in the store's directory");
        let in_process = self.turn.try_lock_for(TURN * self.turns).ok_or_else(taken)?;
        let dir = File::open(dir_of(&self.path)).map_err(failed())?;
        for _ in 0..self.turns {
            match dir.try_lock() {
                Ok(()) => return Ok(Turn { _in_process: in_process, _dir: dir }),
                Err(TryLockError::WouldBlock) => thread::park_timeout(TURN),
                Err(TryLockError::Error(error)) => return Err(failed()(error)),
            }
        }
        Err(taken().into())
    }

    pub(super) fn found(&self) -> Result<Found, StoreError> {
        Found::look(&self.path).map_err(|error| self.unavailable(&format!("cannot be looked at: {error}")))
    }

    pub(super) fn unavailable(&self, what: &str) -> StoreError {
        StoreError::Unavailable(format!("its file {} {what}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::Name;
    use crate::{
        model::Random,
        store::{
            OpenError, StoreError,
            conformance::ManualClock,
            sqlite::file::{Access, StoreFile},
        },
    };

    #[test]
    fn a_process_that_never_gets_done_with_opening_holds_up_nobody_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let name = Name::new(&dir.path().join("store.db"), ManualClock::new(), Random::system());
        let name = Name { turns: 2, ..name }.into();
        let other = File::open(dir.path()).unwrap();
        other.lock().unwrap();
        let refused = StoreFile::open(&name, Access::Write).err().unwrap();
        let what = "is being opened by another process";
        assert!(
            matches!(&refused, OpenError::Store(StoreError::Unavailable(said)) if said.contains(what)),
            "{refused}"
        );
        assert!(!name.path.exists());
        other.unlock().unwrap();
        assert!(StoreFile::open(&name, Access::Write).is_ok());
    }
}
