//! The server of the store stops, halts, or cuts its connections, under two sidecars: what is in memory is served, what
//! needs the store waits for it, and afterwards everything is as if nothing had been.

use flexslot_proxy::{
    model::GrantState,
    sandbox::{Endpoint, Gate},
};
use serde_json::Value;
use tokio::{
    task::{JoinHandle, JoinSet, block_in_place},
    time::timeout,
};

use super::{
    engines::{DURABLE, Place},
    http::{Answer, DECKS, ask, get},
    world::{Life, Tenant, World},
};
use crate::{
    servers::{
        postgres::{Disk, PostgresServer},
        redis::RedisServer,
    },
    support::{PATIENCE, process::Sidecar, until},
};

/// How often connections are cut while a token is refreshed.
const CUTS: usize = 8;

/// A server to be tormented.
enum Server {
    Redis(RedisServer),
    Postgres(PostgresServer),
}

/// What becomes of the server for a while.
#[derive(Debug, Clone, Copy)]
enum Outage {
    /// It ends in good order, and is started again with what it has on its disk.
    Stopped,
    /// It keeps its connections and answers nothing.
    Halted,
}

/// A sidecar is asked about a tenant.
type Asked = JoinHandle<Answer>;

// === impl Server ===

impl Server {
    fn redis() -> (Self, Place) {
        let server = RedisServer::start(&DURABLE);
        let place = Place::Redis(server.url(0));
        (Self::Redis(server), place)
    }

    fn postgres() -> (Self, Place) {
        let server = PostgresServer::start(Disk::Synced, "");
        let place = Place::Postgres(server.url(&server.database()));
        (Self::Postgres(server), place)
    }

    fn begin(&mut self, outage: Outage) {
        block_in_place(|| match (self, outage) {
            (Self::Redis(server), Outage::Stopped) => server.stop(),
            (Self::Redis(server), Outage::Halted) => server.pause(),
            (Self::Postgres(server), Outage::Stopped) => server.stop(),
            (Self::Postgres(server), Outage::Halted) => server.pause(),
        });
    }

    fn end(&mut self, outage: Outage) {
        block_in_place(|| match (self, outage) {
            (Self::Redis(server), Outage::Stopped) => server.start_again(),
            (Self::Redis(server), Outage::Halted) => server.resume(),
            (Self::Postgres(server), Outage::Stopped) => server.start_again(),
            (Self::Postgres(server), Outage::Halted) => server.resume(),
        });
    }

    /// Ends every connection, whatever is being done on it.
    fn cut(&self) {
        block_in_place(|| match self {
            Self::Redis(server) => {
                let _: u64 = server.tell("CLIENT KILL TYPE normal");
            }
            Self::Postgres(server) => {
                let others = "usename = 'owner' AND pid <> pg_backend_pid()";
                server
                    .sql("postgres", &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"));
            }
        });
    }
}

// === what is asked ===

async fn world(place: Place) -> (World, [Sidecar; 2]) {
    let mut world = World::at(place).await;
    world.set("refresh", "min_interval = \"0s\"").set("refresh", "timeout = \"30s\"");
    world.store().await;
    let sidecars = [world.start().await, world.start().await];
    (world, sidecars)
}

fn asked(sidecar: &Sidecar, tenant: &Tenant) -> Asked {
    let (proxy, request) = (sidecar.proxy, get(DECKS, &tenant.name));
    tokio::spawn(async move { ask(proxy, &request).await })
}

async fn answer(asked: Asked) -> Answer {
    timeout(PATIENCE, asked).await.expect("every request is answered").unwrap()
}

/// What both sidecars answer.
async fn both(sidecars: &[Sidecar; 2], tenant: &Tenant) -> [Answer; 2] {
    let [first, second] = sidecars.each_ref().map(|sidecar| asked(sidecar, tenant));
    [answer(first).await, answer(second).await]
}

async fn assert_served(sidecars: &[Sidecar; 2], tenants: &[&Tenant], when: &str) {
    for tenant in tenants {
        for answer in both(sidecars, tenant).await {
            assert_eq!(answer.status, 200, "{when}: {}: {answer:?}", tenant.name);
        }
    }
}

/// The status and what is said at `/readyz`.
async fn readiness(sidecar: &Sidecar, query: &str) -> (u16, String) {
    let answer = ask(sidecar.admin, format!("GET /readyz{query} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
    let said: Value = serde_json::from_slice(&answer.body).unwrap();
    (answer.status, format!("{} {}", said["status"], said["reasons"]))
}

async fn ready(sidecars: &[Sidecar; 2]) {
    for sidecar in sidecars {
        until("the sidecar is ready", async || readiness(sidecar, "?strict=1").await == (200, "\"ready\" null".into()))
            .await;
    }
}

async fn says(sidecar: &Sidecar, reason: &str) {
    until(reason, async || readiness(sidecar, "").await.1.contains(reason)).await;
    assert_eq!(readiness(sidecar, "").await.0, 200);
    assert_eq!(readiness(sidecar, "?strict=1").await.0, 503);
}

/// Each sidecar serves the tenant in the end, and the expiry has cost one token request.
async fn assert_renewed_once(world: &World, sidecars: &[Sidecar; 2], tenant: &Tenant, version: u64) {
    // Both at once: a bid for the lease that the server comes to read right after a short outage keeps the lease from
    // the other one for a while.
    let [first, second] = sidecars.each_ref().map(|sidecar| {
        let served = async || ask(sidecar.proxy, &get(DECKS, &tenant.name)).await.status == 200;
        until("the tenant is served again", served)
    });
    tokio::join!(first, second);
    let stored = async || match world.stored(&tenant.name).await {
        GrantState::Connected(grant) => grant.version.number() == version,
        _ => false,
    };
    until("the new pair is stored", stored).await;
    let view = world.sandbox.grant(tenant.grant).unwrap();
    let told = (view.version, view.token_requests, view.replays, view.ended);
    assert_eq!(told, (version, version - 1, 0, None), "{}", tenant.name);
}

// === what happens ===

/// A token request at the first sidecar whose answer is under way.
async fn under_way(world: &World, sidecar: &Sidecar, tenant: &Tenant) -> (Asked, Gate) {
    world.sandbox.expire_access(tenant.grant).unwrap();
    let gate = world.sandbox.hold_answers(Endpoint::Token);
    let late = asked(sidecar, tenant);
    timeout(PATIENCE, gate.arrived(1)).await.expect("the token request arrives");
    (late, gate)
}

async fn suffer(world: &World, sidecars: &[Sidecar; 2], server: &mut Server, outage: Outage) {
    let names = ["warm", "due", "late", "cold"].map(|name| format!("{name}-{outage:?}"));
    let tenants = world.connect_all(&names, Life::Fresh).await;
    let [warm, due, late, cold] = &tenants[..] else { unreachable!("as many as names") };
    assert_served(sidecars, &[warm, due, late], "before").await;
    let (waiting, gate) = under_way(world, &sidecars[0], late).await;

    server.begin(outage);
    world.sandbox.expire_access(due.grant).unwrap();
    let (colds, dues) = tokio::join!(both(sidecars, cold), both(sidecars, due));
    for refused in colds {
        assert_eq!((refused.status, refused.code().as_str()), (503, "store_unavailable"), "{outage:?}: {refused:?}");
    }
    for refused in dues {
        assert!(refused.status == 401 && refused.head.contains("refresh_unavailable"), "{outage:?}: {refused:?}");
    }
    assert_served(sidecars, &[warm], "meanwhile").await;
    assert_eq!(world.sandbox.grant(due.grant).unwrap().token_requests, 0, "no token request without the store");
    for sidecar in sidecars {
        says(sidecar, "store_unreachable").await;
    }
    gate.release();
    assert_eq!(
        answer(waiting).await.status,
        200,
        "{outage:?}: a pair that the store does not take serves all the same"
    );
    says(&sidecars[0], "custody_pending").await;
    assert_eq!(spooled(world), 1, "{outage:?}");

    world.sandbox.clear_faults();
    server.end(outage);
    ready(sidecars).await;
    until("the spool is empty", async || spooled(world) == 0).await;
    assert_served(sidecars, &[warm, cold, late], "afterwards").await;
    for tenant in [due, late] {
        assert_renewed_once(world, sidecars, tenant, 2).await;
    }
}

/// How many pairs wait in the spool.
fn spooled(world: &World) -> usize {
    std::fs::read_dir(world.path("state/spool")).map_or(0, Iterator::count)
}

async fn both_outages((mut server, place): (Server, Place)) {
    let (world, sidecars) = world(place).await;
    ready(&sidecars).await;
    for outage in [Outage::Stopped, Outage::Halted] {
        suffer(&world, &sidecars, &mut server, outage).await;
        assert_eq!(world.sandbox.counters().replays, 0, "{outage:?}");
    }
}

/// Connections are cut while both sidecars want the same token.
async fn cut_connections((server, place): (Server, Place)) {
    let (world, sidecars) = world(place).await;
    let acme = world.connect("acme", Life::Fresh).await;
    assert_served(&sidecars, &[&acme], "before").await;
    for version in 2..CUTS as u64 + 2 {
        world.sandbox.expire_access(acme.grant).unwrap();
        let asking: JoinSet<_> = sidecars
            .iter()
            .map(|sidecar| {
                let (proxy, request) = (sidecar.proxy, get(DECKS, "acme"));
                async move { ask(proxy, &request).await }
            })
            .collect();
        server.cut();
        timeout(PATIENCE, asking.join_all()).await.expect("every request is answered");
        assert_renewed_once(&world, &sidecars, &acme, version).await;
    }
    ready(&sidecars).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_stops_and_halts_and_everything_is_there_afterwards() {
    both_outages(Server::redis()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_stops_and_halts_and_everything_is_there_afterwards() {
    both_outages(Server::postgres()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_redis_that_are_cut_cost_no_token_request() {
    cut_connections(Server::redis()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_postgresql_that_are_cut_cost_no_token_request() {
    cut_connections(Server::postgres()).await;
}
