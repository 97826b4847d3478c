//! Which credential a request gets.

use std::time::Duration;

use super::{
    flexslot::Behaviour,
    world::{ORIGIN, World, ask, ask_for, tenant},
};
use crate::{
    credential::{Ask, PatFault, PatSource, PathClass, Refusal, TenantPolicy, Unauthorized},
    model::{
        CredentialKind, PatFallback, Scope, Secret,
        observe::FallbackCause,
        scope::{Access, Resource},
        token::DisconnectReason,
    },
};

const HOUR: Duration = Duration::from_secs(3600);

async fn kind(world: &World, ask: &Ask<'_>) -> Result<CredentialKind, Refusal> {
    world.credentials.pick(ask).await.map(|picked| picked.kind)
}

fn policy(change: impl FnOnce(&mut TenantPolicy)) -> TenantPolicy {
    let mut policy = TenantPolicy::default();
    change(&mut policy);
    policy
}

#[tokio::test(start_paused = true)]
async fn a_grant_comes_before_a_pat() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    world.give_pat("acme").await;
    assert_eq!(kind(&world, &ask(&tenant("acme"))).await, Ok(CredentialKind::OAuth));
}

#[tokio::test(start_paused = true)]
async fn the_tenants_own_order_counts() {
    let mut world = World::new().await;
    world.connect("acme", HOUR, None).await;
    world.give_pat("acme").await;
    world.set_policy("acme", policy(|policy| policy.credentials = vec![CredentialKind::Pat, CredentialKind::OAuth]));
    assert_eq!(kind(&world, &ask(&tenant("acme"))).await, Ok(CredentialKind::Pat));
    assert!(world.counts.fallbacks.lock().is_empty(), "a PAT that comes first stands in for nothing");
}

#[tokio::test(start_paused = true)]
async fn a_grant_without_the_scope_leaves_the_request_to_the_pat() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    let acme = tenant("acme");
    let write = ask_for(&acme, Scope(Resource::Decks, Access::Write));
    assert_eq!(kind(&world, &write).await, Ok(CredentialKind::OAuth), "without a PAT, Flexslot judges");
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    world.give_pat("acme").await;
    assert_eq!(kind(&world, &write).await, Ok(CredentialKind::Pat));
    assert_eq!(*world.counts.fallbacks.lock(), [FallbackCause::Scope]);
    assert_eq!(kind(&world, &ask_for(&acme, Scope(Resource::Decks, Access::Read))).await, Ok(CredentialKind::OAuth));
}

#[tokio::test(start_paused = true)]
async fn what_flexslot_guards_by_pat_gets_the_pat_or_nothing() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    let acme = tenant("acme");
    let partner = Ask { class: PathClass::PatOnly, ..ask(&acme) };
    assert_eq!(kind(&world, &partner).await, Err(Refusal::PatRequired));
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    world.give_pat("acme").await;
    assert_eq!(kind(&world, &partner).await, Ok(CredentialKind::Pat));
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_nobody_knows_is_not_connected_and_costs_no_memory() {
    let world = World::new().await;
    for n in 0..100 {
        assert_eq!(kind(&world, &ask(&tenant(&format!("made-up-{n}")))).await, Err(Refusal::NotConnected));
    }
    assert_eq!(format!("{:?}", world.credentials), "Credentials { tenants: 0, .. }");
}

#[tokio::test(start_paused = true)]
async fn pat_fallback_says_when_the_pat_may_stand_in() {
    let ended = Refusal::ReconnectRequired(DisconnectReason::InvalidGrant);
    for (fallback, on_failure, on_end) in [
        (PatFallback::Always, true, Ok(CredentialKind::Pat)),
        (PatFallback::UnlessRevoked, true, Err(ended.clone())),
        (PatFallback::Never, false, Err(ended.clone())),
    ] {
        let mut world = World::new().await;
        world.set_policy("acme", policy(|policy| policy.pat_fallback = fallback));
        world.connect("acme", Duration::ZERO, None).await;
        world.give_pat("acme").await;
        world.flexslot.will(Behaviour::NotSent);
        assert_eq!(kind(&world, &ask(&tenant("acme"))).await.is_ok(), on_failure, "{fallback:?}");
        tokio::time::advance(Duration::from_secs(5)).await;
        world.flexslot.revoke("acme");
        assert_eq!(kind(&world, &ask(&tenant("acme"))).await, on_end, "{fallback:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_never_had_a_grant_always_uses_its_pat() {
    let mut world = World::new().await;
    world.set_policy("acme", policy(|policy| policy.pat_fallback = PatFallback::Never));
    world.give_pat("acme").await;
    assert_eq!(kind(&world, &ask(&tenant("acme"))).await, Ok(CredentialKind::Pat));
}

#[tokio::test(start_paused = true)]
async fn the_pat_of_the_file_wins_over_the_stores() {
    let mut world = World::new().await;
    world.give_pat("acme").await;
    world.set_policy("acme", policy(|policy| policy.pat = Some(Secret::new("flx_pat_file"))));
    let picked = world.credentials.pick(&ask(&tenant("acme"))).await.unwrap();
    assert_eq!(picked.authorization, "Bearer flx_pat_file");
    world.set_policy("acme", TenantPolicy::default());
    let picked = world.credentials.pick(&ask(&tenant("acme"))).await.unwrap();
    assert_eq!(picked.authorization, "Bearer flx_pat_acme");
}

#[tokio::test(start_paused = true)]
async fn a_401_on_a_pat_is_passed_on_and_the_third_rejects_it() {
    let world = World::new().await;
    world.give_pat("acme").await;
    let acme = tenant("acme");
    for _ in 0..3 {
        let pat = world.credentials.pick(&ask(&acme)).await.unwrap();
        assert!(matches!(world.credentials.unauthorized(&ask(&acme), &pat).await, Unauthorized::Pass));
    }
    let rejected = Err(Refusal::PatRejected(PatSource::Store));
    assert_eq!(kind(&world, &ask(&acme)).await, rejected);
    tokio::time::advance(Duration::from_secs(60)).await;
    let probe = world.credentials.pick(&ask(&acme)).await.unwrap();
    assert_eq!(kind(&world, &ask(&acme)).await, rejected, "one request probes");
    world.credentials.accepted(&ask(&acme), &probe);
    assert_eq!(kind(&world, &ask(&acme)).await, Ok(CredentialKind::Pat));
}

#[tokio::test(start_paused = true)]
async fn a_grant_of_an_unknown_client_is_never_sent() {
    let mut world = World::new().await;
    world.connect("acme", HOUR, None).await;
    world.move_grants_to("cli_other");
    assert!(
        matches!(kind(&world, &ask(&tenant("acme"))).await, Err(Refusal::OAuthMisconfigured(what)) if what.contains("cli_1"))
    );
}

#[tokio::test(start_paused = true)]
async fn credentials_of_another_origin_are_never_sent() {
    let mut world = World::new().await;
    world.connect("acme", HOUR, None).await;
    world.give_pat("beta").await;
    world.move_upstream_to("https://staging.example.com");
    let refusals = (kind(&world, &ask(&tenant("acme"))).await, kind(&world, &ask(&tenant("beta"))).await);
    let (Err(Refusal::OAuthMisconfigured(grant)), Err(Refusal::PatUnusable(pat))) = refusals else {
        panic!("{refusals:?}")
    };
    assert!(grant.contains(ORIGIN) && grant.contains("https://staging.example.com"), "{grant}");
    assert_eq!(pat, PatFault::OtherOrigin { own: ORIGIN.into(), upstream: "https://staging.example.com".into() });
}
