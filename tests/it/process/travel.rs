//! Two sidecars on a store that is taken from under them.

use std::{cell::RefCell, fs, net::SocketAddr};

use rustix::process::Signal;
use tokio::task::block_in_place;

use super::{
    engines::Place,
    http::{DECKS, ask, get},
    world::{Life, Tenant, World},
};
use crate::{
    servers::{
        postgres::{Disk, PostgresServer},
        redis::RedisServer,
    },
    support::{process::Sidecar, until},
};

async fn travelled(admin: SocketAddr) -> bool {
    let ready = ask(admin, b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    String::from_utf8_lossy(&ready.body).contains("store_travelled")
}

async fn all_have_noticed(sidecars: &[Sidecar]) {
    for sidecar in sidecars {
        until("the sidecar notices that the store has travelled", async || travelled(sidecar.admin).await).await;
    }
}

async fn assert_served(sidecars: &[Sidecar; 2], round: &str) {
    for (sidecar, tenant) in [(&sidecars[0], "acme"), (&sidecars[1], "acme"), (&sidecars[0], "beta")] {
        let answer = ask(sidecar.proxy, &get(DECKS, tenant)).await;
        let logs = || sidecars.each_ref().map(|sidecar| sidecar.process.stderr()).join("\n");
        assert_eq!(answer.status, 200, "{round}, {tenant}: {answer:?}\n{}", logs());
    }
}

/// The version of acme's grant in the store; 0 for none.
async fn version(world: &World) -> u64 {
    world.stored("acme").await.grant().map_or(0, |grant| grant.version.number())
}

/// Refreshes go on from the pair that was held, and a newcomer finds in the store what was written back.
async fn assert_nothing_is_lost(world: &World, sidecars: &[Sidecar; 2], acme: &Tenant) {
    world.sandbox.expire_access(acme.grant).unwrap();
    // Whoever notices late may prolong the time in which nobody refreshes.
    let is_served = async |sidecar: &Sidecar| ask(sidecar.proxy, &get(DECKS, "acme")).await.status == 200;
    until("refreshes begin again", async || is_served(&sidecars[0]).await && is_served(&sidecars[1]).await).await;
    assert_served(sidecars, "afterwards").await;
    let counts = world.sandbox.counters();
    assert_eq!((counts.token_requests("refresh_token"), counts.refreshes, counts.replays), (2, 2, 0));
    let newcomer = world.start().await;
    assert_eq!(ask(newcomer.proxy, &get(DECKS, "beta")).await.status, 200, "its PAT is there again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_sidecars_hold_survives_an_older_store_and_none() {
    let mut world = World::new().await;
    world.set("refresh", "min_interval = \"0s\"");
    let acme = world.connect("acme", Life::Expired).await;
    world.give_pat("beta").await;
    fs::copy(world.path("store.db"), world.path("copy.db")).unwrap();
    let sidecars = [world.start().await, world.start().await];
    assert_served(&sidecars, "before").await;

    fs::rename(world.path("copy.db"), world.path("store.db")).unwrap();
    assert_served(&sidecars, "with an older store").await;
    all_have_noticed(&sidecars).await;
    until("the newer grant is written back", async || version(&world).await == 2).await;

    fs::remove_file(world.path("store.db")).unwrap();
    assert_served(&sidecars, "without a store").await;
    until("another file is made", async || world.path("store.db").exists()).await;
    all_have_noticed(&sidecars).await;
    until("everything is written back", async || version(&world).await == 2).await;

    assert_nothing_is_lost(&world, &sidecars, &acme).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_sidecars_hold_survives_a_log_that_is_deleted() {
    let mut world = World::new().await;
    world.set("refresh", "min_interval = \"0s\"");
    let acme = world.connect("acme", Life::Expired).await;
    world.give_pat("beta").await;
    let sidecars = [world.start().await, world.start().await];
    assert_served(&sidecars, "before").await;

    fs::remove_file(world.path("store.db-wal")).unwrap();
    for sidecar in &sidecars {
        sidecar.process.says("the store's file was opened anew").await;
    }
    assert_served(&sidecars, "without the log").await;
    for sidecar in &sidecars {
        let said = sidecar.process.stderr();
        assert!(!said.contains("the store has come back older"), "what was in the log is in the file:\n{said}");
    }
    assert_nothing_is_lost(&world, &sidecars, &acme).await;
}

/// SQLite goes by names: what closes last would bring its own log into the store, and remove the one that is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_stops_with_a_lost_log_leaves_the_next_log_alone() {
    let world = World::new().await;
    world.give_pat("acme").await;
    let [mut first, late] = [world.start().await, world.start().await];
    late.process.pause();
    fs::remove_file(world.path("store.db-wal")).unwrap();
    first.process.says("the store's file was opened anew").await;
    world.give_pat("beta").await;
    first.process.kill();
    late.process.signal(Signal::TERM);
    late.process.resume();
    late.process.exited().await;
    let newcomer = world.start().await;
    for tenant in ["acme", "beta"] {
        assert_eq!(ask(newcomer.proxy, &get(DECKS, tenant)).await.status, 200, "{tenant}");
    }
}

/// Who comes before the others have noticed finds their log beside a file that it is not of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_starts_while_the_store_is_replaced_comes_to_work_with_the_others() {
    let mut world = World::new().await;
    world.set("refresh", "min_interval = \"0s\"");
    let acme = world.connect("acme", Life::Expired).await;
    world.give_pat("beta").await;
    fs::copy(world.path("store.db"), world.path("copy.db")).unwrap();
    let first = world.start().await;
    assert_eq!(ask(first.proxy, &get(DECKS, "acme")).await.status, 200, "it refreshes");

    first.process.pause();
    fs::rename(world.path("copy.db"), world.path("store.db")).unwrap();
    let early = world.start().await;
    first.process.resume();
    let sidecars = [early, first];
    assert_served(&sidecars, "with the file that came").await;
    for sidecar in &sidecars {
        sidecar.process.says("the store's file was opened anew").await;
    }
    until("all have the grant that was refreshed", async || version(&world).await == 2).await;
    assert_nothing_is_lost(&world, &sidecars, &acme).await;
}

/// Both sidecars refresh once, then `travel` leaves nothing of the store, or what `copy` had kept of it before; what they
/// hold is written back, and nothing is refreshed but what has expired.
async fn survives(place: Place, copy: impl FnOnce(), travel: impl FnOnce()) {
    let mut world = World::at(place).await;
    world.set("refresh", "min_interval = \"0s\"");
    let acme = world.connect("acme", Life::Expired).await;
    world.give_pat("beta").await;
    block_in_place(copy);
    let sidecars = [world.start().await, world.start().await];
    assert_served(&sidecars, "before").await;
    block_in_place(travel);
    assert_served(&sidecars, "with the store as it came back").await;
    all_have_noticed(&sidecars).await;
    until("the grant is written back", async || version(&world).await == 2).await;
    assert_nothing_is_lost(&world, &sidecars, &acme).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_sidecars_hold_survives_a_redis_that_restarts_empty() {
    let mut server = RedisServer::start(&[]);
    let place = Place::Redis(server.url(0));
    let restart = || {
        server.kill();
        server.start_again();
    };
    survives(place, || {}, restart).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_sidecars_hold_survives_a_redis_that_restarts_with_its_last_snapshot() {
    let server = RefCell::new(RedisServer::start(&[]));
    let place = Place::Redis(server.borrow().url(0));
    let snapshot = || assert_eq!(server.borrow().tell::<String>("SAVE"), "OK");
    let restart = || {
        server.borrow_mut().kill();
        server.borrow_mut().start_again();
    };
    survives(place, snapshot, restart).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_sidecars_hold_survives_a_schema_that_is_dropped() {
    let server = PostgresServer::start(Disk::Synced, "");
    let database = server.database();
    let place = Place::Postgres(server.url(&database));
    let drop_it = || drop(server.sql(&database, "DROP SCHEMA flexslot_proxy CASCADE"));
    survives(place, || {}, drop_it).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_sidecars_hold_survives_a_database_that_is_restored_from_a_copy() {
    let server = PostgresServer::start(Disk::Synced, "");
    let database = server.database();
    let place = Place::Postgres(server.url(&database));
    let tell = |sql: &str| drop(server.sql(&database, sql));
    let copy = || {
        tell("CREATE TABLE copied_records AS TABLE flexslot_proxy.records");
        tell("CREATE TABLE copied_store AS TABLE flexslot_proxy.store");
    };
    let restore = || {
        tell(
            "BEGIN; DELETE FROM flexslot_proxy.records; INSERT INTO flexslot_proxy.records TABLE copied_records; \
             UPDATE flexslot_proxy.store SET head = (SELECT head FROM copied_store); COMMIT",
        );
    };
    survives(place, copy, restore).await;
}
