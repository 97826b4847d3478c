//! Writes that come together go into one transaction, and know nothing of each other's end.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::mpsc,
    task::Poll,
};

use super::{engine, open};
use crate::store::{
    StoreError,
    backend::{Backend, Change, Expect, Key, Kind, Label, Revision, Written},
    record::Body,
    sqlite::{SqliteBackend, writer::Outcome},
};

type Write<'a> = Pin<Box<dyn Future<Output = Result<Written, StoreError>> + Send + 'a>>;

fn change(name: &str, expect: Expect, length: usize) -> Vec<Change> {
    let (key, body) = (Key::new(Kind::Meta, name), Body::from_stored(vec![b'x'; length]));
    vec![Change { key, expect, label: Label::default(), body }]
}

/// Whether it waits, having been begun.
async fn is_waiting<T>(write: &mut Pin<Box<dyn Future<Output = T> + Send + '_>>) -> bool {
    poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx).is_pending())).await
}

/// Keeps the writer busy once it has come to this.
struct Held<'a> {
    begun: mpsc::Receiver<()>,
    /// Dropped to let the writer go on.
    go_on: mpsc::Sender<()>,
    done: Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>,
}

async fn hold(store: &SqliteBackend) -> Held<'_> {
    let ((begin, begun), (go_on, gate)) = (mpsc::channel(), mpsc::channel::<()>());
    let mut done: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(store.transact(move |_| {
        let _ = begin.send(());
        let _ = gate.recv();
        Ok(Outcome::Keep(()))
    }));
    assert!(is_waiting(&mut done).await);
    Held { begun, go_on, done }
}

impl Held<'_> {
    async fn end(self) {
        drop(self.go_on);
        assert_eq!(self.done.await, Ok(()));
    }
}

async fn is_there(store: &SqliteBackend, name: &str) -> bool {
    let found = store.get(&[Key::new(Kind::Meta, name)]).await;
    matches!(found.as_deref(), Ok([Some(_)]))
}

#[tokio::test]
async fn what_comes_while_another_is_written_goes_into_one_transaction() {
    let engine = engine();
    let store = open(&engine.dir.path().join("store.db"), &engine.clock).expect("opened");
    let first = hold(&store).await;
    first.begun.recv().expect("begun");
    let mut early: Write<'_> = store.write(change("early", Expect::Absent, 10));
    assert!(is_waiting(&mut early).await);
    let last = hold(&store).await;
    first.end().await;
    last.begun.recv().expect("begun");
    // The last of the three holds up the answer to the one before it, which nobody sees until then.
    assert!(is_waiting(&mut early).await);
    assert!(!is_there(&store, "early").await);
    last.end().await;
    assert_eq!(early.await, Ok(Written::Done(Revision(1))));
    assert!(is_there(&store, "early").await);
}

#[tokio::test]
async fn one_that_fails_or_is_too_late_leaves_no_trace_among_the_others() {
    let engine = engine();
    let store = open(&engine.dir.path().join("store.db"), &engine.clock).expect("opened");
    let held = hold(&store).await;
    held.begun.recv().expect("begun");
    let mut one: Write<'_> = store.write(change("a", Expect::Absent, 10));
    // Two changes, of which the second finds that another was faster; so the first is not made either.
    let both = [change("b", Expect::Absent, 10), change("a", Expect::Absent, 10)].concat();
    let mut conflict: Write<'_> = store.write(both);
    let mut failing = Box::pin(store.transact(|writing| {
        writing.execute("INSERT INTO records (kind, name, revision, state, body) VALUES (1, 'c', 9, 1, x'')", [])?;
        Err::<Outcome<()>, _>(StoreError::Unavailable("on purpose".into()))
    })) as Pin<Box<dyn Future<Output = _> + Send>>;
    let mut other: Write<'_> = store.write(change("d", Expect::Absent, 10));
    for write in [&mut one, &mut conflict, &mut other] {
        assert!(is_waiting(write).await);
    }
    assert!(is_waiting(&mut failing).await);
    held.end().await;
    assert_eq!((one.await, conflict.await), (Ok(Written::Done(Revision(1))), Ok(Written::Conflict(1))));
    assert_eq!(failing.await, Err(StoreError::Unavailable("on purpose".into())));
    // A write that was taken back has used no revision.
    assert_eq!(other.await, Ok(Written::Done(Revision(2))));
    let (_, keys) = store.changes(Revision(0), 10).await.expect("read");
    let names: Vec<_> = keys.iter().map(|(key, _)| key.name.as_str()).collect();
    assert_eq!(names, ["a", "d"]);
}

/// Whatever SQLite takes back for want of room: who is told that it was written finds it there.
#[tokio::test]
async fn when_the_disk_is_full_everybody_is_told_the_truth() {
    let engine = engine();
    let store = open(&engine.dir.path().join("store.db"), &engine.clock).expect("opened");
    let pages = |pages: i64| {
        store.transact(move |writing| Ok(Outcome::Keep(writing.pragma_update(None, "max_page_count", pages)?)))
    };
    pages(30).await.expect("set");
    let held = hold(&store).await;
    held.begun.recv().expect("begun");
    let sizes = [("a", 10), ("b", 1_000_000), ("c", 10)];
    let mut writes: Vec<Write<'_>> =
        sizes.iter().map(|(name, size)| store.write(change(name, Expect::Absent, *size)) as Write<'_>).collect();
    for write in &mut writes {
        assert!(is_waiting(write).await);
    }
    held.end().await;
    for ((name, _), write) in sizes.iter().zip(writes) {
        assert_eq!(write.await.is_ok(), is_there(&store, name).await, "{name}");
    }
    assert!(!is_there(&store, "b").await);
    pages(100_000).await.expect("set");
    assert!(store.write(change("b", Expect::Absent, 1_000_000)).await.is_ok());
}
