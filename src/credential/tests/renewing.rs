//! What the renewal promises.

use std::future::ready;
use std::time::Duration;

use tokio::time::Instant;

use super::{
    flexslot::Behaviour,
    world::{World, ask, tenant},
};
use crate::{
    credential::{Refusal, Resend, Unauthorized},
    model::{
        GrantState, Random,
        observe::{RefreshOutcome, RetryOutcome},
        token::DisconnectReason,
    },
    store::{backend::Bid, instance::InstanceLock},
};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

async fn picked(world: &World, name: &str) -> String {
    value(&world.credentials.pick(&ask(&tenant(name))).await.unwrap())
}

fn value(picked: &crate::credential::Picked) -> String {
    picked.authorization.to_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_fresh_token_is_used_without_asking_anybody() {
    let world = World::new().await;
    world.connect("acme", HOUR, Some(SECOND)).await;
    assert_eq!(picked(&world, "acme").await, "Bearer at.acme.0");
    world.settle().await;
    assert_eq!(world.flexslot.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_ageing_token_is_used_and_renewed_in_the_background() {
    let world = World::new().await;
    world.connect("acme", 60 * SECOND, Some(HOUR)).await;
    assert_eq!(picked(&world, "acme").await, "Bearer at.acme.0");
    world.settle().await;
    assert_eq!(picked(&world, "acme").await, "Bearer at.acme.1");
    assert_eq!(world.flexslot.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_resent_waits_for_a_token_outside_its_window() {
    let world = World::new().await;
    world.connect("acme", 60 * SECOND, Some(HOUR)).await;
    let acme = tenant("acme");
    let once = crate::credential::Ask { resend: Resend::Impossible, ..ask(&acme) };
    assert_eq!(value(&world.credentials.pick(&once).await.unwrap()), "Bearer at.acme.1");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_resent_takes_a_valid_token_when_no_other_can_be_had() {
    let world = World::new().await;
    world.connect("acme", 60 * SECOND, Some(HOUR)).await;
    world.flexslot.will(Behaviour::NotSent);
    let acme = tenant("acme");
    let once = crate::credential::Ask { resend: Resend::Impossible, ..ask(&acme) };
    assert_eq!(value(&world.credentials.pick(&once).await.unwrap()), "Bearer at.acme.0");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_of_an_expired_token_cost_one_request() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let gate = world.flexslot.hold();
    let callers: Vec<_> = (0..1000)
        .map(|_| {
            let credentials = world.credentials.clone();
            tokio::spawn(async move { credentials.pick(&ask(&tenant("acme"))).await })
        })
        .collect();
    world.settle().await;
    gate.add_permits(1);
    for caller in callers {
        assert_eq!(value(&caller.await.unwrap().unwrap()), "Bearer at.acme.1");
    }
    assert_eq!(world.flexslot.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_does_not_cancel_the_renewal() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let gate = world.flexslot.hold();
    let credentials = world.credentials.clone();
    let caller = tokio::spawn(async move { credentials.pick(&ask(&tenant("acme"))).await });
    world.settle().await;
    caller.abort();
    gate.add_permits(1);
    world.settle().await;
    assert_eq!(picked(&world, "acme").await, "Bearer at.acme.1");
    assert_eq!(world.flexslot.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_patience_of_a_caller_does_not_end_the_token_request() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let gate = world.flexslot.hold();
    let refusal = world.credentials.pick(&ask(&tenant("acme"))).await.unwrap_err();
    assert!(matches!(refusal, Refusal::RefreshUnavailable { .. }), "{refusal:?}");
    gate.add_permits(1);
    world.settle().await;
    assert_eq!(picked(&world, "acme").await, "Bearer at.acme.1");
    assert_eq!(world.flexslot.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_renewed_once_for_all_and_a_late_401_asks_nobody() {
    let world = World::new().await;
    world.connect("acme", HOUR, Some(HOUR)).await;
    let acme = tenant("acme");
    let old = world.credentials.pick(&ask(&acme)).await.unwrap();
    for _ in 0..10 {
        match world.credentials.unauthorized(&ask(&acme), &old).await {
            Unauthorized::Retry(next) => assert_eq!(value(&next), "Bearer at.acme.1"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.flexslot.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_issued_moments_ago_is_not_renewed_because_of_a_401() {
    let world = World::new().await;
    world.connect("acme", HOUR, Some(29 * SECOND)).await;
    let acme = tenant("acme");
    let old = world.credentials.pick(&ask(&acme)).await.unwrap();
    assert!(matches!(world.credentials.unauthorized(&ask(&acme), &old).await, Unauthorized::AfterRefresh));
    tokio::time::advance(2 * SECOND).await;
    assert!(matches!(world.credentials.unauthorized(&ask(&acme), &old).await, Unauthorized::Retry(_)));
    assert_eq!(world.flexslot.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_imported_pair_has_no_age_that_could_hold_a_renewal_back() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    let acme = tenant("acme");
    let old = world.credentials.pick(&ask(&acme)).await.unwrap();
    assert!(matches!(world.credentials.unauthorized(&ask(&acme), &old).await, Unauthorized::Retry(_)));
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_stands_still_does_not_hold_renewals_back() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    world.stop_clock();
    let acme = tenant("acme");
    for times in 1..=3 {
        let refused = world.credentials.pick(&ask(&acme)).await.unwrap();
        let Unauthorized::Retry(next) = world.credentials.unauthorized(&ask(&acme), &refused).await else {
            panic!("no renewal {times}")
        };
        world.credentials.retried(&ask(&acme), &next, RetryOutcome::Cured);
        assert_eq!(world.flexslot.requests(), times);
        tokio::time::advance(31 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_renewed_once_within_min_interval() {
    let world = World::new().await;
    world.flexslot.life.store(5, std::sync::atomic::Ordering::SeqCst);
    world.connect("acme", Duration::ZERO, Some(5 * SECOND)).await;
    assert_eq!(picked(&world, "acme").await, "Bearer at.acme.1");
    tokio::time::advance(5 * SECOND).await;
    world.flexslot.will(Behaviour::NotSent);
    assert!(world.credentials.pick(&ask(&tenant("acme"))).await.is_err());
    tokio::time::advance(5 * SECOND).await;
    assert!(world.credentials.pick(&ask(&tenant("acme"))).await.is_err(), "its one try within min_interval is spent");
    tokio::time::advance(30 * SECOND).await;
    assert_eq!(picked(&world, "acme").await, "Bearer at.acme.2");
}

#[tokio::test(start_paused = true)]
async fn renewals_that_do_not_cure_a_401_come_a_minute_apart_and_then_two() {
    let world = World::new().await;
    world.connect("acme", 10 * HOUR, None).await;
    world.flexslot.life.store(36_000, std::sync::atomic::Ordering::SeqCst);
    let acme = tenant("acme");
    let mut requests = Vec::new();
    for _ in 0..300 {
        let now = world.credentials.pick(&ask(&acme)).await.unwrap();
        if let Unauthorized::Retry(next) = world.credentials.unauthorized(&ask(&acme), &now).await {
            world.credentials.retried(&ask(&acme), &next, RetryOutcome::StillUnauthorized);
        }
        requests.push(world.flexslot.requests());
        tokio::time::advance(SECOND).await;
    }
    let times: Vec<_> = (1..requests.len()).filter(|&at| requests[at] > requests[at - 1]).collect();
    assert_eq!((requests[0], times), (1, vec![60, 180]));
}

#[tokio::test(start_paused = true)]
async fn a_cured_401_ends_the_waiting() {
    let world = World::new().await;
    world.connect("acme", 10 * HOUR, None).await;
    let acme = tenant("acme");
    let first = world.credentials.pick(&ask(&acme)).await.unwrap();
    let Unauthorized::Retry(second) = world.credentials.unauthorized(&ask(&acme), &first).await else {
        panic!("retry")
    };
    world.credentials.retried(&ask(&acme), &second, RetryOutcome::StillUnauthorized);
    world.credentials.retried(&ask(&acme), &second, RetryOutcome::Cured);
    tokio::time::advance(31 * SECOND).await;
    assert!(matches!(world.credentials.unauthorized(&ask(&acme), &second).await, Unauthorized::Retry(_)));
}

#[tokio::test(start_paused = true)]
async fn invalid_grant_disconnects_and_nothing_more_is_sent() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.flexslot.revoke("acme");
    for _ in 0..3 {
        let refusal = world.credentials.pick(&ask(&tenant("acme"))).await.unwrap_err();
        assert_eq!(refusal, Refusal::ReconnectRequired(DisconnectReason::InvalidGrant));
    }
    assert_eq!(world.flexslot.requests(), 1);
    let stored = world.store.load(&tenant("acme")).await.unwrap().grant;
    assert!(matches!(stored, GrantState::Disconnected(gone) if gone.reason == DisconnectReason::InvalidGrant));
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_sending_backs_off_and_tells_when_to_try_again() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.flexslot.will(Behaviour::Refuse(Some(7 * SECOND)));
    let refusal = world.credentials.pick(&ask(&tenant("acme"))).await.unwrap_err();
    assert!(
        matches!(&refusal, Refusal::RefreshUnavailable { retry_after: Some(wait), .. } if *wait == 7 * SECOND),
        "{refusal:?}"
    );
    tokio::time::advance(6 * SECOND).await;
    assert!(world.credentials.pick(&ask(&tenant("acme"))).await.is_err());
    assert_eq!(world.flexslot.requests(), 1);
    tokio::time::advance(SECOND).await;
    assert_eq!(picked(&world, "acme").await, "Bearer at.acme.1");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_client_is_a_fault_of_the_configuration_and_keeps_the_grant() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.flexslot.will(Behaviour::Misconfigured);
    let refusal = world.credentials.pick(&ask(&tenant("acme"))).await.unwrap_err();
    assert!(matches!(refusal, Refusal::OAuthMisconfigured(_)), "{refusal:?}");
    tokio::time::advance(2 * SECOND).await;
    assert_eq!(picked(&world, "acme").await, "Bearer at.acme.1");
}

#[tokio::test(start_paused = true)]
async fn after_a_401_any_failure_leaves_the_401_to_the_client() {
    let world = World::new().await;
    world.connect("acme", HOUR, Some(HOUR)).await;
    world.flexslot.will(Behaviour::NotSent);
    let acme = tenant("acme");
    let old = world.credentials.pick(&ask(&acme)).await.unwrap();
    assert!(matches!(world.credentials.unauthorized(&ask(&acme), &old).await, Unauthorized::RefreshUnavailable));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_tried_once_more_when_it_is_old_enough_and_never_again() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.flexslot.will(Behaviour::LoseQuestion);
    world.flexslot.will(Behaviour::LoseQuestion);
    assert!(world.credentials.pick(&ask(&tenant("acme"))).await.is_err());
    tokio::time::advance(119 * SECOND).await;
    assert!(world.credentials.pick(&ask(&tenant("acme"))).await.is_err());
    assert_eq!(world.flexslot.requests(), 1, "the first request may still be under way");
    tokio::time::advance(122 * SECOND).await;
    assert!(world.credentials.pick(&ask(&tenant("acme"))).await.is_err());
    assert_eq!(world.flexslot.requests(), 2, "the last resort");
    tokio::time::advance(300 * SECOND).await;
    let refusal = world.credentials.pick(&ask(&tenant("acme"))).await.unwrap_err();
    assert_eq!(refusal, Refusal::ReconnectRequired(DisconnectReason::RefreshOutcomeLost));
    assert_eq!(world.flexslot.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_last_resort_that_was_not_sent_is_still_the_last_one() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.flexslot.will(Behaviour::LoseQuestion);
    world.flexslot.will(Behaviour::NotSent);
    world.flexslot.will(Behaviour::LoseQuestion);
    for _ in 0..6 {
        assert!(world.credentials.pick(&ask(&tenant("acme"))).await.is_err());
        tokio::time::advance(241 * SECOND).await;
    }
    assert_eq!(world.flexslot.requests(), 2, "one first try and one last resort reached Flexslot");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_ends_as_refresh_outcome_lost() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.flexslot.will(Behaviour::LoseAnswer);
    assert!(world.credentials.pick(&ask(&tenant("acme"))).await.is_err());
    tokio::time::advance(241 * SECOND).await;
    let refusal = world.credentials.pick(&ask(&tenant("acme"))).await.unwrap_err();
    assert_eq!(refusal, Refusal::ReconnectRequired(DisconnectReason::RefreshOutcomeLost));
}

#[tokio::test(start_paused = true)]
async fn an_uncertain_grant_is_used_while_its_token_lives() {
    let world = World::new().await;
    world.connect("acme", 60 * SECOND, Some(HOUR)).await;
    world.flexslot.will(Behaviour::LoseQuestion);
    assert_eq!(picked(&world, "acme").await, "Bearer at.acme.0");
    world.settle().await;
    tokio::time::advance(30 * SECOND).await;
    assert_eq!(picked(&world, "acme").await, "Bearer at.acme.0");
    world.settle().await;
    assert_eq!(world.flexslot.requests(), 1, "a background renewal is no last resort");
}

#[tokio::test(start_paused = true)]
async fn a_panic_wakes_everyone_and_leaves_the_grant_uncertain() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.flexslot.will(Behaviour::Panic);
    let started = Instant::now();
    assert!(world.credentials.pick(&ask(&tenant("acme"))).await.is_err());
    assert!(started.elapsed() < SECOND, "nobody waits for a dead task");
    assert!(matches!(world.store.load(&tenant("acme")).await.unwrap().grant, GrantState::Uncertain(..)));
}

#[tokio::test(start_paused = true)]
async fn two_processes_on_one_store_send_one_request() {
    let one = World::new().await;
    let two = one.another();
    one.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let (acme, beta) = (tenant("acme"), tenant("acme"));
    let (asks, askt) = (ask(&acme), ask(&beta));
    let (first, second) = tokio::join!(one.credentials.pick(&asks), two.credentials.pick(&askt));
    assert_eq!(
        (value(&first.unwrap()), value(&second.unwrap())),
        ("Bearer at.acme.1".into(), "Bearer at.acme.1".into())
    );
    assert_eq!((one.flexslot.requests(), one.flexslot.replays()), (1, 0));
    let adopted =
        [&one, &two].iter().filter(|world| world.counts.refreshes.lock().contains(&RefreshOutcome::Adopted)).count();
    assert_eq!(adopted, 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_stored_intent_nothing_is_sent() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.backend.refuse_writes(true);
    let refusal = world.credentials.pick(&ask(&tenant("acme"))).await.unwrap_err();
    assert!(matches!(refusal, Refusal::StoreUnavailable(_)), "{refusal:?}");
    assert_eq!(world.flexslot.requests(), 0);
    world.backend.refuse_writes(false);
    tokio::time::advance(2 * SECOND).await;
    assert_eq!(picked(&world, "acme").await, "Bearer at.acme.1");
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_the_store_refuses_is_used_and_stored_later() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let gate = world.flexslot.hold();
    let credentials = world.credentials.clone();
    let caller = tokio::spawn(async move { credentials.pick(&ask(&tenant("acme"))).await });
    world.settle().await;
    world.backend.refuse_writes(true);
    gate.add_permits(1);
    assert_eq!(value(&caller.await.unwrap().unwrap()), "Bearer at.acme.1");
    assert_eq!(world.credentials.health().waiting, 1);
    world.backend.refuse_writes(false);
    tokio::time::advance(2 * SECOND).await;
    world.settle().await;
    assert_eq!(world.credentials.health().waiting, 0);
    let stored = world.store.load(&tenant("acme")).await.unwrap().grant;
    assert_eq!(stored.grant().unwrap().tokens.refresh.expose(), "acme.1");
}

#[tokio::test(start_paused = true)]
async fn remove_wins_over_a_renewal_under_way() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let gate = world.flexslot.hold();
    let credentials = world.credentials.clone();
    let caller = tokio::spawn(async move { credentials.pick(&ask(&tenant("acme"))).await });
    world.settle().await;
    let _ = world.store.remove(&tenant("acme")).await.unwrap();
    gate.add_permits(1);
    assert_eq!(caller.await.unwrap().unwrap_err(), Refusal::NotConnected);
    assert_eq!(world.store.load(&tenant("acme")).await.unwrap().grant, GrantState::NeverConnected);
}

#[tokio::test(start_paused = true)]
async fn a_change_by_another_process_takes_effect_within_two_seconds() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.give_pat("acme").await;
    assert_eq!(picked(&world, "acme").await, "Bearer flx_pat_acme");
    world.connect("acme", HOUR, None).await;
    world.settle().await;
    tokio::time::advance(Duration::from_millis(1900)).await;
    world.settle().await;
    assert_eq!(picked(&world, "acme").await, "Bearer at.acme.0");
    let _ = world.store.remove(&tenant("acme")).await.unwrap();
    world.settle().await;
    tokio::time::advance(Duration::from_millis(1900)).await;
    world.settle().await;
    assert_eq!(world.credentials.pick(&ask(&tenant("acme"))).await.unwrap_err(), Refusal::NotConnected);
}

#[tokio::test(start_paused = true)]
async fn drain_waits_for_a_token_request() {
    let world = World::new().await;
    world.connect("acme", 60 * SECOND, Some(HOUR)).await;
    let gate = world.flexslot.hold();
    assert_eq!(picked(&world, "acme").await, "Bearer at.acme.0");
    world.settle().await;
    let credentials = world.credentials.clone();
    let drain = tokio::spawn(async move { credentials.drain(ready(()), Duration::from_secs(25)).await });
    world.settle().await;
    assert!(!drain.is_finished());
    gate.add_permits(1);
    drain.await.unwrap();
    assert_eq!(
        world.store.load(&tenant("acme")).await.unwrap().grant.grant().unwrap().tokens.refresh.expose(),
        "acme.1"
    );
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_process_that_died_is_taken_over_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let lock = || InstanceLock::acquire(dir.path(), &Random::system()).unwrap();
    let (gone, alive) = (lock().owner().clone(), lock());
    let world = World::new().await;
    let here = world.another_with(Some(lock()));
    for (name, owner, waits) in [("acme", &gone, Duration::ZERO), ("beta", alive.owner(), 5 * SECOND)] {
        world.connect(name, Duration::ZERO, Some(HOUR)).await;
        let by = world.store.now().await.unwrap();
        assert_eq!(world.store.bid(&tenant(name), owner, 5 * SECOND, by).await, Ok(Bid::Won));
        let began = Instant::now();
        assert_eq!(picked(&here, name).await, format!("Bearer at.{name}.1"));
        assert!((waits..waits + SECOND).contains(&began.elapsed()), "{name}: {:?}", began.elapsed());
    }
}
