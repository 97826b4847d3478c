//! How long an operation waits for its turn.

use std::{future::poll_fn, pin::pin, sync::mpsc, task::Poll, time::Duration};

use tokio::time::Instant;

use super::{engine, newest, open};
use crate::store::{
    StoreError,
    backend::{Backend, Change, Expect, Key, Kind, Label},
    record::Body,
    sqlite::{PATIENCE, writer::Outcome},
};

/// Somebody may hold the store's lock for minutes. A pair whose write waits behind others that wait is in memory alone,
/// and must come to the spool.
#[tokio::test]
async fn a_write_that_does_not_get_its_turn_in_time_is_refused_and_not_done() {
    let engine = engine();
    let mut store = open(&engine.dir.path().join("store.db"), &engine.clock).expect("opened");
    let (go_on, gate) = mpsc::channel::<()>();
    let before = store.writer.write(store.deadline(), move |_| {
        gate.recv().expect("opened");
        Ok(Outcome::Keep(()))
    });
    let mut before = pin!(before);
    assert!(poll_fn(|cx| Poll::Ready(before.as_mut().poll(cx).is_pending())).await);
    store.patience = Duration::ZERO;
    let change = Change {
        key: Key::new(Kind::Meta, "probe"),
        expect: Expect::Anything,
        label: Label::default(),
        body: Body::default(),
    };
    let mut late = store.write(vec![change]);
    assert!(poll_fn(|cx| Poll::Ready(late.as_mut().poll(cx).is_pending())).await, "it waits for its turn");
    go_on.send(()).expect("heard");
    assert_eq!(before.await, Ok(()));
    let refused = late.await;
    assert!(matches!(&refused, Err(StoreError::Unavailable(what)) if what.contains("nothing was done")), "{refused:?}");
    store.patience = PATIENCE;
    assert_eq!(newest(&store).await, Some(0));
}

#[tokio::test]
async fn a_lock_is_waited_for_no_longer_than_what_is_left_of_the_time() {
    let engine = engine();
    let store = open(&engine.dir.path().join("store.db"), &engine.clock).expect("opened");
    for left in [Duration::from_secs(3), Duration::from_secs(60), Duration::from_millis(1200)] {
        let asked = store.writer.write(Instant::now() + left, |writing| {
            Ok(Outcome::Keep(writing.pragma_query_value(None, "busy_timeout", |row| row.get::<_, i64>(0))?))
        });
        let waits = Duration::from_millis(asked.await.expect("answered").unsigned_abs());
        assert!(waits <= left && waits > Duration::ZERO, "{waits:?} of {left:?}");
    }
}
