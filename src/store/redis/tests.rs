//! Against real servers. The suite runs as the user that docs/stores.md describes.

mod access;
mod outages;

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use super::{Link, RedisBackend, RedisParams, STEP, address::Address};
use crate::{
    model::{Random, Secret, TenantId, Timestamp, token::Owner},
    store::{
        OpenError,
        backend::{Backend, Bid, Change, Expect, Key, Kind, Label, Names, Revision, RowState, Written},
        conformance::{Engine, conformance},
        record::Body,
        servers::redis::RedisServer,
    },
};

/// `now()` by a key, so that tests say what the time is.
const TOLD_TIME: &str = "local function now() return tonumber(redis.call('GET', prefix .. 'clock')) end";
const CLOCK: &str = "{flexslot-proxy}:clock";

/// A bid that is good until then is never late.
const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);

/// Longer than any operation takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// One server for all tests that leave it as it is; each has a database of its own. It ends with the process.
static SHARED: LazyLock<RedisServer> = LazyLock::new(|| {
    let server = RedisServer::start(&["--databases", "1000"]);
    let () = server.tell(&documented_user("flexslot-proxy", "canary-of-the-store"));
    server
});

static NEXT_DATABASE: AtomicU32 = AtomicU32::new(1);

/// A store in a database of its own on the shared server.
struct Shared {
    database: u32,
}

// === impl Shared ===

impl Shared {
    fn new() -> Self {
        Self { database: NEXT_DATABASE.fetch_add(1, SeqCst) }
    }

    fn url(&self) -> String {
        format!("redis://flexslot-proxy:canary-of-the-store@127.0.0.1:{}/{}", SHARED.port(), self.database)
    }

    fn tell<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        SHARED.tell_words(self.database, words).expect("done")
    }
}

impl Engine for Shared {
    fn handle(&self) -> Arc<dyn Backend> {
        let address = Address::parse(&Secret::new(self.url())).expect("an address");
        Arc::new(RedisBackend::at(Link::new(address, None, PATIENCE), &Random::system(), TOLD_TIME))
    }

    fn pass(&self, time: Duration) {
        let _: i64 = self.tell(&["INCRBY", CLOCK, &time.as_millis().to_string()]);
    }
}

fn engine() -> Shared {
    let engine = Shared::new();
    let () = engine.tell(&["SET", CLOCK, "1795200000000"]);
    engine
}

conformance!(engine());

/// The command of docs/stores.md, for this user and password.
fn documented_user(name: &str, password: &str) -> String {
    let docs = include_str!("../../../docs/stores.md");
    let line = docs.lines().find(|line| line.starts_with("ACL SETUSER ")).expect("it is there");
    line.replace("SETUSER flexslot-proxy", &format!("SETUSER {name} reset")).replace("PASSWORD", password)
}

async fn open(url: &str) -> Result<RedisBackend, OpenError> {
    let params = RedisParams { timeout: PATIENCE, ..RedisParams::new(Secret::new(url)) };
    RedisBackend::open(params, &Random::system()).await
}

fn put(name: &str) -> Change {
    put_with(name, Label::default())
}

fn put_with(name: &str, label: Label) -> Change {
    Change { key: key(name), expect: Expect::Anything, label, body: Body::from_stored(b"{}".to_vec()) }
}

fn key(name: &str) -> Key {
    Key::new(Kind::Grant, name)
}

fn tenant() -> TenantId {
    "acme".parse().expect("a name")
}

fn owner(instance: &str) -> Owner {
    Owner { host: "host".into(), instance: instance.into() }
}

#[tokio::test]
async fn large_batches_and_long_lists_are_whole_and_in_order() {
    let store = open(&Shared::new().url()).await.expect("opened");
    let names: Vec<_> = (0..2 * STEP).map(|number| format!("tenant-{number:04}")).collect();
    let state = |number| if number % 3 == 0 { RowState::Disconnected } else { RowState::Live };
    let due = Some(Timestamp::from_millis(1));
    let labels = (0..).map(|number| Label { state: state(number), due, ..Label::default() });
    let batch: Vec<_> = names.iter().zip(labels).map(|(name, label)| put_with(name, label)).collect();
    assert_eq!(store.write(batch).await, Ok(Written::Done(Revision(1))));

    for limit in [STEP - 1, STEP, STEP + 1, 2 * STEP, usize::MAX] {
        let listed = store.list(Kind::Grant, None, Names::ALL, limit).await.expect("listed");
        let listed: Vec<_> = listed.into_iter().map(|(name, _)| name).collect();
        assert_eq!(listed, names[..limit.min(names.len())], "{limit}");
    }
    let uses: Vec<_> = names.iter().map(|name| (key(name), Timestamp::from_secs(5))).collect();
    store.touch(&uses).await.expect("noted");
    let rows = store.list(Kind::Grant, None, Names::ALL, usize::MAX).await.expect("listed");
    assert!(rows.iter().all(|(_, row)| row.as_ref().is_ok_and(|row| row.last_used == Some(Timestamp::from_secs(5)))));
    assert_eq!(store.purge(Kind::Grant, Timestamp::from_millis(2)).await, Ok(names.len() as u64));
    assert_eq!(store.list(Kind::Grant, None, Names::ALL, 10).await, Ok(vec![]));
}

#[tokio::test]
async fn a_server_that_has_lost_the_store_s_record_alone_goes_on_counting() {
    let place = Shared::new();
    let store = open(&place.url()).await.expect("opened");
    for name in ["a", "b", "c"] {
        store.write(vec![put(name)]).await.expect("written");
    }
    let id = store.store_id().await.expect("an id");
    let gone: i64 = place.tell(&["DEL", "{flexslot-proxy}:store"]);
    assert_eq!(gone, 1);
    assert_eq!(store.changes(Revision(2), 10).await, Ok((Revision(3), vec![(key("c"), Revision(3))])));
    assert_eq!(store.write(vec![put("d")]).await, Ok(Written::Done(Revision(4))));
    assert_ne!(store.store_id().await.expect("an id"), id);
}

#[tokio::test]
async fn what_is_purged_leaves_nothing_behind() {
    let place = Shared::new();
    let store = open(&place.url()).await.expect("opened");
    for state in [RowState::Live, RowState::Disconnected, RowState::Gone, RowState::Live] {
        let due = Some(Timestamp::from_millis(1));
        store.write(vec![put_with("acme", Label { state, due, ..Label::default() })]).await.expect("written");
    }
    assert_eq!(store.purge(Kind::Grant, Timestamp::from_millis(2)).await, Ok(1));
    store
        .write(vec![put_with("kept", Label { due: Some(Timestamp::from_millis(1)), ..Label::default() })])
        .await
        .expect("written");
    store.write(vec![put("kept")]).await.expect("written");
    assert_eq!(store.purge(Kind::Grant, Timestamp::from_millis(2)).await, Ok(0), "it is due no more");
    let mut keys: Vec<String> = place.tell(&["KEYS", "*"]);
    keys.sort();
    let expected = ["feed", "names:1:0", "row:1:kept", "store"].map(|key| format!("{{flexslot-proxy}}:{key}"));
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn times_are_the_servers() {
    let place = Shared::new();
    let store = open(&place.url()).await.expect("opened");
    let time = || {
        let (seconds, micros): (i64, i64) = place.tell(&["TIME"]);
        Timestamp::from_millis(seconds * 1000 + micros / 1000)
    };
    let before = time();
    let now = store.now().await.expect("a time");
    assert!((before..=time()).contains(&now));
}

#[tokio::test]
async fn the_server_forgets_a_lease_at_its_end() {
    let place = Shared::new();
    let store = open(&place.url()).await.expect("opened");
    assert_eq!(store.bid(&tenant(), &owner("a"), Duration::from_secs(30), NEVER).await, Ok(Bid::Won));
    let left: i64 = place.tell(&["PTTL", "{flexslot-proxy}:lease:acme"]);
    assert!((1..=30_000).contains(&left), "{left}");
    assert_eq!(
        store.bid(&tenant(), &owner("a"), Duration::from_millis(5), NEVER).await,
        Ok(Bid::Won),
        "its owner shortens it"
    );
    while store.bid(&tenant(), &owner("b"), Duration::from_secs(30), NEVER).await != Ok(Bid::Won) {}
}

#[tokio::test]
async fn a_script_that_the_server_has_forgotten_is_sent_again() {
    let store = open(&Shared::new().url()).await.expect("opened");
    store.write(vec![put("a")]).await.expect("written");
    let () = SHARED.tell("SCRIPT FLUSH");
    assert_eq!(store.write(vec![put("a")]).await, Ok(Written::Done(Revision(2))));
}

#[tokio::test]
async fn names_may_be_anything_and_rows_of_others_are_left_alone() {
    let place = Shared::new();
    let () = place.tell(&["SET", "other", "program"]);
    let store = open(&place.url()).await.expect("opened");
    let names = ["a:b", "*", "(a", "{x}", "1:2", " ", "é"];
    store.write(names.iter().map(|name| put(name)).collect()).await.expect("written");
    let (_, keys) = store.changes(Revision(0), 100).await.expect("read");
    let listed = store.list(Kind::Grant, None, Names::ALL, 100).await.expect("listed");
    for name in names {
        assert!(keys.iter().any(|(found, _)| *found == key(name)), "{name}");
        assert!(listed.iter().any(|(found, _)| found == name), "{name}");
        assert!(store.get(&[key(name)]).await.expect("read")[0].is_some(), "{name}");
    }
    assert_eq!(place.tell::<String>(&["GET", "other"]), "program");
}

#[tokio::test]
async fn the_feed_passes_over_what_only_a_newer_program_knows() {
    let place = Shared::new();
    let store = open(&place.url()).await.expect("opened");
    for name in ["a", "x", "y", "b"] {
        store.write(vec![put(name)]).await.expect("written");
    }
    for (revision, name) in [("2", "x"), ("3", "y")] {
        let _: i64 = place.tell(&["ZREM", "{flexslot-proxy}:feed", &format!("1:{name}")]);
        let _: i64 = place.tell(&["ZADD", "{flexslot-proxy}:feed", revision, &format!("99:{name}")]);
    }
    let keys = vec![(key("a"), Revision(1)), (key("b"), Revision(4))];
    assert_eq!(store.changes(Revision(0), 2).await, Ok((Revision(4), keys)));
}

#[tokio::test]
async fn a_damaged_row_is_named_and_its_content_is_not() {
    let place = Shared::new();
    let store = open(&place.url()).await.expect("opened");
    store.write(vec![put("acme"), put("beta")]).await.expect("written");
    for (field, value) in
        [("revision", "canary"), ("state", "9"), ("grant", "canary"), ("version", "-1"), ("due", "canary")]
    {
        let _: i64 = place.tell(&["HSET", "{flexslot-proxy}:row:1:acme", field, value]);
        let error = store.get(&[key("acme")]).await.expect_err(field).to_string();
        assert!(error.contains("grant acme") && error.contains(field) && !error.contains("canary"), "{error}");
        let listed = store.list(Kind::Grant, None, Names::ALL, 10).await.expect("listed");
        let readable: Vec<_> = listed.iter().map(|(name, row)| (name.as_str(), row.is_ok())).collect();
        assert_eq!(readable, [("acme", false), ("beta", true)], "{field}");
        store.write(vec![put("acme")]).await.expect("written again");
    }
    assert!(store.get(&[key("beta")]).await.is_ok());
}
