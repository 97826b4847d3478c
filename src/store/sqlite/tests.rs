mod replaced;
mod together;
mod waiting;

use std::{
    fs,
    future::poll_fn,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    sync::{Arc, Barrier},
    task::Poll,
    time::Duration,
};

use rusqlite::Connection;

use super::{SqliteBackend, writer::Outcome};
use crate::{
    model::{Clock, Random, token::Owner},
    store::{
        OpenError, StoreError,
        backend::{Backend, Bid, Change, Expect, Key, Kind, Label, Revision, Written},
        conformance::{Engine, ManualClock, conformance},
        record::Body,
    },
};

struct Sqlite {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Engine for Sqlite {
    fn handle(&self) -> Arc<dyn Backend> {
        Arc::new(open(&self.dir.path().join("store.db"), &self.clock).expect("opened"))
    }

    fn pass(&self, time: Duration) {
        self.clock.pass(time);
    }
}

fn engine() -> Sqlite {
    Sqlite { dir: tempfile::tempdir().expect("a directory"), clock: ManualClock::new() }
}

fn open(path: &Path, clock: &Arc<ManualClock>) -> Result<SqliteBackend, OpenError> {
    SqliteBackend::open(path, Arc::clone(clock) as _, &Random::system())
}

conformance!(engine());

async fn newest(store: &SqliteBackend) -> Option<u64> {
    let (newest, _) = store.changes(Revision(0), 1).await.ok()?;
    Some(newest.0)
}

async fn put(store: &SqliteBackend) {
    let change = Change {
        key: Key::new(Kind::Meta, "probe"),
        expect: Expect::Anything,
        label: Label::default(),
        body: Body::default(),
    };
    let written = store.write(vec![change]).await;
    assert!(matches!(written, Ok(Written::Done(_))), "{written:?}");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").mode() & 0o777
}

#[tokio::test]
async fn files_are_their_owners_alone() {
    let engine = engine();
    let path = engine.dir.path().join("a/b/store.db");
    let store = open(&path, &engine.clock).expect("opened");
    assert_eq!(store.now().await.is_ok(), store.store_id().await.is_ok());
    for name in ["store.db", "store.db-wal", "store.db-shm"] {
        assert_eq!(mode(&path.with_file_name(name)), 0o600, "{name}");
    }
    assert_eq!(mode(&engine.dir.path().join("a")), 0o700);
}

#[test]
fn a_commit_is_on_the_disk_before_it_is_answered() {
    let engine = engine();
    let path = engine.dir.path().join("store.db");
    drop(open(&path, &engine.clock).expect("made"));
    let connection = super::schema::open(&path, &Random::system()).expect("opened");
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0));
    assert_eq!(pragma("synchronous"), Ok(rusqlite::types::Value::Integer(2)), "FULL");
    assert_eq!(pragma("journal_mode"), Ok(rusqlite::types::Value::Text("wal".into())));
    assert_eq!(
        pragma("temp_store"),
        Ok(rusqlite::types::Value::Integer(2)),
        "MEMORY: nothing but the store is written"
    );
}

/// `.cargo/config.toml` says what is left out.
#[test]
fn sqlite_is_compiled_without_what_no_statement_needs() {
    let connection = Connection::open_in_memory().expect("opened");
    let mut statement = connection.prepare("PRAGMA compile_options").expect("a statement");
    let options = statement.query_map([], |row| row.get::<_, String>(0)).expect("read");
    let options: Vec<_> = options.map(|option| option.expect("a text")).collect();
    for needless in ["ENABLE_FTS3", "ENABLE_FTS5", "ENABLE_RTREE", "ENABLE_LOAD_EXTENSION", "ENABLE_DBSTAT_VTAB"] {
        assert!(!options.iter().any(|option| option.starts_with(needless)), "{needless}");
    }
    assert!(options.iter().any(|option| option == "OMIT_LOAD_EXTENSION"), "{options:?}");
}

#[test]
fn wider_permissions_are_taken_back() {
    let engine = engine();
    let path = engine.dir.path().join("store.db");
    drop(open(&path, &engine.clock).expect("made"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
    let _again = open(&path, &engine.clock).expect("opened");
    assert_eq!((mode(&path), mode(&path.with_file_name("store.db-wal"))), (0o600, 0o600));
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let engine = engine();
    let dir = engine.dir.path();
    fs::write(dir.join("text"), "not a database at all, and rather precious".repeat(100)).expect("written");
    fs::write(dir.join("short"), "short").expect("written");
    let sql = |name: &str, text: &str| {
        Connection::open(dir.join(name)).and_then(|file| file.execute_batch(text)).expect("made");
    };
    sql("tables", "CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('x')");
    sql("numbered", "PRAGMA application_id = 7; CREATE TABLE t (x)");
    sql("versioned", "PRAGMA user_version = 1");
    for name in ["text", "short", "tables", "numbered", "versioned"] {
        let path = dir.join(name);
        let state = |path: &Path| (fs::read(path).expect("read"), mode(path));
        let before = state(&path);
        let error = open(&path, &engine.clock).expect_err("refused");
        assert!(matches!(error, OpenError::Foreign { .. }), "{name}: {error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("store.url")));
        assert!(state(&path) == before, "{name} is as it was");
    }
    assert_eq!(fs::read_dir(dir).expect("listed").count(), 5, "and nothing lies beside it");
}

#[test]
fn a_newer_store_is_refused_and_left_alone() {
    let engine = engine();
    let path = engine.dir.path().join("store.db");
    drop(open(&path, &engine.clock).expect("made"));
    let file = Connection::open(&path).expect("opened");
    file.execute_batch("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)").expect("raised");
    drop(file);
    let before = fs::read(&path).expect("read");
    let error = open(&path, &engine.clock).expect_err("refused");
    assert!(matches!(error, OpenError::Newer { found: 99, known: 1, .. }), "{error}");
    assert!(fs::read(&path).expect("read") == before);
}

#[test]
fn another_owners_store_is_refused_with_the_command_that_works() {
    let path = Path::new("/etc/passwd");
    let owner = fs::metadata(path).expect("there").uid();
    let us = rustix::process::geteuid().as_raw();
    let (uid, path) = if owner == us {
        // Only root can give a file away, and only root owns this one.
        let engine = engine();
        let path = engine.dir.keep().join("store.db");
        fs::write(&path, "").expect("written");
        std::os::unix::fs::chown(&path, Some(us + 1), None).expect("given away");
        (us + 1, path)
    } else {
        (owner, path.to_owned())
    };
    let error = open(&path, &ManualClock::new()).expect_err("refused");
    assert!(matches!(error, OpenError::OtherOwner { uid: found, .. } if found == uid));
    assert!(error.hint().is_some_and(|hint| hint.contains(&format!("sudo -u '#{uid}'"))));
}

#[test]
fn many_processes_may_make_the_same_store_at_once() {
    let engine = engine();
    for round in 0..5 {
        let path = engine.dir.path().join(format!("{round}.db"));
        let start = Barrier::new(6);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    start.wait();
                    open(&path, &engine.clock).expect("opened");
                });
            }
        });
    }
}

#[tokio::test]
async fn a_store_reopened_holds_what_was_written() {
    let engine = engine();
    let (id, written) = {
        let store = engine.handle();
        let (key, body) = (Key::new(Kind::Pat, "acme"), Body::from_stored(b"{}".to_vec()));
        let change = Change { key, expect: Expect::Absent, label: Label::default(), body };
        (store.store_id().await, store.write(vec![change]).await.expect("written"))
    };
    let store = engine.handle();
    assert_eq!(store.store_id().await, id);
    let (head, keys) = store.changes(Revision(0), 10).await.expect("read");
    assert_eq!((Written::Done(head), keys.len()), (written, 1));
}

#[tokio::test]
async fn a_bid_that_had_to_queue_respects_the_lease_that_came_before_it() {
    const LENGTH: Duration = Duration::from_secs(15);
    let engine = engine();
    let store = engine.handle();
    let other = Connection::open(engine.dir.path().join("store.db")).expect("opened");
    let (tenant, us) = ("acme".parse().expect("a name"), Owner { host: "host".into(), instance: "us".into() });
    other.execute_batch("BEGIN IMMEDIATE").expect("the store to itself");
    let mut bid = store.bid(&tenant, &us, LENGTH, engine.clock.now().plus(LENGTH));
    let queued = poll_fn(|cx| Poll::Ready(bid.as_mut().poll(cx).is_pending())).await;
    assert!(queued, "somebody else writes");
    engine.pass(Duration::from_millis(1));
    let ends = engine.clock.now().plus(LENGTH).millis();
    let lease = "INSERT INTO leases (tenant, host, instance, ends) VALUES ('acme', 'host', 'they', ?1)";
    other.execute(lease, [ends]).expect("their lease");
    other.execute_batch("COMMIT").expect("written");
    let they = Owner { host: "host".into(), instance: "they".into() };
    assert_eq!(bid.await, Ok(Bid::Lost { holder: they, left: LENGTH }));
}

#[tokio::test]
async fn the_feed_passes_over_what_only_a_newer_program_knows() {
    let engine = engine();
    let store = engine.handle();
    for name in ["a", "x", "y", "b"] {
        let (key, body) = (Key::new(Kind::Grant, name), Body::from_stored(b"{}".to_vec()));
        let change = Change { key, expect: Expect::Anything, label: Label::default(), body };
        store.write(vec![change]).await.expect("written");
    }
    let file = Connection::open(engine.dir.path().join("store.db")).expect("opened");
    file.execute("UPDATE records SET kind = 99 WHERE name IN ('x', 'y')", []).expect("changed");
    let (head, keys) = store.changes(Revision(0), 2).await.expect("read");
    let names: Vec<_> = keys.iter().map(|(key, at)| (key.name.as_str(), at.0)).collect();
    assert_eq!((head, names), (Revision(4), vec![("a", 1), ("b", 4)]));
}

/// A query that reads more than it answers for is a query that a million tenants turn into seconds.
#[test]
fn every_query_goes_by_an_index() {
    let engine = engine();
    let path = engine.dir.path().join("store.db");
    drop(open(&path, &engine.clock).expect("made"));
    let file = Connection::open(&path).expect("opened");
    let plan = |sql: &str, numbers: usize| {
        let mut statement = file.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("prepared");
        let values = rusqlite::params_from_iter(std::iter::repeat_n(1, numbers));
        let steps = statement.query_map(values, |row| row.get::<_, String>(3)).expect("explained");
        steps.collect::<Result<Vec<_>, _>>().expect("read").join("\n")
    };
    for (sql, numbers) in super::rows::STATEMENTS {
        let plan = plan(sql, *numbers);
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
    }
    let list = plan(super::rows::LIST_STATE, 6);
    assert!(list.contains("(kind=? AND state=? AND name>? AND name<?)"), "from its beginning to its end\n{list}");
}

#[tokio::test]
async fn a_full_disk_is_an_outage_that_ends() {
    let engine = engine();
    let store = open(&engine.dir.path().join("store.db"), &engine.clock).expect("opened");
    let limit = |pages: i64| {
        store.transact(move |writing| Ok(Outcome::Keep(writing.pragma_update(None, "max_page_count", pages)?)))
    };
    limit(1).await.expect("set");
    let change = || Change {
        key: Key::new(Kind::Meta, "probe"),
        expect: Expect::Anything,
        label: Label::default(),
        body: Body::from_stored(vec![b'x'; 1_000_000]),
    };
    let full = store.write(vec![change()]).await;
    assert!(matches!(&full, Err(StoreError::Unavailable(what)) if what.contains("full")), "{full:?}");
    assert_eq!(newest(&store).await, Some(0), "and can be read");
    limit(100_000).await.expect("set");
    assert!(matches!(store.write(vec![change()]).await, Ok(Written::Done(Revision(1)))));
}
