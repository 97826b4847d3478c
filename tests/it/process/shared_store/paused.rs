//! A sidecar is stopped for longer than its leases last, while it holds them and its answers are under way.

use flexslot_proxy::{
    model::GrantState,
    sandbox::{Endpoint, Gate},
};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{REQUESTS, SIDECARS, logs, rounds, three, world};
use crate::{
    process::{
        engines::Engine,
        http::{Answer, Connection, DECKS, ask, get},
        world::{Life, Tenant, World},
    },
    support::{PATIENCE, process::Sidecar, until},
};

/// As many leases are held at a time.
const TENANTS: u64 = 20;

/// How an answer that came too late for its lease looks to those who wait at another sidecar.
const TOO_EARLY: &str = "an earlier token request has no known outcome";

type Asking = JoinSet<Answer>;

fn asked(sidecars: &[&Sidecar], tenants: &[Tenant], count: usize) -> Asking {
    let mut asking = JoinSet::new();
    for number in 0..count {
        let one = &tenants[number / sidecars.len() % tenants.len()];
        let (proxy, request) = (sidecars[number % sidecars.len()].proxy, get(DECKS, &one.name));
        asking.spawn(async move { Connection::open(proxy).await.unwrap().ask(&request).await.unwrap() });
    }
    asking
}

async fn answers(asking: Asking) -> Vec<Answer> {
    timeout(PATIENCE, asking.join_all()).await.expect("every request is answered")
}

/// Answers that Flexslot has made wait at the gate it hands out, with the refresh tokens spent.
async fn rotated(world: &World) -> Gate {
    let gate = world.sandbox.hold_answers(Endpoint::Token);
    timeout(PATIENCE, gate.arrived(usize::try_from(TENANTS).unwrap())).await.expect("every refresh is under way");
    gate
}

async fn a_round(world: &World, sidecars: &[Sidecar; SIDECARS], tenants: &[Tenant], victim: usize, version: u64) {
    let others: Vec<_> =
        sidecars.iter().enumerate().filter(|(number, _)| *number != victim).map(|(_, other)| other).collect();
    let paused = &sidecars[victim];
    tenants.iter().for_each(|one| world.sandbox.expire_access(one.grant).unwrap());
    let its_own = asked(&[paused], tenants, tenants.len());
    let gate = rotated(world).await;
    paused.process.pause();
    gate.release();
    world.sandbox.clear_faults();

    // They wait as long as the lease lasts, and find that its end entitles them to nothing.
    let elsewhere = answers(asked(&others, tenants, REQUESTS)).await;
    let refused = |answer: &&Answer| answer.status == 401 && answer.head.contains("refresh_unavailable");
    let strange = elsewhere.iter().find(|answer| !refused(answer));
    assert!(strange.is_none(), "{strange:?}\n{}", logs(sidecars));
    assert!(others.iter().all(|other| other.process.stderr().contains(TOO_EARLY)), "the leases have ended");

    paused.process.resume();
    let late = answers(its_own).await;
    assert!(late.iter().all(|answer| answer.status == 200), "{late:?}\n{}", logs(sidecars));
    for one in tenants {
        for sidecar in sidecars {
            let served = async || ask(sidecar.proxy, &get(DECKS, &one.name)).await.status == 200;
            until("the late pair is seen", served).await;
        }
        let GrantState::Connected(stored) = world.stored(&one.name).await else {
            panic!("{}: the late pair is stored\n{}", one.name, logs(sidecars));
        };
        let view = world.sandbox.grant(one.grant).unwrap();
        let told = (view.version, stored.version.number(), view.token_requests, view.replays, view.ended);
        assert_eq!(told, (version, version, version - 1, 0, None), "{}\n{}", one.name, logs(sidecars));
    }
}

async fn late_pairs_are_stored(engine: Engine) -> String {
    let world = world(engine).await;
    let names: Vec<_> = (0..TENANTS).map(|number| format!("tenant-{number}")).collect();
    let tenants = world.connect_all(&names, Life::Fresh).await;
    let sidecars = three(&world).await;
    let warm = answers(asked(&sidecars.each_ref(), &tenants, SIDECARS * names.len())).await;
    assert!(warm.iter().all(|answer| answer.status == 200), "{engine:?}: {warm:?}\n{}", logs(&sidecars));
    let (pauses, began) = (rounds(TENANTS).div_ceil(TENANTS), Instant::now());
    for pause in 0..pauses {
        let victim = usize::try_from(pause).unwrap() % SIDECARS;
        a_round(&world, &sidecars, &tenants, victim, pause + 2).await;
    }
    format!(
        "paused, {engine:?}: {pauses} pauses longer than the lease, {TENANTS} answers under way in each, {REQUESTS} requests meanwhile: \
         every late pair stored, 0 replays; {:.1?}",
        began.elapsed()
    )
}

/// On all at the same time: a lease has to end by the clock of the store's server, which nobody turns forward.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_for_longer_than_the_lease_loses_no_pair() {
    let figures = tokio::join!(
        late_pairs_are_stored(Engine::Sqlite),
        late_pairs_are_stored(Engine::Redis),
        late_pairs_are_stored(Engine::Postgres)
    );
    println!("{figures:#?}");
}
