//! Intents without outcome, and what is asked before a refresh token is presented.

use std::sync::Arc;
use std::time::Duration;

use super::faulty::Fault;
use super::flexslot::Behaviour;
use super::world::{HOUR, SECOND, World, caller, pass, pat_only, pick, tenant, value};
use crate::credential::{Refusal, TenantPolicy};
use crate::model::{GrantState, PatFallback, Random};
use crate::store::instance::InstanceLock;

#[tokio::test(start_paused = true)]
async fn a_reload_while_a_renewal_waits_keeps_the_grant_from_another_clients_endpoint() {
    let mut world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.give_pat("acme").await;
    let _ = pat_only(&world, "acme").await.unwrap();
    world.set_policy("acme", TenantPolicy { pat_fallback: PatFallback::Never, ..TenantPolicy::default() });
    let late = world.backend.hold_next_read();
    let waiting = caller(&world, "acme");
    world.settle().await;
    world.move_grants_to("cli_other");
    late.add_permits(1);
    let refusal = waiting.await.unwrap().unwrap_err();
    assert!(matches!(refusal, Refusal::OAuthMisconfigured(_)), "{refusal:?}");
    assert!(matches!(world.store.load(&tenant("acme")).await.unwrap().grant, GrantState::Connected(_)), "no intent");
}

#[tokio::test(start_paused = true)]
async fn a_background_renewal_that_may_not_ask_does_not_hold_back_the_last_resort() {
    let world = World::new().await;
    world.connect("acme", 130 * SECOND, Some(HOUR)).await;
    world.flexslot.will(Behaviour::LoseQuestion);
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.0");
    pass(&world, 119 * SECOND).await;
    let restarted = world.another();
    assert_eq!(value(&pick(&restarted, "acme").await), "Bearer at.acme.0");
    pass(&world, 12 * SECOND).await;
    assert_eq!(value(&pick(&restarted, "acme").await), "Bearer at.acme.1");
}

#[tokio::test(start_paused = true)]
async fn who_finds_a_token_expired_is_not_told_what_the_background_may_not_do() {
    let world = World::new().await;
    world.connect("acme", 130 * SECOND, Some(HOUR)).await;
    world.flexslot.will(Behaviour::LoseQuestion);
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.0");
    pass(&world, 125 * SECOND).await;
    let restarted = world.another();
    let late = Arc::new(tokio::sync::Semaphore::new(0));
    let _ = pat_only(&restarted, "acme").await;
    restarted.backend.next_read(Fault::Late(late.clone()));
    assert_eq!(value(&pick(&restarted, "acme").await), "Bearer at.acme.0");
    pass(&world, 6 * SECOND).await;
    let waiting = caller(&restarted, "acme");
    restarted.settle().await;
    late.add_permits(1);
    assert_eq!(value(&waiting.await.unwrap()), "Bearer at.acme.1");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_slow_to_tell_the_time_makes_nobodys_intent_older() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.flexslot.will(Behaviour::LoseQuestion);
    assert!(pick(&world, "acme").await.is_err());
    let restarted = world.another();
    pass(&world, 103 * SECOND).await;
    let gate = restarted.backend.stall_next_clock();
    let waiting = caller(&restarted, "acme");
    pass(&world, 9 * SECOND).await;
    gate.add_permits(1);
    assert!(waiting.await.unwrap().is_err(), "the store says 112 s");
    assert_eq!(world.flexslot.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_intent_of_which_nobody_knows_whether_it_was_stored_is_taken_back() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.backend.next_write(Fault::AnswerLost);
    world.backend.next_write(Fault::Refused);
    assert!(pick(&world, "acme").await.is_err());
    assert!(matches!(world.store.load(&tenant("acme")).await.unwrap().grant, GrantState::Uncertain(..)));
    pass(&world, 2 * SECOND).await;
    assert!(matches!(world.store.load(&tenant("acme")).await.unwrap().grant, GrantState::Connected(_)));
    assert_eq!(world.flexslot.requests(), 0);
}

/// By a wall clock that stands still, or was set back, the next intent is dated as the one before was, whose withdrawal
/// still waits for the store.
#[tokio::test(start_paused = true)]
async fn what_takes_an_intent_back_does_not_take_back_the_next_one_of_the_same_moment() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.stop_clock();
    world.backend.next_write(Fault::AnswerLost);
    world.backend.next_write(Fault::Refused);
    assert!(pick(&world, "acme").await.is_err());
    assert_eq!(world.flexslot.requests(), 0, "nobody knows of the intent whether it was stored");
    pass(&world, 60 * SECOND).await;
    world.flexslot.will(Behaviour::LoseQuestion);
    assert!(pick(&world, "acme").await.is_err());
    assert_eq!(world.flexslot.requests(), 1);
    let _background = world.credentials.start().await.unwrap();
    pass(&world, 2 * SECOND).await;
    let grant = world.store.load(&tenant("acme")).await.unwrap().grant;
    assert!(matches!(grant, GrantState::Uncertain(..)), "its token may have been presented: {grant:?}");
}

#[tokio::test(start_paused = true)]
async fn a_last_resort_that_was_not_sent_for_want_of_an_intent_may_still_be_sent() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.flexslot.will(Behaviour::LoseQuestion);
    assert!(pick(&world, "acme").await.is_err());
    pass(&world, 125 * SECOND).await;
    world.backend.next_write(Fault::AnswerLost);
    world.backend.next_write(Fault::Refused);
    assert!(pick(&world, "acme").await.is_err());
    world.flexslot.will(Behaviour::NotSent);
    pass(&world, 60 * SECOND).await;
    assert!(pick(&world, "acme").await.is_err());
    pass(&world, 200 * SECOND).await;
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.1");
    assert_eq!(world.flexslot.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_slept_over_its_intent_does_not_present_the_token_any_more() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let stored = world.backend.hold_next_write();
    let waiting = caller(&world, "acme");
    pass(&world, 125 * SECOND).await;
    assert!(waiting.await.unwrap().is_err());
    stored.add_permits(1);
    pass(&world, SECOND).await;
    assert_eq!(world.flexslot.requests(), 0, "others may have presented it as a last resort");
    assert!(matches!(world.store.load(&tenant("acme")).await.unwrap().grant, GrantState::Connected(_)), "withdrawn");
    pass(&world, 5 * SECOND).await;
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.1");
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_is_spooled_while_the_last_resort_is_judged_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let lock = || InstanceLock::acquire(dir.path(), &Random::system()).unwrap();
    let nobody = World::new().await;
    nobody.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let first = lock();
    let owner = first.owner().clone();
    let dies = nobody.another_like(Some(dir.path()), Some(first));
    let answered = dies.flexslot.hold();
    let asking = caller(&dies, "acme");
    dies.settle().await;
    nobody.store.release(&tenant("acme"), &owner).await.unwrap();
    let second = nobody.another_like(Some(dir.path()), Some(lock()));
    let judged = second.backend.hold_next_clock();
    let waiting = caller(&second, "acme");
    pass(&nobody, SECOND).await;
    nobody.backend.refuse_writes(true);
    answered.add_permits(10);
    assert_eq!(value(&asking.await.unwrap()), "Bearer at.acme.1");
    nobody.backend.refuse_writes(false);
    drop(dies);
    judged.add_permits(1);
    assert_eq!(value(&waiting.await.unwrap()), "Bearer at.acme.1");
    assert_eq!((nobody.flexslot.requests(), nobody.flexslot.replays()), (1, 0));
}
