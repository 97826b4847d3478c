//! The end of the process, beside its last requests.

use std::{
    future::{pending, ready},
    time::Duration,
};

use tokio::sync::oneshot;

use super::world::{HOUR, SECOND, World, caller, pass, pick, tenant, value};
use crate::credential::RefreshPolicy;

const DRAIN: Duration = Duration::from_secs(25);

async fn stored(world: &World, name: &str) -> String {
    let record = world.store.load(&tenant(name)).await.unwrap();
    record.grant.grant().unwrap().tokens.refresh.expose().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_response_that_takes_the_whole_drain_keeps_nothing_from_being_written() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    assert!(pick(&world, "acme").await.is_ok());
    let used = world.store.now().await.unwrap();
    world.credentials.drain(pending(), DRAIN).await;
    assert_eq!(world.store.load(&tenant("acme")).await.unwrap().last_used, Some(used));
}

#[tokio::test(start_paused = true)]
async fn a_token_request_that_the_last_response_started_is_waited_for() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let (over, last_response) = oneshot::channel::<()>();
    let credentials = world.credentials.clone();
    let drain = tokio::spawn(async move { credentials.drain(async { _ = last_response.await }, DRAIN).await });
    pass(&world, 5 * SECOND).await;
    let gate = world.flexslot.hold();
    let waiting = caller(&world, "acme");
    world.settle().await;
    waiting.abort();
    drop(over);
    pass(&world, 5 * SECOND).await;
    assert!(!drain.is_finished());
    gate.add_permits(1);
    drain.await.unwrap();
    assert_eq!(stored(&world, "acme").await, "acme.1");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_still_serves_is_not_refreshed_at_the_end() {
    let world = World::new().await;
    world.connect("acme", 60 * SECOND, Some(HOUR)).await;
    world.connect("beta", Duration::ZERO, Some(HOUR)).await;
    world.credentials.drain(ready(()), DRAIN).await;
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.0");
    world.settle().await;
    assert_eq!(world.flexslot.requests(), 0);
    assert_eq!(value(&pick(&world, "beta").await), "Bearer at.beta.1", "it is needed");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_turn_when_the_end_begins_goes_only_if_a_request_waits() {
    let world = World::with_policy(RefreshPolicy { max_parallel: 1, ..RefreshPolicy::default() }).await;
    let gate = world.flexslot.hold();
    for name in ["first", "ahead", "needed"] {
        world.connect(name, 60 * SECOND, Some(HOUR)).await;
        assert!(pick(&world, name).await.is_ok());
        world.settle().await;
    }
    pass(&world, 61 * SECOND).await;
    let waiting = caller(&world, "needed");
    world.settle().await;
    let credentials = world.credentials.clone();
    let drain = tokio::spawn(async move { credentials.drain(ready(()), DRAIN).await });
    world.settle().await;
    gate.add_permits(10);
    assert_eq!(value(&waiting.await.unwrap()), "Bearer at.needed.1");
    drain.await.unwrap();
    assert_eq!(world.flexslot.requests(), 2);
    assert_eq!(stored(&world, "ahead").await, "ahead.0");
    assert_eq!(value(&pick(&world, "ahead").await), "Bearer at.ahead.1", "a request that needs it is not kept from it");
}
