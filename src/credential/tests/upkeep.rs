//! What the background does now and then.

use std::{future::ready, sync::atomic::Ordering};

use super::world::{HOUR, SECOND, World, pass, pick, tenant};

#[tokio::test(start_paused = true)]
async fn the_last_use_is_noted_now_and_then_and_at_the_end() {
    let world = World::new().await;
    let background = world.credentials.start().await.unwrap();
    world.connect("acme", HOUR, None).await;
    world.give_pat("beta").await;
    let last_used = async |name| world.store.load(&tenant(name)).await.unwrap().last_used;
    let began = world.store.now().await.unwrap();
    for _ in 0..10 {
        let _ = pick(&world, "acme").await.unwrap();
    }
    assert_eq!(last_used("acme").await, None);
    pass(&world, 31 * SECOND).await;
    assert_eq!(last_used("acme").await, Some(began));
    drop(background);
    let _ = pick(&world, "beta").await.unwrap();
    let then = world.store.now().await.unwrap();
    world.credentials.drain(ready(()), SECOND).await;
    assert_eq!((last_used("acme").await, last_used("beta").await), (Some(began), Some(then)));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_may_forget_is_a_reason_and_one_that_is_listened_to_is_none() {
    let world = World::new().await;
    world.backend.exposed.store(true, Ordering::Relaxed);
    let _background = world.credentials.start().await.unwrap();
    pass(&world, SECOND).await;
    assert!(!world.credentials.health().forgetful);
    world.backend.forgetful.store(true, Ordering::Relaxed);
    pass(&world, 31 * SECOND).await;
    assert!(world.credentials.health().forgetful);
}

#[tokio::test(start_paused = true)]
async fn what_is_over_is_purged_in_the_background() {
    let world = World::new().await;
    world.give_pat("acme").await;
    let _ = world.store.remove(&tenant("acme")).await.unwrap();
    let _background = world.credentials.start().await.unwrap();
    world.settle().await;
    tokio::time::advance(31 * 24 * HOUR).await;
    pass(&world, 2 * HOUR).await;
    assert_eq!(world.store.purge().await.unwrap(), 0, "nothing was left to be purged");
}
