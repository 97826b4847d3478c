//! What a request's trace learns in this room: what was considered, and what was waited for.

use std::time::Duration;

use http::uri::Scheme;
use tokio::time::Instant;

use super::{
    flexslot::Behaviour,
    world::{HOUR, SECOND, World, ask, ask_for, caller, steps, tenant},
};
use crate::{
    credential::{Ask, PathClass, TenantPolicy, Unauthorized},
    model::{
        CredentialKind, PatFallback, PatSource, Scope, Secret, SpanContext, Version,
        observe::FallbackCause,
        refresh::{Cause, FailureClass},
        scope::{Access, Resource},
        token::{DisconnectReason, Freshness},
        trace::{
            Finding, GrantFinding, Pair, PatFinding, Step, Steps,
            context::{SpanId, TraceFlags, TraceId},
            spans::Spans,
            step::{HeldBack, Landing, NotLoaded, Part, Refresh},
        },
    },
};

/// The steps of one more request.
async fn steps_of(world: &World, ask: &Ask<'_>) -> Vec<Step> {
    let mut steps = steps();
    let _picked_or_not = world.credentials.traced().pick(ask, &mut steps).await;
    noted(&steps)
}

fn noted(steps: &Steps) -> Vec<Step> {
    steps.iter().map(|(_, step)| step).collect()
}

fn grant(finding: GrantFinding) -> Step {
    Step::Considered(Finding::OAuth(finding))
}

fn pat(finding: PatFinding) -> Step {
    Step::Considered(Finding::Pat(finding))
}

fn taken(version: u64, freshness: Freshness) -> Step {
    grant(GrantFinding::Taken(Pair { version: Version::from_stored(version), freshness }))
}

fn landed(cause: Cause, part: Part, landing: Landing) -> impl Fn(&Step) -> bool {
    move |step| {
        matches!(step, Step::Refresh(Refresh { cause: why, part: whose, landing: end, .. })
            if (*why, *whose, *end) == (cause, part, landing))
    }
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_the_tenant_does_not_list_is_named() {
    let mut world = World::new().await;
    world.connect("acme", HOUR, None).await;
    let only = |kind| TenantPolicy { credentials: vec![kind], ..TenantPolicy::default() };
    world.set_policy("acme", only(CredentialKind::Pat));
    let name = tenant("acme");
    let expected = [grant(GrantFinding::NotListed), pat(PatFinding::Absent)];
    assert_eq!(steps_of(&world, &ask(&name)).await, expected);
    world.set_policy("beta", only(CredentialKind::OAuth));
    world.give_pat("beta").await;
    let name = tenant("beta");
    let expected = [grant(GrantFinding::NeverConnected), pat(PatFinding::NotListed)];
    assert_eq!(steps_of(&world, &ask(&name)).await, expected);
    let partner = Ask { class: PathClass::PatOnly, ..ask(&name) };
    let expected = [grant(GrantFinding::PatOnlyPath), pat(PatFinding::NotListed)];
    assert_eq!(steps_of(&world, &partner).await, expected);
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_kind_that_is_taken_is_not_considered() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    world.give_pat("acme").await;
    assert_eq!(steps_of(&world, &ask(&tenant("acme"))).await, [taken(1, Freshness::Fresh)]);
}

#[tokio::test(start_paused = true)]
async fn a_pat_says_where_it_comes_from_and_what_it_stands_in_for() {
    let mut world = World::new().await;
    world.connect("acme", HOUR, None).await;
    world.give_pat("acme").await;
    let (name, lacking) = (tenant("acme"), Scope(Resource::Decks, Access::Write));
    let stands_in =
        |source| [grant(GrantFinding::LacksScope(lacking)), pat(PatFinding::StandsIn(source, FallbackCause::Scope))];
    assert_eq!(steps_of(&world, &ask_for(&name, lacking)).await, stands_in(PatSource::Store));
    let configured = TenantPolicy { pat: Some(Secret::new("flx_pat_file")), ..TenantPolicy::default() };
    world.set_policy("acme", configured);
    assert_eq!(steps_of(&world, &ask_for(&name, lacking)).await, stands_in(PatSource::Configuration));
}

#[tokio::test(start_paused = true)]
async fn credentials_of_another_origin_or_client_are_named_as_such() {
    let mut world = World::new().await;
    world.connect("acme", HOUR, None).await;
    world.give_pat("acme").await;
    let name = tenant("acme");
    world.move_grants_to("cli_other");
    let expected =
        [grant(GrantFinding::OtherClient), pat(PatFinding::StandsIn(PatSource::Store, FallbackCause::Misconfigured))];
    assert_eq!(steps_of(&world, &ask(&name)).await, expected);
    world.move_upstream_to("https://staging.example.com");
    assert_eq!(steps_of(&world, &ask(&name)).await, [grant(GrantFinding::OtherOrigin), pat(PatFinding::OtherOrigin)]);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_cannot_be_loaded_is_told_from_one_without_credentials() {
    let world = World::new().await;
    let expected = [Step::NotLoaded(NotLoaded::Unknown)];
    assert_eq!(steps_of(&world, &ask(&tenant("nobody"))).await, expected);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_grant_is_seen_by_whoever_waited() {
    let mut world = World::new().await;
    let policy = TenantPolicy { pat_fallback: PatFallback::Never, ..TenantPolicy::default() };
    world.set_policy("acme", policy);
    world.connect("acme", Duration::ZERO, None).await;
    world.give_pat("acme").await;
    world.flexslot.revoke("acme");
    let steps = steps_of(&world, &ask(&tenant("acme"))).await;
    let ended = DisconnectReason::InvalidGrant;
    assert!(landed(Cause::Expired, Part::Led, Landing::Ended(ended))(&steps[1]), "{steps:?}");
    assert_eq!(steps[2..], [grant(GrantFinding::Ended(ended)), pat(PatFinding::NotAllowed)]);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_joined_and_its_wait_counted() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, None).await;
    let gate = world.flexslot.hold();
    let first = caller(&world, "acme");
    world.settle().await;
    let credentials = world.credentials.clone();
    let second = tokio::spawn(async move {
        let (mut steps, name) = (steps(), tenant("acme"));
        let picked = credentials.traced().pick(&ask(&name), &mut steps).await;
        (picked.is_ok(), steps)
    });
    world.settle().await;
    tokio::time::advance(SECOND).await;
    gate.add_permits(1);
    assert!(first.await.unwrap().is_ok());
    let (picked, steps) = second.await.unwrap();
    let told = noted(&steps);
    assert!(picked && landed(Cause::Expired, Part::Joined, Landing::Renewed)(&told[1]), "{told:?}");
    assert!(steps.refresh_wait() >= SECOND, "{:?}", steps.refresh_wait());
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_has_failed_holds_the_next_one_back() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, None).await;
    world.flexslot.will(Behaviour::NotSent);
    let name = tenant("acme");
    let first = steps_of(&world, &ask(&name)).await;
    let failed = FailureClass::NotSent;
    assert!(landed(Cause::Expired, Part::Led, Landing::Failed(failed))(&first[1]), "{first:?}");
    assert_eq!(first[2..], [grant(GrantFinding::NotRefreshed(failed)), pat(PatFinding::Absent)]);
    let second = steps_of(&world, &ask(&name)).await;
    assert_eq!(second[1], Step::HeldBack(Cause::Expired, HeldBack::Failed(failed)));
}

#[tokio::test(start_paused = true)]
async fn a_late_401_finds_that_others_have_refreshed() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    let name = tenant("acme");
    let old = world.credentials.pick(&ask(&name)).await.unwrap();
    assert!(matches!(world.credentials.unauthorized(&ask(&name), &old).await, Unauthorized::Retry(_)));
    let mut steps = steps();
    let late = world.credentials.traced().unauthorized(&ask(&name), &old, &mut steps).await;
    assert!(matches!(late, Unauthorized::Retry(_)));
    assert_eq!(noted(&steps), [Step::FoundChanged(Cause::Refused), taken(2, Freshness::Fresh)]);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_an_exported_request_has_begun_is_exported_and_linked_with_it() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, None).await;
    let (name, flags) = (tenant("acme"), TraceFlags::SAMPLED);
    let leader = SpanContext { trace: TraceId::new([1; 16]).unwrap(), span: SpanId::new([2; 8]).unwrap(), flags };
    let mut steps = steps();
    steps.export(Box::new(Spans::new(leader, None, Scheme::HTTPS, Instant::now())));
    assert!(world.credentials.traced().pick(&ask(&name), &mut steps).await.is_ok());
    world.settle().await;
    let exported = std::mem::take(&mut *world.exported.0.lock());
    let [refresh] = &exported[..] else { panic!("{exported:?}") };
    assert_eq!((refresh.led_by, &refresh.tenant, refresh.cause), (Some(leader), &name, Cause::Expired));
    assert_eq!(refresh.landing, Landing::Renewed);
    assert_eq!(steps.take_spans().unwrap().refreshes, [Some(refresh.context)]);
}
