//! Which tenants stay in memory when there are more than there should be.

use std::future::ready;
use std::{sync::atomic::Ordering, time::Duration};

use super::{
    flexslot::Behaviour,
    world::{HOUR, SECOND, World, caller, held, pass, pick, tenant, value},
};

/// A world with room for eight tenants, of which there are `count`, each with a fresh token.
async fn crowd(count: usize) -> World {
    let mut world = World::new().await;
    world.set_cached_tenants(8);
    for index in 0..count {
        world.connect(&name(index), HOUR, None).await;
    }
    world
}

fn name(index: usize) -> String {
    format!("tenant-{index}")
}

/// A second after the last one a request comes for the tenant, and what it causes is done. Answers whether the tenant
/// had to be read.
async fn ask_for(world: &World, name: &str) -> bool {
    tokio::time::sleep(SECOND).await;
    let read = world.backend.times_read.load(Ordering::Relaxed);
    assert_eq!(value(&pick(world, name).await), format!("Bearer at.{name}.0"));
    world.credentials.drain(ready(()), SECOND).await;
    world.backend.times_read.load(Ordering::Relaxed) > read
}

#[tokio::test(start_paused = true)]
async fn memory_holds_no_more_tenants_than_it_should() {
    let world = crowd(100).await;
    for index in 0..100 {
        ask_for(&world, &name(index)).await;
        assert!(held(&world) <= 8, "after {index}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_asked_for_the_longest_ago_goes_first() {
    let world = crowd(9).await;
    for index in 0..8 {
        ask_for(&world, &name(index)).await;
    }
    assert!(!ask_for(&world, &name(0)).await, "it is in memory, and now the newest");
    ask_for(&world, &name(8)).await;
    assert!(!ask_for(&world, &name(0)).await, "it has stayed");
    assert!(ask_for(&world, &name(1)).await, "it had to go, and is read again");
}

#[tokio::test(start_paused = true)]
async fn a_tenant_whose_renewal_is_under_way_stays() {
    let world = crowd(20).await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let gate = world.flexslot.hold();
    let waiting = caller(&world, "acme");
    world.settle().await;
    for index in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let _ = pick(&world, &name(index)).await.unwrap();
        world.settle().await;
    }
    gate.add_permits(1);
    assert_eq!(value(&waiting.await.unwrap()), "Bearer at.acme.1");
    assert_eq!(world.flexslot.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_whose_pair_the_store_has_still_to_take_stays() {
    let world = crowd(20).await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    let gate = world.flexslot.hold();
    let waiting = caller(&world, "acme");
    world.settle().await;
    world.backend.refuse_writes(true);
    gate.add_permits(1);
    assert_eq!(value(&waiting.await.unwrap()), "Bearer at.acme.1");
    for index in 0..20 {
        ask_for(&world, &name(index)).await;
    }
    assert_eq!(value(&pick(&world, "acme").await), "Bearer at.acme.1", "the store still has the spent pair");
    assert_eq!(world.flexslot.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_has_to_wait_after_a_failure_outlasts_those_that_do_well() {
    let world = crowd(20).await;
    world.connect("acme", Duration::ZERO, Some(HOUR)).await;
    world.flexslot.will(Behaviour::Refuse(Some(HOUR)));
    assert!(pick(&world, "acme").await.is_err());
    for index in 0..20 {
        ask_for(&world, &name(index)).await;
    }
    assert!(pick(&world, "acme").await.is_err(), "Flexslot has asked for an hour");
    assert_eq!(world.flexslot.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn tenants_whose_token_request_was_not_sent_once_go_like_the_others() {
    let world = crowd(40).await;
    for index in 0..100 {
        let name = format!("unlucky-{index}");
        world.connect(&name, Duration::ZERO, Some(HOUR)).await;
        world.flexslot.will(Behaviour::NotSent);
        assert!(pick(&world, &name).await.is_err());
        world.credentials.drain(ready(()), SECOND).await;
    }
    for index in 0..40 {
        ask_for(&world, &name(index)).await;
    }
    assert!(held(&world) <= 8, "{} are held", held(&world));
}

#[tokio::test(start_paused = true)]
async fn the_last_use_of_a_tenant_that_went_is_still_told() {
    let mut world = crowd(20).await;
    world.set_cached_tenants(1);
    let background = world.credentials.start().await.unwrap();
    let began = world.store.now().await.unwrap();
    for index in 0..5 {
        let _ = pick(&world, &name(index)).await.unwrap();
    }
    pass(&world, 31 * SECOND).await;
    for index in 0..5 {
        assert_eq!(world.store.load(&tenant(&name(index))).await.unwrap().last_used, Some(began), "{index}");
    }
    drop(background);
}
