use std::{collections::HashMap, sync::Arc};

use super::{Engine, change, done, key, put};
use crate::store::backend::{Backend, Expect, Key, Kind, Label, Names, Revision, RowState};

pub(in crate::store) async fn the_feed_names_each_row_once_by_its_last_write(engine: &dyn Engine) {
    let store = engine.handle();
    let _ = done(&*store, vec![put("a")]).await;
    let second = done(&*store, vec![put("b")]).await;
    let third = done(&*store, vec![change(key("a"), Expect::Anything, gone())]).await;
    assert!(second < third);
    let (head, keys) = store.changes(Revision(0), 10).await.expect("read");
    assert_eq!((head, keys), (third, vec![(key("b"), second), (key("a"), third)]));
    assert_eq!(store.changes(second, 10).await, Ok((third, vec![(key("a"), third)])));
    assert_eq!(store.changes(third, 10).await, Ok((third, vec![])));
    assert_eq!(store.changes(Revision(third.0 + 5), 10).await, Ok((third, vec![])), "from a time before a restore");
}

pub(in crate::store) async fn clients_are_told_by_their_ids(engine: &dyn Engine) {
    let store = engine.handle();
    let client = |name: &str| Key::new(Kind::Client, name);
    let (id, creation) = (client("flx_client_01HX2K"), client("creation 6f1d5b0a"));
    let written = done(
        &*store,
        vec![
            change(id.clone(), Expect::Absent, Label::default()),
            change(creation.clone(), Expect::Absent, Label::default()),
        ],
    )
    .await;
    let (_, mut keys) = store.changes(Revision(0), 10).await.expect("read");
    keys.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    assert_eq!(keys, [(creation.clone(), written), (id.clone(), written)]);
    let removed = done(&*store, vec![change(creation.clone(), Expect::Anything, gone())]).await;
    assert_eq!(store.changes(written, 10).await, Ok((removed, vec![(creation, removed)])));
    let listed = store.list(Kind::Client, None, Names::ALL, 10).await.expect("read");
    assert_eq!(listed.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), [id.name]);
}

pub(in crate::store) async fn a_revision_is_never_split(engine: &dyn Engine) {
    let store = engine.handle();
    let first = done(&*store, vec![put("a"), put("b"), put("c")]).await;
    let second = done(&*store, vec![put("d")]).await;
    let names = async |since, limit| {
        let (head, keys) = store.changes(since, limit).await.expect("read");
        assert_eq!(head, second);
        keys.into_iter().map(|(key, _)| key.name).collect::<String>()
    };
    assert_eq!(names(Revision(0), 1).await, "abc");
    assert_eq!(names(Revision(0), 3).await, "abc");
    assert_eq!(names(Revision(0), 4).await, "abcd");
    assert_eq!(names(first, 1).await, "d");
}

pub(in crate::store) async fn the_feed_goes_on_where_it_was_left(engine: &dyn Engine) {
    let store = engine.handle();
    for name in ["a", "b", "c", "d", "e"] {
        done(&*store, vec![put(name)]).await;
    }
    let mut since = Revision(0);
    let mut names = String::new();
    loop {
        let (_, keys) = store.changes(since, 2).await.expect("read");
        let Some((_, last)) = keys.last() else { break };
        since = *last;
        names.extend(keys.into_iter().map(|(key, _)| key.name));
    }
    assert_eq!(names, "abcde");
}

pub(in crate::store) async fn the_counter_never_goes_back(engine: &dyn Engine) {
    let store = engine.handle();
    let now = store.now().await.expect("a time");
    let due = Label { due: Some(now), ..Label::default() };
    let last = done(&*store, vec![change(Key::new(Kind::Tombstone, "a"), Expect::Anything, due)]).await;
    let purged = store.purge(Kind::Tombstone, now.plus(std::time::Duration::from_secs(1))).await;
    assert_eq!(purged, Ok(1));
    assert_eq!(store.changes(Revision(0), 10).await, Ok((last, vec![])));
    assert!(done(&*engine.handle(), vec![put("b")]).await > last, "with the newest row gone");
}

/// Somebody who follows the feed in small steps, while others write through handles of their own, ends with every row
/// at its last revision.
pub(in crate::store) async fn nobody_misses_a_write_of_many_at_once(engine: &dyn Engine) {
    const WRITERS: usize = 4;
    const ROUNDS: usize = 25;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let handle = engine.handle();
        writers.spawn(async move {
            for round in 0..ROUNDS {
                let (own, shared) = (format!("{writer}-{}", round % 7), format!("shared-{}", round % 3));
                done(&*handle, vec![put(&own), put(&shared)]).await;
            }
        });
    }
    let follower = engine.handle();
    let mut seen = HashMap::new();
    let mut since = Revision(0);
    while !writers.is_empty() {
        while writers.try_join_next().is_some() {}
        since = follow(&follower, since, &mut seen).await;
        tokio::task::yield_now().await;
    }
    let head = follow(&follower, since, &mut seen).await;
    assert_eq!(head, Revision((WRITERS * ROUNDS) as u64), "one revision for each write");
    let rows = follower.list(Kind::Grant, None, Names::ALL, 1000).await.expect("listed");
    let stored: HashMap<_, _> = rows.into_iter().map(|(name, row)| (name, row.expect("readable").revision)).collect();
    assert_eq!(stored.len(), WRITERS * 7 + 3);
    assert_eq!(seen, stored);
}

async fn follow(store: &Arc<dyn Backend>, mut since: Revision, seen: &mut HashMap<String, Revision>) -> Revision {
    loop {
        let (head, keys) = store.changes(since, 3).await.expect("read");
        assert!(keys.is_sorted_by_key(|(_, revision)| *revision));
        let more = keys.len() >= 3;
        since = keys.last().filter(|_| more).map_or(head, |(_, last)| *last);
        seen.extend(keys.into_iter().map(|(key, revision)| (key.name, revision)));
        if !more {
            return since;
        }
    }
}

fn gone() -> Label {
    Label { state: RowState::Gone, ..Label::default() }
}
