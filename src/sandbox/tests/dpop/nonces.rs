//! Nonces of the token endpoint and of the API (RFC 9449 sections 8 and 9).

use std::time::Duration;

use super::*;
use crate::sandbox::Nonces;

fn api(api_nonces: Nonces) -> ProofRules {
    ProofRules { api_nonces, ..ProofRules::default() }
}

/// A request for decks with this nonce.
async fn get(bound: &Bound, token: &Secret, nonce: &str) -> Reply {
    bound.get_with(token, with(for_decks(token), "nonce", nonce)).await
}

/// A nonce of the API, as its challenge hands it out.
async fn challenged(bound: &Bound, token: &Secret) -> String {
    let reply = bound.get_with(token, for_decks(token)).await;
    assert_eq!(reply.challenge(), (401, "use_dpop_nonce"));
    reply.nonce().expect("a nonce").to_owned()
}

#[tokio::test]
async fn none_is_handed_out_where_none_is_demanded() {
    let bound = Bound::start().await;
    let token = bound.grant().access;
    for reply in [get(&bound, &token, "whatever").await, bound.get_with(&token, json!({})).await] {
        assert_eq!(reply.nonce(), None);
    }
}

#[tokio::test]
async fn one_that_is_demanded_comes_with_the_challenge_and_is_good_for_a_while() {
    let bound = Bound::with(api(Nonces::Demanded)).await;
    let token = bound.grant().access;
    let nonce = challenged(&bound, &token).await;
    for _ in 0..2 {
        let reply = get(&bound, &token, &nonce).await;
        assert_eq!((reply.status.as_u16(), reply.nonce()), (200, None));
    }
    let unknown = get(&bound, &token, "unknown").await;
    assert_eq!(unknown.challenge(), (401, "use_dpop_nonce"));
    assert_eq!((bound.refused("nonce"), bound.test.sandbox.counters().proofs), (2, 4));
    bound.test.sandbox.forget_nonces();
    let forgotten = get(&bound, &token, &nonce).await;
    assert_eq!(forgotten.challenge(), (401, "use_dpop_nonce"));
    assert_eq!(get(&bound, &token, forgotten.nonce().unwrap()).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn one_is_over_after_its_life() {
    let bound = Bound::with(ProofRules { nonce_life: Duration::from_secs(5), ..api(Nonces::Demanded) }).await;
    let token = bound.grant().access;
    let nonce = challenged(&bound, &token).await;
    tokio::time::advance(Duration::from_secs(4)).await;
    assert_eq!(get(&bound, &token, &nonce).await.status, 200);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(get(&bound, &token, &nonce).await.challenge(), (401, "use_dpop_nonce"));
}

#[tokio::test]
async fn a_rotated_one_comes_with_every_answer_and_the_older_ones_are_still_good() {
    let bound = Bound::with(api(Nonces::Rotated)).await;
    let token = bound.grant().access;
    let first = challenged(&bound, &token).await;
    let second = get(&bound, &token, &first).await.nonce().unwrap().to_owned();
    assert_ne!(first, second);
    let pat = bound.test.sandbox.add_pat("ada");
    for reply in [
        get(&bound, &token, &first).await,
        get(&bound, &token, &second).await,
        bound.get_with(&token, with(for_decks(&token), "htm", "PUT")).await,
        bound.test.get("/decks/", &pat).await,
        bound.test.get("/decks/none", &pat).await,
    ] {
        assert_eq!(reply.headers.get_all("dpop-nonce").iter().count(), 1, "{}", reply.status);
    }
}

#[tokio::test]
async fn one_for_one_use_is_spent_by_a_good_proof_only() {
    let bound = Bound::with(api(Nonces::Once)).await;
    let token = bound.grant().access;
    let nonce = challenged(&bound, &token).await;
    let bad = bound.get_with(&token, with(with(for_decks(&token), "htm", "PUT"), "nonce", nonce.as_str())).await;
    assert_eq!(bad.challenge(), (401, "invalid_dpop_proof"));
    let good = get(&bound, &token, &nonce).await;
    assert_eq!(good.status, 200);
    assert_eq!(get(&bound, &token, &nonce).await.challenge(), (401, "use_dpop_nonce"));
    assert_eq!(get(&bound, &token, good.nonce().unwrap()).await.status, 200);
}

#[tokio::test]
async fn the_token_endpoint_has_its_own_and_spends_nothing_while_it_asks() {
    let rules = ProofRules { token_nonces: Nonces::Once, ..api(Nonces::Once) };
    let bound = Bound::with(rules).await;
    let pair = bound.grant();
    let refresh = async |nonce: Option<&str>| {
        let claims = nonce.map_or_else(for_token, |nonce| with(for_token(), "nonce", nonce));
        bound.refresh(&pair.refresh, vec![bound.key.proof(claims)]).await
    };
    let asked = refresh(None).await;
    assert_eq!(asked.error(), (400, "use_dpop_nonce".into()));
    let foreign = challenged(&bound, &pair.access).await;
    assert_eq!(refresh(Some(&foreign)).await.error(), (400, "use_dpop_nonce".into()));
    let granted = refresh(asked.nonce()).await;
    assert_eq!((granted.status.as_u16(), granted.nonce().is_some()), (200, true));
    let token = granted.secret("access_token");
    assert_eq!(get(&bound, &token, granted.nonce().unwrap()).await.challenge(), (401, "use_dpop_nonce"));
    assert_eq!(get(&bound, &token, &foreign).await.status, 200);
}
