use std::sync::Arc;

use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::time::advance;

use super::{LOOK, SETTLED};
use crate::{
    model::Random,
    store::{
        TokenStore,
        backend::{Backend, Expect, Key, Kind, Revision},
        record,
        seal::{KeyId, KeySource, Sealer},
        testing::{World, meddled::Meddled, pat, ring, sealer, tenant},
    },
};

/// A key file that several processes read.
#[derive(Clone)]
struct File(Arc<Mutex<Vec<u8>>>);

impl File {
    fn new(keys: &[u8]) -> Self {
        Self(Arc::new(Mutex::new(keys.to_vec())))
    }

    fn becomes(&self, keys: &[u8]) {
        *self.0.lock() = keys.to_vec();
    }

    /// A process that has read the file as it is now.
    async fn process(&self, backend: &Arc<dyn Backend>) -> TokenStore {
        let (file, keys) = (self.clone(), self.0.lock().clone());
        let sealer = Sealer::with_source(ring(&keys), move || file.reread(), Random::system());
        TokenStore::open(Arc::clone(backend), sealer, Random::system()).await.expect("opened")
    }
}

impl KeySource for File {
    fn reread(&self) -> Option<crate::store::seal::KeyRing> {
        Some(ring(&self.0.lock()))
    }
}

fn id(key: u8) -> KeyId {
    sealer(key).sealing_key()
}

async fn key_of_pat(backend: &Arc<dyn Backend>, name: &str) -> KeyId {
    let rows = backend.get(&[Key::new(Kind::Pat, name)]).await.expect("read");
    let keys = record::sealed_with(&rows[0].as_ref().expect("a row").body).expect("a record");
    keys.into_iter().next().expect("sealed")
}

#[tokio::test(start_paused = true)]
async fn who_has_not_looked_for_a_while_looks_before_it_seals() {
    let world = World::new().await;
    let file = File::new(&[1]);
    let running = file.process(&world.backend).await;
    file.becomes(&[2, 1]);
    file.process(&world.backend).await.take_first_key().await.expect("taken");
    running.put_pat(&tenant("early"), &pat("canary")).await.expect("stored");
    assert_eq!(key_of_pat(&world.backend, "early").await, id(1), "a look holds for a while");
    advance(LOOK).await;
    running.put_pat(&tenant("late"), &pat("canary")).await.expect("stored");
    assert_eq!(key_of_pat(&world.backend, "late").await, id(2));
}

#[tokio::test(start_paused = true)]
async fn who_follows_the_changes_follows_the_key() {
    let world = World::new().await;
    let file = File::new(&[1]);
    let running = file.process(&world.backend).await;
    let head = running.changed_since(Revision(u64::MAX)).await.expect("asked").head;
    file.becomes(&[2, 1]);
    file.process(&world.backend).await.take_first_key().await.expect("taken");
    let _ = running.changed_since(head).await.expect("asked");
    running.put_pat(&tenant("acme"), &pat("canary")).await.expect("stored");
    assert_eq!(key_of_pat(&world.backend, "acme").await, id(2));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_key_between_two_feeds_is_not_missed() {
    let world = World::new().await;
    let file = File::new(&[1]);
    let running = file.process(&world.backend).await;
    file.becomes(&[2, 1]);
    file.process(&world.backend).await.take_first_key().await.expect("taken");
    // The feed begins behind the change.
    let _ = running.changed_since(Revision(u64::MAX)).await.expect("asked");
    assert_eq!(running.sealer.sealing_key(), id(2));
}

/// The process was stopped for as long as a whole rotation takes, and its write arrives when the old key is gone.
#[tokio::test(start_paused = true)]
async fn a_write_that_arrives_after_the_rotation_is_sealed_anew_by_its_writer() {
    let world = World::new().await;
    let file = File::new(&[1]);
    let meddled = Meddled::new(Arc::clone(&world.backend));
    let stopped = file.process(&(Arc::clone(&meddled) as Arc<dyn Backend>)).await;
    let backend = Arc::clone(&world.backend);
    meddled.before_the_next_write(async move {
        file.becomes(&[2, 1]);
        let rotating = file.process(&backend).await;
        let _ = rotating.take_first_key().await.expect("taken");
        advance(SETTLED).await;
        let _ = rotating.reseal(|_| ()).await.expect("sealed");
        file.becomes(&[2]);
    });
    stopped.put_pat(&tenant("acme"), &pat("canary")).await.expect("stored");
    assert_eq!(key_of_pat(&world.backend, "acme").await, id(2));
    let restarted = TokenStore::open(world.backend, sealer(2), Random::system()).await.expect("opened");
    assert_eq!(restarted.load(&tenant("acme")).await.expect("loaded").pat, Some(pat("canary")));
}

/// Sealed by one task, when another one is told of the new key.
#[tokio::test(start_paused = true)]
async fn what_was_sealed_before_the_key_changed_and_is_written_after_it_is_sealed_anew() {
    let world = World::new().await;
    let file = File::new(&[1]);
    let running = file.process(&world.backend).await;
    let change = running.pat_change(&tenant("acme"), Expect::Anything, &pat("canary"));
    file.becomes(&[2, 1]);
    let _ = file.process(&world.backend).await.take_first_key().await.expect("taken");
    running.look_at_key().await.expect("looked");
    let _ = running.write(vec![change]).await.expect("written");
    assert_eq!(key_of_pat(&world.backend, "acme").await, id(2));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_have_the_new_key_goes_on_with_its_own() {
    let world = World::new().await;
    let elsewhere = File::new(&[1]).process(&world.backend).await;
    let rotated = File::new(&[2, 1]).process(&world.backend).await;
    rotated.take_first_key().await.expect("taken");
    advance(SETTLED).await;
    elsewhere.put_pat(&tenant("acme"), &pat("canary")).await.expect("stored");
    assert_eq!(rotated.load(&tenant("acme")).await.expect("loaded").pat, Some(pat("canary")));
}

// === several copies of the key file ===

/// Copies of a key file, each with the process that reads it.
struct Copies {
    backend: Arc<dyn Backend>,
    files: [File; 3],
    processes: Vec<TokenStore>,
}

impl Copies {
    async fn new() -> Self {
        let backend = World::new().await.backend;
        let files = [(); 3].map(|()| File::new(&[1]));
        let mut processes = Vec::new();
        for file in &files {
            processes.push(file.process(&backend).await);
        }
        Self { backend, files, processes }
    }

    /// One copy after the other becomes this; after each of them somebody writes.
    async fn become_one_by_one(&self, keys: &[u8], order: [usize; 3], writers: [usize; 3]) {
        for (at, writer) in order.into_iter().zip(writers) {
            self.files[at].becomes(keys);
            self.processes[at].sealer.replace(ring(keys));
            let name = format!("{}-{at}", keys.len());
            self.processes[writer].put_pat(&tenant(&name), &pat("canary")).await.expect("stored");
            self.assert_that_everybody_opens_everything().await;
        }
    }

    /// Also whoever starts just now, with nothing in memory but what stands in its copy.
    async fn assert_that_everybody_opens_everything(&self) {
        for file in &self.files {
            let survey = file.process(&self.backend).await.survey().await.expect("looked at");
            assert_eq!((survey.unreadable, survey.named), (0, Vec::new()));
        }
    }

    async fn rotate(&self, by: usize) {
        let _ = self.processes[by].take_first_key().await.expect("taken");
        advance(SETTLED).await;
        let _ = self.processes[by].reseal(|_| ()).await.expect("sealed");
        let survey = self.processes[by].survey().await.expect("looked at");
        assert_eq!(survey.others_than(id(2)), 0);
    }
}

fn order() -> impl Strategy<Value = [usize; 3]> {
    Just([0, 1, 2]).prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// As docs/operations.md tells those who have several copies of the key.
    #[test]
    fn with_the_new_key_last_then_first_then_rotated_everybody_always_opens_everything(
        orders in prop::array::uniform3(order()),
        writers in prop::array::uniform3(prop::array::uniform3(0..3_usize)),
        by in 0..3_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let copies = Copies::new().await;
            copies.become_one_by_one(&[1, 2], orders[0], writers[0]).await;
            copies.become_one_by_one(&[2, 1], orders[1], writers[1]).await;
            copies.rotate(by).await;
            copies.assert_that_everybody_opens_everything().await;
            copies.become_one_by_one(&[2], orders[2], writers[2]).await;
        });
    }
}
