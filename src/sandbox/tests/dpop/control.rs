//! The same over HTTP.

use super::*;
use crate::sandbox::tests::control::{control, post};

#[tokio::test]
async fn a_bound_client_and_its_grant_come_with_a_key_pair() {
    let test = Test::start().await;
    let client = json!({"client_id": "c", "owner": "george", "dpop_bound_access_tokens": true});
    assert_eq!(post(&test, "clients", client).await.status, 204);
    let pat = test.sandbox.add_pat("george");
    assert_eq!(test.get("/me/partner/oauth2-clients", &pat).await.json()[0]["dpop_bound_access_tokens"], true);
    let pair = post(&test, "grants", json!({"user": "ada", "client_id": "c"})).await.json();
    let jwk = &pair["dpop_jwk"];
    assert_eq!((&pair["token_type"], &jwk["kty"], &jwk["crv"]), (&"DPoP".into(), &"EC".into(), &"P-256".into()));
    for member in ["x", "y", "d"] {
        assert_eq!(jwk[member].as_str().map(str::len), Some(43), "{member}");
    }
    let grant = control(&test, Method::GET, &format!("grants/{}", pair["grant"].as_str().unwrap()), None).await.json();
    let public = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
    assert_eq!(grant["jkt"], ids::base64url(&ids::digest(&public)));
    assert_eq!(post(&test, "clients/c", json!({"dpop_bound_access_tokens": false})).await.status, 204);
    let pair = post(&test, "grants", json!({"user": "ada", "client_id": "c"})).await.json();
    assert_eq!((&pair["token_type"], pair.get("dpop_jwk")), (&"Bearer".into(), None));
    assert_eq!(post(&test, "clients/nobody", json!({"dpop_bound_access_tokens": false})).await.status, 404);
}

#[tokio::test]
async fn a_grant_is_bound_to_the_key_of_whoever_asks() {
    let bound = Bound::start().await;
    let body = json!({"user": "ada", "client_id": BOUND, "dpop_jkt": bound.key.thumbprint()});
    let reply = post(&bound.test, "grants", body).await;
    assert_eq!((&reply.json()["token_type"], reply.json().get("dpop_jwk")), (&"DPoP".into(), None));
    let token = reply.secret("access_token");
    assert_eq!(bound.get_with(&token, for_decks(&token)).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn the_rules_are_shown_and_changed_one_by_one() {
    let bound = Bound::start().await;
    let shown = async || control(&bound.test, Method::GET, "dpop", None).await.json();
    let defaults = json!({
        "tolerance_seconds": 60, "token_nonces": "off", "api_nonces": "off", "nonce_seconds": 60, "unasked": "ignored",
    });
    assert_eq!(shown().await, defaults);
    let change = json!({"tolerance_seconds": 5, "api_nonces": "once", "unasked": "bind"});
    assert_eq!(post(&bound.test, "dpop", change).await.status, 204);
    assert_eq!(post(&bound.test, "dpop", json!({"nonce_seconds": 9, "token_nonces": "rotated"})).await.status, 204);
    let changed = json!({
        "tolerance_seconds": 5, "token_nonces": "rotated", "api_nonces": "once", "nonce_seconds": 9, "unasked": "bind",
    });
    assert_eq!(shown().await, changed);
    let token = bound.grant().access;
    let late = bound.get_with(&token, with(for_decks(&token), "iat", NOW - 6)).await;
    assert_eq!(late.challenge(), (401, "invalid_dpop_proof"));
    let asked = bound.get_with(&token, for_decks(&token)).await;
    assert_eq!(control(&bound.test, Method::DELETE, "dpop/nonces", None).await.status, 204);
    let forgotten = bound.get_with(&token, with(for_decks(&token), "nonce", asked.nonce().unwrap())).await;
    assert_eq!(forgotten.challenge(), (401, "use_dpop_nonce"));
    assert_eq!(post(&bound.test, "dpop", json!({"api_nonces": "sometimes"})).await.status, 400);
}

#[tokio::test]
async fn proofs_are_counted_and_never_shown() {
    let bound = Bound::start().await;
    let token = bound.grant().access;
    let sent = Sent::dpop(&token, bound.key.proof(for_decks(&token)));
    bound.get(&sent).await;
    bound.get(&sent).await;
    let counters = control(&bound.test, Method::GET, "counters", None).await.json();
    assert_eq!((&counters["proofs"], &counters["proof_replays"]), (&2.into(), &1.into()));
    assert_eq!(counters["proofs_refused"], json!({"jti": 1}));
    let events = control(&bound.test, Method::GET, "events", None).await.text();
    assert!(events.contains("401 invalid_dpop_proof (jti) ada oauth v1"), "{events}");
    let requests = control(&bound.test, Method::GET, "requests", None).await.text();
    assert!(requests.contains("DPoP flx_at_[redacted]") && !requests.contains(&sent.proofs[0]), "{requests}");
    control(&bound.test, Method::DELETE, "counters", None).await;
    let counters = bound.test.sandbox.counters();
    assert_eq!((counters.proofs, counters.proofs_refused.len(), counters.proof_replays), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn every_answer_is_dated_by_the_sandboxs_clock() {
    let bound = Bound::start().await;
    post(&bound.test, "clock", json!({"offset_seconds": -600})).await;
    let pair = bound.grant();
    for reply in [
        bound.test.browse("/account/connected-apps").await,
        bound.refresh(&pair.refresh, vec![]).await,
        bound.get_with(&pair.access, for_decks(&pair.access)).await,
        control(&bound.test, Method::GET, "counters", None).await,
    ] {
        assert_eq!(reply.header(header::DATE), "Fri, 20 Nov 2026 18:30:00 GMT", "{}", reply.status);
    }
}
