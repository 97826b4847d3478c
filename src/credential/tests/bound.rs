//! Tokens that are bound to a key (RFC 9449).

use std::sync::atomic::Ordering;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use http::{HeaderMap, Method};
use serde_json::Value;

use super::world::{HOUR, ORIGIN, SECOND, World, ask, pass, pick, tenant, value};
use crate::{
    credential::{Picked, Refusal, Unauthorized},
    flexslot::dpop::{DPOP_NONCE, Proof},
    model::{CredentialKind, ProofKey},
};

const PATH: &str = "/api/public/v1/decks/";

fn proof(world: &World, picked: &Picked) -> Proof {
    world.credentials.prove(picked, &Method::GET, PATH, None).unwrap()
}

fn part(proof: &Proof, at: usize) -> Value {
    let part = proof.value().to_str().unwrap().split('.').nth(at).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The key that requests with what was picked are proven with.
fn key_of(world: &World, picked: &Picked) -> String {
    part(&proof(world, picked), 0)["jwk"].to_string()
}

fn public(key: &ProofKey) -> String {
    serde_json::from_str::<Value>(key.public_jwk()).unwrap().to_string()
}

#[tokio::test(start_paused = true)]
async fn a_bound_token_goes_with_a_proof_for_that_very_request() {
    let world = World::new().await;
    let key = ProofKey::generate();
    world.connect_bound("acme", HOUR, Some(key.clone())).await;
    let picked = pick(&world, "acme").await;
    assert_eq!(value(&picked), "DPoP at.acme.0");
    let picked = picked.unwrap();
    let claims = part(&proof(&world, &picked), 1);
    assert_eq!((&claims["htm"], &claims["htu"]), (&Value::from("GET"), &Value::from(format!("{ORIGIN}{PATH}"))));
    assert!(claims["ath"].is_string());
    assert_eq!(key_of(&world, &picked), public(&key));
}

#[tokio::test(start_paused = true)]
async fn nothing_else_is_proven() {
    let world = World::new().await;
    world.connect("acme", HOUR, None).await;
    world.give_pat("beta").await;
    for (name, kind) in [("acme", CredentialKind::OAuth), ("beta", CredentialKind::Pat)] {
        let picked = pick(&world, name).await.unwrap();
        assert_eq!(picked.kind, kind);
        assert!(world.credentials.prove(&picked, &Method::GET, PATH, None).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_bound_token_without_its_key_is_refreshed_before_anything_is_sent() {
    let world = World::new().await;
    world.flexslot.binds.store(true, Ordering::SeqCst);
    world.connect_bound("acme", HOUR, None).await;
    assert_eq!(value(&pick(&world, "acme").await), "DPoP at.acme.1");
    assert!(matches!(&world.flexslot.keys.lock()[..], [Some(_)]), "a new key, at once");
}

#[tokio::test(start_paused = true)]
async fn the_key_survives_refreshes_and_the_process() {
    let world = World::new().await;
    world.flexslot.binds.store(true, Ordering::SeqCst);
    let key = ProofKey::generate();
    world.connect_bound("acme", SECOND, Some(key.clone())).await;
    pass(&world, SECOND).await;
    let picked = pick(&world, "acme").await;
    assert_eq!(value(&picked), "DPoP at.acme.1");
    assert_eq!(key_of(&world, &picked.unwrap()), public(&key));
    let next = world.another();
    pass(&next, HOUR).await;
    let picked = pick(&next, "acme").await;
    assert_eq!(value(&picked), "DPoP at.acme.2");
    assert_eq!(key_of(&next, &picked.unwrap()), public(&key));
    assert_eq!(*world.flexslot.keys.lock(), [Some(key.clone()), Some(key)]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_bound_token_is_renewed_once() {
    let world = World::new().await;
    world.flexslot.binds.store(true, Ordering::SeqCst);
    world.connect_bound("acme", HOUR, Some(ProofKey::generate())).await;
    let acme = tenant("acme");
    let refused = world.credentials.pick(&ask(&acme)).await.unwrap();
    let Unauthorized::Retry(next) = world.credentials.unauthorized(&ask(&acme), &refused).await else {
        panic!("a retry")
    };
    assert_eq!(next.authorization, "DPoP at.acme.1");
    assert_eq!(key_of(&world, &next), key_of(&world, &refused));
}

#[tokio::test(start_paused = true)]
async fn where_no_proof_may_be_made_a_bound_grant_is_never_sent() {
    let mut world = World::new().await;
    world.connect_bound("acme", SECOND, Some(ProofKey::generate())).await;
    world.make_no_proofs();
    for _ in 0..2 {
        let refused = pick(&world, "acme").await;
        assert!(
            matches!(&refused, Err(Refusal::OAuthMisconfigured(what)) if what.contains("oauth.dpop")),
            "{refused:?}"
        );
        pass(&world, HOUR).await;
    }
    world.give_pat("acme").await;
    assert_eq!(value(&pick(&world.another(), "acme").await), "Bearer flx_pat_acme");
}

#[tokio::test(start_paused = true)]
async fn what_one_upstream_wants_of_proofs_another_is_not_told() {
    let mut world = World::new().await;
    world.connect_bound("acme", HOUR, Some(ProofKey::generate())).await;
    let picked = pick(&world, "acme").await.unwrap();
    let before = proof(&world, &picked);
    let headers = HeaderMap::from_iter([(DPOP_NONCE, "n1".parse().unwrap())]);
    assert!(world.credentials.answered(&before, &headers).is_some(), "another nonce is another proof");
    assert_eq!(part(&proof(&world, &picked), 1)["nonce"], "n1");
    world.move_upstream_to("https://flexslot.test");
    assert!(part(&proof(&world, &picked), 1).get("nonce").is_none());
}
