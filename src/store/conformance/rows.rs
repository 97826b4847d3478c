use std::time::Duration;

use super::{Engine, change, done, key, put, row};
use crate::{
    model::{GrantId, Random, Timestamp, Version},
    store::{
        backend::{Change, Expect, Key, Kind, Label, Names, Revision, RowState, Written},
        record::Body,
    },
};

pub(in crate::store) async fn a_row_comes_back_as_it_was_written(engine: &dyn Engine) {
    let (writer, reader) = (engine.handle(), engine.handle());
    let label = Label {
        grant: Some(GrantId::random(&Random::system())),
        version: Some(Version::from_stored(7)),
        state: RowState::Disconnected,
        due: Some(Timestamp::from_millis(-5)),
    };
    let body = Body::from_stored(vec![0, 1, 255, b'\'']);
    for kind in Kind::ALL {
        let key = Key::new(kind, "auth0|it's.é");
        let write = Change { key: key.clone(), expect: Expect::Absent, label, body: body.clone() };
        let revision = done(&*writer, vec![write]).await;
        let read = row(&*reader, key).await.expect("there");
        assert_eq!((read.revision, read.label, &read.body, read.last_used), (revision, label, &body, None));
    }
}

pub(in crate::store) async fn rows_come_in_the_order_of_their_keys(engine: &dyn Engine) {
    let store = engine.handle();
    let revision = done(&*store, vec![put("a"), put("b")]).await;
    let keys = [key("b"), key("missing"), Key::new(Kind::Pat, "a"), key("a"), key("b")];
    let rows = store.get(&keys).await.expect("read");
    let found: Vec<_> = rows.iter().map(|row| row.as_ref().map(|row| row.revision)).collect();
    assert_eq!(found, [Some(revision), None, None, Some(revision), Some(revision)]);
    assert_eq!(store.get(&[]).await, Ok(vec![]));
}

pub(in crate::store) async fn each_expectation_holds_where_it_should_and_nowhere_else(engine: &dyn Engine) {
    let store = engine.handle();
    let (ours, other) = (GrantId::random(&Random::system()), GrantId::random(&Random::system()));
    let (first, second) = (Version::FIRST, Version::from_stored(2));
    let label = |state| Label { grant: Some(ours), version: Some(first), state, due: None };
    let table = [
        // expectation, on: no row, live, disconnected, gone
        (Expect::Anything, [true, true, true, true]),
        (Expect::Absent, [true, false, false, true]),
        (Expect::Grant(ours, first), [false, true, false, false]),
        (Expect::Grant(ours, second), [false; 4]),
        (Expect::Grant(other, first), [false; 4]),
        (Expect::Revision(Revision(u64::MAX >> 1)), [false; 4]),
    ];
    let states = [None, Some(RowState::Live), Some(RowState::Disconnected), Some(RowState::Gone)];
    for (line, (expect, holds)) in table.into_iter().enumerate() {
        for (state, holds) in states.into_iter().zip(holds) {
            let key = key(&format!("{line}-{state:?}"));
            if let Some(state) = state {
                done(&*store, vec![change(key.clone(), Expect::Anything, label(state))]).await;
            }
            let written = store.write(vec![change(key, expect, Label::default())]).await.expect("answered");
            assert_eq!(written != Written::Conflict(0), holds, "{expect:?} on {state:?}");
        }
    }
    let read = done(&*store, vec![put("row")]).await;
    let exactly = || vec![change(key("row"), Expect::Revision(read), Label::default())];
    assert!(matches!(store.write(exactly()).await, Ok(Written::Done(_))), "the row as it was read");
    assert_eq!(store.write(exactly()).await, Ok(Written::Conflict(0)), "written since");
}

pub(in crate::store) async fn a_batch_is_written_whole_or_not_at_all(engine: &dyn Engine) {
    let store = engine.handle();
    let before = done(&*store, vec![put("b")]).await;
    let batch = vec![put("a"), put("b"), change(key("b"), Expect::Absent, Label::default()), put("c")];
    assert_eq!(store.write(batch).await, Ok(Written::Conflict(2)));
    let rows = store.get(&[key("a"), key("b"), key("c")]).await.expect("read");
    let found: Vec<_> = rows.into_iter().map(|row| row.map(|row| row.revision)).collect();
    assert_eq!(found, [None, Some(before), None]);
    assert_eq!(store.changes(before, 10).await.expect("read").1, []);
}

pub(in crate::store) async fn a_batch_sees_its_own_earlier_writes(engine: &dyn Engine) {
    let store = engine.handle();
    let gone = Label { state: RowState::Gone, ..Label::default() };
    let batch = vec![
        put("a"),
        change(key("a"), Expect::Grant(GrantId::from_stored([1; 16]), Version::FIRST), Label::default()),
    ];
    assert_eq!(store.write(batch).await, Ok(Written::Conflict(1)));
    let batch = vec![put("a"), change(key("a"), Expect::Anything, gone), change(key("a"), Expect::Absent, gone)];
    let revision = done(&*store, batch).await;
    let read = row(&*store, key("a")).await.expect("there");
    assert_eq!((read.revision, read.label), (revision, gone));
}

pub(in crate::store) async fn of_many_writers_at_once_one_wins(engine: &dyn Engine) {
    let store = engine.handle();
    for round in 0..8 {
        let at = done(&*store, vec![put("row")]).await;
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let handle = engine.handle();
            let write =
                vec![put(&format!("beside-{round}")), change(key("row"), Expect::Revision(at), Label::default())];
            writers.spawn(async move { handle.write(write).await.expect("answered") });
        }
        let outcomes = writers.join_all().await;
        let won = outcomes.iter().filter(|written| matches!(written, Written::Done(_))).count();
        assert_eq!((won, outcomes.len()), (1, 4));
    }
}

pub(in crate::store) async fn lists_go_by_name_from_a_cursor(engine: &dyn Engine) {
    let store = engine.handle();
    // Bytewise: digits, capitals, small letters, then what is beyond ASCII.
    let names = ["10", "9", "Z", "a", "a.", "aa", "b", "é"];
    let other = Change { key: Key::new(Kind::Pat, "ab"), ..put("") };
    let mut batch: Vec<_> = names.iter().rev().map(|name| put(name)).collect();
    batch.push(other);
    done(&*store, batch).await;
    let mut listed = Vec::new();
    loop {
        let after = listed.last().map(String::as_str);
        let page = store.list(Kind::Grant, None, Names::after(after), 3).await.expect("listed");
        assert!(page.len() <= 3);
        if page.is_empty() {
            break;
        }
        listed.extend(page.into_iter().map(|(name, _)| name));
    }
    assert_eq!(listed, names);
    let between = store.list(Kind::Grant, None, Names::after(Some("a-")), 2).await.expect("listed");
    assert_eq!(between.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a.", "aa"], "no such name needed");
}

pub(in crate::store) async fn lists_by_prefix_end_where_names_begin_otherwise(engine: &dyn Engine) {
    let store = engine.handle();
    let names = ["a", "ab", "ab.", "ab\u{10ffff}", "abc", "ac", "b", "\u{10ffff}a"];
    done(&*store, names.iter().map(|name| put(name)).collect()).await;
    let gone = Label { state: RowState::Gone, ..Label::default() };
    done(&*store, vec![change(key("abb"), Expect::Anything, gone)]).await;
    let list = async |state, after, prefix, limit| {
        let rows = store.list(Kind::Grant, state, Names { after, prefix }, limit).await.expect("listed");
        rows.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(list(None, "", "ab", 10).await, ["ab", "ab.", "abc", "ab\u{10ffff}"], "the very name is among them");
    assert_eq!(list(None, "", "ab", 2).await, ["ab", "ab."]);
    assert_eq!(list(None, "ab.", "ab", 10).await, ["abc", "ab\u{10ffff}"]);
    assert_eq!(list(None, "ab.", "a", 1).await, ["abc"]);
    assert_eq!(list(None, "Z", "ab", 1).await, ["ab"], "what lies before the prefix does not move its beginning");
    assert_eq!(list(Some(RowState::Gone), "", "ab", 10).await, ["abb"]);
    assert_eq!(list(None, "", "\u{10ffff}", 10).await, ["\u{10ffff}a"], "nothing can come after these");
    for (after, prefix) in [("", "abd"), ("b", "ab"), ("abc\u{10ffff}", "abc"), ("", "it's; %_*[")] {
        assert_eq!(list(None, after, prefix, 10).await, [""; 0], "{prefix} after {after}");
    }
}

pub(in crate::store) async fn lists_filter_by_state_and_show_markers_only_when_asked(engine: &dyn Engine) {
    let store = engine.handle();
    let states = [RowState::Live, RowState::Gone, RowState::Disconnected];
    let names = ["a", "b", "c", "d", "e", "f"];
    let batch = names.iter().zip(states.into_iter().cycle());
    let batch =
        batch.map(|(name, state)| change(key(name), Expect::Anything, Label { state, ..Label::default() })).collect();
    done(&*store, batch).await;
    let list = async |state, after, limit| {
        let rows = store.list(Kind::Grant, state, Names::after(after), limit).await.expect("listed");
        rows.into_iter().map(|(name, _)| name).collect::<Vec<_>>().concat()
    };
    assert_eq!(list(None, None, 10).await, "acdf");
    assert_eq!(list(None, Some("a"), 2).await, "cd");
    assert_eq!(list(Some(RowState::Live), None, 10).await, "ad");
    assert_eq!(list(Some(RowState::Disconnected), Some("c"), 10).await, "f");
    assert_eq!(list(Some(RowState::Gone), None, 1).await, "b");
}

pub(in crate::store) async fn a_use_is_noted_and_is_no_change(engine: &dyn Engine) {
    let store = engine.handle();
    let revision = done(&*store, vec![put("a")]).await;
    let (early, late) = (Timestamp::from_secs(100), Timestamp::from_secs(200));
    store.touch(&[(key("a"), late), (key("missing"), late)]).await.expect("noted");
    store.touch(&[(key("a"), early)]).await.expect("noted");
    let read = row(&*store, key("a")).await.expect("there");
    assert_eq!((read.revision, read.last_used), (revision, Some(late)));
    assert_eq!(store.changes(Revision(0), 10).await.expect("read"), (revision, vec![(key("a"), revision)]));
    assert_eq!(row(&*store, key("missing")).await, None);

    done(&*store, vec![change(key("a"), Expect::Revision(revision), Label::default())]).await;
    assert_eq!(row(&*store, key("a")).await.and_then(|row| row.last_used), Some(late), "a write keeps it");
    let gone = Label { state: RowState::Gone, ..Label::default() };
    done(&*store, vec![change(key("a"), Expect::Anything, gone)]).await;
    store.touch(&[(key("a"), late)]).await.expect("noted");
    assert_eq!(row(&*store, key("a")).await.and_then(|row| row.last_used), None, "a removal forgets it");
}

pub(in crate::store) async fn a_purge_deletes_what_is_due_of_its_kind(engine: &dyn Engine) {
    let store = engine.handle();
    let now = store.now().await.expect("a time");
    engine.pass(Duration::from_secs(1));
    assert_eq!(store.now().await.expect("a time").since(now), Some(Duration::from_secs(1)));
    let due = |at| Label { due: Some(at), ..Label::default() };
    let batch = vec![
        change(Key::new(Kind::Tombstone, "over"), Expect::Anything, due(now.minus(Duration::from_millis(1)))),
        change(Key::new(Kind::Tombstone, "now"), Expect::Anything, due(now)),
        change(Key::new(Kind::Tombstone, "never"), Expect::Anything, Label::default()),
        change(Key::new(Kind::Flow, "other kind"), Expect::Anything, due(Timestamp::from_secs(0))),
    ];
    let revision = done(&*store, batch).await;
    assert_eq!(store.purge(Kind::Tombstone, now).await, Ok(1));
    let (head, keys) = store.changes(Revision(0), 10).await.expect("read");
    assert_eq!((head, keys.len()), (revision, 3), "purged rows leave the feed");
    assert_eq!(row(&*store, Key::new(Kind::Tombstone, "over")).await, None);
}

pub(in crate::store) async fn the_store_keeps_its_id(engine: &dyn Engine) {
    let id = engine.handle().store_id().await.expect("an id");
    assert_eq!(engine.handle().store_id().await, Ok(id));
    assert_ne!(id, [0; 16]);
}
