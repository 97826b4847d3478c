use std::time::Duration;

use super::{Engine, done, key, put, row};
use crate::store::backend::{Backend, Key, Kind, Pulse, Revision};

async fn pulse(store: &dyn Backend, beside: &Key) -> Pulse {
    store.pulse(beside).await.expect("a pulse")
}

pub(in crate::store) async fn it_agrees_with_what_is_asked_one_by_one(engine: &dyn Engine) {
    let store = engine.handle();
    let unused = pulse(&*store, &key("a")).await;
    assert_eq!((unused.newest, unused.row), (Revision(0), None));
    assert_eq!(store.store_id().await, Ok(unused.store));
    let newest = done(&*store, vec![put("a"), put("b")]).await;
    let used = store.now().await.expect("a time");
    store.touch(&[(key("a"), used)]).await.expect("noted");

    let before = store.now().await.expect("a time");
    let now = pulse(&*store, &key("a")).await;
    let after = store.now().await.expect("a time");
    assert!(before <= now.now && now.now <= after, "{before:?} {now:?} {after:?}");
    assert_eq!((now.store, now.newest), (unused.store, newest));
    assert!(now.row.is_some() && now.row == row(&*store, key("a")).await, "with every field");
    assert_eq!(pulse(&*store, &key("b")).await.row, row(&*store, key("b")).await);
    for none in [key("c"), Key::new(Kind::Pat, "a"), key("")] {
        assert_eq!(pulse(&*store, &none).await.row, None, "{none}");
    }
    engine.pass(Duration::from_secs(7));
    assert!(pulse(&*store, &key("a")).await.now.since(now.now) >= Some(Duration::from_secs(7)));
}

pub(in crate::store) async fn it_shows_what_another_handle_has_just_written(engine: &dyn Engine) {
    let (ours, theirs) = (engine.handle(), engine.handle());
    for _ in 0..20 {
        let newest = done(&*theirs, vec![put("a")]).await;
        let seen = pulse(&*ours, &key("a")).await;
        assert_eq!((seen.newest, seen.row.map(|row| row.revision)), (newest, Some(newest)));
        let newest = done(&*theirs, vec![put("other")]).await;
        assert_eq!(pulse(&*ours, &key("a")).await.newest, newest);
    }
}

/// With each write writing the row, a pulse that is put together of two moments shows two revisions.
pub(in crate::store) async fn its_newest_revision_and_its_row_are_of_one_moment(engine: &dyn Engine) {
    let (ours, theirs) = (engine.handle(), engine.handle());
    done(&*theirs, vec![put("a")]).await;
    let writing = tokio::spawn(async move {
        for _ in 0..100 {
            done(&*theirs, vec![put("a")]).await;
        }
    });
    while !writing.is_finished() {
        let seen = pulse(&*ours, &key("a")).await;
        assert_eq!(seen.row.map(|row| row.revision), Some(seen.newest));
    }
    writing.await.expect("written");
}
