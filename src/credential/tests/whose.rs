//! Whose grants are, as Flexslot says now and then.

use std::time::Duration;

use super::world::{HOUR, SECOND, World, pass, pick, tenant};
use crate::{credential::background::Background, model::Identity, store::IdentityRecord};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A tenant in use, whose user Flexslot knows as `george`.
async fn used() -> (World, Background) {
    let world = World::new().await;
    world.connect("acme", 300 * DAY, Some(SECOND)).await;
    world.flexslot.name_user("acme", "u1", "george");
    let background = world.credentials.start().await.unwrap();
    (world, background)
}

async fn known(world: &World) -> Option<IdentityRecord> {
    world.store.identity(&tenant("acme")).await.unwrap()
}

async fn name(world: &World) -> Option<String> {
    known(world).await?.identity?.username
}

/// Requests come all day long.
async fn a_day_of_use(world: &World) {
    for _ in 0..48 {
        let _ = pick(world, "acme").await;
        pass(world, DAY / 48).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_in_use_is_asked_for_once_a_day_and_never_for_a_request() {
    let (world, _background) = used().await;
    let _ = pick(&world, "acme").await;
    assert_eq!(world.flexslot.introspections(), 0);
    pass(&world, 20 * SECOND).await;
    assert_eq!((world.flexslot.introspections(), name(&world).await.as_deref()), (1, Some("george")));
    for day in 1..4 {
        a_day_of_use(&world).await;
        assert!((day..=day + 1).contains(&world.flexslot.introspections()), "{}", world.flexslot.introspections());
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_nobody_uses_is_not_asked_for() {
    let (world, _background) = used().await;
    pass(&world, DAY).await;
    assert_eq!(world.flexslot.introspections(), 0);
    let _ = pick(&world, "acme").await;
    pass(&world, 20 * SECOND).await;
    pass(&world, 10 * DAY).await;
    assert_eq!(world.flexslot.introspections(), 1, "it was used once");
}

#[tokio::test(start_paused = true)]
async fn of_several_sidecars_one_asks() {
    let (world, _background) = used().await;
    let others = [world.another(), world.another()];
    let mut running = Vec::new();
    for other in &others {
        running.push(other.credentials.start().await.unwrap());
        let _ = pick(other, "acme").await;
    }
    let _ = pick(&world, "acme").await;
    pass(&world, 60 * SECOND).await;
    assert_eq!(world.flexslot.introspections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_changed_name_is_shown_within_a_day() {
    let (world, _background) = used().await;
    let _ = pick(&world, "acme").await;
    pass(&world, 20 * SECOND).await;
    world.flexslot.name_user("acme", "u1", "georgia");
    a_day_of_use(&world).await;
    pass(&world, HOUR).await;
    assert_eq!(name(&world).await.as_deref(), Some("georgia"));
}

#[tokio::test(start_paused = true)]
async fn another_user_for_the_same_grant_is_noted_and_does_not_become_its_user() {
    let (world, _background) = used().await;
    let _ = pick(&world, "acme").await;
    pass(&world, 20 * SECOND).await;
    world.flexslot.name_user("acme", "u2", "mallory");
    a_day_of_use(&world).await;
    pass(&world, HOUR).await;
    let record = known(&world).await.unwrap();
    let george = Identity { sub: "u1".into(), username: Some("george".into()) };
    assert_eq!((record.identity, record.other_sub.as_deref()), (Some(george), Some("u2")));
    assert!(pick(&world, "acme").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_to_be_refreshed_is_not_asked_about() {
    let world = World::new().await;
    world.connect("acme", 60 * SECOND, Some(HOUR)).await;
    let _background = world.credentials.start().await.unwrap();
    let _ = pick(&world, "acme").await;
    world.settle().await;
    assert_eq!(world.flexslot.requests(), 1, "a request has it refreshed");
    pass(&world, 20 * SECOND).await;
    assert_eq!((world.flexslot.requests(), world.flexslot.introspections()), (1, 1), "then it is asked about");
}
