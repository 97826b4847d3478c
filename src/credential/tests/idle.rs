//! Keeping the grants alive that nobody uses.

use std::future::ready;
use std::time::Duration;

use super::{
    flexslot::Behaviour,
    world::{HOUR, SECOND, World, held, pass, pick, tenant, value},
};
use crate::{
    credential::{RefreshPolicy, TenantPolicy, background::Background},
    model::CredentialKind,
};

const MINUTE: Duration = Duration::from_secs(60);
const PERIOD: Duration = Duration::from_secs(2 * 3600);

/// By then a grant that fell due after [`PERIOD`] has been refreshed: a tenth of jitter, a round, its rest.
const LATEST: Duration = Duration::from_secs(2 * 3600 + 25 * 60);

fn policy() -> RefreshPolicy {
    RefreshPolicy { keep_alive: Some(PERIOD), ..RefreshPolicy::default() }
}

/// A sidecar that keeps grants alive, with one whose token answer came just now.
async fn with_idle_grant() -> (World, Background) {
    let world = World::with_policy(policy()).await;
    world.connect("acme", HOUR, Some(Duration::ZERO)).await;
    let background = world.credentials.start().await.unwrap();
    (world, background)
}

#[tokio::test(start_paused = true)]
async fn an_idle_grant_is_refreshed_after_the_period_and_not_before() {
    let (world, _background) = with_idle_grant().await;
    pass(&world, PERIOD - MINUTE).await;
    assert_eq!(world.flexslot.requests(), 0);
    pass(&world, LATEST - PERIOD).await;
    assert_eq!(world.flexslot.requests(), 1);
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.1");
}

#[tokio::test(start_paused = true)]
async fn without_the_key_it_is_not() {
    let world = World::new().await;
    world.connect("acme", HOUR, Some(Duration::ZERO)).await;
    let _background = world.credentials.start().await.unwrap();
    pass(&world, 2 * LATEST).await;
    assert_eq!(world.flexslot.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_nobody_uses_is_kept_alive_once_and_again_when_it_was_used() {
    let (world, _background) = with_idle_grant().await;
    pass(&world, 5 * LATEST).await;
    assert_eq!(world.flexslot.requests(), 1);
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.2", "refreshed for the request");
    pass(&world, 5 * LATEST).await;
    assert_eq!(world.flexslot.requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_was_kept_alive_stays_in_nobodys_memory() {
    let (world, _background) = with_idle_grant().await;
    pass(&world, LATEST).await;
    assert_eq!((world.flexslot.requests(), held(&world)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_is_in_memory_for_requests_stays_there() {
    let (world, _background) = with_idle_grant().await;
    let _ = pick(&world, "acme").await.unwrap();
    pass(&world, LATEST).await;
    assert_eq!((world.flexslot.requests(), held(&world)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_grant_is_left() {
    let (world, _background) = with_idle_grant().await;
    world.flexslot.revoke("acme");
    pass(&world, HOUR + MINUTE).await;
    assert!(pick(&world, "acme").await.is_err());
    assert_eq!(world.flexslot.requests(), 1);
    pass(&world, 2 * LATEST).await;
    assert_eq!(world.flexslot.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_the_configuration_has_no_use_for_is_left() {
    let (mut world, _background) = with_idle_grant().await;
    let pat_alone = TenantPolicy { credentials: vec![CredentialKind::Pat], ..TenantPolicy::default() };
    world.set_policy("acme", pat_alone);
    world.connect("beta", HOUR, Some(Duration::ZERO)).await;
    pass(&world, LATEST).await;
    assert_eq!(world.flexslot.requests(), 1, "beta's");
    world.move_grants_to("another");
    pass(&world, 2 * LATEST).await;
    assert_eq!(held(&world), 0, "nothing was loaded, and nothing presented to another client");
}

#[tokio::test(start_paused = true)]
async fn of_several_processes_one_refreshes_a_grant() {
    let (world, _background) = with_idle_grant().await;
    for index in 0..20 {
        world.connect(&format!("tenant-{index}"), HOUR, Some(Duration::ZERO)).await;
    }
    let others = [world.another(), world.another()];
    let _backgrounds = [others[0].credentials.start().await.unwrap(), others[1].credentials.start().await.unwrap()];
    pass(&world, LATEST).await;
    assert_eq!((world.flexslot.requests(), world.flexslot.replays()), (21, 0));
}

#[tokio::test(start_paused = true)]
async fn idle_grants_take_a_quarter_of_the_turns() {
    let world = World::with_policy(RefreshPolicy { max_parallel: 8, ..policy() }).await;
    for index in 0..20 {
        world.connect(&format!("tenant-{index}"), Duration::ZERO, Some(LATEST)).await;
    }
    let gate = world.flexslot.hold();
    let _background = world.credentials.start().await.unwrap();
    while world.flexslot.requests() == 0 {
        pass(&world, SECOND).await;
    }
    pass(&world, 30 * SECOND).await;
    assert_eq!(world.flexslot.requests(), 2, "the third waits until one is done");
    gate.add_permits(20);
    pass(&world, MINUTE).await;
    assert_eq!(world.flexslot.requests(), 20);
}

#[tokio::test(start_paused = true)]
async fn when_flexslot_is_out_of_reach_the_others_are_spared_and_come_later() {
    let world = World::with_policy(RefreshPolicy { max_parallel: 1, ..policy() }).await;
    for index in 0..20 {
        world.connect(&format!("tenant-{index}"), Duration::ZERO, Some(LATEST)).await;
    }
    world.flexslot.will(Behaviour::Refuse(Some(HOUR)));
    let _background = world.credentials.start().await.unwrap();
    pass(&world, 50 * MINUTE).await;
    assert_eq!(world.flexslot.requests(), 1, "Flexslot has asked for an hour");
    pass(&world, HOUR).await;
    assert_eq!((world.flexslot.requests(), world.flexslot.replays()), (21, 0));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_whose_answer_was_lost_is_tried_once_more() {
    let (world, _background) = with_idle_grant().await;
    world.flexslot.will(Behaviour::LoseQuestion);
    pass(&world, LATEST + 30 * MINUTE).await;
    assert_eq!((world.flexslot.requests(), world.flexslot.replays()), (2, 0));
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.1");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_waited_for() {
    let (world, _background) = with_idle_grant().await;
    pass(&world, PERIOD - MINUTE).await;
    world.backend.refuse_reads(true);
    pass(&world, HOUR).await;
    assert_eq!(world.flexslot.requests(), 0);
    world.backend.refuse_reads(false);
    pass(&world, 10 * MINUTE).await;
    assert_eq!(world.flexslot.requests(), 1);
    assert!(world.store.load(&tenant("acme")).await.is_ok());
    world.credentials.drain(ready(()), SECOND).await;
}
