//! Two sidecars on one store.

use tokio::task::JoinSet;

use super::{
    http::{ask, get},
    world::{Life, World},
};

const ROUNDS: u64 = 50;
const EACH: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sidecars_on_one_store_cost_one_token_request_for_each_expiry() {
    let mut world = World::new().await;
    world.set("refresh", "min_interval = \"0s\"").set("refresh", "timeout = \"60s\"");
    let acme = world.connect("acme", Life::Expired).await;
    let sidecars = [world.start().await, world.start().await];
    for round in 1..=ROUNDS {
        let mut asking = JoinSet::new();
        for proxy in sidecars.iter().flat_map(|sidecar| [sidecar.proxy; EACH]) {
            asking.spawn(async move { ask(proxy, &get("/api/public/v1/decks/", "acme")).await });
        }
        let answers = asking.join_all().await;
        let failed = answers.iter().find(|answer| answer.status != 200);
        let logs = || sidecars.iter().map(|sidecar| sidecar.process.stderr()).collect::<String>();
        assert!(failed.is_none(), "round {round}: {failed:?}\n{}", logs());
        let counts = world.sandbox.counters();
        let asked = (counts.token_requests("refresh_token"), counts.refreshes, counts.replays);
        assert_eq!(asked, (round, round, 0), "round {round}: token requests, refreshes, replays");
        world.sandbox.expire_access(acme.grant).unwrap();
    }
}
