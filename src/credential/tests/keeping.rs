//! Outcomes that the store does not take.

use std::future::ready;
use std::time::Duration;

use tokio::time::Instant;

use super::faulty::{Fault, PATIENCE};
use super::world::{HOUR, SECOND, World, caller, pass, pick, tenant, value};
use crate::credential::Refusal;

#[tokio::test(start_paused = true)]
async fn with_the_newest_pair_still_in_the_spool_the_spent_token_is_not_presented() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = World::new().await;
    nobody.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let died = nobody.another_in(Some(dir.path()));
    let gate = died.flexslot.hold();
    let waiting = caller(&died, "acme");
    died.settle().await;
    died.backend.refuse_writes(true);
    gate.add_permits(10);
    assert_eq!(value(&waiting.await.unwrap()), "Bearer at.acme.1");
    drop(died);
    pass(&nobody, HOUR).await;
    nobody.backend.refuse_writes(false);
    nobody.backend.next_write(Fault::Refused);
    let restarted = nobody.another_in(Some(dir.path()));
    let refusal = pick(&restarted, "acme").await.unwrap_err();
    assert!(matches!(refusal, Refusal::StoreUnavailable(_)), "{refusal:?}");
    pass(&nobody, 5 * SECOND).await;
    assert_eq!(value(&pick(&restarted, "acme").await), "Bearer at.acme.2");
    assert_eq!(nobody.flexslot.replays(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_process_left_in_the_spool_is_offered_until_the_store_takes_it() {
    let dir = tempfile::tempdir().unwrap();
    let nobody = World::new().await;
    nobody.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let died = nobody.another_in(Some(dir.path()));
    let gate = died.flexslot.hold();
    let waiting = caller(&died, "acme");
    died.settle().await;
    died.backend.refuse_writes(true);
    gate.add_permits(10);
    let _ = waiting.await.unwrap().unwrap();
    let restarted = nobody.another_in(Some(dir.path()));
    let _background = restarted.credentials.start().await.unwrap();
    nobody.backend.refuse_writes(false);
    pass(&nobody, 60 * SECOND).await;
    let stored = nobody.store.load(&tenant("acme")).await.unwrap().grant;
    assert_eq!(stored.grant().unwrap().tokens.refresh.expose(), "acme.1");
}

#[tokio::test(start_paused = true)]
async fn a_drain_goes_on_offering_a_pair_that_is_in_memory_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("spool"), "in the way").unwrap();
    let world = World::new().await.another_in(Some(dir.path()));
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let gate = world.flexslot.hold();
    let waiting = caller(&world, "acme");
    world.settle().await;
    world.backend.refuse_writes(true);
    gate.add_permits(1);
    assert_eq!(value(&waiting.await.unwrap()), "Bearer at.acme.1");
    assert_eq!(world.credentials.health().at_risk, 1);
    let credentials = world.credentials.clone();
    let drain = tokio::spawn(async move { credentials.drain(ready(()), 25 * SECOND).await });
    pass(&world, 5 * SECOND).await;
    assert!(!drain.is_finished());
    world.backend.refuse_writes(false);
    drain.await.unwrap();
    assert_eq!(world.credentials.health().at_risk, 0);
    let stored = world.store.load(&tenant("acme")).await.unwrap().grant;
    assert_eq!(stored.grant().unwrap().tokens.refresh.expose(), "acme.1");
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_the_store_has_still_to_take_serves_and_is_not_renewed_before() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let gate = world.flexslot.hold();
    let waiting = caller(&world, "acme");
    world.settle().await;
    world.backend.refuse_writes(true);
    gate.add_permits(10);
    let _ = waiting.await.unwrap().unwrap();
    pass(&world, 3500 * SECOND).await;
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.1", "it ages, and serves");
    pass(&world, 200 * SECOND).await;
    assert!(matches!(pick(&world, "acme").await.unwrap_err(), Refusal::StoreUnavailable(_)));
    assert_eq!(world.flexslot.requests(), 1);
    world.backend.refuse_writes(false);
    pass(&world, 90 * SECOND).await;
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.2");
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_was_stored_though_the_store_said_no_is_stored_once() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let gate = world.flexslot.hold();
    let waiting = caller(&world, "acme");
    world.settle().await;
    world.backend.next_write(Fault::AnswerLost);
    gate.add_permits(1);
    assert_eq!(value(&waiting.await.unwrap()), "Bearer at.acme.1");
    pass(&world, 5 * SECOND).await;
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.1");
    assert_eq!(world.credentials.health().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_pair_is_kept_from_its_callers_for_one_wait_by_a_store_that_does_not_answer() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new().await.another_in(Some(dir.path()));
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let gate = world.flexslot.hold();
    let waiting = caller(&world, "acme");
    world.settle().await;
    world.backend.halt();
    // Long enough that all that is known of the store is old.
    pass(&world, 3 * SECOND).await;
    let answered = Instant::now();
    gate.add_permits(1);
    assert_eq!(value(&waiting.await.unwrap()), "Bearer at.acme.1");
    assert!(answered.elapsed() <= PATIENCE, "{:?}", answered.elapsed());
    assert_eq!((world.credentials.health().waiting, world.credentials.health().at_risk), (1, 0));
}
