//! Three sidecars on one store, on each engine: one token request for each expiry, whoever is killed or stopped
//! meanwhile.

use std::time::Duration;

use tokio::{task::JoinSet, time::Instant};

use super::{
    engines::{Engine, on_each_engine},
    http::{Answer, Connection, DECKS, get},
    world::{Life, World},
};
use crate::support::process::Sidecar;

mod killed;
mod paused;

pub(super) const SIDECARS: usize = 3;
/// Requests of one round, over all sidecars.
const REQUESTS: usize = 200;

/// How many rounds; for a long run by hand.
const ROUNDS: &str = "FLEXSLOT_PROXY_SHARED_ROUNDS";

#[allow(clippy::disallowed_methods, reason = "how long to run is for whoever runs it to say")]
fn rounds(of_the_suite: u64) -> u64 {
    std::env::var(ROUNDS).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(of_the_suite)
}

/// A world whose sidecars refresh as soon as they want to.
async fn world(engine: Engine) -> World {
    let mut world = World::on(engine).await;
    world.set("refresh", "min_interval = \"0s\"").set("refresh", "timeout = \"60s\"");
    world
}

async fn three(world: &World) -> [Sidecar; SIDECARS] {
    [world.start().await, world.start().await, world.start().await]
}

/// What the sidecars have written, for whoever has to find out why a test failed.
fn logs(sidecars: &[Sidecar]) -> String {
    sidecars.iter().map(|sidecar| sidecar.process.stderr()).collect::<Vec<_>>().join("\n")
}

/// The same request on each connection, at the same time.
async fn ask_on(connections: &mut Vec<Connection>, request: &[u8]) -> Vec<Answer> {
    let mut asking = JoinSet::new();
    for mut connection in connections.drain(..) {
        let request = request.to_owned();
        asking.spawn(async move {
            let answer = connection.ask(&request).await.unwrap();
            (connection, answer)
        });
    }
    let (again, answers): (Vec<_>, Vec<_>) = asking.join_all().await.into_iter().unzip();
    connections.extend(again);
    answers
}

async fn each_expiry_costs_one_token_request(engine: Engine) -> String {
    let world = world(engine).await;
    let acme = world.connect("acme", Life::Expired).await;
    let (sidecars, request) = (three(&world).await, get(DECKS, "acme"));
    let mut connections = Vec::new();
    for sidecar in sidecars.iter().cycle().take(REQUESTS) {
        connections.push(Connection::open(sidecar.proxy).await.unwrap());
    }
    let (rounds, mut slowest, began) = (rounds(20), Duration::ZERO, Instant::now());
    for round in 1..=rounds {
        let asked = Instant::now();
        let answers = ask_on(&mut connections, &request).await;
        slowest = slowest.max(asked.elapsed());
        let failed = answers.iter().find(|answer| answer.status != 200);
        assert!(failed.is_none(), "round {round}: {failed:?}\n{}", logs(&sidecars));
        let counts = world.sandbox.counters();
        let asked = (counts.token_requests("refresh_token"), counts.refreshes, counts.replays);
        assert_eq!(asked, (round, round, 0), "round {round}: token requests, refreshes, replays\n{}", logs(&sidecars));
        world.sandbox.expire_access(acme.grant).unwrap();
    }
    format!(
        "shared store, {engine:?}: {rounds} expiries, {REQUESTS} requests each at {SIDECARS} sidecars: {rounds} token requests, \
         0 replays, 0 failed requests; {:.1?}, the slowest round {slowest:.1?}",
        began.elapsed()
    )
}
on_each_engine!(each_expiry_costs_one_token_request);
