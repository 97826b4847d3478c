//! Who was cut off when the store came back empty or older, and comes back when the others are done.

use std::time::Duration;

use super::world::{Answer, HOUR, ORIGIN, SECOND, World, pass, pat_only, pick, tenant, value};
use crate::{
    credential::{Refusal, background::Background},
    model::{Random, Secret},
    store::{
        StoredPat,
        backend::Backend,
        era::{Era, EraId, era_key},
    },
};

/// Longer than the quiet.
const OVER: Duration = Duration::from_secs(15);

fn empty(world: &World) {
    world.backend.inner.empty(&Random::system());
}

async fn set_pat(world: &World, pat: &str) {
    let pat = StoredPat { pat: Secret::new(pat), origin: ORIGIN.parse().unwrap() };
    world.store.put_pat(&tenant("acme"), &pat).await.unwrap();
}

async fn stored_pat(world: &World) -> Option<String> {
    let record = world.store.load(&tenant("acme")).await.unwrap();
    record.pat.map(|stored| stored.pat.expose().to_owned())
}

async fn refresh_token(world: &World) -> String {
    let record = world.store.load(&tenant("acme")).await.unwrap();
    record.grant.grant().map_or("none".into(), |grant| grant.tokens.refresh.expose().to_owned())
}

fn is_refused_for_now(answer: &Answer) -> bool {
    matches!(answer, Err(Refusal::RefreshUnavailable { .. }))
}

/// A sidecar that runs and has not read acme, and one beside it that has, and is then cut off.
async fn one_and_one_that_is_cut_off(world: &World) -> (Background, World) {
    let background = world.credentials.start().await.unwrap();
    let cut_off = world.another();
    let blind = cut_off.credentials.start().await.unwrap();
    let _ = (pick(&cut_off, "acme").await, pat_only(&cut_off, "acme").await);
    pass(world, 2 * SECOND).await;
    drop(blind);
    (background, cut_off)
}

// === what was written meanwhile is newer ===

#[tokio::test(start_paused = true)]
async fn a_reconnect_is_not_undone_by_who_comes_back_late() {
    let world = World::new().await;
    world.connect("acme", HOUR, Some(HOUR)).await;
    let (_background, late) = one_and_one_that_is_cut_off(&world).await;
    empty(&world);
    pass(&world, OVER).await;
    world.connect_to("acme", "second", 2 * HOUR, None).await;
    pass(&world, OVER).await;
    let _background_too = late.credentials.start().await.unwrap();
    pass(&world, OVER).await;
    assert_eq!(refresh_token(&world).await, "second.0");
    for sidecar in [&world, &late] {
        assert_eq!(value(&pick(sidecar, "acme").await), "Bearer at.second.0");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pat_that_was_replaced_is_not_brought_back_by_who_comes_back_late() {
    let world = World::new().await;
    set_pat(&world, "flx_pat_old").await;
    let (_background, late) = one_and_one_that_is_cut_off(&world).await;
    empty(&world);
    pass(&world, OVER).await;
    set_pat(&world, "flx_pat_new").await;
    pass(&world, OVER).await;
    let _background_too = late.credentials.start().await.unwrap();
    pass(&world, OVER).await;
    assert_eq!(stored_pat(&world).await.as_deref(), Some("flx_pat_new"));
    for sidecar in [&world, &late] {
        assert_eq!(value(&pat_only(sidecar, "acme").await), "Bearer flx_pat_new");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pat_that_was_removed_is_not_brought_back_by_who_comes_back_late() {
    let world = World::new().await;
    set_pat(&world, "flx_pat_old").await;
    let (_background, late) = one_and_one_that_is_cut_off(&world).await;
    empty(&world);
    pass(&world, OVER).await;
    set_pat(&world, "flx_pat_old").await;
    let _ = world.store.remove(&tenant("acme")).await.unwrap();
    pass(&world, OVER).await;
    let _background_too = late.credentials.start().await.unwrap();
    pass(&world, OVER).await;
    assert_eq!(stored_pat(&world).await, None);
    assert!(pat_only(&world, "acme").await.is_err() && pat_only(&late, "acme").await.is_err());
}

// === what it holds alone is written back ===

#[tokio::test(start_paused = true)]
async fn who_comes_back_late_writes_back_what_it_holds_alone() {
    let world = World::new().await;
    world.connect("acme", HOUR, Some(HOUR)).await;
    set_pat(&world, "flx_pat_old").await;
    let (_background, late) = one_and_one_that_is_cut_off(&world).await;
    empty(&world);
    pass(&world, OVER).await;
    assert_eq!((refresh_token(&world).await.as_str(), stored_pat(&world).await), ("none", None));
    let _background_too = late.credentials.start().await.unwrap();
    pass(&world, 2 * SECOND).await;
    assert_eq!(refresh_token(&world).await, "acme.0");
    assert_eq!(stored_pat(&world).await.as_deref(), Some("flx_pat_old"));
}

/// The store has come back empty, and somebody has begun its era. Two were cut off: `world`'s process, which holds the
/// newest pair of acme, and the first of those that are answered, which holds the one before; the other has neither.
async fn two_that_are_cut_off(world: &World) -> (World, World, Background) {
    world.connect("acme", HOUR, Some(HOUR)).await;
    let (background, less) = one_and_one_that_is_cut_off(world).await;
    drop(background);
    tokio::time::advance(HOUR).await;
    assert_eq!(value(&pick(world, "acme").await), "Bearer at.acme.1");
    empty(world);
    let bystander = world.another();
    let seen = world.store.vitals().await.unwrap();
    let id = EraId::after(seen.era.id, seen.now, &Random::system());
    let era = Era { id, quiet_since: Some(seen.now), before: None, past: seen.newest };
    let _ = world.store.begin_era(&seen, &era).await.unwrap();
    let bystanding = bystander.credentials.start().await.unwrap();
    pass(world, OVER).await;
    (less, bystander, bystanding)
}

#[tokio::test(start_paused = true)]
async fn of_two_that_come_back_late_the_one_that_knows_less_does_not_refresh_first() {
    let world = World::new().await;
    let (less, bystander, _bystanding) = two_that_are_cut_off(&world).await;
    let _first = less.credentials.start().await.unwrap();
    pass(&world, 2 * SECOND).await;
    assert_eq!(refresh_token(&world).await, "acme.0");
    for sidecar in [&less, &bystander] {
        assert!(is_refused_for_now(&pick(sidecar, "acme").await));
        assert!(sidecar.credentials.health().travelled);
    }
    let _then = world.credentials.start().await.unwrap();
    pass(&world, OVER).await;
    assert_eq!(refresh_token(&world).await, "acme.1");
    tokio::time::advance(HOUR).await;
    assert_eq!(value(&pick(&less, "acme").await), "Bearer at.acme.2");
    assert_eq!(world.flexslot.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_comes_when_the_quiet_is_almost_over_has_time_too() {
    let world = World::new().await;
    let (less, _bystander, _bystanding) = two_that_are_cut_off(&world).await;
    let _first = less.credentials.start().await.unwrap();
    pass(&world, 9 * SECOND).await;
    let _then = world.credentials.start().await.unwrap();
    pass(&world, 2 * SECOND).await;
    assert!(less.credentials.health().travelled, "the ten seconds are over, and five more are not");
    pass(&world, OVER).await;
    assert_eq!(value(&pick(&less, "acme").await), "Bearer at.acme.1");
    assert_eq!(world.flexslot.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pat_that_was_set_again_since_the_backup_counts_more_than_the_one_between() {
    let world = World::new().await;
    set_pat(&world, "flx_pat_1").await;
    let snapshot = world.backend.inner.snapshot();
    set_pat(&world, "flx_pat_2").await;
    let (_background, behind) = one_and_one_that_is_cut_off(&world).await;
    set_pat(&world, "flx_pat_1").await;
    assert_eq!(value(&pat_only(&world, "acme").await), "Bearer flx_pat_1");
    pass(&world, 2 * SECOND).await;
    world.backend.inner.restore(snapshot);
    pass(&world, 2 * SECOND).await;
    let _background_too = behind.credentials.start().await.unwrap();
    pass(&world, OVER).await;
    assert_eq!(stored_pat(&world).await.as_deref(), Some("flx_pat_1"));
    assert_eq!(value(&pat_only(&behind, "acme").await), "Bearer flx_pat_1");
}

// === when the era is none that anybody has begun just now ===

#[tokio::test(start_paused = true)]
async fn an_old_store_in_place_of_this_one_is_no_news_for_having_travelled_once() {
    let world = World::new().await;
    let first = world.backend.inner.snapshot();
    let background = world.credentials.start().await.unwrap();
    empty(&world);
    pass(&world, OVER).await;
    set_pat(&world, "flx_pat_old").await;
    drop(background);
    let second = world.backend.inner.snapshot();
    world.backend.inner.restore(first);
    set_pat(&world, "flx_pat_new").await;
    let sidecar = world.another();
    let _background = sidecar.credentials.start().await.unwrap();
    assert_eq!(value(&pat_only(&sidecar, "acme").await), "Bearer flx_pat_new");
    pass(&world, 2 * SECOND).await;
    world.backend.inner.restore(second);
    pass(&world, OVER).await;
    assert_eq!(stored_pat(&world).await.as_deref(), Some("flx_pat_new"));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_back_between_two_travels_stops_nobody() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.1");
    // The store's clock was two hours ahead when this era began.
    let seen = world.store.vitals().await.unwrap();
    let id = EraId::after(seen.era.id, seen.now.plus(2 * HOUR), &Random::system());
    let era = Era { id, quiet_since: Some(seen.now), before: Some(seen.era.id), past: seen.newest };
    let _ = world.store.begin_era(&seen, &era).await.unwrap();
    pass(&world, OVER).await;
    empty(&world);
    pass(&world, OVER).await;
    assert!(!world.credentials.health().travelled);
    assert!(world.backend.inner.pulse(&era_key()).await.unwrap().newest.0 < 10, "one era was begun");
    tokio::time::advance(HOUR).await;
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.2");
}

// === what is no travel ===

#[tokio::test(start_paused = true)]
async fn a_removal_of_which_the_traces_are_purged_is_no_travel() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", HOUR, Some(HOUR)).await;
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.0");
    let _ = world.store.remove(&tenant("acme")).await.unwrap();
    pass(&world, 2 * SECOND).await;
    tokio::time::advance(31 * 24 * HOUR).await;
    pass(&world, 2 * SECOND).await;
    let _ = world.store.purge().await.unwrap();
    set_pat(&world, "flx_pat_new").await;
    pass(&world, 2 * SECOND).await;
    assert!(!world.credentials.health().travelled);
    assert_eq!(value(&pat_only(&world, "acme").await), "Bearer flx_pat_new");
}
