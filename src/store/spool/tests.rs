use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;

use super::{Spool, SpoolError};
use crate::{
    model::{Grant, Random, TenantId, Timestamp, token::Owner},
    store::{
        Cas, Settlement, StoreError, TokenStore,
        backend::{Backend, Bid, Change, Key, Kind, Listed, Names, Pulse, Revision, Row, RowState, Written},
        files::{STAGED, beside},
        seal::Sealer,
        testing::{World, intent, ring, sealer, tenant, tokens},
    },
};

/// A tenant whose request has been answered with a pair that is only in the spool.
async fn spooled(world: &World, spool: &Spool, name: &str) -> Grant {
    let grant = world.connect(name).await;
    let intent = world.begun(name).await;
    let renewed = grant.renewed(tokens("spooled"));
    spool.put(&tenant(name), &intent, &renewed).await.expect("kept");
    renewed
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir.join("spool")).expect("listed");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_spooled_pair_is_stored_and_its_file_deleted() {
    let dir = tempfile::tempdir().expect("a directory");
    let (world, spool) = (World::new().await, Spool::new(dir.path(), sealer(1)));
    let renewed = spooled(&world, &spool, "acme").await;
    assert_eq!(names(dir.path()).len(), 1);
    let after_a_restart = Spool::new(dir.path(), sealer(1));
    let drained = after_a_restart.drain(&world.store).await.expect("drained");
    assert_eq!((drained.stored, drained.dropped.len(), drained.waiting.len()), (vec![tenant("acme")], 0, 0));
    assert_eq!(world.grant("acme").await, Some(renewed));
    assert!(names(dir.path()).is_empty());
}

#[tokio::test]
async fn a_pair_that_the_store_has_moved_past_is_dropped() {
    let dir = tempfile::tempdir().expect("a directory");
    let (world, spool) = (World::new().await, Spool::new(dir.path(), sealer(1)));
    spooled(&world, &spool, "removed").await;
    let renewed = spooled(&world, &spool, "stored").await;
    let _ = world.store.remove(&tenant("removed")).await.expect("removed");
    let mut first = renewed.clone();
    first.version = crate::model::Version::FIRST;
    let settled = world.store.settle(&tenant("stored"), &intent(&first), Settlement::Renewed(renewed)).await;
    assert_eq!(settled, Ok(Cas::Stored));
    let drained = spool.drain(&world.store).await.expect("drained");
    assert_eq!((drained.dropped, drained.stored), (vec![tenant("removed")], vec![tenant("stored")]));
    assert!(names(dir.path()).is_empty());
    assert_eq!(world.grant("removed").await, None);
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_the_others_are_stored() {
    let dir = tempfile::tempdir().expect("a directory");
    let (world, spool) = (World::new().await, Spool::new(dir.path(), sealer(1)));
    spooled(&world, &spool, "acme").await;
    fs::write(dir.path().join("spool/0-broken.pair"), "{\"format\":1,").expect("written");
    let drained = spool.drain(&world.store).await.expect("drained");
    assert_eq!(drained.stored, [tenant("acme")]);
    assert_eq!(names(dir.path()), ["0-broken.pair.damaged"]);
}

/// Gives the one file of the spool the name that it has before it is put in place.
fn unplace(dir: &Path) -> PathBuf {
    let path = dir.join("spool").join(&names(dir)[0]);
    let staged = beside(&path, STAGED);
    fs::rename(path, &staged).expect("renamed");
    staged
}

#[tokio::test]
async fn a_pair_that_was_written_and_not_put_in_place_is_stored_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let (world, spool) = (World::new().await, Spool::new(dir.path(), sealer(1)));
    let renewed = spooled(&world, &spool, "acme").await;
    unplace(dir.path());
    let drained = spool.drain(&world.store).await.expect("drained");
    assert_eq!(drained.stored, [tenant("acme")]);
    assert_eq!(world.grant("acme").await, Some(renewed));
    assert!(names(dir.path()).is_empty());
}

#[tokio::test]
async fn a_pair_that_is_still_being_written_is_left_alone_and_holds_nobody_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let (world, spool) = (World::new().await, Spool::new(dir.path(), sealer(1)));
    let renewed = spooled(&world, &spool, "acme").await;
    let staged = unplace(dir.path());
    let whole = fs::read(&staged).expect("read");
    for length in 0..whole.len() {
        fs::write(&staged, &whole[..length]).expect("written");
        let drained = spool.drain(&world.store).await.expect("drained");
        assert!(drained.stored.is_empty() && !drained.may_hold_back(renewed.id), "{length}: {drained:?}");
        assert!(spool.reseal().await.expect("looked at").unreadable.is_empty(), "{length}");
        assert_eq!(fs::read(&staged).expect("still there").len(), length);
    }
}

/// A store that answers nothing but errors, and counts.
#[derive(Default)]
struct OutOfReach(AtomicUsize);

impl OutOfReach {
    fn fail<T>(&self) -> Result<T, StoreError> {
        self.0.fetch_add(1, SeqCst);
        Err(StoreError::Unavailable("out of reach".into()))
    }
}

#[async_trait]
impl Backend for OutOfReach {
    async fn store_id(&self) -> Result<[u8; 16], StoreError> {
        self.fail()
    }
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.fail()
    }
    async fn pulse(&self, _: &Key) -> Result<Pulse, StoreError> {
        self.fail()
    }
    async fn get(&self, _: &[Key]) -> Result<Vec<Option<Row>>, StoreError> {
        self.fail()
    }
    async fn write(&self, _: Vec<Change>) -> Result<Written, StoreError> {
        self.fail()
    }
    async fn list(&self, _: Kind, _: Option<RowState>, _: Names<'_>, _: usize) -> Result<Vec<Listed>, StoreError> {
        self.fail()
    }
    async fn changes(&self, _: Revision, _: usize) -> Result<(Revision, Vec<(Key, Revision)>), StoreError> {
        self.fail()
    }
    async fn bid(&self, _: &TenantId, _: &Owner, _: Duration, _: Timestamp) -> Result<Bid, StoreError> {
        self.fail()
    }
    async fn release(&self, _: &TenantId, _: &Owner) -> Result<(), StoreError> {
        self.fail()
    }
    async fn touch(&self, _: &[(Key, Timestamp)]) -> Result<(), StoreError> {
        self.fail()
    }
    async fn purge(&self, _: Kind, _: Timestamp) -> Result<u64, StoreError> {
        self.fail()
    }
}

#[tokio::test]
async fn with_the_store_out_of_reach_every_pair_waits_and_the_store_is_asked_for_the_first_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let (world, spool) = (World::new().await, Spool::new(dir.path(), sealer(1)));
    spooled(&world, &spool, "acme").await;
    spooled(&world, &spool, "beta").await;
    let backend = Arc::new(OutOfReach::default());
    let store = TokenStore { backend: Arc::clone(&backend) as _, ..world.store.clone() };
    let drained = spool.drain(&store).await.expect("drained");
    assert!(matches!(drained.waiting.as_slice(), [(_, SpoolError::Store(StoreError::Unavailable(_)))]));
    assert_eq!((backend.0.load(SeqCst), names(dir.path()).len()), (1, 2));
    assert_eq!(spool.drain(&world.store).await.expect("drained").stored.len(), 2);
}

#[tokio::test]
async fn a_pair_whose_key_is_missing_waits_for_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let (world, spool) = (World::new().await, Spool::new(dir.path(), sealer(9)));
    spooled(&world, &spool, "acme").await;
    let without_key = Spool::new(dir.path(), sealer(1));
    let drained = without_key.drain(&world.store).await.expect("drained");
    assert!(matches!(drained.waiting.as_slice(), [(_, SpoolError::Key(_))]));
    assert_eq!(spool.drain(&world.store).await.expect("drained").stored, [tenant("acme")]);
}

#[tokio::test]
async fn files_are_their_owners_alone_and_hold_no_secret() {
    let dir = tempfile::tempdir().expect("a directory");
    let (world, spool) = (World::new().await, Spool::new(dir.path(), sealer(1)));
    let renewed = spooled(&world, &spool, "acme").await;
    spool.put(&tenant("acme"), &intent(&renewed), &renewed.clone().renewed(tokens("later"))).await.expect("kept");
    let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
    assert_eq!(mode(&dir.path().join("spool")), 0o700);
    let names = names(dir.path());
    assert_eq!(names.len(), 2, "a pair each, and nothing half written");
    for name in names {
        let path = dir.path().join("spool").join(name);
        assert_eq!(mode(&path), 0o600);
        let text = fs::read_to_string(path).expect("JSON");
        assert!(text.contains("flx_client_1") && !text.contains("canary"));
    }
}

#[tokio::test]
async fn pairs_are_sealed_anew_and_what_does_not_open_stays_as_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let (world, spool) = (World::new().await, Spool::new(dir.path(), sealer(1)));
    let renewed = spooled(&world, &spool, "acme").await;
    let foreign = Spool::new(dir.path(), sealer(9));
    spooled(&world, &foreign, "beta").await;
    let rotating = Spool::new(dir.path(), Sealer::new(ring(&[2, 1]), Random::system()));
    let resealed = rotating.reseal().await.expect("sealed");
    assert_eq!((resealed.pairs, resealed.unreadable.len()), (1, 1));
    assert_eq!(rotating.reseal().await.expect("sealed").pairs, 0, "once is enough");
    let drained = Spool::new(dir.path(), sealer(2)).drain(&world.store).await.expect("drained");
    assert_eq!((drained.stored, drained.waiting.len()), (vec![tenant("acme")], 1));
    assert_eq!(world.grant("acme").await, Some(renewed));
    assert_eq!(foreign.drain(&world.store).await.expect("drained").stored, [tenant("beta")]);
}
