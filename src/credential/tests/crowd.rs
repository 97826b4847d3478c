//! Tenants that were connected together.

use std::time::Duration;

use super::world::{HOUR, SECOND, World, ask, pass, pick, tenant, value};
use crate::{
    credential::{Ask, Resend},
    model::Version,
};

const CROWD: usize = 40;

/// A crowd whose tokens end together, with `left` to go.
async fn crowd(left: Duration) -> World {
    let world = World::new().await;
    for index in 0..CROWD {
        world.connect(&name(index), left, Some(HOUR - left)).await;
    }
    world
}

fn name(index: usize) -> String {
    format!("tenant-{index}")
}

/// A request of each, with its token as it is.
async fn all_ask(world: &World) {
    for index in 0..CROWD {
        assert!(pick(world, &name(index)).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_is_refreshed_over_the_whole_window_and_before_its_end() {
    let world = crowd(285 * SECOND).await;
    let mut done = Vec::new();
    for _ in 0..28 {
        all_ask(&world).await;
        pass(&world, 10 * SECOND).await;
        done.push(world.flexslot.requests());
    }
    assert_eq!(done.last(), Some(&CROWD), "{done:?}");
    // Five of those who ask go at once, each time.
    assert!(done[0] < 20, "{done:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_has_to_have_a_fresh_token_waits_for_no_turn() {
    let world = crowd(280 * SECOND).await;
    all_ask(&world).await;
    let late: Vec<_> = (0..CROWD).map(name).collect();
    for name in late {
        let tenant = tenant(&name);
        let large = Ask { resend: Resend::Impossible, ..ask(&tenant) };
        let picked = world.credentials.pick(&large).await.unwrap();
        assert_eq!(picked.authorization, format!("Bearer at.{name}.1"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_has_come_with_its_very_moment() {
    let world = crowd(280 * SECOND).await;
    all_ask(&world).await;
    world.settle().await;
    let turn_of = |name: &str| {
        let slot = world.credentials.works.held(&tenant(name)).unwrap();
        slot.with(|state| state.live().map(|live| (live.grant.version, live.plan.turn))).unwrap()
    };
    let waiting =
        (0..CROWD).map(name).map(|name| (turn_of(&name), name)).filter(|((version, _), _)| *version == Version::FIRST);
    let ((_, turn), first) = waiting.min_by_key(|((_, turn), _)| *turn).unwrap();
    tokio::time::advance(turn.left(world.now())).await;
    // Those whose turns come later take all places there are for them.
    for name in (0..CROWD).map(name).filter(|name| *name != first) {
        assert!(pick(&world, &name).await.is_ok());
    }
    assert!(pick(&world, &first).await.is_ok());
    world.settle().await;
    assert_eq!(value(&pick(&world, &first).await), format!("Bearer at.{first}.1"));
}
