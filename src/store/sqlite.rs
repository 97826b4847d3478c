//! `sqlite:PATH`: rows in a file, durable when a write is answered, shared safely by several processes of one machine.
//!
//! Times are those of the [`Clock`] that is handed in. All processes on a file run on one machine, so that its clock is
//! the store's; in tests it is the test's.

mod file;
mod reader;
mod rows;
mod schema;
mod worker;
mod writer;

use std::{
    fmt, fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::time::Instant;

use self::{
    file::{Access, Name, StoreFile},
    reader::Reader,
    writer::{Outcome, Writer},
};
use super::{
    OpenError, StoreError,
    backend::{Backend, Bid, Change, Key, Kind, Listed, Names, Pulse, Revision, Row, RowState, Written},
    files::{beside, create_private, create_private_dir, dir_of, exposure_of_dir, sync_dir_of},
};
use crate::model::{Clock, Random, TenantId, Timestamp, token::Owner};

/// How long an operation waits for its turn, here and among the processes, before the store counts as unavailable.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many rows one transaction of a purge deletes, so that other writes get their turn.
const PURGE_STEP: u64 = 1000;

/// A store in a file. Writes are made by one thread, those that come together in one transaction, and reads by another,
/// each with its own connection.
pub struct SqliteBackend {
    name: Arc<Name>,
    clock: Arc<dyn Clock>,
    patience: Duration,
    writer: Writer,
    reader: Reader,
}

// === impl SqliteBackend ===

impl SqliteBackend {
    /// Opens the store at `path`, or makes it: the file with mode 0600, a missing directory with 0700. Reads and writes
    /// the file, so not to be called where waiting for a disk is bad.
    ///
    /// # Errors
    ///
    /// A file that is not ours, is newer than we are or belongs to another user is refused, and left as it is.
    pub fn open(path: &Path, clock: Arc<dyn Clock>, random: &Random) -> Result<Self, OpenError> {
        // An absolute path is never one of the names that mean something else to SQLite, such as ":memory:".
        let path = std::path::absolute(path).map_err(file_error(path, "find the store"))?;
        create_private_dir(dir_of(&path)).map_err(file_error(dir_of(&path), "make the store's directory"))?;
        // SQLite follows a link, and keeps its log beside what that leads to.
        let path = fs::canonicalize(&path).unwrap_or(path);
        let name = Arc::new(Name::new(&path, Arc::clone(&clock), random.clone()));
        let no_thread = || file_error(&path, "start its thread");
        let writer = Writer::start(StoreFile::open(&name, Access::Write)?).map_err(no_thread())?;
        let reader = Reader::start(StoreFile::open(&name, Access::Read)?).map_err(no_thread())?;
        Ok(Self { name, clock, patience: PATIENCE, writer, reader })
    }

    /// Runs `job` in a transaction of the reader: it sees one state of the store.
    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let done = self.reader.run(self.deadline(), move |connection| job(&*connection.transaction()?)).await;
        if done.is_err() && self.name.waits_for_another() {
            self.writer.look(self.deadline());
        }
        done
    }

    /// Runs `job` in a transaction of the writer, which has the store to itself from the beginning.
    async fn transact<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<Outcome<T>, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.write(self.deadline(), job).await
    }

    /// Until when an operation that begins now waits for its turn.
    fn deadline(&self) -> Instant {
        Instant::now() + self.patience
    }
}

#[async_trait]
impl Backend for SqliteBackend {
    fn exposure(&self) -> Option<String> {
        exposure_of_dir(dir_of(self.name.path()))
    }

    async fn store_id(&self) -> Result<[u8; 16], StoreError> {
        self.read(rows::store_id).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.clock.now())
    }

    async fn pulse(&self, beside: &Key) -> Result<Pulse, StoreError> {
        let (beside, clock) = (beside.clone(), Arc::clone(&self.clock));
        let job = move |connection: &Connection| {
            let (store, newest) = rows::head(connection)?;
            let row = rows::get(connection, &beside)?;
            // A file that took the place of another is out of reach for a while first, which is noticed.
            Ok(Pulse { store, newest, now: clock.now(), row, connections: 0 })
        };
        self.read(job).await
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, StoreError> {
        let keys = keys.to_vec();
        self.read(move |connection| keys.iter().map(|key| rows::get(connection, key)).collect()).await
    }

    async fn write(&self, changes: Vec<Change>) -> Result<Written, StoreError> {
        let job = move |writing: &Connection| {
            Ok(match rows::write(writing, &changes)? {
                done @ Written::Done(_) => Outcome::Keep(done),
                conflict @ Written::Conflict(_) => Outcome::Undo(conflict),
            })
        };
        self.transact(job).await
    }

    async fn list(
        &self,
        kind: Kind,
        state: Option<RowState>,
        names: Names<'_>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let (after, prefix) = (names.after.to_owned(), names.prefix.to_owned());
        let job = move |connection: &Connection| {
            let names = Names { after: &after, prefix: &prefix };
            let list = |state| rows::list(connection, kind, state, names, limit);
            match state {
                Some(state) => list(state),
                None => {
                    // The first of both are among the first of each; so the index on the state serves here too, and
                    // markers cost nothing.
                    let mut listed = list(RowState::Live)?;
                    listed.extend(list(RowState::Disconnected)?);
                    listed.sort_by(|(a, _), (b, _)| a.cmp(b));
                    listed.truncate(limit);
                    Ok(listed)
                }
            }
        };
        self.read(job).await
    }

    async fn changes(&self, since: Revision, limit: usize) -> Result<(Revision, Vec<(Key, Revision)>), StoreError> {
        self.read(move |connection| rows::changes(connection, since, limit)).await
    }

    async fn bid(&self, tenant: &TenantId, owner: &Owner, length: Duration, by: Timestamp) -> Result<Bid, StoreError> {
        let (tenant, owner, clock) = (tenant.clone(), owner.clone(), Arc::clone(&self.clock));
        // The time is that of the transaction, not of the call: a bid that had to queue would otherwise see the lease
        // of one that overtook it end more than a whole length away, and count it as ended.
        let job =
            move |writing: &Connection| rows::bid(writing, &tenant, &owner, clock.now(), length, by).map(Outcome::Keep);
        self.transact(job).await
    }

    async fn release(&self, tenant: &TenantId, owner: &Owner) -> Result<(), StoreError> {
        let (tenant, owner) = (tenant.clone(), owner.clone());
        self.transact(move |writing| rows::release(writing, &tenant, &owner).map(Outcome::Keep)).await
    }

    async fn touch(&self, used: &[(Key, Timestamp)]) -> Result<(), StoreError> {
        let used = used.to_vec();
        self.transact(move |writing| rows::touch(writing, &used).map(Outcome::Keep)).await
    }

    async fn purge(&self, kind: Kind, before: Timestamp) -> Result<u64, StoreError> {
        let mut purged = 0;
        loop {
            let step = move |writing: &Connection| rows::purge(writing, kind, before, PURGE_STEP).map(Outcome::Keep);
            let deleted = self.transact(step).await?;
            purged += deleted;
            if deleted < PURGE_STEP {
                return Ok(purged);
            }
        }
    }
}

impl fmt::Debug for SqliteBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteBackend").field("path", &self.name.path()).finish_non_exhaustive()
    }
}

// === files ===

/// SQLite would make the file with the permissions that the umask leaves; so it is made before. Its descriptor is closed
/// while nobody in this process has the file open in SQLite: all of SQLite's locks on it would end with that.
fn create(path: &Path) -> Result<(), OpenError> {
    drop(create_private(path).map_err(file_error(path, "make the store's file"))?);
    sync_dir_of(path).map_err(file_error(path, "make the store's file durable"))
}

/// A store that another user's sidecar works on would get files of ours beside it, which it then could not read.
fn refuse_other_owner(path: &Path) -> Result<(), OpenError> {
    let uid = fs::metadata(path).map_err(file_error(path, "look at the store's file"))?.uid();
    match uid == rustix::process::geteuid().as_raw() {
        true => Ok(()),
        false => Err(OpenError::OtherOwner { path: path.into(), uid }),
    }
}

/// The file and what SQLite keeps beside it, for a store that was made or copied with wider permissions.
fn make_private(path: &Path) -> Result<(), OpenError> {
    for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        match fs::set_permissions(&file, fs::Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file_error(&file, "set the permissions of the store's file")(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn file_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |error| OpenError::File { path, doing, error }
}

/// SQLite's messages speak of its own state and of columns, never of what is in them.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        // One message stands for dozens of causes, which only the number tells apart (sqlite.org/rescode.html).
        let code = error.sqlite_error().map(|failure| format!(" (result code {})", failure.extended_code));
        Self::Unavailable(format!("SQLite: {error}{}", code.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests;
