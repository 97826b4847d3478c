//! The answers of the token, revocation and introspection endpoints: any status, `Retry-After` and body gets a class,
//! and of what the server wrote nothing is repeated but the names that it is asked for.
//!
//! Input: the status in two bytes, `Retry-After` up to the first LF, the body.

use std::time::Duration;

use flexslot_proxy::{
    flexslot::{Introspection, answer},
    model::Timestamp,
};
use http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER};

const NOW: Timestamp = Timestamp::from_secs(1_795_200_000);
const HOUR: Duration = Duration::from_secs(3600);
const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What the corpus writes where a server might repeat a secret. No word of ours contains it.
const CANARY: &str = "CANARY";

pub fn run(input: &[u8]) {
    let [high, low, rest @ ..] = input else { return };
    let Ok(status) = StatusCode::from_u16(100 + u16::from_be_bytes([*high, *low]) % 900) else { return };
    let (wait, body) = match rest.iter().position(|&byte| byte == b'\n') {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (&[][..], rest),
    };
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(wait) {
        headers.insert(RETRY_AFTER, value);
    }
    assert!(answer::retry_after(&headers, NOW).is_none_or(|wait| wait <= HOUR));

    let read = answer::read(status, &headers, body, NOW);
    match &read {
        Ok(answer) => {
            assert_eq!(status, StatusCode::OK);
            for token in [Some(&answer.access), answer.refresh.as_ref()].into_iter().flatten() {
                assert!(!token.is_empty() && HeaderValue::from_str(token.expose()).is_ok(), "stands in a header");
            }
            assert!(answer.expires_in.is_none_or(|life| (Duration::from_secs(1)..=TEN_YEARS).contains(&life)));
        }
        Err(error) => assert!(!format!("{error:?} {error}").contains(CANARY), "the server's text is not repeated"),
    }

    if let Some(refusal) = answer::refusal_of_proof(status, body) {
        assert!(status.is_client_error() && read.is_err(), "{refusal:?}");
    }

    let revoked = answer::revocation(status, &headers, body, NOW);
    assert!(!format!("{revoked:?}").contains(CANARY), "the server's text is not repeated");

    match answer::introspection(status, &headers, body, NOW) {
        Ok(Introspection::Active { identity, .. }) => {
            assert_eq!(status, StatusCode::OK);
            for name in identity.iter().flat_map(|identity| [Some(&identity.sub), identity.username.as_ref()]).flatten()
            {
                assert!(!name.is_empty() && name.chars().count() <= 255 && !name.chars().any(char::is_control));
            }
        }
        Ok(Introspection::Inactive) => assert_eq!(status, StatusCode::OK),
        Err(error) => assert!(!format!("{error:?} {error}").contains(CANARY), "the server's text is not repeated"),
    }
}
