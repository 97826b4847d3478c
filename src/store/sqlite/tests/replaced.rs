//! The file under running processes: replaced, gone, and made anew.

use std::{fs, os::unix::fs::MetadataExt, path::Path, time::Duration};

use rusqlite::Connection;
use tokio::time::timeout;

use super::{Sqlite, engine, mode, newest, open, put};
use crate::store::{
    StoreError,
    backend::Backend,
    files::beside,
    sqlite::{SqliteBackend, writer::Outcome},
};

/// Longer than a new file has to be left alone.
const STILL: Duration = Duration::from_secs(3);

/// A store with a copy from after its first of three writes.
async fn with_a_copy(engine: &Sqlite) -> SqliteBackend {
    let path = engine.dir.path().join("store.db");
    let store = open(&path, &engine.clock).expect("opened");
    put(&store).await;
    let file = Connection::open(&path).expect("opened");
    file.execute("VACUUM INTO ?1", [engine.dir.path().join("copy.db").to_str()]).expect("copied");
    put(&store).await;
    put(&store).await;
    assert_eq!(newest(&store).await, Some(3));
    store
}

/// Whoever opens a file first may write to it, which then has to be still again.
async fn all_follow(engine: &Sqlite, stores: [&SqliteBackend; 2]) {
    let follow = async {
        loop {
            let found = [newest(stores[0]).await, newest(stores[1]).await];
            if found.iter().all(Option::is_some) {
                break;
            }
            engine.clock.pass(STILL);
        }
    };
    timeout(Duration::from_secs(60), follow).await.expect("opened anew");
}

/// The number of what lies beside a store.
fn number(store: &Path, ending: &str) -> u64 {
    fs::metadata(beside(store, ending)).expect("it lies beside it").ino()
}

fn assert_whole(store: &Path) {
    let file = Connection::open(store).expect("opened");
    assert_eq!(file.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)), Ok("ok".into()));
}

#[tokio::test]
async fn a_file_that_was_replaced_is_followed_once_it_is_still() {
    let engine = engine();
    let dir = engine.dir.path();
    let (store, other) = (with_a_copy(&engine).await, open(&dir.join("store.db"), &engine.clock).expect("opened"));
    assert_eq!(newest(&other).await, Some(3));
    fs::rename(dir.join("copy.db"), dir.join("store.db")).expect("moved");
    assert_eq!((newest(&store).await, newest(&other).await), (None, None), "it may not be complete yet");
    all_follow(&engine, [&store, &other]).await;
    for process in [&store, &other] {
        assert_eq!(newest(process).await, Some(1), "and the old log is not read");
    }
    put(&store).await;
    put(&other).await;
    assert_eq!((newest(&store).await, newest(&other).await), (Some(3), Some(3)));
    drop((store, other));
    assert_whole(&dir.join("store.db"));
}

#[tokio::test]
async fn a_file_that_is_still_being_written_is_left_alone() {
    let engine = engine();
    let path = engine.dir.path().join("store.db");
    let store = with_a_copy(&engine).await;
    let copy = fs::read(engine.dir.path().join("copy.db")).expect("read");
    fs::remove_file(&path).expect("removed");
    assert_eq!(newest(&store).await, None);
    for length in [0, 5000, copy.len()] {
        fs::write(&path, &copy[..length]).expect("written");
        assert_eq!(newest(&store).await, None);
        engine.clock.pass(Duration::from_secs(1));
        assert_eq!(newest(&store).await, None);
    }
    engine.clock.pass(STILL);
    assert_eq!(newest(&store).await, Some(1));
    assert_eq!(mode(&path), 0o600);
}

#[tokio::test]
async fn a_file_that_is_gone_is_made_anew() {
    let engine = engine();
    let store = with_a_copy(&engine).await;
    let id = store.store_id().await.expect("an id");
    fs::remove_file(engine.dir.path().join("store.db")).expect("removed");
    assert_eq!(newest(&store).await, None);
    assert!(store.write(Vec::new()).await.is_err());
    engine.clock.pass(STILL);
    assert_eq!(newest(&store).await, Some(0));
    assert_ne!(store.store_id().await, Ok(id));
    put(&store).await;
    assert_eq!(newest(&open(&engine.dir.path().join("store.db"), &engine.clock).expect("opened")).await, Some(1));
}

#[tokio::test]
async fn a_store_that_is_made_anew_has_nothing_of_the_one_before_beside_it() {
    let engine = engine();
    let path = engine.dir.path().join("store.db");
    let store = with_a_copy(&engine).await;
    let before = ["-wal", "-shm"].map(|ending| number(&path, ending));
    fs::remove_file(&path).expect("removed");
    // It does not know that there was another.
    let newcomer = open(&path, &engine.clock).expect("made");
    assert_eq!(newest(&newcomer).await, Some(0));
    for (ending, before) in ["-wal", "-shm"].into_iter().zip(before) {
        assert_ne!(number(&path, ending), before, "{ending}");
    }
    put(&newcomer).await;
    assert_eq!(newest(&store).await, None, "it may not be complete yet");
    engine.clock.pass(STILL);
    put(&store).await;
    assert_eq!((newest(&store).await, newest(&newcomer).await), (Some(2), Some(2)));
    drop((store, newcomer));
    assert_whole(&path);
}

/// Whoever is told that it is written has it in the store that all read.
#[tokio::test]
async fn what_was_written_to_a_file_that_was_replaced_meanwhile_counts_as_lost() {
    let engine = engine();
    let dir = engine.dir.path();
    let store = with_a_copy(&engine).await;
    let (copy, path) = (dir.join("copy.db"), dir.join("store.db"));
    let written = store.transact(move |_| {
        fs::rename(copy, path).expect("moved");
        Ok(Outcome::Keep(()))
    });
    let lost = written.await;
    assert!(matches!(&lost, Err(StoreError::Unavailable(what)) if what.contains("may be lost")), "{lost:?}");
    all_follow(&engine, [&store, &store]).await;
    assert_eq!(newest(&store).await, Some(1));
}

/// Where the store lies in a volume, say.
#[tokio::test]
async fn a_link_leads_to_the_store_and_to_what_lies_beside_that() {
    let engine = engine();
    let (there, link) = (engine.dir.path().join("there"), engine.dir.path().join("link.db"));
    fs::create_dir(&there).expect("made");
    let store = open(&there.join("store.db"), &engine.clock).expect("made");
    put(&store).await;
    std::os::unix::fs::symlink(there.join("store.db"), &link).expect("linked");
    let linked = open(&link, &engine.clock).expect("opened");
    put(&linked).await;
    assert_eq!((newest(&store).await, newest(&linked).await), (Some(2), Some(2)));
}

/// Who opens the new file before the others have noticed finds their log beside it.
#[tokio::test]
async fn whoever_comes_while_a_file_is_replaced_ends_up_on_the_same_log_as_all() {
    let engine = engine();
    let dir = engine.dir.path();
    drop(with_a_copy(&engine).await);
    // The same pages as the store, so that its log fits.
    fs::copy(dir.join("store.db"), dir.join("copy.db")).expect("copied");
    let store = open(&dir.join("store.db"), &engine.clock).expect("opened");
    put(&store).await;
    fs::rename(dir.join("copy.db"), dir.join("store.db")).expect("moved");
    let early = open(&dir.join("store.db"), &engine.clock).expect("opened");
    assert_eq!(newest(&store).await, None, "it may not be complete yet");
    all_follow(&engine, [&store, &early]).await;
    for one in [&store, &early, &store] {
        put(one).await;
    }
    let all = newest(&store).await;
    assert_eq!(newest(&early).await, all);
    let late = open(&dir.join("store.db"), &engine.clock).expect("opened");
    assert_eq!(newest(&late).await, all);
    drop((store, early, late));
    assert_whole(&dir.join("store.db"));
}

/// As another process makes them that found none. Within a process SQLite goes on with the index that it has.
#[tokio::test]
async fn all_connections_let_go_of_a_log_before_one_opens_another() {
    let engine = engine();
    let path = engine.dir.path().join("store.db");
    let store = with_a_copy(&engine).await;
    let before = newest(&store).await;
    // Whoever makes another log brings what is in ours into the store first.
    let other = Connection::open(&path).expect("opened");
    other.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).expect("emptied");
    drop(other);
    for ending in ["-wal", "-shm"] {
        let made = engine.dir.path().join("made");
        fs::write(&made, "").expect("written");
        fs::rename(&made, beside(&path, ending)).expect("moved");
    }
    all_follow(&engine, [&store, &store]).await;
    assert_eq!(newest(&store).await, before);
    put(&store).await;
    drop(store);
    assert_whole(&path);
}

/// Without its index nobody sees what another process writes.
#[tokio::test]
async fn a_log_that_is_taken_away_is_made_anew_and_nothing_is_lost() {
    let engine = engine();
    let path = engine.dir.path().join("store.db");
    let store = with_a_copy(&engine).await;
    for ending in ["-shm", "-wal"] {
        let before = newest(&store).await;
        let file = beside(&path, ending);
        let written = store.transact(move |_| {
            fs::remove_file(file).expect("removed");
            Ok(Outcome::Keep(()))
        });
        let lost = written.await;
        assert!(matches!(&lost, Err(StoreError::Unavailable(what)) if what.contains("lost its log")), "{lost:?}");
        // Both connections have to let go of what they had.
        all_follow(&engine, [&store, &store]).await;
        assert_eq!(newest(&store).await, before, "{ending}");
        put(&store).await;
    }
    drop(store);
    assert_whole(&path);
}
