//! In each round a sidecar is killed while the requests are under way, and another one is started in its place.

use std::time::Duration;

use flexslot_proxy::{
    model::{GrantState, Random, token::DisconnectReason},
    sandbox::{Effect, End, Endpoint, Fault, GrantView},
    store::TokenStore,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{REQUESTS, SIDECARS, logs, rounds, three, world};
use crate::{
    process::{
        engines::{Engine, on_each_engine},
        http::{Answer, Connection, DECKS, ask, get},
        world::{Life, Tenant, World, tenant},
    },
    support::{PATIENCE, process::Sidecar, until},
};

const TENANTS: usize = 20;

/// Before Flexslot's work and again after it, so that a good part of the kills falls around it.
const FLEXSLOT_TAKES: Duration = Duration::from_millis(4);

/// What the kills did to grants whose tokens had expired.
#[derive(Debug, Default)]
struct Tally {
    /// One token request, and its pair was stored: by whoever.
    once: usize,
    /// A token request that Flexslot had not worked on died with the process; the second one brought the pair.
    asked_again: usize,
    /// Flexslot had rotated the pair, and its answer died with the process.
    lost: usize,
}

/// A tenant of a round, before it.
struct AtStake {
    tenant: Tenant,
    version: u64,
    before: GrantView,
}

/// An answer, or nothing from a process that died: by the sidecar that was asked, and about which tenant.
struct Heard {
    sidecar: usize,
    tenant: usize,
    answer: Option<Answer>,
}

/// `count` requests at the same time, for each tenant and at each sidecar in turn. They come in as they are answered.
fn ask_all(sidecars: &[Sidecar], tenants: &[AtStake], count: usize) -> JoinSet<Heard> {
    let mut asking = JoinSet::new();
    for number in 0..count {
        let (sidecar, tenant) = (number % SIDECARS, number / SIDECARS % tenants.len());
        let (proxy, request) = (sidecars[sidecar].proxy, get(DECKS, &tenants[tenant].tenant.name));
        asking.spawn(async move {
            let asked = async { Connection::open(proxy).await?.ask(&request).await };
            Heard { sidecar, tenant, answer: asked.await.ok() }
        });
    }
    asking
}

async fn heard(asking: JoinSet<Heard>) -> Vec<Heard> {
    timeout(PATIENCE, asking.join_all()).await.expect("every request is answered")
}

/// Lets the access token of every tenant expire.
async fn expire(world: &World, store: &TokenStore, tenants: &[Tenant]) -> Vec<AtStake> {
    let mut at_stake = Vec::new();
    for one in tenants {
        world.sandbox.expire_access(one.grant).unwrap();
        let GrantState::Connected(grant) = store.load(&tenant(&one.name)).await.unwrap().grant else {
            panic!("{} is connected between the rounds", one.name);
        };
        let before = world.sandbox.grant(one.grant).unwrap();
        assert_eq!(before.version, grant.version.number(), "{}: the newest pair is stored", one.name);
        at_stake.push(AtStake { tenant: one.clone(), version: before.version, before });
    }
    at_stake
}

impl Tally {
    /// Judges what became of one tenant's grant; answers whether it was lost.
    async fn judge(&mut self, world: &World, store: &TokenStore, one: &AtStake, heard: &[&Heard]) -> bool {
        let after = world.sandbox.grant(one.tenant.grant).unwrap();
        let stored = store.load(&tenant(&one.tenant.name)).await.unwrap().grant;
        let answers: Vec<_> = heard.iter().filter_map(|heard| heard.answer.as_ref()).collect();
        let told = format!("{}: {:?} -> {after:?}; stored: {stored:?}; {answers:?}", one.tenant.name, one.before);
        let asked = after.token_requests - one.before.token_requests;
        assert_eq!(after.refreshes - one.before.refreshes, 1, "one refresh for one expiry: {told}");
        assert!((1..=2).contains(&asked), "a token request and a last resort: {told}");
        if after.ended.is_none() {
            assert_eq!(after.replays, 0, "{told}");
            assert!(answers.iter().all(|answer| answer.status == 200), "the grant works: {told}");
            *(if asked == 1 { &mut self.once } else { &mut self.asked_again }) += 1;
            return false;
        }
        assert_eq!((after.ended, asked, after.replays), (Some(End::RefreshReplay), 2, 1), "the last resort: {told}");
        let GrantState::Disconnected(ended) = stored else { panic!("{told}") };
        let died = (ended.version.number(), ended.reason);
        assert_eq!(died, (one.version, DisconnectReason::RefreshOutcomeLost), "the answer was not stored: {told}");
        assert!(answers.iter().all(|answer| answer.code() == "reconnect_required"), "{told}");
        self.lost += 1;
        true
    }
}

/// Whoever lost a grant connects again, beside the running sidecars; answers when all of them have seen it.
async fn reconnect(world: &World, sidecars: &[Sidecar], tenants: &mut [Tenant], lost: &[String]) {
    for new in world.connect_all(lost, Life::Fresh).await {
        for sidecar in sidecars {
            let seen = async || ask(sidecar.proxy, &get(DECKS, &new.name)).await.status == 200;
            until("a new grant is seen", seen).await;
        }
        let old = tenants.iter_mut().find(|one| one.name == new.name);
        *old.expect("one of ours") = new;
    }
}

async fn a_kill_costs_no_grant_but_those_whose_answer_died(engine: Engine) -> String {
    let world = world(engine).await;
    for moment in [Fault::new, |endpoint, effect| Fault::new(endpoint, effect).after()] {
        world.sandbox.fault(moment(Endpoint::Token, Effect::Delay(FLEXSLOT_TAKES)));
    }
    let names: Vec<_> = (0..TENANTS).map(|number| format!("tenant-{number}")).collect();
    let mut tenants = world.connect_all(&names, Life::Fresh).await;
    let (store, random, rounds) = (world.store().await, Random::system(), rounds(8));
    let mut sidecars = three(&world).await;
    let at_stake = expire(&world, &store, &tenants).await;
    let began = Instant::now();
    let first = heard(ask_all(&sidecars, &at_stake, REQUESTS)).await;
    assert!(first.iter().all(|heard| heard.answer.as_ref().is_some_and(|answer| answer.status == 200)));
    let (whole, began) = (began.elapsed(), Instant::now());

    let (mut tally, mut died, mut requests) = (Tally::default(), 0, 0);
    for round in 0..rounds {
        let victim = usize::try_from(round).unwrap() % SIDECARS;
        let at_stake = expire(&world, &store, &tenants).await;
        let asking = ask_all(&sidecars, &at_stake, REQUESTS);
        sleep(random.below(whole)).await;
        sidecars[victim].process.kill();
        let (mut heard_of, new) = tokio::join!(heard(asking), world.start());
        requests += heard_of.len();
        died += heard_of.iter().filter(|heard| heard.answer.is_none()).count();
        let unanswered = heard_of.iter().find(|heard| heard.answer.is_none() && heard.sidecar != victim);
        assert!(unanswered.is_none(), "round {round}: the others answer\n{}", logs(&sidecars));
        sidecars[victim] = new;
        heard_of.extend(heard(ask_all(&sidecars, &at_stake, SIDECARS * TENANTS)).await);

        let mut lost = Vec::new();
        for (number, one) in at_stake.iter().enumerate() {
            let of_it: Vec<_> = heard_of.iter().filter(|heard| heard.tenant == number).collect();
            if tally.judge(&world, &store, one, &of_it).await {
                lost.push(one.tenant.name.clone());
            }
        }
        let replays = world.sandbox.counters().replays;
        assert_eq!(replays, tally.lost as u64, "a replay for each lost answer and no other\n{}", logs(&sidecars));
        reconnect(&world, &sidecars, &mut tenants, &lost).await;
    }
    format!(
        "killed, {engine:?}: {rounds} kills, {requests} requests of which {died} died with a process, {} expiries: {tally:?}; \
         a round without a kill takes {whole:.1?}, all took {:.1?}",
        tally.once + tally.asked_again + tally.lost,
        began.elapsed()
    )
}
on_each_engine!(a_kill_costs_no_grant_but_those_whose_answer_died);
