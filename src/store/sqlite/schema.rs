//! The tables, and how a file becomes a store of ours or is left alone.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, params};

use crate::{
    model::Random,
    store::{OpenError, StoreError},
};

/// `flxp`; in the file's header, where `file` shows it.
const APPLICATION_ID: i64 = 0x666c_7870;

/// What leads from each format to the next. `user_version` in the file's header says how many of them have been taken.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE store (
        one  INTEGER PRIMARY KEY CHECK (one = 1),
        id   BLOB NOT NULL,
        head INTEGER NOT NULL            -- the newest revision; only ever grows
    ) STRICT;
    CREATE TABLE records (
        id        INTEGER PRIMARY KEY,
        kind      INTEGER NOT NULL,      -- Kind::code
        name      TEXT NOT NULL,
        revision  INTEGER NOT NULL,
        grant_id  BLOB,
        version   INTEGER,
        state     INTEGER NOT NULL,      -- RowState::code
        due       INTEGER,               -- times are milliseconds since 1970
        body      BLOB NOT NULL,
        last_used INTEGER,
        UNIQUE (kind, name)
    ) STRICT;
    CREATE INDEX records_by_revision ON records (revision, kind, name);
    CREATE INDEX records_by_state ON records (kind, state, name);
    CREATE INDEX records_by_due ON records (kind, due) WHERE due IS NOT NULL;
    CREATE TABLE leases (
        tenant   TEXT PRIMARY KEY,
        host     TEXT NOT NULL,
        instance TEXT NOT NULL,
        ends     INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
"];

const KNOWN: i64 = MIGRATIONS.len() as i64;

/// How long each step of opening a store waits for another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the switch to the write-ahead log is tried while other processes make or open the same file.
const SWITCH_TRIES: u32 = 1000;

/// What a file turns out to be.
enum Found {
    Blank,
    /// A store of ours after so many migrations.
    Ours(i64),
    Foreign,
}

/// Opens the existing file at `path`, makes it a store if it is blank, and brings an older store up to date. Any other
/// file stays as it is.
pub(super) fn open(path: &Path, random: &Random) -> Result<Connection, OpenError> {
    let mut connection = connect(path)?;
    let found = {
        // One transaction, so that the answers are of one moment: another process may be making the store right now.
        let looking = connection.transaction().map_err(failed(path))?;
        found(&looking, path)?
    };
    if needs_migration(found, path)?.is_some() {
        migrate(&mut connection, path, random)?;
    }
    write_ahead(&connection, path)?;
    open_files(&connection, path)?;
    Ok(connection)
}

/// Switches to the write-ahead log, so that readers go on while somebody writes. The mode stays in the file; to set it
/// again changes nothing.
fn write_ahead(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let switch = || connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0));
    let mut tries = 0;
    let mode = loop {
        match switch() {
            // SQLite does not wait here as it does elsewhere. To begin a transaction does wait, for whoever is busy
            // with the same switch.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && tries < SWITCH_TRIES => {
                tries += 1;
                connection.execute_batch("BEGIN IMMEDIATE; COMMIT").map_err(failed(path))?;
            }
            mode => break mode.map_err(failed(path))?,
        }
    };
    if mode == "wal" {
        return Ok(());
    }
    let why = format!("{}: SQLite cannot use its write-ahead log here (network file system?)", path.display());
    Err(StoreError::Unavailable(why).into())
}

/// Another connection to a store that [`open`] has prepared; it cannot write.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let connection = connect(path)?;
    connection.pragma_update(None, "query_only", true).map_err(failed(path))?;
    open_files(&connection, path)?;
    Ok(connection)
}

/// SQLite opens the file and its log, and keeps them, with the first page that is read.
fn open_files(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    found(connection, path).map(drop)
}

/// Without `SQLITE_OPEN_CREATE`, so that no file comes to be with other permissions than ours.
fn connect(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed(path))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed(path))?;
    // A commit is on the disk before it is answered.
    connection.pragma_update(None, "synchronous", "full").map_err(failed(path))?;
    // What a statement needs to put aside: a container without /tmp has no other place for it.
    connection.pragma_update(None, "temp_store", "memory").map_err(failed(path))?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, path: &Path, random: &Random) -> Result<(), OpenError> {
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed(path))?;
    // Another process may have been faster; look again now that nobody else can write.
    let Some(from) = needs_migration(found(&change, path)?, path)? else { return Ok(()) };
    for migration in MIGRATIONS.iter().skip(usize::try_from(from).unwrap_or_default()) {
        change.execute_batch(migration).map_err(failed(path))?;
    }
    if from == 0 {
        let id: [u8; 16] = random.bytes();
        change.execute("INSERT INTO store (one, id, head) VALUES (1, ?1, 0)", params![id]).map_err(failed(path))?;
        change.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed(path))?;
    }
    change.pragma_update(None, "user_version", KNOWN).map_err(failed(path))?;
    change.commit().map_err(failed(path))
}

/// How many migrations the file has seen, if some are missing.
fn needs_migration(found: Found, path: &Path) -> Result<Option<i64>, OpenError> {
    match found {
        Found::Blank => Ok(Some(0)),
        Found::Ours(KNOWN) => Ok(None),
        Found::Ours(version) if version > KNOWN => {
            Err(OpenError::Newer { path: path.into(), found: version, known: KNOWN })
        }
        Found::Ours(version) if version > 0 => Ok(Some(version)),
        Found::Ours(_) | Found::Foreign => Err(OpenError::Foreign { path: path.into() }),
    }
}

/// Only reads.
fn found(connection: &Connection, path: &Path) -> Result<Found, OpenError> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let look = || {
        Ok(match number("PRAGMA application_id")? {
            APPLICATION_ID => Found::Ours(number("PRAGMA user_version")?),
            0 if number("PRAGMA user_version")? == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0 => {
                Found::Blank
            }
            _ => Found::Foreign,
        })
    };
    look().map_err(failed(path))
}

fn failed(path: &Path) -> impl Fn(rusqlite::Error) -> OpenError {
    |error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign { path: path.into() },
        _ => StoreError::from(error).into(),
    }
}
