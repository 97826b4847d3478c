use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use http::{
    HeaderMap, HeaderValue, Method,
    header::{AGE, DATE},
};
use proptest::prelude::*;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};

use super::{AccessTokenHash, DPOP_NONCE, Nonce, Proof, ProofTarget, Prover, without_query};
use crate::model::{ProofKey, Random, Secret, Timestamp};

const NOW: Timestamp = Timestamp::from_secs(1_795_200_000);
const HTU: &str = "https://api.flexslot.gg/api/public/v1/decks/";

fn proof(prover: &Prover, key: &ProofKey, token: Option<&AccessTokenHash>) -> Proof {
    let target = ProofTarget { method: &Method::POST, url: HTU, token };
    prover.prove(None, key, &target, NOW, &Random::system())
}

/// Header and claims of a proof whose signature is right.
fn read(proof: &Proof) -> (Value, Value) {
    let text = proof.value().to_str().unwrap();
    let (signed, signature) = text.rsplit_once('.').unwrap();
    let decoded = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
    let [header, claims] = signed
        .split('.')
        .map(|part| serde_json::from_slice::<Value>(&decoded(part)).unwrap())
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    let point = ["x", "y"].map(|half| decoded(header["jwk"][half].as_str().unwrap())).concat();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [&[4], &point[..]].concat());
    public.verify(signed.as_bytes(), &decoded(signature)).unwrap();
    (header, claims)
}

fn heard(prover: &Prover, headers: &[(http::HeaderName, &str)]) {
    let headers: HeaderMap = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
    prover.heard(&headers, NOW, NOW);
}

fn wants_another(prover: &Prover, proof: &Proof, headers: &[(http::HeaderName, &str)]) -> bool {
    let headers: HeaderMap = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
    prover.answered(proof, &headers, NOW).is_some()
}

#[test]
fn a_proof_says_what_it_is_for() {
    let (key, token) =
        (ProofKey::generate(), AccessTokenHash::of(&Secret::new("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU")));
    let (header, claims) = read(&proof(&Prover::default(), &key, Some(&token)));
    assert_eq!((&header["typ"], &header["alg"]), (&json!("dpop+jwt"), &json!("ES256")));
    assert_eq!(header["jwk"], serde_json::from_str::<Value>(key.public_jwk()).unwrap());
    assert_eq!((&claims["htm"], &claims["htu"]), (&json!("POST"), &json!(HTU)));
    // The pair of RFC 9449 section 4.3.
    assert_eq!(claims["ath"], "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
    assert_eq!(claims["iat"], NOW.secs());
    assert!(claims.get("nonce").is_none());
}

#[test]
fn no_proof_is_like_another_and_none_is_shown() {
    let (prover, key) = (Prover::default(), ProofKey::generate());
    let [one, two] = [(); 2].map(|()| proof(&prover, &key, None));
    assert_ne!(read(&one).1["jti"], read(&two).1["jti"]);
    assert!(read(&one).1.get("ath").is_none());
    assert!(!format!("{one:?}").contains(one.value().to_str().unwrap()));
}

#[test]
fn the_newest_nonce_stands_in_the_next_proof() {
    let (prover, key) = (Prover::default(), ProofKey::generate());
    let before = proof(&prover, &key, None);
    assert!(!wants_another(&prover, &before, &[]));
    for nonce in ["first", "second"] {
        heard(&prover, &[(DPOP_NONCE, nonce)]);
        assert_eq!(read(&proof(&prover, &key, None)).1["nonce"], nonce);
    }
    assert!(wants_another(&prover, &before, &[]), "it knows one by now");
    let with = proof(&prover, &key, None);
    assert!(!wants_another(&prover, &with, &[(DPOP_NONCE, "second")]));
    assert!(!wants_another(&prover, &with, &[]));
}

/// Others may have put theirs into the prover's memory meanwhile.
#[test]
fn what_is_sent_again_has_the_nonce_of_its_own_answer() {
    let (prover, key) = (Prover::default(), ProofKey::generate());
    let refused = proof(&prover, &key, None);
    let headers = HeaderMap::from_iter([(DPOP_NONCE, "mine".parse().unwrap())]);
    let wanted = prover.answered(&refused, &headers, NOW).unwrap();
    heard(&prover, &[(DPOP_NONCE, "theirs")]);
    let target = ProofTarget { method: &Method::POST, url: HTU, token: None };
    let again = Prover::default().prove(Some(wanted), &key, &target, NOW, &Random::system());
    assert_eq!(read(&again).1["nonce"], "mine");
}

#[test]
fn a_nonce_that_could_not_stand_in_a_proof_is_none() {
    for nonce in ["", "a b", "a\"b", "a\\b", &"x".repeat(1025)] {
        let headers = HeaderMap::from_iter([(DPOP_NONCE, nonce.parse().unwrap())]);
        assert_eq!(Nonce::read(&headers), None, "{nonce:?}");
    }
    let headers = HeaderMap::from_iter([(DPOP_NONCE, HeaderValue::from_bytes(b"\xff").unwrap())]);
    assert_eq!(Nonce::read(&headers), None);
}

/// Ten minutes each way: proofs are dated by the server's clock.
#[test]
fn proofs_follow_the_servers_clock() {
    let (prover, key) = (Prover::default(), ProofKey::generate());
    let before = proof(&prover, &key, None);
    for ahead in [600, -600] {
        let date =
            std::time::UNIX_EPOCH + std::time::Duration::from_secs(NOW.secs().saturating_add(ahead).unsigned_abs());
        heard(&prover, &[(DATE, &httpdate::fmt_http_date(date))]);
        let dated = read(&proof(&prover, &key, None)).1["iat"].as_i64().unwrap();
        assert!((NOW.secs() + ahead..=NOW.secs() + ahead + 1).contains(&dated), "{dated}");
        assert!(wants_another(&prover, &before, &[(DATE, &httpdate::fmt_http_date(date))]));
    }
}

#[test]
fn a_clock_that_is_a_little_fast_is_set_back() {
    let (prover, key) = (Prover::default(), ProofKey::generate());
    let before = proof(&prover, &key, None);
    assert!(wants_another(&prover, &before, &[(DATE, "Fri, 20 Nov 2026 18:39:56 GMT")]), "four seconds");
    assert!(!wants_another(&Prover::default(), &before, &[(DATE, "Fri, 20 Nov 2026 18:39:59 GMT")]), "one may be none");
}

#[test]
fn an_answer_that_was_on_its_way_for_a_while_moves_no_clock() {
    let (prover, key) = (Prover::default(), ProofKey::generate());
    let before = proof(&prover, &key, None);
    let headers = HeaderMap::from_iter([(DATE, "Fri, 20 Nov 2026 18:40:02 GMT".parse().unwrap())]);
    assert!(prover.answered(&before, &headers, NOW.plus(std::time::Duration::from_secs(30))).is_none());
    for headers in [&[(DATE, "Fri, 20 Nov 2020 18:40:00 GMT"), (AGE, "7")][..], &[(DATE, "soon")]] {
        assert!(!wants_another(&prover, &before, headers), "{headers:?}");
    }
}

#[test]
fn a_url_is_named_without_its_query() {
    let url = "https://api.flexslot.gg/oauth/token?tier=beta#x".parse().unwrap();
    assert_eq!(without_query(&url), "https://api.flexslot.gg/oauth/token");
}

proptest! {
    #[test]
    fn any_header_is_heard_and_what_is_taken_for_a_nonce_arrives(
        nonce in proptest::collection::vec(any::<u8>(), 0..64),
        date in ".{0,40}",
    ) {
        let (prover, key) = (Prover::default(), ProofKey::generate());
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(&nonce) { headers.insert(DPOP_NONCE, value); }
        if let Ok(value) = HeaderValue::try_from(date) { headers.insert(DATE, value); }
        prover.heard(&headers, NOW, NOW);
        let taken = Nonce::read(&headers).map(|Nonce(nonce)| json!(nonce));
        let (_, claims) = read(&proof(&prover, &key, None));
        prop_assert_eq!(claims.get("nonce"), taken.as_ref());
    }
}
