//! Binding at the token endpoint (RFC 9449 section 5).

use super::*;
use crate::sandbox::UnaskedProofs;

const SECRET_CLIENT: &str = "flx_client_confidential";

fn proof(bound: &Bound) -> Vec<String> {
    vec![bound.key.proof(for_token())]
}

/// A code of george's for the bound client.
async fn code(bound: &Bound) -> String {
    let target = authorize_target(&challenge(VERIFIER), &[("client_id", BOUND)]);
    query(&bound.test.browse(&target).await.location(), "code").expect("a code")
}

fn redeem(code: &str) -> [(&str, &str); 4] {
    [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)]
}

#[tokio::test]
async fn a_code_becomes_tokens_that_are_bound_to_the_key_that_was_proved() {
    let bound = Bound::start().await;
    let reply = bound.token(&redeem(&code(&bound).await), proof(&bound)).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["token_type"]), (200, &"DPoP".into()));
    let token = reply.secret("access_token");
    assert_eq!(bound.get_with(&token, for_decks(&token)).await.status, 200);
    assert_eq!(bound.test.sandbox.grants()[0].jkt, Some(bound.key.thumbprint()));
}

#[tokio::test]
async fn a_bad_proof_spends_no_code() {
    let bound = Bound::start().await;
    let code = code(&bound).await;
    let late = bound.key.proof(with(for_token(), "iat", NOW - 600));
    for proofs in [vec![], vec![late], vec!["x".into()], [proof(&bound), proof(&bound)].concat()] {
        assert_eq!(bound.token(&redeem(&code), proofs).await.error(), (400, "invalid_dpop_proof".into()));
    }
    assert_eq!(bound.token(&redeem(&code), proof(&bound)).await.status, 200);
}

#[tokio::test]
async fn a_bad_proof_spends_no_refresh_token() {
    let bound = Bound::start().await;
    let pair = bound.grant();
    let elsewhere = bound.key.proof(with(for_token(), "htu", "http://sandbox/api/public/v1/oauth/revoke"));
    for proofs in [vec![], vec![elsewhere]] {
        let reply = bound.refresh(&pair.refresh, proofs).await;
        assert_eq!(reply.error(), (400, "invalid_dpop_proof".into()));
        assert!(reply.json()["error_description"].is_string() && reply.json()["error_uri"].is_string());
    }
    assert_eq!(bound.get_with(&pair.access, for_decks(&pair.access)).await.status, 200);
    assert_eq!(bound.refresh(&pair.refresh, proof(&bound)).await.json()["token_type"], "DPoP");
}

#[tokio::test]
async fn a_public_clients_refresh_token_wants_the_key_of_its_grant() {
    let bound = Bound::start().await;
    let pair = bound.grant();
    let thief = KeyPair::generate(&Random::system());
    let stolen = bound.refresh(&pair.refresh, vec![thief.proof(for_token())]).await;
    assert_eq!((stolen.error(), bound.refused("key")), ((400, "invalid_dpop_proof".into()), 1));
    assert_eq!(bound.test.sandbox.grant(pair.grant).unwrap().ended, None);
    let next = bound.refresh(&pair.refresh, proof(&bound)).await;
    // It stays bound when the client's tokens are no longer.
    bound.test.sandbox.set_dpop_bound(BOUND, false).unwrap();
    let refresh = next.secret("refresh_token");
    assert_eq!(bound.refresh(&refresh, vec![]).await.error(), (400, "invalid_dpop_proof".into()));
    assert_eq!(bound.refresh(&refresh, proof(&bound)).await.json()["token_type"], "DPoP");
}

#[tokio::test]
async fn a_confidential_client_may_refresh_with_another_key() {
    let bound = Bound::start().await;
    bound.test.sandbox.add_client(Client::confidential(SECRET_CLIENT, Secret::new(SECRET)).dpop_bound());
    let pair = bound.test.sandbox.issue_grant("ada", SECRET_CLIENT, "decks:read").unwrap();
    assert_ne!(pair.jkt, Some(bound.key.thumbprint()));
    let send = async |token: &Secret, proofs| {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token.expose()),
            ("client_id", SECRET_CLIENT),
            ("client_secret", SECRET),
        ];
        bound.test.send(Sent { authorization: None, proofs }.on(form("token", &fields, false))).await
    };
    assert_eq!(send(&pair.refresh, vec![]).await.error(), (400, "invalid_dpop_proof".into()));
    let token = send(&pair.refresh, proof(&bound)).await.secret("access_token");
    assert_eq!(bound.get_with(&token, for_decks(&token)).await.status, 200);
    assert_eq!(bound.test.sandbox.grant(pair.grant).unwrap().jkt, Some(bound.key.thumbprint()));
}

#[tokio::test]
async fn a_grant_of_before_the_flag_is_bound_by_its_next_refresh() {
    let bound = Bound::start().await;
    bound.test.sandbox.set_dpop_bound(BOUND, false).unwrap();
    let pair = bound.test.sandbox.issue_grant("ada", BOUND, "decks:read").unwrap();
    bound.test.sandbox.set_dpop_bound(BOUND, true).unwrap();
    assert_eq!(bound.test.get("/decks/", &pair.access).await.status, 200);
    assert_eq!(bound.refresh(&pair.refresh, vec![]).await.error(), (400, "invalid_dpop_proof".into()));
    let token = bound.refresh(&pair.refresh, proof(&bound)).await.secret("access_token");
    assert_eq!(bound.get_with(&token, for_decks(&token)).await.status, 200);
}

#[tokio::test]
async fn an_unasked_proof_is_ignored_or_binds_by_the_rules() {
    let bound = Bound::start().await;
    bound.test.sandbox.set_dpop_bound(BOUND, false).unwrap();
    let pair = bound.test.sandbox.issue_grant("ada", BOUND, "decks:read").unwrap();
    let plain = bound.refresh(&pair.refresh, vec!["not even a proof".into()]).await;
    assert_eq!(plain.json()["token_type"], "Bearer");
    bound.test.sandbox.set_proof_rules(ProofRules { unasked: UnaskedProofs::Bind, ..ProofRules::default() });
    let refresh = plain.secret("refresh_token");
    assert_eq!(bound.refresh(&refresh, vec!["x".into()]).await.error(), (400, "invalid_dpop_proof".into()));
    let next = bound.refresh(&refresh, vec![]).await;
    assert_eq!(next.json()["token_type"], "Bearer");
    let last = bound.refresh(&next.secret("refresh_token"), proof(&bound)).await;
    assert_eq!(last.json()["token_type"], "DPoP");
}

#[tokio::test]
async fn a_spent_refresh_token_is_a_replay_with_its_key_too() {
    let bound = Bound::start().await;
    let pair = bound.grant();
    bound.refresh(&pair.refresh, proof(&bound)).await;
    assert_eq!(bound.refresh(&pair.refresh, proof(&bound)).await.error(), (400, "invalid_grant".into()));
    assert_eq!(bound.test.sandbox.counters().replays, 1);
}
