//! Clients whose tokens Flexslot binds to a key.

use flexslot_proxy::model::{GrantState, ProofKey, TokenType};

use super::{connect, link, world, world_with};
use crate::support::{Browser, CLIENT, World};

/// What the tenant's tokens are, and what they are bound to.
async fn tokens(world: &World) -> (TokenType, Option<ProofKey>) {
    let GrantState::Connected(grant) = world.stored("acme").await.grant else { panic!("connected") };
    (grant.tokens.token_type, grant.tokens.key)
}

async fn walk(world: &World) {
    let link = link(world).await;
    connect(&mut Browser::new(), &link).await.says(200, &["Connected to Flexslot as @george"]);
    world.get("/decks/").tenant("acme").send().await.is(200);
}

/// The first code is refused for want of a proof, and redeemed with one.
#[tokio::test]
async fn a_consent_to_a_client_whose_tokens_are_bound_brings_a_key_of_its_own() {
    let world = world().await;
    world.sandbox.set_dpop_bound(CLIENT, true).unwrap();
    walk(&world).await;
    let first = tokens(&world).await;
    assert!(matches!(&first, (TokenType::Dpop, Some(_))), "{first:?}");
    assert_eq!(world.sandbox.counters().proofs_refused.get("missing"), Some(&1));
    walk(&world).await;
    let second = tokens(&world).await;
    assert_eq!(second.0, TokenType::Dpop);
    assert_ne!(first.1, second.1, "who connects again gets another key");
    assert_eq!(world.sandbox.counters().proofs_refused.get("missing"), Some(&1), "it is known by now");
    assert_eq!(world.sandbox.counters().code_replays, 0);
    world.finish().await;
}

#[tokio::test]
async fn with_proofs_in_any_case_token_type_decides() {
    let world = world_with("oauth.dpop = \"always\"").await;
    walk(&world).await;
    let (token_type, key) = tokens(&world).await;
    assert_eq!((token_type, key.is_some()), (TokenType::Bearer, true), "the key goes on with the grant");
    world.sandbox.set_dpop_bound(CLIENT, true).unwrap();
    walk(&world).await;
    assert_eq!(tokens(&world).await.0, TokenType::Dpop);
    assert!(world.sandbox.counters().proofs_refused.is_empty());
    world.finish().await;
}

#[tokio::test]
async fn dpop_off_makes_a_bound_client_a_fault_of_the_configuration() {
    let world = world_with("oauth.dpop = \"off\"").await;
    world.sandbox.set_dpop_bound(CLIENT, true).unwrap();
    let link = link(&world).await;
    let page = connect(&mut Browser::new(), &link).await;
    page.says(503, &["oauth.dpop"]);
    world.finish().await;
}
