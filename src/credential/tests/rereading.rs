//! Many tenants in memory, all or some of which have to be read again.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use super::world::{HOUR, ORIGIN, SECOND, World, pass, pat_only, pick, tenant, value};
use crate::{
    credential::background::Background,
    model::{Random, Secret},
    store::{
        StoredPat, TokenStore,
        seal::{KeyRing, Sealer},
    },
};

const MANY: usize = 1000;

const OLD: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const NEW: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

fn keys(lines: &str) -> KeyRing {
    KeyRing::parse(&Secret::new(lines)).unwrap()
}

fn name(index: usize) -> String {
    format!("tenant-{index:04}")
}

fn pat(text: &str) -> StoredPat {
    StoredPat { pat: Secret::new(text), origin: ORIGIN.parse().unwrap() }
}

/// A sidecar that holds `MANY` tenants; the first one was written last.
async fn crowd() -> (World, Background) {
    let mut world = World::new().await;
    world.set_cached_tenants(2 * MANY);
    for index in (0..MANY).rev() {
        world.connect(&name(index), HOUR, Some(HOUR)).await;
    }
    let background = world.credentials.start().await.unwrap();
    for index in 0..MANY {
        let _ = pick(&world, &name(index)).await.unwrap();
    }
    pass(&world, 2 * SECOND).await;
    (world, background)
}

async fn hiccup(world: &World) {
    world.backend.refuse_reads(true);
    pass(world, SECOND).await;
    world.backend.refuse_reads(false);
}

fn times_read(world: &World) -> usize {
    world.backend.times_read.load(Ordering::SeqCst)
}

async fn refresh_token(world: &World, name: &str) -> Option<String> {
    let record = world.store.load(&tenant(name)).await.unwrap();
    record.grant.grant().map(|grant| grant.tokens.refresh.expose().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_costs_one_look_however_many_tenants_are_held() {
    let (world, _background) = crowd().await;
    let before = times_read(&world);
    hiccup(&world).await;
    pass(&world, 5 * SECOND).await;
    let looks = times_read(&world) - before;
    assert!((1..10).contains(&looks), "{looks}");
}

#[tokio::test(start_paused = true)]
async fn what_changed_in_an_outage_is_read_and_nothing_else() {
    let (world, _background) = crowd().await;
    world.backend.refuse_reads(true);
    pass(&world, SECOND).await;
    // Nobody looks before time passes.
    world.backend.refuse_reads(false);
    // More than one look is for: what was written last has all changed.
    for index in 0..250 {
        world.store.put_pat(&tenant(&name(index)), &pat("flx_pat_new")).await.unwrap();
    }
    let before = times_read(&world);
    pass(&world, 5 * SECOND).await;
    assert_eq!(value(&pat_only(&world, &name(249)).await), "Bearer flx_pat_new");
    let reads = times_read(&world) - before;
    assert!((250..300).contains(&reads), "{reads}");
}

#[tokio::test(start_paused = true)]
async fn changes_in_a_store_that_came_back_older_are_seen_also_where_it_was_written_past() {
    let (world, _background) = crowd().await;
    let snapshot = world.backend.inner.snapshot();
    for _ in 0..50 {
        world.give_pat("somebody").await;
    }
    pass(&world, 2 * SECOND).await;
    world.backend.refuse_reads(true);
    pass(&world, SECOND).await;
    world.backend.refuse_reads(false);
    world.backend.inner.restore(snapshot);
    world.store.put_pat(&tenant(&name(MANY - 1)), &pat("flx_pat_new")).await.unwrap();
    for _ in 0..60 {
        world.give_pat("somebody").await;
    }
    pass(&world, 5 * SECOND).await;
    assert_eq!(value(&pat_only(&world, &name(MANY - 1)).await), "Bearer flx_pat_new");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_cannot_be_read_keeps_no_other_from_being_written_back() {
    let (world, _background) = crowd().await;
    world.backend.refuse_alone(&name(0));
    world.backend.inner.empty(&Random::system());
    pass(&world, 5 * SECOND).await;
    for index in [1, MANY / 2, MANY - 1] {
        assert_eq!(refresh_token(&world, &name(index)).await, Some(format!("{}.0", name(index))));
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_travel_what_was_written_last_comes_first_and_what_has_stayed_costs_one_look_for_many() {
    let (world, _background) = crowd().await;
    let last = name(MANY - 1);
    world.connect_to(&last, "old", Duration::ZERO, Some(HOUR)).await;
    pass(&world, 2 * SECOND).await;
    let snapshot = world.backend.inner.snapshot();
    assert_eq!(value(&pick(&world, &last).await), "Bearer at.old.1");
    pass(&world, 2 * SECOND).await;
    world.backend.inner.restore(snapshot);
    world.backend.answer_after(Duration::from_millis(200));
    let (began, before) = (Instant::now(), times_read(&world));
    pass(&world, 4 * SECOND).await;
    assert_eq!(refresh_token(&world, &last).await.as_deref(), Some("old.1"), "after {:?}", began.elapsed());
    pass(&world, 4 * SECOND).await;
    let reads = times_read(&world) - before;
    assert!((5..30).contains(&reads), "{reads}");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_changes_take_effect_within_two_seconds_where_a_read_takes_five_milliseconds() {
    let (world, _background) = crowd().await;
    world.backend.answer_after(Duration::from_millis(5));
    for index in 0..MANY {
        world.store.put_pat(&tenant(&name(index)), &pat("flx_pat_new")).await.unwrap();
    }
    pass(&world, 2 * SECOND).await;
    for index in [0, MANY / 2, MANY - 1] {
        assert_eq!(value(&pat_only(&world, &name(index)).await), "Bearer flx_pat_new", "{index}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_blind_for_weeks_looks_at_everything() {
    let (world, _background) = crowd().await;
    let before = times_read(&world);
    tokio::time::advance(Duration::from_secs(16 * 24 * 3600)).await;
    pass(&world, 2 * SECOND).await;
    let looks = times_read(&world) - before;
    assert!(looks >= 5, "{looks}");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_could_not_be_opened_is_read_again_when_its_key_comes() {
    let world = World::new().await;
    world.sealer.replace(keys(OLD));
    let _ = world.store.take_first_key().await.unwrap();
    let _background = world.credentials.start().await.unwrap();
    world.store.put_pat(&tenant("acme"), &pat("flx_pat_old")).await.unwrap();
    assert_eq!(value(&pat_only(&world, "acme").await), "Bearer flx_pat_old");
    let ahead = Sealer::new(keys(&format!("{NEW}\n{OLD}")), Random::system());
    let ahead = TokenStore::open(world.backend.clone(), ahead, Random::system()).await.unwrap();
    ahead.put_pat(&tenant("acme"), &pat("flx_pat_new")).await.unwrap();
    pass(&world, 5 * SECOND).await;
    assert_eq!(value(&pat_only(&world, "acme").await), "Bearer flx_pat_old");
    world.sealer.replace(keys(&format!("{OLD}\n{NEW}")));
    pass(&world, 2 * SECOND).await;
    assert_eq!(value(&pat_only(&world, "acme").await), "Bearer flx_pat_new");
}

#[tokio::test(start_paused = true)]
async fn the_stores_clients_are_read_again_after_a_key_change_and_where_a_look_has_failed() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    pass(&world, 2 * SECOND).await;
    let counted = |count: &std::sync::atomic::AtomicUsize| count.load(Ordering::SeqCst);
    let flexslot = &world.flexslot;
    let (changed, due) = (counted(&flexslot.clients_changed), counted(&flexslot.clients_if_due));
    pass(&world, 2 * SECOND).await;
    assert_eq!(counted(&flexslot.clients_changed), changed);
    assert!(counted(&flexslot.clients_if_due) >= due + 2, "each round");
    world.sealer.replace(keys(&format!("{OLD}\n{NEW}")));
    pass(&world, 2 * SECOND).await;
    assert_eq!(counted(&flexslot.clients_changed), changed + 1);
}
