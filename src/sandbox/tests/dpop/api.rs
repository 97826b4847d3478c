//! Tokens and keys at the API (RFC 9449 section 7).

use super::*;

#[tokio::test]
async fn a_bound_token_is_of_no_use_as_a_bearer_token() {
    let bound = Bound::start().await;
    let token = bound.grant().access;
    let bearer = Some(format!("Bearer {}", token.expose()));
    let alone = Sent { authorization: bearer.clone(), proofs: vec![] };
    let proved = Sent { authorization: bearer, proofs: vec![bound.key.proof(for_decks(&token))] };
    for sent in [alone, proved] {
        let reply = bound.get(&sent).await;
        assert_eq!(reply.challenge(), (401, "invalid_token"));
        assert!(reply.json()["code"] == "invalid_token" && !reply.text().contains(token.expose()));
    }
    assert_eq!(bound.refused("scheme"), 2);
}

#[tokio::test]
async fn a_bound_token_is_of_no_use_with_another_key() {
    let bound = Bound::start().await;
    let token = bound.grant().access;
    let thief = KeyPair::generate(&Random::system());
    let reply = bound.get(&Sent::dpop(&token, thief.proof(for_decks(&token)))).await;
    assert_eq!((reply.challenge(), bound.refused("key")), ((401, "invalid_token"), 1));
    assert_eq!(bound.get_with(&token, for_decks(&token)).await.status, 200);
}

#[tokio::test]
async fn what_is_bound_to_no_key_has_the_scheme_bearer() {
    let bound = Bound::start().await;
    for token in [bound.test.grant().access, bound.test.sandbox.add_pat("ada")] {
        assert_eq!(bound.get_with(&token, for_decks(&token)).await.challenge(), (401, "invalid_token"));
        assert_eq!(bound.test.get("/decks/", &token).await.status, 200);
    }
    assert_eq!(bound.refused("unbound"), 2);
}

#[tokio::test]
async fn a_token_that_is_over_is_refused_with_the_scheme_that_it_came_by() {
    let bound = Bound::start().await;
    let pair = bound.grant();
    bound.test.sandbox.expire_access(pair.grant).unwrap();
    assert_eq!(bound.get_with(&pair.access, for_decks(&pair.access)).await.challenge(), (401, "invalid_token"));
    let unknown = Secret::new("flx_at_unknown");
    assert_eq!(bound.get_with(&unknown, for_decks(&unknown)).await.challenge(), (401, "invalid_token"));
}

#[tokio::test]
async fn the_proof_is_looked_at_before_the_token() {
    let bound = Bound::start().await;
    let pair = bound.grant();
    bound.test.sandbox.expire_access(pair.grant).unwrap();
    let reply = bound.get_with(&pair.access, with(for_decks(&pair.access), "htm", "PUT")).await;
    assert_eq!(reply.challenge(), (401, "invalid_dpop_proof"));
}

#[tokio::test]
async fn a_missing_scope_is_told_with_the_scheme_dpop() {
    let bound = Bound::start().await;
    let (jkt, life) = (bound.key.thumbprint(), std::time::Duration::from_secs(60));
    let pair = bound.test.sandbox.issue_grant_bound_to("ada", BOUND, "cards:read", life, Some(&jkt)).unwrap();
    let reply = bound.get_with(&pair.access, for_decks(&pair.access)).await;
    assert_eq!(reply.status, 403);
    assert!(reply.header(header::WWW_AUTHENTICATE).starts_with(r#"DPoP realm="flexslot", error="insufficient_scope""#));
}

#[tokio::test]
async fn the_schemes_case_does_not_matter_and_other_schemes_are_malformed() {
    let bound = Bound::start().await;
    let token = bound.grant().access;
    let send = async |scheme: &str| {
        let sent = Sent::dpop(&token, bound.key.proof(for_decks(&token)));
        bound.get(&Sent { authorization: Some(format!("{scheme} {}", token.expose())), ..sent }).await.status.as_u16()
    };
    assert_eq!((send("dpop").await, send("DPOP").await, send("Token").await), (200, 200, 400));
}

#[tokio::test]
async fn introspection_names_the_key_of_a_bound_token() {
    let bound = Bound::start().await;
    let ask = async |token: &Secret, client: &str| {
        let fields = [("token", token.expose()), ("client_id", client)];
        bound.test.send(form("introspect", &fields, false)).await.json()
    };
    let body = ask(&bound.grant().access, BOUND).await;
    assert_eq!((&body["token_type"], &body["cnf"]["jkt"]), (&"DPoP".into(), &bound.key.thumbprint().into()));
    bound.test.sandbox.add_client(Client::public("plain"));
    let plain = bound.test.sandbox.issue_grant("ada", "plain", "decks:read").unwrap();
    let body = ask(&plain.access, "plain").await;
    assert_eq!((&body["token_type"], &body["cnf"]), (&"Bearer".into(), &Value::Null));
}
