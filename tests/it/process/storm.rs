//! Ten thousand requests on one expired token: everybody is served, and Flexslot is asked once.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use flexslot_proxy::sandbox::{Counts, Effect, Endpoint, Fault};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::TcpStream,
    sync::Barrier,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{
    http::{Connection, DECKS, ask, get},
    world::{CLIENT, Life, World},
};
use crate::support::{PATIENCE, process::Launch};

const CONNECTIONS: usize = 500;
/// Requests on each connection, one after the other.
const EACH: usize = 20;
const REQUESTS: u64 = (CONNECTIONS * EACH) as u64;

/// How long each request took, and what it was answered.
type Served = Vec<(Duration, u16)>;

/// The world of a storm: one tenant, and enough descriptors for both ends of every connection.
async fn world(life: Life) -> (World, super::world::Tenant) {
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).unwrap();
    let mut world = World::new().await;
    // A slow machine is no failure.
    world
        .set("refresh", "timeout = \"60s\"")
        .set("upstream", "response_timeout = \"120s\"")
        .set("log", "access = false");
    let acme = world.connect("acme", life).await;
    (world, acme)
}

/// The same, with tokens that are bound to a key.
async fn bound_world(life: Life) -> (World, super::world::Tenant) {
    let (world, _) = world(life).await;
    world.sandbox.set_dpop_bound(CLIENT, true).unwrap();
    let acme = world.connect("acme", life).await;
    (world, acme)
}

/// `connections` clients send `each` requests, all beginning at the same moment.
async fn storm(proxy: SocketAddr, connections: usize, each: usize) -> Served {
    let ready = Arc::new(Barrier::new(connections));
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let ready = Arc::clone(&ready);
        clients.spawn(async move {
            let mut connection = Connection::open(proxy).await.unwrap();
            ready.wait().await;
            let mut served = Served::new();
            for _ in 0..each {
                let began = Instant::now();
                let answer = connection.ask(&get(DECKS, "acme")).await.unwrap();
                served.push((began.elapsed(), answer.status));
            }
            served
        });
    }
    timeout(2 * PATIENCE, clients.join_all()).await.expect("a storm passes").concat()
}

/// `connections` clients, one after the other `each` times, send a request and hang up.
async fn hang_up(proxy: SocketAddr, connections: usize, each: usize) {
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        clients.spawn(async move {
            for _ in 0..each {
                let mut connection = Connection::open(proxy).await.unwrap();
                connection.send(&get(DECKS, "acme")).await.unwrap();
            }
        });
    }
    timeout(2 * PATIENCE, clients.join_all()).await.expect("nobody waits for an answer");
}

#[allow(clippy::print_stdout, reason = "a figure for people to read")]
fn report(name: &str, mut served: Served) {
    served.sort_unstable();
    let at = |percent: usize| served[(served.len() - 1) * percent / 100].0;
    println!(
        "storm, {name}: {} requests; p50 {:.1?}, p90 {:.1?}, p99 {:.1?}, max {:.1?}",
        served.len(),
        at(50),
        at(90),
        at(99),
        at(100)
    );
}

fn assert_one_refresh(counts: &Counts) {
    let asked = (counts.token_requests("refresh_token"), counts.refreshes, counts.replays, counts.presented_after_end);
    assert_eq!(asked, (1, 1, 0, 0), "token requests, refreshes, replays, presented after the end");
}

fn assert_all_served(served: &Served, requests: u64) {
    let failed: Vec<_> = served.iter().filter(|(_, status)| *status != 200).collect();
    assert!(failed.is_empty(), "{} of {} failed, such as {:?}", failed.len(), served.len(), failed[0]);
    assert_eq!(served.len() as u64, requests);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_on_an_expired_token_costs_one_token_request() {
    let (world, _) = world(Life::Expired).await;
    let sidecar = world.start().await;
    let served = storm(sidecar.proxy, CONNECTIONS, EACH).await;
    let counts = world.sandbox.counters();
    assert_all_served(&served, REQUESTS);
    assert_one_refresh(&counts);
    assert_eq!(counts.requests(Endpoint::Resource), REQUESTS, "nothing is sent twice");
    report("expired", served);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_waits_for_a_slow_token_endpoint_and_asks_it_once() {
    let (world, _) = world(Life::Expired).await;
    world.sandbox.fault(Fault::new(Endpoint::Token, Effect::Delay(Duration::from_millis(300))).after());
    let sidecar = world.start().await;
    let served = storm(sidecar.proxy, CONNECTIONS, EACH).await;
    assert_all_served(&served, REQUESTS);
    assert_one_refresh(&world.sandbox.counters());
    report("expired, the token endpoint holds its answer 300 ms", served);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_which_half_hangs_up_serves_the_other_half() {
    let (world, _) = world(Life::Expired).await;
    let gate = world.sandbox.hold_answers(Endpoint::Token);
    let sidecar = world.start().await;
    // Whoever caused the refresh is gone before it is answered.
    let mut first = Connection::open(sidecar.proxy).await.unwrap();
    first.send(&get(DECKS, "acme")).await.unwrap();
    timeout(PATIENCE, gate.arrived(1)).await.unwrap();
    drop(first);
    let proxy = sidecar.proxy;
    let leaving = tokio::spawn(async move {
        hang_up(proxy, CONNECTIONS / 2, EACH / 2).await;
        gate.release();
        hang_up(proxy, CONNECTIONS / 2, EACH / 2).await;
    });
    let served = storm(proxy, CONNECTIONS / 2, EACH).await;
    leaving.await.unwrap();
    assert_all_served(&served, REQUESTS / 2);
    assert_one_refresh(&world.sandbox.counters());
    report("expired, half of the clients hang up (latencies of those that stay)", served);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_on_a_token_that_flexslot_refuses_costs_one_token_request_and_one_retry_each() {
    let (world, acme) = world(Life::Fresh).await;
    world.sandbox.expire_access(acme.grant).unwrap();
    let sidecar = world.start().await;
    let served = storm(sidecar.proxy, CONNECTIONS, EACH).await;
    let counts = world.sandbox.counters();
    assert_all_served(&served, REQUESTS);
    assert_one_refresh(&counts);
    let (sent, refused) = (counts.requests(Endpoint::Resource), counts.with_status(Endpoint::Resource, 401));
    assert_eq!(sent, REQUESTS + refused, "one retry for each 401");
    report(&format!("refused by Flexslot ({refused} answers 401)"), served);
}

/// The stand-in refuses a proof that it has seen before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_on_an_expired_bound_token_costs_one_token_request_and_a_proof_each() {
    let (world, _) = bound_world(Life::Expired).await;
    let sidecar = world.start().await;
    let served = storm(sidecar.proxy, CONNECTIONS, EACH).await;
    let counts = world.sandbox.counters();
    assert_all_served(&served, REQUESTS);
    assert_one_refresh(&counts);
    assert_eq!((counts.proofs, counts.proof_replays), (REQUESTS + 1, 0), "a proof each, and one for the refresh");
    assert_eq!(counts.requests(Endpoint::Resource), REQUESTS, "nothing is sent twice");
    report("expired, bound to a key", served);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_over_http_2_waits_together_and_costs_one_token_request() {
    const CLIENTS: usize = 100;
    let (world, _) = world(Life::Expired).await;
    let gate = world.sandbox.hold_answers(Endpoint::Token);
    let sidecar = world.start().await;
    let mut streams = JoinSet::new();
    for _ in 0..CLIENTS {
        let io = TokioIo::new(TcpStream::connect(sidecar.proxy).await.unwrap());
        let (client, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..EACH {
            let mut client = client.clone();
            let request = Request::get(format!("http://localhost{DECKS}")).header("x-flexslot-tenant", "acme");
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            streams.spawn(async move {
                let began = Instant::now();
                let answer = client.send_request(request).await.unwrap();
                let status = answer.status().as_u16();
                answer.into_body().collect().await.unwrap();
                (began.elapsed(), status)
            });
        }
    }
    timeout(PATIENCE, gate.arrived(1)).await.unwrap();
    gate.release();
    let served = timeout(2 * PATIENCE, streams.join_all()).await.expect("a storm passes");
    assert_all_served(&served, (CLIENTS * EACH) as u64);
    assert_one_refresh(&world.sandbox.counters());
    report("expired, HTTP/2, all streams at once", served);
}

/// However many knock: two descriptors for each of those who are in, and some for probes, are not given to others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_descriptors_are_few_some_wait_and_those_who_are_in_are_served() {
    let world = World::new().await;
    world.connect("acme", Life::Fresh).await;
    world.write_config();
    let shell = ["-c", "ulimit -n 400; exec \"$0\" serve --config proxy.toml", env!("CARGO_BIN_EXE_flexslot-proxy")];
    let sidecar = Launch::program(world.dir.path(), "/bin/sh", &shell).listening().await;
    let line = sidecar.process.says("descriptors last for fewer connections").await;
    let room = usize::try_from(line["connections"].as_u64().unwrap()).unwrap();
    let gate = world.sandbox.hold(Endpoint::Resource);
    let mut callers = JoinSet::new();
    for _ in 0..3 * room {
        callers.spawn(async move { ask(sidecar.proxy, &get(DECKS, "acme")).await.status });
    }
    // Each of those who are in has a connection to Flexslot besides its own.
    timeout(PATIENCE, gate.arrived(room)).await.unwrap();
    let ready = ask(sidecar.admin, b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!((ready.status, gate.count()), (200, room), "{}", ready.text());
    gate.release();
    let statuses = timeout(2 * PATIENCE, callers.join_all()).await.unwrap();
    assert_eq!(statuses, vec![200; 3 * room]);
}

/// Whoever can connect to the admin listener takes no descriptor of those whom the data plane has taken in.
#[tokio::test]
async fn connections_to_the_admin_listener_take_none_from_callers() {
    let world = World::new().await;
    world.connect("acme", Life::Fresh).await;
    world.write_config();
    let shell = ["-c", "ulimit -n 400; exec \"$0\" serve --config proxy.toml", env!("CARGO_BIN_EXE_flexslot-proxy")];
    let sidecar = Launch::program(world.dir.path(), "/bin/sh", &shell).listening().await;
    let line = sidecar.process.says("descriptors last for fewer connections").await;
    let room = usize::try_from(line["connections"].as_u64().unwrap()).unwrap();
    let probe = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut kept = Vec::new();
    for _ in 0..400 {
        let mut connection = Connection::open(sidecar.admin).await.unwrap();
        connection.send(probe).await.unwrap();
        kept.push(connection);
    }
    // Those that are in are answered, and the others wait.
    for connection in &mut kept[..40] {
        assert_eq!(timeout(PATIENCE, connection.answer()).await.unwrap().unwrap().status, 200);
    }
    let gate = world.sandbox.hold(Endpoint::Resource);
    let mut callers = JoinSet::new();
    for _ in 0..room {
        callers.spawn(async move { ask(sidecar.proxy, &get(DECKS, "acme")).await.status });
    }
    timeout(PATIENCE, gate.arrived(room)).await.unwrap();
    gate.release();
    assert_eq!(timeout(2 * PATIENCE, callers.join_all()).await.unwrap(), vec![200; room]);
}

#[tokio::test]
async fn a_sidecar_takes_all_the_descriptors_that_it_may_have() {
    let world = World::new().await;
    world.write_config();
    let shell = ["-c", "ulimit -S -n 256; exec \"$0\" serve --config proxy.toml", env!("CARGO_BIN_EXE_flexslot-proxy")];
    let sidecar = Launch::program(world.dir.path(), "/bin/sh", &shell).listening().await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", sidecar.process.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<_> = files.split_whitespace().filter(|word| word.bytes().all(|b| b.is_ascii_digit())).collect();
    assert_eq!(numbers[0], numbers[1], "the soft limit is the hard one: {files}");
}
