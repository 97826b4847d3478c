//! What an answer says of a proof of possession: any `WWW-Authenticate`, `DPoP-Nonce` and `Date` gets a verdict, and the
//! next proof can stand in a header.
//!
//! Input: three header values, with LF between them.

use flexslot_proxy::{
    credential::Forbidden,
    flexslot::dpop::{DPOP_NONCE, Nonce, ProofTarget, Prover},
    model::{ProofKey, Random, Timestamp},
    proxy::{
        challenge::Scheme,
        verdict::{Verdict, forbidden},
    },
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{DATE, WWW_AUTHENTICATE},
};
use std::sync::LazyLock;

const NOW: Timestamp = Timestamp::from_secs(1_795_200_000);

static KEY: LazyLock<ProofKey> = LazyLock::new(ProofKey::generate);

pub fn run(input: &[u8]) {
    let mut headers = HeaderMap::new();
    let names: [HeaderName; 3] = [WWW_AUTHENTICATE, DPOP_NONCE, DATE];
    for (name, value) in names.into_iter().zip(input.splitn(3, |&byte| byte == b'\n')) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    let says = |word: &[u8]| {
        headers.get(WWW_AUTHENTICATE).is_some_and(|value| value.as_bytes().windows(word.len()).any(|part| part == word))
    };
    match Verdict::of(StatusCode::UNAUTHORIZED, &headers, Scheme::Dpop) {
        // Backslashes inside a quoted string may stand between any two letters.
        Verdict::Prove => assert!(says(b"dpop") || says(b"\\"), "only where the challenge says so"),
        Verdict::Renew | Verdict::Deliver => {}
    }
    assert_eq!(Verdict::of(StatusCode::FORBIDDEN, &headers, Scheme::Dpop), Verdict::Deliver);

    assert_ne!(Verdict::of(StatusCode::UNAUTHORIZED, &headers, Scheme::Bearer), Verdict::Prove, "nothing to prove");
    assert!(forbidden(StatusCode::UNAUTHORIZED, &headers).is_none());
    match forbidden(StatusCode::FORBIDDEN, &headers) {
        Some(Forbidden::LacksNamed(_) | Forbidden::LacksSome) => assert!(says(b"insufficient_scope") || says(b"\\")),
        Some(Forbidden::Unsaid) => {}
        None => panic!("a 403 says something of scopes, or that it says nothing"),
    }

    let prover = Prover::default();
    let target = ProofTarget { method: &Method::GET, url: "https://api.flexslot.gg/", token: None };
    let before = prover.prove(None, &KEY, &target, NOW, &Random::system());
    let wanted = prover.answered(&before, &headers, NOW);
    assert!(Nonce::read(&headers).is_none() || wanted.is_some());
    let after = prover.prove(None, &KEY, &target, NOW, &Random::system());
    assert!(prover.answered(&after, &headers, NOW).is_none(), "what was said is taken over at once");
    assert!(after.value().to_str().is_ok_and(|text| text.split('.').count() == 3));
}
