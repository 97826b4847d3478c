//! Who waits for what, and for how long.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::flexslot::Behaviour;
use super::world::{HOUR, SECOND, World, ask, caller, pass, pick, tenant, value};
use crate::credential::{Ask, RefreshPolicy, Refusal, Resend, TenantPolicy};
use crate::model::token::Owner;
use crate::model::{PatFallback, Secret};
use crate::store::backend::{Backend, Change, Expect, Key, Kind};

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_lease_takes_nobody_elses_turn() {
    let world = World::with_policy(RefreshPolicy { max_parallel: 1, ..RefreshPolicy::default() }).await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.connect("beta", Duration::ZERO, Some(HOUR)).await;
    let other = Owner { host: "elsewhere".into(), instance: "0".repeat(32) };
    let by = world.store.now().await.unwrap();
    let _ = world.store.bid(&tenant("acme"), &other, 15 * SECOND, by).await.unwrap();
    let waiting = caller(&world, "acme");
    world.settle().await;
    let started = tokio::time::Instant::now();
    assert_eq!(value(&pick(&world, "beta").await), "Bearer at.beta.1");
    assert!(started.elapsed() < SECOND);
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn a_bid_that_the_store_comes_to_too_late_is_made_again() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.backend.slow_bid(4 * SECOND);
    let began = tokio::time::Instant::now();
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.1");
    assert!((4 * SECOND..5 * SECOND).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(world.flexslot.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn with_every_turn_taken_callers_wait_their_patience_and_are_told_to_come_back() {
    let world = World::with_policy(RefreshPolicy { max_parallel: 1, ..RefreshPolicy::default() }).await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.connect("beta", Duration::ZERO, Some(HOUR)).await;
    let gate = world.flexslot.hold();
    let first = caller(&world, "acme");
    world.settle().await;
    let started = tokio::time::Instant::now();
    let refusal = pick(&world, "beta").await.unwrap_err();
    assert!(matches!(refusal, Refusal::RefreshUnavailable { .. }), "{refusal:?}");
    assert_eq!(started.elapsed().as_secs(), 10);
    assert_eq!(world.flexslot.requests(), 1);
    gate.add_permits(2);
    world.settle().await;
    let _ = first.await.unwrap();
    assert_eq!(value(&pick(&world, "beta").await), "Bearer at.beta.1");
}

#[tokio::test(start_paused = true)]
async fn a_reload_changes_how_many_token_requests_may_be_under_way() {
    let mut world = World::with_policy(RefreshPolicy { max_parallel: 1, ..RefreshPolicy::default() }).await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.connect("beta", Duration::ZERO, Some(HOUR)).await;
    let gate = world.flexslot.hold();
    let (_acme, _beta) = (caller(&world, "acme"), caller(&world, "beta"));
    pass(&world, SECOND).await;
    assert_eq!(world.flexslot.requests(), 1);
    world.set_refresh(RefreshPolicy { max_parallel: 2, ..RefreshPolicy::default() });
    pass(&world, SECOND).await;
    assert_eq!(world.flexslot.requests(), 2);
    world.set_refresh(RefreshPolicy { max_parallel: 1, ..RefreshPolicy::default() });
    gate.add_permits(2);
    world.settle().await;
    for name in ["gamma", "delta"] {
        world.connect(name, Duration::ZERO, Some(HOUR)).await;
    }
    let (_gamma, _delta) = (caller(&world, "gamma"), caller(&world, "delta"));
    pass(&world, SECOND).await;
    assert_eq!(world.flexslot.requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_a_request_waits_for_goes_before_those_ahead_of_need() {
    let world = World::with_policy(RefreshPolicy { max_parallel: 1, ..RefreshPolicy::default() }).await;
    for (name, left) in [("acme", Duration::ZERO), ("ageing", 60 * SECOND), ("expired", Duration::ZERO)] {
        world.connect(name, left, Some(HOUR)).await;
    }
    let gate = world.flexslot.hold();
    let first = caller(&world, "acme");
    world.settle().await;
    assert_eq!(value(&pick(&world, "ageing").await), "Bearer at.ageing.0");
    world.settle().await;
    let waiting = caller(&world, "expired");
    world.settle().await;
    gate.add_permits(2);
    world.settle().await;
    assert!(first.is_finished() && waiting.is_finished());
    assert_eq!(value(&waiting.await.unwrap()), "Bearer at.expired.1");
    assert_eq!(value(&pick(&world, "ageing").await), "Bearer at.ageing.0");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_ahead_of_need_moves_up_once_a_request_waits_for_it() {
    let world = World::with_policy(RefreshPolicy { max_parallel: 1, ..RefreshPolicy::default() }).await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.connect("beta", 60 * SECOND, Some(HOUR)).await;
    world.connect("gamma", 60 * SECOND, Some(HOUR)).await;
    let gate = world.flexslot.hold();
    let _first = caller(&world, "acme");
    world.settle().await;
    for name in ["beta", "gamma"] {
        assert!(pick(&world, name).await.is_ok());
        world.settle().await;
    }
    let credentials = world.credentials.clone();
    let upload = tokio::spawn(async move {
        let gamma = tenant("gamma");
        credentials.pick(&Ask { resend: Resend::Impossible, ..ask(&gamma) }).await
    });
    world.settle().await;
    gate.add_permits(2);
    world.settle().await;
    assert!(upload.is_finished());
    assert_eq!(value(&upload.await.unwrap()), "Bearer at.gamma.1");
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_once_for_all_that_it_waits_for() {
    let world = World::new().await;
    world.connect("acme", 5 * SECOND, Some(HOUR)).await;
    let _gate = world.flexslot.hold();
    let acme = tenant("acme");
    let started = tokio::time::Instant::now();
    let once = Ask { resend: Resend::Impossible, ..ask(&acme) };
    assert!(world.credentials.pick(&once).await.is_err());
    assert_eq!(started.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_watch_does_not_make_the_process_blind() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.give_pat("acme").await;
    assert!(pick(&world, "acme").await.is_ok());
    world.backend.panic_at_next_changes();
    pass(&world, 2 * SECOND).await;
    let _ = world.store.remove(&tenant("acme")).await.unwrap();
    pass(&world, 3 * SECOND).await;
    assert_eq!(pick(&world, "acme").await.unwrap_err(), Refusal::NotConnected);
}

#[tokio::test(start_paused = true)]
async fn a_row_with_a_name_that_is_no_tenants_does_not_make_the_process_blind() {
    let world = World::new().await;
    let _background = world.credentials.start().await.unwrap();
    world.give_pat("acme").await;
    assert!(pick(&world, "acme").await.is_ok());
    let key = Key::new(Kind::Grant, "no tenant");
    let change = Change { key, expect: Expect::Anything, label: Default::default(), body: Default::default() };
    let _ = world.backend.write(vec![change]).await.unwrap();
    let _ = world.store.remove(&tenant("acme")).await.unwrap();
    pass(&world, 2 * SECOND).await;
    assert_eq!(pick(&world, "acme").await.unwrap_err(), Refusal::NotConnected);
    assert!(world.credentials.health().store_reachable);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_panics_is_not_begun_again_by_the_next_request() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.flexslot.will(Behaviour::Panic);
    assert!(pick(&world, "acme").await.is_err());
    let reads = world.backend.times_read.load(Ordering::SeqCst);
    assert!(pick(&world, "acme").await.is_err());
    assert_eq!(world.backend.times_read.load(Ordering::SeqCst), reads);
}

#[tokio::test(start_paused = true)]
async fn a_reload_does_not_forget_when_flexslot_wants_to_be_asked_again() {
    let mut world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.flexslot.will(Behaviour::Refuse(Some(60 * SECOND)));
    assert!(pick(&world, "acme").await.is_err());
    world.set_policy("acme", TenantPolicy::default());
    assert!(pick(&world, "acme").await.is_err());
    assert_eq!(world.flexslot.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reload_lets_a_mended_configuration_be_tried_at_once() {
    let mut world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.flexslot.will(Behaviour::Misconfigured);
    assert!(pick(&world, "acme").await.is_err());
    world.set_policy("acme", TenantPolicy::default());
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.1");
}

#[tokio::test(start_paused = true)]
async fn without_the_store_a_configured_pat_does_not_stand_in_for_a_grant_that_may_be_there() {
    let mut world = World::new().await;
    world.connect("acme", HOUR, None).await;
    let pat = Some(Secret::new("flx_pat_file"));
    let policy = |pat_fallback| TenantPolicy { pat: pat.clone(), pat_fallback, ..TenantPolicy::default() };
    world.backend.refuse_reads(true);
    world.set_policy("acme", policy(PatFallback::Never));
    assert!(matches!(pick(&world, "acme").await.unwrap_err(), Refusal::StoreUnavailable(_)));
    world.set_policy("acme", policy(PatFallback::Always));
    assert_eq!(value(&pick(&world, "acme").await), "Bearer flx_pat_file");
}

#[tokio::test(start_paused = true)]
async fn with_the_store_out_of_reach_a_configured_pat_waits_for_nobody() {
    let mut world = World::new().await;
    let pat = Some(Secret::new("flx_pat_file"));
    world.set_policy("acme", TenantPolicy { pat, ..TenantPolicy::default() });
    world.backend.refuse_reads(true);
    assert!(pick(&world, "acme").await.is_ok());
    world.backend.refuse_reads(false);
    let _slow = world.backend.hold_next_read();
    let first = caller(&world, "acme");
    world.settle().await;
    let second = tokio::time::timeout(SECOND, pick(&world, "acme")).await;
    assert_eq!(value(&second.expect("an answer at once")), "Bearer flx_pat_file");
    first.abort();
}
