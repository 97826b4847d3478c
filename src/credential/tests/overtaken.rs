//! What comes late and is overtaken by what others have written.

use std::sync::Arc;
use std::time::Duration;

use super::faulty::Fault;
use super::flexslot::Behaviour;
use super::world::{HOUR, ORIGIN, SECOND, World, caller, pass, pat_only, pick, tenant, value};
use crate::credential::Refusal;
use crate::model::token::DisconnectReason;
use crate::model::{GrantState, Secret};
use crate::store::StoredPat;

#[tokio::test(start_paused = true)]
async fn an_answer_of_the_store_that_comes_late_does_not_undo_a_newer_one() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.give_pat("acme").await;
    assert_eq!(value(&pat_only(&world, "acme").await), "Bearer flx_pat_acme");
    pass(&world, 2 * SECOND).await;
    let late = world.backend.hold_next_read();
    let waiting = caller(&world, "acme");
    world.settle().await;
    let new = StoredPat { pat: Secret::new("flx_pat_new"), origin: ORIGIN.parse().unwrap() };
    world.store.put_pat(&tenant("acme"), &new).await.unwrap();
    pass(&world, 2 * SECOND).await;
    world.backend.refuse_writes(true);
    late.add_permits(1);
    let _ = waiting.await.unwrap();
    pass(&world, 2 * SECOND).await;
    assert_eq!(value(&pat_only(&world, "acme").await), "Bearer flx_pat_new");
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_a_reconnect_has_overtaken_is_not_used() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let gate = world.flexslot.hold();
    let waiting = caller(&world, "acme");
    world.settle().await;
    let stored = world.backend.hold_next_write();
    gate.add_permits(1);
    world.settle().await;
    world.connect_to("acme", "second", HOUR, None).await;
    pass(&world, 2 * SECOND).await;
    stored.add_permits(1);
    assert_eq!(value(&waiting.await.unwrap()), "Bearer at.second.0");
    pass(&world, 5 * SECOND).await;
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.second.0");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_grant_that_a_reconnect_has_overtaken_ends_nothing() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.flexslot.revoke("acme");
    let gate = world.flexslot.hold();
    let waiting = caller(&world, "acme");
    world.settle().await;
    let stored = world.backend.hold_next_write();
    gate.add_permits(1);
    world.settle().await;
    world.connect_to("acme", "second", HOUR, None).await;
    pass(&world, 2 * SECOND).await;
    stored.add_permits(1);
    assert_eq!(value(&waiting.await.unwrap()), "Bearer at.second.0");
}

#[tokio::test(start_paused = true)]
async fn a_refused_grant_stays_refused_while_the_store_does_not_take_its_end() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.flexslot.revoke("acme");
    let gate = world.flexslot.hold();
    let waiting = caller(&world, "acme");
    world.settle().await;
    world.backend.refuse_writes(true);
    gate.add_permits(10);
    let over = Refusal::ReconnectRequired(DisconnectReason::InvalidGrant);
    assert_eq!(waiting.await.unwrap().unwrap_err(), over);
    pass(&world, 5 * SECOND).await;
    assert_eq!(pick(&world, "acme").await.unwrap_err(), over);
    world.backend.refuse_writes(false);
    pass(&world, 300 * SECOND).await;
    assert_eq!(pick(&world, "acme").await.unwrap_err(), over);
    assert_eq!(world.flexslot.requests(), 1);
    assert!(matches!(world.store.load(&tenant("acme")).await.unwrap().grant, GrantState::Disconnected(_)));
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_of_a_replaced_grant_holds_nothing_back() {
    for failure in [Behaviour::Refuse(Some(60 * SECOND)), Behaviour::LoseQuestion] {
        let world = World::new().await;
        let _background = world.credentials.start().await.unwrap();
        world.connect("acme", Duration::ZERO, Some(HOUR)).await;
        world.flexslot.will(failure);
        let gate = world.flexslot.hold();
        let waiting = caller(&world, "acme");
        world.settle().await;
        world.connect_to("acme", "second", Duration::ZERO, Some(HOUR)).await;
        pass(&world, 2 * SECOND).await;
        gate.add_permits(10);
        assert_eq!(value(&waiting.await.unwrap()), "Bearer at.second.1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_whose_first_load_failed_still_has_one_renewal_at_a_time() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let late = Arc::new(tokio::sync::Semaphore::new(0));
    world.backend.next_read(Fault::RefusedLate(Arc::clone(&late)));
    let gate = world.flexslot.hold();
    let (first, second) = (caller(&world, "acme"), caller(&world, "acme"));
    world.settle().await;
    late.add_permits(1);
    assert!(first.await.unwrap().is_err());
    world.settle().await;
    let third = caller(&world, "acme");
    world.settle().await;
    gate.add_permits(1);
    assert_eq!(value(&second.await.unwrap()), "Bearer at.acme.1");
    assert_eq!(value(&third.await.unwrap()), "Bearer at.acme.1");
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_about_the_time_does_not_prolong_a_tokens_life() {
    let world = World::new().await;
    world.connect("acme", 9 * SECOND, Some(SECOND)).await;
    let gate = world.backend.hold_next_clock();
    let credentials = world.credentials.clone();
    let start = tokio::spawn(async move { credentials.start().await });
    pass(&world, 5 * SECOND).await;
    gate.add_permits(1);
    drop(start.await.unwrap().unwrap());
    pass(&world, 5 * SECOND).await;
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.1");
}
