//! `kill -9` during refreshes, again and again: after a restart every grant works, except those whose answer died with
//! the process.

use std::{collections::BTreeSet, time::Duration};

use flexslot_proxy::{
    model::{GrantState, Random},
    sandbox::{Effect, Endpoint, Fault, GrantView},
    store::TokenStore,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    http::{Answer, Connection, DECKS, ask, get},
    world::{Life, Tenant, World, tenant},
};
use crate::support::{PATIENCE, process::Sidecar};

const TENANTS: usize = 24;
/// How many rounds; for a long run by hand.
const ROUNDS: &str = "FLEXSLOT_PROXY_KILL_ROUNDS";
const ROUNDS_OF_THE_SUITE: usize = 40;

/// Longer than Flexslot takes for one request, so that a good part of the kills falls between its work and our write.
const FLEXSLOT_TAKES: Duration = Duration::from_millis(4);

/// In what state the kills found the tenants' refreshes.
#[derive(Debug, Default)]
struct Tally {
    /// No refresh had come as far as its intent.
    untouched: usize,
    /// The intent was stored, and Flexslot had not worked yet.
    asked: usize,
    /// Flexslot had rotated the pair, and the answer was not stored: lost, whoever does it.
    lost: usize,
    /// The new pair was stored.
    stored: usize,
}

/// What the store said of a tenant when the process was dead.
struct Found {
    tenant: Tenant,
    version: u64,
    uncertain: bool,
    before: GrantView,
}

#[allow(clippy::disallowed_methods, reason = "how long to run is for whoever runs it to say")]
fn rounds() -> usize {
    std::env::var(ROUNDS).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS_OF_THE_SUITE)
}

async fn look(world: &World, store: &TokenStore, tenants: &[Tenant]) -> Vec<Found> {
    let mut found = Vec::new();
    for one in tenants {
        let (version, uncertain) = match store.load(&tenant(&one.name)).await.unwrap().grant {
            GrantState::Connected(grant) => (grant.version.number(), false),
            GrantState::Uncertain(grant, _) => (grant.version.number(), true),
            state @ (GrantState::NeverConnected | GrantState::Disconnected(_)) => panic!("{}: {state:?}", one.name),
        };
        let before = world.sandbox.grant(one.grant).unwrap();
        found.push(Found { tenant: one.clone(), version, uncertain, before });
    }
    found
}

/// One request for each tenant, at the same time.
async fn ask_all(sidecar: &Sidecar, tenants: impl Iterator<Item = &Tenant>) -> Vec<(String, Answer)> {
    let mut asking = JoinSet::new();
    for one in tenants {
        let (proxy, name) = (sidecar.proxy, one.name.clone());
        asking.spawn(async move {
            let answer = ask(proxy, &get(DECKS, &name)).await;
            (name, answer)
        });
    }
    timeout(PATIENCE, asking.join_all()).await.expect("every request is answered")
}

impl Tally {
    fn sum(&self) -> usize {
        self.untouched + self.asked + self.lost + self.stored
    }

    /// Judges what a restarted sidecar made of what was found; answers whether the grant was lost.
    fn judge(&mut self, world: &World, found: &Found, status: u16, code: &str) -> bool {
        let Found { tenant, version, uncertain, before } = found;
        let after = world.sandbox.grant(tenant.grant).unwrap();
        let told = format!(
            "{}: stored v{version}, uncertain {uncertain}; {before:?} -> {after:?}; {status} {code}",
            tenant.name
        );
        let presented = after.token_requests - before.token_requests;
        assert!(presented <= 1, "presented more than once: {told}");
        assert_eq!(after.presented_after_end, 0, "{told}");
        if before.version == *version {
            assert_eq!((status, after.replays, after.ended), (200, 0, None), "the grant works: {told}");
            *(if *uncertain { &mut self.asked } else { &mut self.untouched }) += 1;
            return false;
        }
        assert_eq!((before.version, *uncertain), (version + 1, true), "at most one answer is lost: {told}");
        assert_eq!((status, code), (401, "reconnect_required"), "{told}");
        assert_eq!((presented, after.replays), (1, 1), "the last resort: {told}");
        self.lost += 1;
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_at_any_moment_every_grant_works_but_those_whose_answer_was_lost() {
    let mut world = World::new().await;
    world.set("refresh", "min_interval = \"0s\"");
    for moment in [Fault::new, |endpoint, effect| Fault::new(endpoint, effect).after()] {
        world.sandbox.fault(moment(Endpoint::Token, Effect::Delay(FLEXSLOT_TAKES)));
    }
    let names: Vec<_> = (0..TENANTS).map(|number| format!("tenant-{number}")).collect();
    let mut tenants = world.connect_all(&names, Life::Expired).await;
    let (store, random, rounds) = (world.store().await, Random::system(), rounds());
    let (mut tally, mut lost) = (Tally::default(), BTreeSet::new());

    let mut sidecar = world.start().await;
    let began = Instant::now();
    let first = ask_all(&sidecar, tenants.iter()).await;
    assert!(first.iter().all(|(_, answer)| answer.status == 200));
    let whole = began.elapsed();

    for round in 0..rounds {
        let at_stake: Vec<_> = tenants.iter().filter(|one| !lost.contains(&one.name)).cloned().collect();
        let stored_before: Vec<_> = look(&world, &store, &at_stake).await.iter().map(|found| found.version).collect();
        at_stake.iter().for_each(|one| world.sandbox.expire_access(one.grant).unwrap());
        let mut under_way = JoinSet::new();
        for one in at_stake.iter().chain(&at_stake) {
            let (proxy, request) = (sidecar.proxy, get(DECKS, &one.name));
            under_way.spawn(async move { Connection::open(proxy).await?.ask(&request).await });
        }
        sleep(random.below(whole + whole / 4)).await;
        sidecar.process.kill();
        under_way.shutdown().await;

        let found = look(&world, &store, &at_stake).await;
        let renewed = |(found, before): &(&Found, &u64)| found.version > **before;
        let stored = found.iter().zip(&stored_before).filter(renewed).count();
        // Whoever lost a grant in the round before connects again while nobody runs.
        let names: Vec<_> = std::mem::take(&mut lost).into_iter().collect();
        let again = world.connect_all(&names, Life::Fresh).await;
        tenants.iter_mut().for_each(|one| {
            if let Some(new) = again.iter().find(|new| new.name == one.name) {
                *one = new.clone();
            }
        });

        sidecar = world.start().await;
        let answers = ask_all(&sidecar, tenants.iter()).await;
        for (name, answer) in &answers {
            match found.iter().find(|found| found.tenant.name == *name) {
                None => assert_eq!(answer.status, 200, "{name} has just connected"),
                Some(found) => {
                    if tally.judge(&world, found, answer.status, &answer.code()) {
                        lost.insert(name.clone());
                    }
                }
            }
        }
        tally.untouched -= stored;
        tally.stored += stored;
        // A lost grant is not presented again.
        let counts = world.sandbox.counters();
        let refused = ask_all(&sidecar, tenants.iter().filter(|one| lost.contains(&one.name))).await;
        assert!(refused.iter().all(|(_, answer)| answer.code() == "reconnect_required"));
        assert_eq!(world.sandbox.counters().token_requests, counts.token_requests);
        assert_eq!(counts.replays, tally.lost as u64, "round {round}: a replay for each lost answer and no other");
    }
    println!(
        "kill: {rounds} kills, {} grants waiting for a refresh: {tally:?}; refreshing all of them took {whole:.1?}",
        tally.sum()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_beside_a_killed_one_goes_on_at_once() {
    let mut world = World::new().await;
    world.set("refresh", "timeout = \"60s\"");
    let acme = world.connect("acme", Life::Expired).await;
    let gate = flexslot_proxy::sandbox::Gate::new();
    world.sandbox.fault(Fault::new(Endpoint::Token, Effect::Hold(gate.clone())).once());
    let (mut first, second) = (world.start().await, world.start().await);
    let mut connection = Connection::open(first.proxy).await.unwrap();
    connection.send(&get(DECKS, "acme")).await.unwrap();
    timeout(PATIENCE, gate.arrived(1)).await.unwrap();
    first.process.kill();
    let answer = timeout(Duration::from_secs(10), ask(second.proxy, &get(DECKS, "acme"))).await;
    assert_eq!(answer.expect("no lease of a dead process is waited for").status, 200);
    let view = world.sandbox.grant(acme.grant).unwrap();
    assert_eq!((view.version, view.replays), (2, 0));
}
