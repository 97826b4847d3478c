//! Servers that stop, halt, forget, fill up and change their part.

use std::{net::TcpListener, time::Duration};

use tokio::time::Instant;

use super::*;
use crate::store::StoreError;

/// What a store that is unavailable says.
fn unavailable<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Unavailable(said)) => said,
        other => panic!("available: {other:?}"),
    }
}

#[tokio::test]
async fn an_address_that_says_nothing_does_not_hide_the_others() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let silent = listener.local_addr().expect("an address");
    let server = ([127, 0, 0, 1], SHARED.port()).into();
    let address = Address::parse(&Secret::new(Shared::new().url())).expect("an address");
    let link = Link::new(address, None, PATIENCE);
    let found = link.connect_to_one_of(&[silent, server], Instant::now() + Duration::from_secs(6)).await;
    assert!(found.is_ok(), "{:?}", found.err());
}

#[tokio::test]
async fn a_server_restarted_empty_has_another_id_and_nothing_else() {
    let mut server = RedisServer::start(&[]);
    let store = open(&server.url(0)).await.expect("opened");
    let id = store.store_id().await.expect("an id");
    store.write(vec![put("a")]).await.expect("written");
    server.kill();
    let said = unavailable(store.get(&[key("a")]).await);
    assert!(said.contains("connection"), "{said}");
    server.start_again();
    assert_eq!(store.get(&[key("a")]).await, Ok(vec![None]));
    assert_eq!(store.changes(Revision(0), 10).await, Ok((Revision(0), vec![])));
    let new = store.store_id().await.expect("an id");
    assert_ne!(new, id);
    let other = open(&server.url(0)).await.expect("opened");
    assert_eq!(other.store_id().await, Ok(new));
}

#[tokio::test]
async fn a_server_that_crashed_has_everything_in_its_append_only_file() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = open(&server.url(0)).await.expect("opened");
    let id = store.store_id().await.expect("an id");
    store.write(vec![put("a"), put("b")]).await.expect("written");
    store.touch(&[(key("a"), Timestamp::from_secs(7))]).await.expect("noted");
    assert_eq!(store.bid(&tenant(), &owner("a"), PATIENCE, NEVER).await, Ok(Bid::Won));
    let rows = store.list(Kind::Grant, None, Names::ALL, 10).await.expect("listed");
    server.kill();
    server.start_again();
    assert_eq!(store.list(Kind::Grant, None, Names::ALL, 10).await, Ok(rows));
    assert_eq!(store.store_id().await, Ok(id));
    assert_eq!(store.write(vec![put("a")]).await, Ok(Written::Done(Revision(2))));
    assert!(matches!(store.bid(&tenant(), &owner("b"), PATIENCE, NEVER).await, Ok(Bid::Lost { .. })));
}

/// The server carries out its append-only file as the user `default`, whom the documents take the password from and not the
/// rights: without these it leaves out all that scripts have written.
#[tokio::test]
async fn a_server_with_the_users_of_the_documents_has_everything_after_a_restart() {
    const PASSWORD: &str = "canary-of-the-restart";
    let docs = include_str!("../../../../docs/kubernetes.md");
    let (_, users) = docs.split_once("cat > users.acl <<END\n").expect("it is there");
    let (users, _) = users.split_once("\nEND\n").expect("it ends");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("users.acl");
    std::fs::write(&file, users.replace("$password", PASSWORD)).expect("written");
    let file = file.to_str().expect("a path in UTF-8");
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always", "--aclfile", file]);
    let url = format!("redis://flexslot-proxy:{PASSWORD}@127.0.0.1:{}/0", server.port());
    let store = open(&url).await.expect("opened");
    store.write(vec![put("a"), put("b")]).await.expect("written");
    let rows = store.list(Kind::Grant, None, Names::ALL, 10).await.expect("listed");
    assert_eq!(rows.len(), 2);
    drop(store);
    server.stop();
    server.start_again();
    let store = open(&url).await.expect("opened");
    assert_eq!(store.list(Kind::Grant, None, Names::ALL, 10).await, Ok(rows));
    // Nobody is let in as `default`.
    assert!(open(&server.url(0)).await.is_err());
}

/// Batches are written until the server crashes, at whatever moment that is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_leaves_whole_batches_only_and_all_that_were_acknowledged() {
    const ROWS: usize = 50;
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = Arc::new(open(&server.url(0)).await.expect("opened"));
    let (acknowledged, mut batches) = tokio::sync::mpsc::unbounded_channel();
    let writing = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for batch in 0.. {
                let rows = (0..ROWS).map(|row| put(&format!("{batch:06}-{row}")));
                let Ok(Written::Done(revision)) = store.write(rows.collect()).await else { return };
                acknowledged.send(revision).expect("somebody counts");
            }
        }
    });
    for _ in 0..20 {
        batches.recv().await.expect("acknowledged");
    }
    server.kill();
    writing.await.expect("no panic");
    let mut last = Revision(20);
    while let Ok(revision) = batches.try_recv() {
        last = revision;
    }
    server.start_again();
    let (head, feed) = store.changes(Revision(0), usize::MAX).await.expect("read");
    assert!(head == last || head.0 == last.0 + 1, "{head:?} after {last:?}");
    let rows = store.list(Kind::Grant, None, Names::ALL, usize::MAX).await.expect("listed");
    let batches = usize::try_from(head.0).expect("a few");
    assert_eq!((rows.len(), feed.len()), (batches * ROWS, batches * ROWS));
}

#[tokio::test]
async fn a_halted_server_is_unavailable_within_the_limit_and_heals() {
    let server = RedisServer::start(&[]);
    let limit = Duration::from_secs(3);
    let params = RedisParams { timeout: limit, ..RedisParams::new(Secret::new(server.url(0))) };
    let store = RedisBackend::open(params, &Random::system()).await.expect("opened");
    server.pause();
    tokio::time::pause();
    let halted = Instant::now();
    // First over the connection that there is, then over one that the halted server never greets.
    for failed in 1..=2 {
        let said = unavailable(store.write(vec![put("a")]).await);
        assert!(said.contains("no answer within 3s"), "{said}");
        // The timer counts whole milliseconds.
        let waited = halted.elapsed();
        assert!(waited >= failed * limit && waited < failed * (limit + Duration::from_millis(10)), "{waited:?}");
    }
    tokio::time::resume();
    server.resume();
    assert!(store.write(vec![put("b")]).await.is_ok());
}

#[tokio::test]
async fn connections_that_were_closed_meanwhile_are_not_noticed() {
    let server = RedisServer::start(&[]);
    let store = open(&server.url(0)).await.expect("opened");
    for _ in 0..20 {
        let _: i64 = server.tell("CLIENT KILL TYPE normal");
        store.now().await.expect("answered");
        store.get(&[key("a")]).await.expect("answered");
    }
}

#[tokio::test]
async fn a_pulse_tells_that_it_came_over_a_new_connection() {
    let server = RedisServer::start(&[]);
    let store = open(&server.url(0)).await.expect("opened");
    let connections = async || store.pulse(&key("a")).await.expect("a pulse").connections;
    let first = connections().await;
    assert_eq!(connections().await, first);
    let _: i64 = server.tell("CLIENT KILL TYPE normal");
    assert_eq!(connections().await, first + 1);
}

/// Holds back what scripts may write until it is told otherwise, and waits until one is held back.
async fn hold(server: &RedisServer, clients: usize) {
    while !server.tell::<String>("INFO clients").contains(&format!("blocked_clients:{clients}\r")) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn of_operations_cut_in_the_midst_only_a_write_fails() {
    let server = RedisServer::start(&[]);
    let store = Arc::new(open(&server.url(0)).await.expect("opened"));
    let () = server.tell("CLIENT PAUSE 1000000 WRITE");
    let writing = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.write(vec![put("a")]).await }
    });
    hold(&server, 1).await;
    let _: i64 = server.tell("CLIENT KILL TYPE normal");
    let said = unavailable(writing.await.expect("no panic"));
    assert!(said.contains("the connection ended before the answer came"), "{said}");

    let bidding = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.bid(&tenant(), &owner("a"), PATIENCE, NEVER).await }
    });
    hold(&server, 1).await;
    let _: i64 = server.tell("CLIENT KILL TYPE normal");
    hold(&server, 1).await;
    let () = server.tell("CLIENT UNPAUSE");
    assert_eq!(bidding.await.expect("no panic"), Ok(Bid::Won));
    assert!(store.write(vec![put("b")]).await.is_ok());
}

#[tokio::test]
async fn a_thousand_operations_after_an_outage_make_one_connection() {
    let mut server = RedisServer::start(&[]);
    let store = Arc::new(open(&server.url(0)).await.expect("opened"));
    server.stop();
    unavailable(store.now().await);
    server.start_again();
    let made = |server: &RedisServer| {
        let stats: String = server.tell("INFO stats");
        let made = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:")).expect("there");
        made.parse::<u32>().expect("a number")
    };
    let before = made(&server);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let store = Arc::clone(&store);
        asking.spawn(async move { store.now().await.expect("a time") });
    }
    asking.join_all().await;
    assert_eq!(made(&server), before + 1);
}

#[tokio::test]
async fn a_server_that_became_a_replica_takes_no_writes_until_it_is_primary_again() {
    let server = RedisServer::start(&[]);
    let store = open(&server.url(0)).await.expect("opened");
    let () = server.tell("REPLICAOF 127.0.0.1 1");
    let said = unavailable(store.write(vec![put("a")]).await);
    assert!(said.contains("it is a replica and takes no writes (READONLY)"), "{said}");
    assert_eq!(store.get(&[key("a")]).await, Ok(vec![None]), "reads go on");
    let () = server.tell("REPLICAOF NO ONE");
    assert_eq!(store.write(vec![put("a")]).await, Ok(Written::Done(Revision(1))));
}

#[tokio::test]
async fn a_full_server_refuses_whole_writes_and_answers_reads() {
    let server = RedisServer::start(&["--maxmemory-policy", "noeviction"]);
    let store = open(&server.url(0)).await.expect("opened");
    store
        .write(vec![put_with("a", Label { due: Some(Timestamp::from_millis(0)), ..Label::default() })])
        .await
        .expect("written");
    assert_eq!(store.bid(&tenant(), &owner("a"), PATIENCE, NEVER).await, Ok(Bid::Won));
    let before = store.changes(Revision(0), 10).await;
    let () = server.tell("CONFIG SET maxmemory 1");
    let gone = Label { state: RowState::Gone, ..Label::default() };
    let said = unavailable(store.write(vec![put_with("a", gone), put("b")]).await);
    assert!(said.contains("its memory is full (OOM); raise its maxmemory"), "{said}");
    assert!(unavailable(store.bid(&tenant(), &owner("a"), PATIENCE, NEVER).await).contains("OOM"));
    assert_eq!(store.changes(Revision(0), 10).await, before);
    assert_eq!(store.release(&tenant(), &owner("a")).await, Ok(()), "what frees memory goes on");
    assert!(open(&server.url(0)).await.is_ok(), "and so does a start");
    assert_eq!(store.purge(Kind::Grant, Timestamp::from_millis(1)).await, Ok(1));
    let () = server.tell("CONFIG SET maxmemory 0");
    assert_eq!(store.write(vec![put("b")]).await, Ok(Written::Done(Revision(2))));
}

#[tokio::test]
async fn two_sidecars_see_each_others_changes() {
    let server = RedisServer::start(&[]);
    let (ours, theirs) = (open(&server.url(0)).await.expect("opened"), open(&server.url(0)).await.expect("opened"));
    let Ok(Written::Done(revision)) = ours.write(vec![put("a")]).await else { panic!("not written") };
    assert_eq!(theirs.changes(Revision(0), 10).await, Ok((revision, vec![(key("a"), revision)])));
    assert_eq!(theirs.store_id().await, ours.store_id().await);
    assert_eq!(ours.bid(&tenant(), &owner("a"), PATIENCE, NEVER).await, Ok(Bid::Won));
    assert!(matches!(theirs.bid(&tenant(), &owner("b"), PATIENCE, NEVER).await, Ok(Bid::Lost { .. })));
}
