//! Which file is the store, and how one connection after the other opens it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::{
    Access,
    look::{BESIDE, Files, Found, take_away},
    open::{Open, holds, holds_another_log},
};
use crate::{
    model::{Clock, Random, Timestamp},
    store::{
        OpenError, StoreError,
        files::{beside, create_private},
        sqlite::{create, file_error, make_private, refuse_other_owner, schema},
    },
};

/// How long other files, or none, must have been there before they are taken for the store.
const STILL: Duration = Duration::from_secs(2);

/// What the name of the file ends in by which they take turns.
const TURN: &str = "-turn";

/// How long a connection waits for its turn to open the store, and how long before it asks again.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);

/// The store's name, and which files of that name are the store. All connections of a process share it.
pub(in super::super) struct Name {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    random: Random,
    patience: Duration,
    /// Before the lock that all processes share, so that of two threads that ask all the time both get their turn.
    turn: Mutex<()>,
    bearer: Mutex<Bearer>,
    /// Another connection of this process has to let go of a log that is lost, before one can open the next.
    waits: AtomicBool,
}

#[derive(Default)]
struct Bearer {
    /// Those that are the store.
    files: Option<Files>,
    /// Others, or none, and since when.
    others: Option<(Found, Timestamp)>,
}

/// Held by the one connection of all processes that opens the store, or lets go of what lies beside it.
pub(super) struct Turn<'n> {
    _file: File,
    _in_process: MutexGuard<'n, ()>,
    /// The file that is locked was not there before.
    is_first: bool,
}

// === impl Name ===

impl Name {
    pub(in super::super) fn new(path: &Path, clock: Arc<dyn Clock>, random: Random) -> Self {
        let (turn, bearer, waits) = (Mutex::default(), Mutex::default(), AtomicBool::default());
        Self { path: path.to_owned(), clock, random, patience: PATIENCE, turn, bearer, waits }
    }

    pub(in super::super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether what was found under the name may be opened, or made where there is none.
    pub(super) fn may_be_opened(&self, found: &Found) -> bool {
        let now = self.clock.now();
        let mut bearer = self.bearer.lock();
        // Only while they are open: the numbers of files that nobody has open are given to others.
        if bearer.files.is_some_and(|files| found.files() == Some(files) && holds(files)) {
            return true;
        }
        let since = match bearer.others {
            Some((others, since)) if others == *found => since,
            _ => now,
        };
        bearer.others = Some((*found, since));
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
                self.waits.store(true, Ordering::Release);
                return Err(self.unavailable("has another log than the one that this process still has open").into());
            }
            file => file,
        };
        refuse_other_owner(&self.path)?;
        if let [None, index @ Some(_)] = found.beside {
            // Without its log an index is of no use, and SQLite would go on with it.
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
        *self.bearer.lock() = Bearer { files: Some(files), others: None };
        Ok(Open::new(connection, &self.path, files))
    }

    /// Makes the file where there is none. What lies beside it is of one that is gone, and SQLite would go on with it.
    fn make(&self, found: &Found) -> Result<(), OpenError> {
        found.beside.into_iter().zip(BESIDE).for_each(|(file, ending)| take_away(&beside(&self.path, ending), file));
        create(&self.path)
    }

    /// Waits until nobody else opens the store, so that none takes away what another has just made. What is locked is a
    /// file of our own, as whoever may read a directory may lock that.
    pub(super) fn turn(&self) -> Result<Turn<'_>, OpenError> {
        let until = Instant::now() + self.patience;
        let taken = || self.unavailable("is being opened by another process, which does not get done");
        let in_process = self.turn.try_lock_until(until.into_std()).ok_or_else(taken)?;
        let path = beside(&self.path, TURN);
        let failed = || file_error(&path, "take turns by the file");
        let (file, is_first) = match create_private(&path) {
            Ok(file) => (file, true),
            Err(_) => (OpenOptions::new().read(true).write(true).open(&path).map_err(failed())?, false),
        };
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Turn { _file: file, _in_process: in_process, is_first }),
                Err(TryLockError::WouldBlock) if Instant::now() < until => thread::park_timeout(PAUSE),
                Err(TryLockError::WouldBlock) => return Err(taken().into()),
                Err(TryLockError::Error(error)) => return Err(failed()(error)),
            }
        }
    }

    /// For a file that is none of ours: leaves nothing beside it.
    pub(super) fn leave(&self, turn: &Turn<'_>) {
        if turn.is_first {
            let _ = fs::remove_file(beside(&self.path, TURN));
        }
    }

    /// Whether a connection could not be opened because of another one of this process, since this was asked last.
    pub(in super::super) fn waits_for_another(&self) -> bool {
        self.waits.swap(false, Ordering::AcqRel)
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
    use std::{fs::File, sync::Arc, time::Duration};

    use super::{Name, TURN};
    use crate::{
        model::Random,
        store::{
            OpenError, StoreError,
            conformance::ManualClock,
            files::beside,
            sqlite::file::{Access, StoreFile},
        },
    };

    #[test]
    fn a_process_that_never_gets_done_with_opening_holds_up_nobody_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let name = Name::new(&dir.path().join("store.db"), ManualClock::new(), Random::system());
        let name = Arc::new(Name { patience: Duration::from_millis(1), ..name });
        let other = File::create(beside(&name.path, TURN)).unwrap();
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
