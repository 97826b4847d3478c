//! Scopes that Flexslot has refused requests for want of.

use super::world::{HOUR, World, ask_for, pass, tenant};
use crate::{
    credential::Forbidden,
    model::{Card, ConnectionState, NextStep, Reason, Scope, ScopeSet},
};

const NAMED: &str = "decks:read decks:write";

async fn card(world: &World) -> Card {
    world.credentials.card(&tenant("acme")).await.unwrap().unwrap()
}

async fn refused(world: &World, said: &Forbidden) {
    let acme = tenant("acme");
    let ask = ask_for(&acme, Scope::from_name("decks:write").unwrap());
    let picked = world.credentials.pick(&ask).await.unwrap();
    world.credentials.forbidden(&ask, &picked, said);
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_lacks_a_scope_says_so_and_goes_on() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    refused(&world, &Forbidden::LacksNamed(NAMED.into())).await;
    let lacking = ScopeSet::new("decks:write");
    for world in [&world, &world.another()] {
        let card = card(world).await;
        assert_eq!((card.state, card.lacks), (ConnectionState::Connected, lacking.clone()));
        assert_eq!(card.reason, Some(Reason::LacksScopes(lacking.clone())));
        assert_eq!(card.next_step, Some(NextStep::AllowMore));
    }
}

#[tokio::test(start_paused = true)]
async fn another_grant_is_not_told_what_the_last_one_lacked() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    refused(&world, &Forbidden::LacksSome).await;
    world.connect_to("acme", "second", HOUR, None).await;
    let card = card(&world).await;
    assert!(card.lacks.is_empty() && card.reason.is_none(), "{card:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_lacking_outlives_the_daily_look_at_whose_it_is() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    let _background = world.credentials.start().await.unwrap();
    refused(&world, &Forbidden::LacksSome).await;
    pass(&world, HOUR / 2).await;
    assert!(world.flexslot.introspections.load(std::sync::atomic::Ordering::SeqCst) > 0);
    assert_eq!(card(&world).await.lacks, ScopeSet::new("decks:write"));
}

#[tokio::test(start_paused = true)]
async fn a_403_about_something_else_says_nothing_of_the_connection() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    let acme = tenant("acme");
    let ask = ask_for(&acme, Scope::from_name("decks:read").unwrap());
    let picked = world.credentials.pick(&ask).await.unwrap();
    world.credentials.forbidden(&ask, &picked, &Forbidden::Unsaid);
    world.settle().await;
    assert!(card(&world).await.lacks.is_empty());
}

/// Its user cannot allow what the client cannot ask for.
#[tokio::test(start_paused = true)]
async fn what_the_client_may_not_ask_for_is_not_offered() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    refused(&world, &Forbidden::LacksNamed(NAMED.into())).await;
    world.flexslot.unasked.lock().push("decks:write");
    let card = card(&world).await;
    assert_eq!((card.next_step, card.lacks.is_empty()), (None, true));
    assert_eq!(card.reason, Some(Reason::LacksScopes(ScopeSet::new("decks:write"))), "which is so all the same");
}
