//! A process that holds clients, and a store that loses them under it.

use std::time::Duration;

use tokio::time::advance;

use super::*;
use crate::{
    model::{ClientDescription, ClientStatus, ClientType, Random, Secret, Timestamp, clock::TokioClock},
    store::{
        backend::{Backend, Change, Expect, Key, Kind, Row},
        memory::MemoryBackend,
        record::Body,
        seal::{KeyRing, Sealer},
    },
};

const ORIGIN: &str = "https://api.flexslot.gg";

/// A store, what is under it, and who follows it.
struct Test {
    store: TokenStore,
    backend: Arc<MemoryBackend>,
    ours: OfStore,
}

impl Test {
    /// A store with the client `c`, which is held.
    async fn new() -> Self {
        let (random, clock) =
            (Random::system(), Arc::new(TokioClock::starting_at(Timestamp::from_secs(1_795_200_000))));
        let backend = Arc::new(MemoryBackend::new(clock, &random));
        let sealer = Sealer::new(KeyRing::ephemeral(&random), random.clone());
        let store = TokenStore::open(Arc::clone(&backend) as _, sealer, random).await.unwrap();
        let ours = OfStore::new(&store, &ORIGIN.parse().unwrap());
        let test = Self { store, backend, ours };
        let creation = test.store.begin_creation("App", &origin(), &george(), vec![]).await.unwrap();
        let _ = test.store.finish_creation(&creation, &kept("first")).await.unwrap();
        assert_eq!(test.used().await, ["first"]);
        test
    }

    async fn rotate(&self, secret: &str) {
        let begun = self.store.begin_step(&kept("").client, &origin(), &george(), ClientStep::Rotate).await.unwrap();
        let _ = self.store.finish_rotation(&begun, &kept(secret)).await.unwrap();
    }

    async fn row(&self) -> Row {
        self.backend.get(&[key()]).await.unwrap().pop().flatten().unwrap()
    }

    /// The row as it was once, or another body in it.
    async fn put(&self, row: &Row, body: Body) {
        let change = Change { key: key(), expect: Expect::Anything, label: row.label, body };
        let _ = self.backend.write(vec![change]).await.unwrap();
    }

    async fn put_back(&self, row: &Row) {
        self.put(row, row.body.clone()).await;
    }

    /// The secrets that this process uses, after a look.
    async fn used(&self) -> Vec<String> {
        secrets(&self.ours).await
    }

    async fn stored(&self) -> Option<Secret> {
        self.store.client("c").await.unwrap().and_then(|kept| kept.secret)
    }
}

async fn secrets(source: &OfStore) -> Vec<String> {
    let clients = source.load().await.unwrap();
    clients.into_iter().filter_map(|kept| Some(kept.secret?.expose().to_owned())).collect()
}

fn key() -> Key {
    Key::new(Kind::Client, "c")
}

fn origin() -> Origin {
    ORIGIN.parse().unwrap()
}

fn george() -> crate::model::TenantId {
    "george".parse().unwrap()
}

/// With a secret that is named after the time that Flexslot gives of it.
fn kept(secret: &str) -> ClientRecord {
    let order = ["first", "second", "third"].iter().position(|name| *name == secret);
    ClientRecord {
        client: ClientDescription {
            client_id: "c".into(),
            name: "App".into(),
            client_type: Some(ClientType::Confidential),
            status: ClientStatus::Active,
            redirect_uris: vec![],
            scopes: vec![],
            dpop_bound_access_tokens: false,
            created_at: None,
            last_used_at: None,
            secret_rotated_at: order.map(|order| Timestamp::from_secs(100 + order as i64)),
        },
        origin: origin(),
        tenant: george(),
        secret: Some(Secret::new(secret)),
        intent: None,
        generation: Generation::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_comes_back_older_is_given_the_newer_secret_again() {
    let test = Test::new().await;
    let old = test.row().await;
    test.rotate("second").await;
    assert_eq!(test.used().await, ["second"]);
    test.put_back(&old).await;
    assert_eq!(test.used().await, ["second"]);
    assert_eq!(test.stored().await, Some(Secret::new("second")));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_an_older_store_was_given_since_counts_more_than_what_it_has_lost() {
    let test = Test::new().await;
    let old = test.row().await;
    for _ in 0..2 {
        test.rotate("second").await;
    }
    assert_eq!(test.used().await, ["second"]);
    test.put_back(&old).await;
    advance(Duration::from_secs(1)).await;
    test.rotate("third").await;
    assert_eq!(test.used().await, ["third"]);
    assert_eq!(test.stored().await, Some(Secret::new("third")));
}

/// Who is about to rotate has everybody wait, also where the store came back older in between.
#[tokio::test(start_paused = true)]
async fn a_note_in_an_older_store_stays_with_the_newer_secret() {
    let test = Test::new().await;
    let old = test.row().await;
    test.rotate("second").await;
    assert_eq!(test.used().await, ["second"]);
    test.put_back(&old).await;
    let begun = test.store.begin_step(&kept("").client, &origin(), &george(), ClientStep::Rotate).await.unwrap();
    let clients = test.ours.load().await.unwrap();
    assert_eq!(clients[0].secret, Some(Secret::new("second")));
    assert!(clients[0].rotating_until.is_some());
    let _ = test.store.finish_rotation(&begun, &kept("third")).await.unwrap();
    assert_eq!(test.used().await, ["third"]);
}

#[tokio::test(start_paused = true)]
async fn of_two_processes_the_one_that_knows_more_has_the_last_word() {
    let test = Test::new().await;
    let (old, late) = (test.row().await, OfStore::new(&test.store, &origin()));
    test.rotate("second").await;
    assert_eq!(secrets(&late).await, ["second"]);
    test.rotate("third").await;
    assert_eq!(test.used().await, ["third"]);
    test.put_back(&old).await;
    assert_eq!(secrets(&late).await, ["second"]);
    assert_eq!(test.used().await, ["third"]);
    assert_eq!(secrets(&late).await, ["third"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_not_brought_back_over_its_removal_and_goes_again_from_an_older_store() {
    let test = Test::new().await;
    let (old, late) = (test.row().await, OfStore::new(&test.store, &origin()));
    assert_eq!(secrets(&late).await, ["first"]);
    test.store.forget_client("c").await.unwrap();
    assert_eq!(test.used().await, [""; 0]);
    test.put_back(&old).await;
    assert_eq!(test.used().await, [""; 0]);
    assert_eq!(test.stored().await, None);
    assert_eq!(secrets(&late).await, [""; 0], "who still held it does not give it again");
    assert_eq!(test.stored().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_row_does_not_open_stays_as_it_was_known() {
    let test = Test::new().await;
    let good = test.row().await;
    test.put(&good, Body::from_stored(br#"{"format": 1}"#.to_vec())).await;
    for _ in 0..2 {
        assert_eq!(test.used().await, ["first"]);
    }
    let new = OfStore::new(&test.store, &origin());
    assert_eq!(secrets(&new).await, [""; 0], "nobody else knows it");
    test.put_back(&good).await;
    test.rotate("second").await;
    assert_eq!(test.used().await, ["second"]);
}
