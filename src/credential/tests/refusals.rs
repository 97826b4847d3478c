//! 401s, PATs, and switching between kinds.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::flexslot::Behaviour;
use super::world::{HOUR, ORIGIN, SECOND, World, ask, pass, pat_only, pick, tenant, value};
use crate::credential::{PatSource, Refusal, Unauthorized};
use crate::model::observe::{FallbackCause, RetryOutcome};
use crate::model::token::DisconnectReason;
use crate::model::{CredentialKind, Secret};
use crate::store::StoredPat;

#[tokio::test(start_paused = true)]
async fn a_401_on_a_grant_that_another_process_has_ended_goes_on_to_the_next_kind() {
    let (one, acme) = (World::new().await, tenant("acme"));
    one.connect("acme", HOUR, Some(HOUR)).await;
    let two = one.another();
    let (ours, theirs) = (pick(&one, "acme").await.unwrap(), pick(&two, "acme").await.unwrap());
    one.flexslot.revoke("acme");
    let ended = Refusal::ReconnectRequired(DisconnectReason::InvalidGrant);
    let answer = two.credentials.unauthorized(&ask(&acme), &theirs).await;
    assert!(matches!(answer, Unauthorized::Refuse(refusal) if refusal == ended));
    one.give_pat("acme").await;
    let answer = one.credentials.unauthorized(&ask(&acme), &ours).await;
    assert!(matches!(&answer, Unauthorized::Retry(next) if next.kind == CredentialKind::Pat), "{answer:?}");
    assert_eq!(one.flexslot.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn late_401s_of_an_old_pat_do_not_count_against_the_new_one() {
    let (world, acme) = (World::new().await, tenant("acme"));
    let _background = world.credentials.start().await.unwrap();
    world.give_pat("acme").await;
    let old = pick(&world, "acme").await.unwrap();
    let new = StoredPat { pat: Secret::new("flx_pat_new"), origin: ORIGIN.parse().unwrap() };
    world.store.put_pat(&acme, &new).await.unwrap();
    pass(&world, 2 * SECOND).await;
    for _ in 0..3 {
        assert!(matches!(world.credentials.unauthorized(&ask(&acme), &old).await, Unauthorized::Pass));
    }
    assert_eq!(value(&pick(&world, "acme").await), "Bearer flx_pat_new");
}

#[tokio::test(start_paused = true)]
async fn a_401_on_the_retry_with_a_pat_counts_against_the_pat() {
    let (world, acme) = (World::new().await, tenant("acme"));
    world.connect("acme", HOUR, Some(HOUR)).await;
    world.give_pat("acme").await;
    for _ in 0..3 {
        world.flexslot.will(Behaviour::NotSent);
        let grant = pick(&world, "acme").await.unwrap();
        assert_eq!(grant.kind, CredentialKind::OAuth);
        let answer = world.credentials.unauthorized(&ask(&acme), &grant).await;
        let Unauthorized::Retry(next) = answer else { panic!("{answer:?}") };
        assert_eq!(next.kind, CredentialKind::Pat);
        world.credentials.retried(&ask(&acme), &next, RetryOutcome::StillUnauthorized);
        pass(&world, 60 * SECOND).await;
    }
    let grant = pick(&world, "acme").await.unwrap();
    world.flexslot.will(Behaviour::NotSent);
    let answer = world.credentials.unauthorized(&ask(&acme), &grant).await;
    assert!(matches!(answer, Unauthorized::Retry(_)), "the first after a minute's rest is a probe: {answer:?}");
    assert_eq!(pat_only(&world, "acme").await.unwrap_err(), Refusal::PatRejected(PatSource::Store));
}

#[tokio::test(start_paused = true)]
async fn renewals_for_requests_that_are_not_sent_again_come_further_and_further_apart_too() {
    let (world, acme) = (World::new().await, tenant("acme"));
    world.flexslot.life.store(36_000, Ordering::SeqCst);
    world.connect("acme", 10 * HOUR, None).await;
    let mut times = Vec::new();
    for second in 0..300 {
        let before = world.flexslot.requests();
        let picked = pick(&world, "acme").await.unwrap();
        let _ = world.credentials.unauthorized(&ask(&acme), &picked).await;
        times.extend((world.flexslot.requests() > before).then_some(second));
        tokio::time::advance(SECOND).await;
    }
    assert_eq!(times, [0, 61, 182]);
}

#[tokio::test(start_paused = true)]
async fn a_switch_to_the_pat_is_told_once() {
    let (world, acme) = (World::new().await, tenant("acme"));
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.give_pat("acme").await;
    world.flexslot.will(Behaviour::Refuse(Some(60 * SECOND)));
    for _ in 0..5 {
        assert_eq!(world.credentials.pick(&ask(&acme)).await.unwrap().kind, CredentialKind::Pat);
    }
    assert_eq!(*world.counts.fallbacks.lock(), [FallbackCause::RefreshUnavailable]);
    pass(&world, 61 * SECOND).await;
    assert_eq!(world.credentials.pick(&ask(&acme)).await.unwrap().kind, CredentialKind::OAuth);
    pass(&world, HOUR).await;
    world.flexslot.will(Behaviour::NotSent);
    assert_eq!(world.credentials.pick(&ask(&acme)).await.unwrap().kind, CredentialKind::Pat);
    assert_eq!(world.counts.fallbacks.lock().len(), 2);
}
