//! Signals: what is under way is finished, and a second signal ends the process at once.

use std::time::Duration;

use flexslot_proxy::{
    model::GrantState,
    sandbox::{Effect, Endpoint, Fault, Gate},
};
use rustix::process::Signal;
use tokio::{net::TcpStream, time::timeout};

use super::{
    http::{Connection, DECKS, ask, get},
    world::{Life, World},
};
use crate::support::PATIENCE;

const STOPPING: &str = "stopping";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_under_way_is_answered_before_the_process_ends() {
    for signal in [Signal::TERM, Signal::INT] {
        let world = World::new().await;
        world.connect("acme", Life::Fresh).await;
        let gate = world.sandbox.hold(Endpoint::Resource);
        let sidecar = world.start().await;
        let mut connection = Connection::open(sidecar.proxy).await.unwrap();
        connection.send(&get(DECKS, "acme")).await.unwrap();
        timeout(PATIENCE, gate.arrived(1)).await.unwrap();
        sidecar.process.signal(signal);
        sidecar.process.says(STOPPING).await;
        let refused = async { while TcpStream::connect(sidecar.proxy).await.is_ok() {} };
        timeout(PATIENCE, refused).await.expect("no new connections");
        let ready = ask(sidecar.admin, b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(ready.status, 503, "{}", ready.text());
        gate.release();
        assert_eq!(connection.answer().await.unwrap().status, 200);
        assert_eq!(sidecar.process.exited().await.status.code(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_request_under_way_is_finished_and_stored_before_the_process_ends() {
    let world = World::new().await;
    world.connect("acme", Life::Expired).await;
    let gate = world.sandbox.hold_answers(Endpoint::Token);
    let sidecar = world.start().await;
    let mut connection = Connection::open(sidecar.proxy).await.unwrap();
    connection.send(&get(DECKS, "acme")).await.unwrap();
    timeout(PATIENCE, gate.arrived(1)).await.unwrap();
    // Nobody waits for the token any more, and still it must not be lost.
    drop(connection);
    sidecar.process.signal(Signal::TERM);
    sidecar.process.says(STOPPING).await;
    gate.release();
    assert_eq!(sidecar.process.exited().await.status.code(), Some(0));
    let stored = world.stored("acme").await;
    assert!(matches!(&stored, GrantState::Connected(grant) if grant.version.number() == 2), "{stored:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_request_that_outlives_the_drain_leaves_its_intent_and_the_next_start_goes_on() {
    let mut world = World::new().await;
    world.set("server", "drain_timeout = \"200ms\"");
    let acme = world.connect("acme", Life::Expired).await;
    let gate = Gate::new();
    world.sandbox.fault(Fault::new(Endpoint::Token, Effect::Hold(gate.clone())).once());
    let sidecar = world.start().await;
    let mut connection = Connection::open(sidecar.proxy).await.unwrap();
    connection.send(&get(DECKS, "acme")).await.unwrap();
    timeout(PATIENCE, gate.arrived(1)).await.unwrap();
    assert_eq!(sidecar.stop().await.status.code(), Some(0));
    let stored = world.stored("acme").await;
    assert!(matches!(stored, GrantState::Uncertain(..)), "{stored:?}");
    let sidecar = world.start().await;
    assert_eq!(ask(sidecar.proxy, &get(DECKS, "acme")).await.status, 200);
    assert_eq!(world.sandbox.grant(acme.grant).unwrap().replays, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_the_process_at_once() {
    let world = World::new().await;
    world.connect("acme", Life::Fresh).await;
    let gate = world.sandbox.hold(Endpoint::Resource);
    let sidecar = world.start().await;
    let mut connection = Connection::open(sidecar.proxy).await.unwrap();
    connection.send(&get(DECKS, "acme")).await.unwrap();
    timeout(PATIENCE, gate.arrived(1)).await.unwrap();
    sidecar.process.signal(Signal::TERM);
    sidecar.process.says(STOPPING).await;
    sidecar.process.signal(Signal::TERM);
    // Well below drain_timeout, which is 25 s.
    let exit = timeout(Duration::from_secs(10), sidecar.process.exited()).await.expect("it ends at once");
    assert_eq!(exit.status.code(), Some(1), "{}", exit.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_and_stalled_clients_do_not_hold_up_the_end() {
    let mut world = World::new().await;
    world.set("server", "drain_timeout = \"500ms\"");
    world.connect("acme", Life::Fresh).await;
    let sidecar = world.start().await;
    let mut idle = Connection::open(sidecar.proxy).await.unwrap();
    assert_eq!(idle.ask(&get(DECKS, "acme")).await.unwrap().status, 200);
    let silent = Connection::open(sidecar.proxy).await.unwrap();
    let mut stalled = Connection::open(sidecar.proxy).await.unwrap();
    stalled
        .send(b"POST /api/public/v1/sandbox/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n")
        .await
        .unwrap();
    assert_eq!(sidecar.stop().await.status.code(), Some(0));
    drop((idle, silent, stalled));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_end_leaves_the_whole_store_in_one_file() {
    let world = World::new().await;
    world.connect("acme", Life::Expired).await;
    let sidecar = world.start().await;
    assert_eq!(ask(sidecar.proxy, &get(DECKS, "acme")).await.status, 200);
    assert_eq!(sidecar.stop().await.status.code(), Some(0));
    let left = ["store.db-wal", "store.db-shm"].map(|name| world.path(name).exists());
    assert_eq!(left, [false, false], "who copies store.db alone would lose the newest tokens");
}
