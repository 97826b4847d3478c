//! The store in memory as the model: whatever is done to an engine, it answers as the model does.

use std::{fmt::Debug, sync::Arc, time::Duration};

use proptest::{
    collection::vec,
    option,
    prelude::{Just, Strategy, any, prop_oneof},
    sample::select,
    strategy::ValueTree,
    test_runner::TestRunner,
};

use super::{Engine, ManualClock};
use crate::{
    model::{GrantId, Random, Timestamp, Version},
    store::{
        backend::{Backend, Change, Expect, Key, Kind, Label, Names, Revision, RowState},
        memory::MemoryBackend,
        record::Body,
    },
};

const STEPS: usize = 300;

/// Something to do or to ask. Revisions are counted back from the newest, so that they often are those of a row.
#[derive(Debug, Clone)]
enum Step {
    Write(Vec<Wish>),
    Touch(Vec<(Key, Timestamp)>),
    Purge(Kind, Timestamp),
    Get(Vec<Key>),
    List(Kind, Option<RowState>, Names<'static>, usize),
    Changes(u64, usize),
}

/// A change whose expectation of a revision is counted back.
#[derive(Debug, Clone)]
struct Wish {
    key: Key,
    expect: Hope,
    label: Label,
    body: u8,
}

#[derive(Debug, Clone)]
enum Hope {
    Exactly(Expect),
    RevisionBack(u64),
}

/// All steps are drawn from so few names, grants and times that they meet again and again.
pub(in crate::store) async fn any_sequence_of_operations_is_answered_as_in_memory(engine: &dyn Engine) {
    let store = engine.handle();
    let model: Arc<dyn Backend> = Arc::new(MemoryBackend::new(ManualClock::new(), &Random::system()));
    let mut runner = TestRunner::deterministic();
    let steps = vec(step(), STEPS).new_tree(&mut runner).expect("drawn").current();
    for (at, step) in steps.iter().enumerate() {
        let (head, _) = model.changes(Revision(0), 1).await.expect("in memory");
        assert_eq!(answer(&*store, step, head).await, answer(&*model, step, head).await, "step {at}: {step:?}");
    }
    for kind in [Kind::Grant, Kind::Pat] {
        for state in [None, Some(RowState::Live), Some(RowState::Disconnected), Some(RowState::Gone)] {
            let all = Step::List(kind, state, Names::ALL, usize::MAX >> 1);
            assert_eq!(answer(&*store, &all, Revision(0)).await, answer(&*model, &all, Revision(0)).await);
        }
    }
    assert_eq!(store.changes(Revision(0), 1000).await, model.changes(Revision(0), 1000).await);
}

/// What the store answers, in a form that can be compared.
async fn answer(store: &dyn Backend, step: &Step, head: Revision) -> String {
    fn text(answer: impl Debug) -> String {
        format!("{answer:?}")
    }
    let back = |count: &u64| Revision(head.0.saturating_sub(*count));
    match step {
        Step::Write(wishes) => {
            let change = |wish: &Wish| Change {
                key: wish.key.clone(),
                expect: match &wish.expect {
                    Hope::Exactly(expect) => *expect,
                    Hope::RevisionBack(count) => Expect::Revision(back(count)),
                },
                label: wish.label,
                body: Body::from_stored(vec![wish.body]),
            };
            text(store.write(wishes.iter().map(change).collect()).await)
        }
        Step::Touch(used) => text(store.touch(used).await),
        Step::Purge(kind, before) => text(store.purge(*kind, *before).await),
        Step::Get(keys) => text(store.get(keys).await),
        Step::List(kind, state, names, limit) => text(store.list(*kind, *state, *names, *limit).await),
        Step::Changes(since, limit) => text(store.changes(back(since), *limit).await),
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(wish(), 1..4).prop_map(Step::Write),
        2 => vec((key(), time()), 1..3).prop_map(Step::Touch),
        1 => (kind(), time()).prop_map(|(kind, before)| Step::Purge(kind, before)),
        2 => vec(key(), 0..4).prop_map(Step::Get),
        2 => (kind(), option::of(state()), names(), 0..4_usize)
            .prop_map(|(kind, state, names, limit)| Step::List(kind, state, names, limit)),
        2 => (0..8_u64, 1..4_usize).prop_map(|(since, limit)| Step::Changes(since, limit)),
    ]
}

fn wish() -> impl Strategy<Value = Wish> {
    let grant = || select(vec![GrantId::from_stored([1; 16]), GrantId::from_stored([0xff; 16])]);
    let version = || select(vec![Version::FIRST, Version::from_stored(12)]);
    let expect = prop_oneof![
        4 => Just(Hope::Exactly(Expect::Anything)),
        2 => Just(Hope::Exactly(Expect::Absent)),
        2 => (0..3_u64).prop_map(Hope::RevisionBack),
        4 => (grant(), version()).prop_map(|(grant, version)| Hope::Exactly(Expect::Grant(grant, version))),
    ];
    let label = (option::of(grant()), option::of(version()), state(), option::of(time()))
        .prop_map(|(grant, version, state, due)| Label { grant, version, state, due });
    (key(), expect, label, any::<u8>()).prop_map(|(key, expect, label, body)| Wish { key, expect, label, body })
}

fn key() -> impl Strategy<Value = Key> {
    (kind(), name()).prop_map(|(kind, name)| Key::new(kind, name))
}

fn kind() -> impl Strategy<Value = Kind> {
    select(vec![Kind::Grant, Kind::Pat])
}

fn name() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "a:b", "Z", "é"])
}

fn names() -> impl Strategy<Value = Names<'static>> {
    let after = option::of(name()).prop_map(Option::unwrap_or_default);
    let prefix = select(vec!["", "", "a", "a:", "é"]);
    (after, prefix).prop_map(|(after, prefix)| Names { after, prefix })
}

fn state() -> impl Strategy<Value = RowState> {
    select(vec![RowState::Live, RowState::Live, RowState::Disconnected, RowState::Gone])
}

fn time() -> impl Strategy<Value = Timestamp> {
    (-2..5_i64).prop_map(|seconds| Timestamp::from_secs(seconds).plus(Duration::from_millis(1)))
}
