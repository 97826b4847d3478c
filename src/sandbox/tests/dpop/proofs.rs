//! What is checked of a proof, each with a good and a bad one.

use jwt_compact::{
    Algorithm, AlgorithmExt, Claims, Header,
    alg::{Es256, SigningKey as _},
    jwk::JsonWebKey,
};

use super::*;

type Signing = <Es256 as Algorithm>::SigningKey;

fn signing() -> Signing {
    Signing::from_slice(&[7; 32]).unwrap()
}

fn jwk() -> Value {
    serde_json::to_value(JsonWebKey::from(&signing().to_verifying_key())).unwrap()
}

/// A proof for `GET /decks/` whose header is as given, signed as it should be.
fn under(header: Value, token: &Secret) -> String {
    let typ = header["typ"].as_str().unwrap_or_default().to_owned();
    let header = Header::new(without(header, "typ")).with_token_type(typ);
    Es256.token(&header, &Claims::new(for_decks(token)), &signing()).unwrap()
}

#[tokio::test]
async fn a_good_proof_gets_what_its_token_allows() {
    let bound = Bound::start().await;
    let token = bound.grant().access;
    assert_eq!(bound.get_with(&token, for_decks(&token)).await.json()["count"], 3);
    let counts = bound.test.sandbox.counters();
    assert_eq!((counts.proofs, counts.proof_replays, counts.proofs_refused.len()), (1, 0, 0));
}

#[tokio::test]
async fn there_is_exactly_one() {
    let bound = Bound::start().await;
    let token = bound.grant().access;
    let proof = || bound.key.proof(for_decks(&token));
    let sent = |proofs| Sent { proofs, ..Sent::dpop(&token, String::new()) };
    assert_eq!(bound.get(&sent(vec![])).await.challenge(), (401, "invalid_dpop_proof"));
    assert_eq!(bound.get(&sent(vec![proof(), proof()])).await.challenge(), (401, "invalid_dpop_proof"));
    assert_eq!((bound.refused("missing"), bound.refused("several")), (1, 1));
    assert_eq!(bound.get(&sent(vec![proof()])).await.status, 200);
}

#[tokio::test]
async fn its_header_says_what_it_is_and_shows_a_public_key() {
    let bound = Bound::start().await;
    let life = std::time::Duration::from_secs(60);
    let jkt = ids::base64url(&ids::digest(&JsonWebKey::from(&signing().to_verifying_key()).to_string()));
    let pair = bound.test.sandbox.issue_grant_bound_to("ada", BOUND, "decks:read", life, Some(&jkt)).unwrap();
    let good = json!({"typ": "dpop+jwt", "jwk": jwk()});
    let send = async |header| bound.get(&Sent::dpop(&pair.access, under(header, &pair.access))).await;
    assert_eq!(send(good.clone()).await.status, 200);
    // What JWKs may say besides.
    let told = json!({"use": "sig", "alg": "ES256", "kid": "1", "kty": "EC", "crv": "P-256", "x": jwk()["x"], "y": jwk()["y"]});
    assert_eq!(send(with(good.clone(), "jwk", told)).await.status, 200);
    let private = serde_json::to_value(JsonWebKey::from(&signing())).unwrap();
    let other = with(jwk(), "x", jwk()["y"].clone());
    for (fault, header) in [
        ("typ", with(good.clone(), "typ", "JWT")),
        ("typ", with(good.clone(), "typ", "")),
        ("jwk", with(good.clone(), "jwk", private)),
        ("jwk", with(good.clone(), "jwk", other)),
        ("jwk", with(good.clone(), "jwk", with(jwk(), "crv", "P-384"))),
        ("jwk", with(good.clone(), "jwk", json!({"kty": "oct", "k": "AAAA"}))),
        ("malformed", without(good.clone(), "jwk")),
        ("malformed", with(good.clone(), "crit", json!(["exp"]))),
    ] {
        let before = bound.refused(fault);
        assert_eq!(send(header.clone()).await.challenge(), (401, "invalid_dpop_proof"), "{header}");
        assert_eq!(bound.refused(fault), before + 1, "{fault}: {header}");
    }
}

#[tokio::test]
async fn it_is_signed_by_es256_with_the_key_that_it_shows() {
    let bound = Bound::start().await;
    let token = bound.grant().access;
    let good = bound.key.proof(for_decks(&token));
    let (head, rest) = good.split_once('.').unwrap();
    let header = String::from_utf8(decoded(head)).unwrap();
    let with_alg = |alg: &str| format!("{}.{rest}", ids::base64url(header.replace("ES256", alg).as_bytes()));
    for alg in ["none", "HS256", "ES384", "EdDSA", "RS256", "es256"] {
        assert_eq!(
            bound.get(&Sent::dpop(&token, with_alg(alg))).await.challenge(),
            (401, "invalid_dpop_proof"),
            "{alg}"
        );
    }
    assert_eq!(bound.refused("alg"), 6);
    let stranger = KeyPair::generate(&Random::system()).proof(for_decks(&token));
    let foreign = format!("{head}.{}", stranger.split_once('.').unwrap().1);
    let unsigned = format!("{}.", good.rsplit_once('.').unwrap().0);
    for proof in [foreign, unsigned] {
        assert_eq!(bound.get(&Sent::dpop(&token, proof)).await.challenge(), (401, "invalid_dpop_proof"));
    }
    assert_eq!(bound.refused("signature"), 2);
    assert_eq!(bound.get(&Sent::dpop(&token, good)).await.status, 200);
}

#[tokio::test]
async fn it_is_about_this_request_and_this_token() {
    let bound = Bound::start().await;
    let (token, other) = (bound.grant().access, bound.grant().access);
    for (fault, claims) in [
        ("htm", with(for_decks(&token), "htm", "POST")),
        ("htm", with(for_decks(&token), "htm", "get")),
        ("htu", with(for_decks(&token), "htu", "http://sandbox/api/public/v1/decks/?page=1")),
        ("htu", with(for_decks(&token), "htu", "http://sandbox/api/public/v1/sideboards/")),
        ("htu", with(for_decks(&token), "htu", "http://elsewhere/api/public/v1/decks/")),
        ("ath", without(for_decks(&token), "ath")),
        ("ath", for_decks(&other)),
        ("malformed", without(for_decks(&token), "jti")),
        ("malformed", with(for_decks(&token), "jti", "")),
        ("malformed", with(for_decks(&token), "jti", 7)),
        ("malformed", without(for_decks(&token), "iat")),
        ("malformed", without(for_decks(&token), "htu")),
    ] {
        let before = bound.refused(fault);
        let reply = bound.get_with(&token, claims.clone()).await;
        assert_eq!(reply.challenge(), (401, "invalid_dpop_proof"), "{claims}");
        assert_eq!(bound.refused(fault), before + 1, "{fault}: {claims}");
    }
    assert_eq!(bound.get_with(&token, for_decks(&token)).await.status, 200);
}

#[tokio::test]
async fn the_query_of_the_request_is_not_in_htu() {
    let bound = Bound::start().await;
    let token = bound.grant().access;
    let request = Request::get("/api/public/v1/decks/?page=1").header(header::HOST, "sandbox");
    let sent = Sent::dpop(&token, bound.key.proof(for_decks(&token)));
    assert_eq!(bound.test.send(sent.on(request.body(Full::default()).unwrap())).await.status, 200);
}

#[tokio::test]
async fn an_issuer_of_the_settings_is_the_origin_of_htu() {
    let settings = Settings { issuer: Some("https://flexslot.example".into()), ..Settings::default() };
    let test = Test::with(settings).await;
    test.sandbox.add_client(Client::public(BOUND).dpop_bound());
    let pair = test.sandbox.issue_grant("ada", BOUND, "decks:read").unwrap();
    let bound = Bound { test, key: pair.key.unwrap() };
    let htu = "https://flexslot.example/api/public/v1/decks/";
    assert_eq!(bound.get_with(&pair.access, with(for_decks(&pair.access), "htu", htu)).await.status, 200);
    assert_eq!(bound.get_with(&pair.access, for_decks(&pair.access)).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn it_was_made_now_by_the_sandboxs_clock() {
    let bound = Bound::start().await;
    let token = bound.grant().access;
    let at = async |iat: i64| bound.get_with(&token, with(for_decks(&token), "iat", iat)).await;
    for iat in [NOW - 60, NOW + 60] {
        assert_eq!(at(iat).await.status, 200, "{iat}");
    }
    for iat in [NOW - 61, NOW + 61, i64::MAX / 1000] {
        assert_eq!(at(iat).await.challenge(), (401, "invalid_dpop_proof"), "{iat}");
    }
    assert_eq!(bound.refused("iat"), 2, "the third is no time at all");
    bound.test.sandbox.set_clock_offset(600_000);
    let late = at(NOW).await;
    assert_eq!((late.status.as_u16(), late.header(header::DATE)), (401, "Fri, 20 Nov 2026 18:50:00 GMT"));
    assert_eq!(at(NOW + 600).await.status, 200);
}

#[tokio::test]
async fn it_is_good_once() {
    let bound = Bound::start().await;
    let token = bound.grant().access;
    let sent = Sent::dpop(&token, bound.key.proof(for_decks(&token)));
    assert_eq!(bound.get(&sent).await.status, 200);
    assert_eq!(bound.get(&sent).await.challenge(), (401, "invalid_dpop_proof"));
    assert_eq!(bound.test.sandbox.counters().proof_replays, 1);
    // The same name in another proof of the same key is as bad, and in one of another key it is another.
    let named = with(for_decks(&token), "jti", "one");
    assert_eq!(bound.get_with(&token, named.clone()).await.status, 200);
    assert_eq!(bound.get_with(&token, with(named.clone(), "iat", NOW + 1)).await.status, 401);
    let stranger = KeyPair::generate(&Random::system());
    bound.get(&Sent::dpop(&token, stranger.proof(named))).await;
    assert_eq!((bound.refused("jti"), bound.refused("key")), (2, 1));
}

fn decoded(part: &str) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.decode(part).unwrap()
}
