//! Sidecars that can read the store and not write to it, or not follow its changes: what others have ended is over there
//! too, within two seconds.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::{
    faulty::Fault,
    world::{Answer, HOUR, ORIGIN, SECOND, World, caller, pass, pat_only, pick, tenant, value},
};
use crate::{
    credential::{Refusal, background::Background},
    model::{Random, Secret, token::DisconnectReason},
    store::{
        StoredPat, TokenStore,
        era::{Era, EraId},
        seal::{KeyRing, Sealer},
    },
};

const OLD: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const NEW: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

fn pat(text: &str) -> StoredPat {
    StoredPat { pat: Secret::new(text), origin: ORIGIN.parse().unwrap() }
}

fn is_over(answer: &Answer) -> bool {
    matches!(answer, Err(Refusal::ReconnectRequired(DisconnectReason::Disconnected)))
}

/// A world whose acme is connected, and a sidecar on a way to the store of its own that has just used the grant.
async fn in_use() -> (World, World, Background) {
    let world = World::new().await;
    world.connect("acme", 10 * HOUR, Some(HOUR)).await;
    let sidecar = world.another_way().await;
    let background = sidecar.credentials.start().await.unwrap();
    assert_eq!(value(&pick(&sidecar, "acme").await), "Bearer at.acme.0");
    pass(&world, 2 * SECOND).await;
    (world, sidecar, background)
}

/// Somebody else disconnects acme, and two seconds pass.
async fn disconnected(world: &World) {
    let _ = world.store.disconnect(&tenant("acme")).await.unwrap();
    pass(world, 2 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_no_writes_tells_of_a_disconnect_all_the_same() {
    let (world, sidecar, _background) = in_use().await;
    sidecar.backend.refuse_writes(true);
    disconnected(&world).await;
    assert!(is_over(&pick(&sidecar, "acme").await));
}

/// The store has come back older than the sidecar has seen it, by more than is written to it in these tests.
async fn comes_back_older(world: &World) {
    let snapshot = world.backend.inner.snapshot();
    for _ in 0..20 {
        world.give_pat("beta").await;
    }
    pass(world, 2 * SECOND).await;
    world.backend.inner.restore(snapshot);
}

#[tokio::test(start_paused = true)]
async fn so_does_one_that_has_come_back_and_whose_era_cannot_begin() {
    let (world, sidecar, _background) = in_use().await;
    sidecar.backend.refuse_writes(true);
    comes_back_older(&world).await;
    pass(&world, 10 * SECOND).await;
    assert_eq!(value(&pick(&sidecar, "acme").await), "Bearer at.acme.0", "what is held goes on");
    disconnected(&world).await;
    assert!(is_over(&pick(&sidecar, "acme").await));
    world.connect_to("acme", "second", HOUR, None).await;
    sidecar.backend.refuse_writes(false);
    pass(&world, 15 * SECOND).await;
    assert_eq!(value(&pick(&sidecar, "acme").await), "Bearer at.second.0");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_hangs_keeps_nobody_from_learning_of_a_disconnect() {
    let (world, sidecar, _background) = in_use().await;
    let gate = Arc::new(Semaphore::new(0));
    for _ in 0..3 {
        sidecar.backend.next_write(Fault::RefusedLate(Arc::clone(&gate)));
    }
    comes_back_older(&world).await;
    pass(&world, 10 * SECOND).await;
    disconnected(&world).await;
    assert!(is_over(&pick(&sidecar, "acme").await));
}

#[tokio::test(start_paused = true)]
async fn a_pat_that_cannot_be_written_back_hides_no_disconnect() {
    let (world, sidecar, _background) = in_use().await;
    let snapshot = world.backend.inner.snapshot();
    world.store.put_pat(&tenant("acme"), &pat("flx_pat_new")).await.unwrap();
    pass(&world, 2 * SECOND).await;
    assert_eq!(value(&pat_only(&sidecar, "acme").await), "Bearer flx_pat_new");
    world.backend.inner.restore(snapshot);
    sidecar.backend.refuse_writes(true);
    let seen = world.store.vitals().await.unwrap();
    let id = EraId::after(seen.era.id, seen.now, &Random::system());
    let era = Era { id, quiet_since: Some(seen.now), before: Some(seen.era.id), past: seen.newest };
    let _ = world.store.begin_era(&seen, &era).await.unwrap();
    pass(&world, 2 * SECOND).await;
    disconnected(&world).await;
    let next = pick(&sidecar, "acme").await;
    assert_eq!(value(&next), "Bearer flx_pat_new", "the next kind");
}

#[tokio::test(start_paused = true)]
async fn who_is_not_told_of_changes_learns_of_a_disconnect() {
    let (world, sidecar, _background) = in_use().await;
    // More than one look is for, and acme was found before all of them.
    for number in 0..250 {
        let name = format!("tenant-{number}");
        world.connect(&name, 10 * HOUR, Some(HOUR)).await;
        let _ = pick(&sidecar, &name).await.unwrap();
    }
    pass(&world, 2 * SECOND).await;
    sidecar.backend.refuse_changes();
    pass(&world, 5 * SECOND).await;
    disconnected(&world).await;
    assert!(is_over(&pick(&sidecar, "acme").await));
    assert_eq!(value(&pick(&sidecar, "tenant-7").await), "Bearer at.tenant-7.0");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_does_not_open_hides_no_disconnect() {
    let world = World::new().await;
    world.sealer.replace(KeyRing::parse(&Secret::new(OLD)).unwrap());
    let _ = world.store.take_first_key().await.unwrap();
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", 10 * HOUR, Some(HOUR)).await;
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.0");
    let ahead = Sealer::new(KeyRing::parse(&Secret::new(format!("{NEW}\n{OLD}"))).unwrap(), Random::system());
    let ahead = TokenStore::open(world.backend.clone(), ahead, Random::system()).await.unwrap();
    ahead.put_pat(&tenant("acme"), &pat("flx_pat_new")).await.unwrap();
    let _ = ahead.disconnect(&tenant("acme")).await.unwrap();
    pass(&world, 2 * SECOND).await;
    assert!(is_over(&pick(&world, "acme").await));
}

/// A token request is under way when the tenant is disconnected elsewhere, and then the store takes no writes here: the
/// answer waits for the store, and is no pair to be used.
#[tokio::test(start_paused = true)]
async fn an_answer_that_the_store_does_not_take_brings_back_nothing_that_was_disconnected() {
    for knows_first in [true, false] {
        let (world, sidecar, _background) = in_use().await;
        let left = HOUR * 9 + Duration::from_secs(3500);
        tokio::time::advance(left).await;
        let answered = sidecar.flexslot.hold();
        assert_eq!(value(&pick(&sidecar, "acme").await), "Bearer at.acme.0", "it is refreshed in the background");
        pass(&world, Duration::from_millis(100)).await;
        assert_eq!(world.flexslot.requests(), 1);
        let _ = world.store.disconnect(&tenant("acme")).await.unwrap();
        if knows_first {
            pass(&world, 2 * SECOND).await;
        }
        sidecar.backend.refuse_writes(true);
        answered.add_permits(1);
        pass(&world, 2 * SECOND).await;
        assert!(is_over(&pick(&sidecar, "acme").await));
        pass(&world, 77 * SECOND).await;
        assert!(is_over(&pick(&sidecar, "acme").await));
        let waiting = caller(&sidecar, "acme");
        pass(&world, SECOND).await;
        assert!(is_over(&waiting.await.unwrap()));
    }
}
