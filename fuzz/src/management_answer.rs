//! The answers of Flexslot's management of OAuth clients: any body is read or refused, and of what the server wrote no
//! error repeats more than its `FLEXSLOT_…` code.
//!
//! Input: the status in two bytes, `Retry-After` up to the first LF, the body.

use std::time::Duration;

use flexslot_proxy::{
    flexslot::clients::{ManagementError, Refused, WhyRefused, answer},
    model::Timestamp,
};
use http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER};

const NOW: Timestamp = Timestamp::from_secs(1_795_200_000);

/// What the corpus writes where a server might repeat a secret. No code begins with it.
const CANARY: &str = "CANARY";

fn check_error(error: &ManagementError) {
    if let ManagementError::Refused(Refused { code: Some(code), .. }) = error {
        assert!(code.starts_with("FLEXSLOT_") && code.len() <= 64, "{code}");
        assert!(code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'), "{code}");
    } else {
        let shown = format!("{error:?} {error}");
        assert!(!shown.contains(CANARY) || shown.contains("FLEXSLOT_"), "{shown}");
    }
    if let ManagementError::Refused(Refused { why: WhyRefused::Busy { retry_after }, .. }) = error {
        assert!(retry_after.is_none_or(|wait| wait <= Duration::from_secs(3600)));
    }
}

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
    check_error(&answer::failure(status, &headers, body, NOW));
    if let Err(error) = answer::list(body) {
        check_error(&error);
    }
    if let Err(error) = answer::pat(body) {
        check_error(&error);
    }
    match answer::issued(body) {
        Ok(issued) => {
            let secret = issued.secret.as_ref();
            assert!(secret.is_none_or(|secret| secret.is_header_safe()), "a secret that can be presented");
            assert!(issued.client.client_type.is_some());
        }
        Err(error) => check_error(&error),
    }
}
