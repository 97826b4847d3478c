//! Reads the token endpoint's answer: status, header and body in, a class out. Pure, so that it can be fuzzed.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use serde::Deserialize;
use serde_json::Value;

use super::{TokenAnswer, TokenError};
use crate::model::{Secret, Timestamp, TokenType};

/// A life longer than this is cut to it; it keeps arithmetic with times far from its limits.
const LONGEST_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// RFC 6749 section 5.1. Fields of a wrong type read as absent, except the access token.
#[derive(Deserialize)]
struct Success {
    access_token: Value,
    #[serde(default)]
    refresh_token: Value,
    #[serde(default)]
    token_type: Value,
    #[serde(default)]
    expires_in: Value,
    #[serde(default)]
    scope: Value,
}

/// RFC 6749 section 5.2, the one field that we act on. The description is the server's text and stays out of our
/// messages.
#[derive(Deserialize)]
struct Failure {
    error: String,
}

/// Reads an answer. `now` is for a `Retry-After` that names a date.
pub fn read(status: StatusCode, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<TokenAnswer, TokenError> {
    if status == StatusCode::OK {
        return success(body).ok_or_else(|| TokenError::Unknown("a 200 that is no token answer".into()));
    }
    let error = serde_json::from_slice::<Failure>(body).ok().map(|failure| error_code(&failure.error));
    let retry_after = retry_after(headers, now);
    let what = match &error {
        Some(code) => format!("{} {code}", status.as_u16()),
        None => status.as_u16().to_string(),
    };
    match status.as_u16() {
        429 => Err(TokenError::RefusedForNow { what, retry_after }),
        503 if retry_after.is_some() || error.is_some() => Err(TokenError::RefusedForNow { what, retry_after }),
        400..=499 if error.as_deref() == Some("invalid_grant") => Err(TokenError::Revoked),
        300..=499 => {
            let mend = what_to_mend(status, error.as_deref());
            Err(TokenError::Misconfigured(format!("Flexslot refused the token request with {what}; {mend}")))
        }
        _ => Err(TokenError::Unknown(format!("the answer was {what}"))),
    }
}

/// Where the fault lies when Flexslot refuses a token request for good.
fn what_to_mend(status: StatusCode, error: Option<&str>) -> &'static str {
    match error {
        Some("invalid_client") => "check oauth.client_id and oauth.client_secret",
        Some("unauthorized_client") => {
            "this OAuth client may not refresh tokens: check it at Flexslot, and oauth.client_id"
        }
        None if status.is_redirection() => {
            "it redirects, which is not followed: check upstream.url and oauth.token_url"
        }
        None if matches!(status.as_u16(), 404 | 405) => {
            "no token endpoint is there: check upstream.url and oauth.token_url"
        }
        Some(_) | None => "check [oauth] and upstream.url",
    }
}

/// The wait that a `Retry-After` asks for (RFC 9110 section 10.2.3), at most an hour.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
            Timestamp::from_secs(i64::try_from(since_epoch.as_secs()).ok()?).left(now)
        }
    };
    Some(wait.min(Duration::from_secs(3600)))
}

fn success(body: &[u8]) -> Option<TokenAnswer> {
    let fields: Success = serde_json::from_slice(body).ok()?;
    Some(TokenAnswer {
        access: token(fields.access_token)?,
        refresh: token(fields.refresh_token),
        token_type: token_type(&fields.token_type),
        expires_in: life(&fields.expires_in),
        scope: match fields.scope {
            Value::String(text) if !text.is_empty() => Some(text),
            _ => None,
        },
    })
}

/// A token can stand in a header as it is; anything else cannot be used.
fn token(value: Value) -> Option<Secret> {
    match value {
        Value::String(text) => Some(Secret::new(text)).filter(Secret::is_header_safe),
        _ => None,
    }
}

/// Flexslot documents `Bearer` and `DPoP`; whatever is not the latter is presented as the former.
fn token_type(value: &Value) -> TokenType {
    value.as_str().and_then(TokenType::from_name).unwrap_or(TokenType::Bearer)
}

/// A number or a numeric string of at least one second; fractions are cut off.
fn life(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    (seconds >= 1.0).then(|| Duration::try_from_secs_f64(seconds.floor()).unwrap_or(LONGEST_LIFE).min(LONGEST_LIFE))
}

/// An error code as far as it may stand in our messages: RFC 6749 section 5.2 lets a server write nearly any ASCII
/// there, secrets included.
fn error_code(code: &str) -> String {
    let known = |c: char| c.is_ascii_lowercase() || c == '_';
    if code.len() <= 40 && code.chars().all(known) {
        code.to_owned()
    } else {
        "(an error code of unknown form)".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{read, retry_after};
    use crate::flexslot::{TokenAnswer, TokenError};
    use crate::model::{Timestamp, TokenType};
    use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
    use proptest::prelude::*;
    use std::time::Duration;

    fn answer(status: u16, body: &str) -> Result<TokenAnswer, TokenError> {
        read(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes(), Timestamp::from_secs(0))
    }

    #[test]
    fn a_complete_answer_is_taken_as_it_is() {
        let got = answer(
            200,
            r#"{"access_token":"a","token_type":"bearer","expires_in":3600,"refresh_token":"r","scope":"decks:read"}"#,
        )
        .unwrap();
        assert_eq!((got.access.expose(), got.refresh.as_ref().map(|r| r.expose())), ("a", Some("r")));
        assert_eq!(
            (got.token_type, got.expires_in, got.scope.as_deref()),
            (TokenType::Bearer, Some(Duration::from_secs(3600)), Some("decks:read"))
        );
    }

    #[test]
    fn what_an_answer_leaves_out_stays_open() {
        let got = answer(200, r#"{"access_token":"a"}"#).unwrap();
        assert_eq!((got.refresh, got.expires_in, got.scope), (None, None, None));
    }

    #[test]
    fn only_a_life_of_at_least_one_second_is_usable() {
        let life = |text: &str| {
            answer(200, &format!(r#"{{"access_token":"a","expires_in":{text}}}"#))
                .unwrap()
                .expires_in
                .map(|d| d.as_secs())
        };
        assert_eq!(life("\"1800\""), Some(1800));
        assert_eq!(life("59.9"), Some(59));
        assert_eq!(life("1e300"), Some(10 * 365 * 24 * 3600));
        for unusable in ["0", "-5", "0.5", "null", "\"soon\"", "[]", "\"NaN\""] {
            assert_eq!(life(unusable), None, "{unusable}");
        }
    }

    #[test]
    fn a_malformed_200_may_have_rotated_the_token() {
        for body in
            ["", "<html>", "{}", r#"{"access_token":""}"#, r#"{"access_token":5}"#, "{\"access_token\":\"a\\nb\"}"]
        {
            assert!(matches!(answer(200, body), Err(TokenError::Unknown(_))), "{body}");
        }
    }

    #[test]
    fn the_classes_are_kept_apart() {
        let invalid_grant = r#"{"error":"invalid_grant"}"#;
        assert_eq!(answer(400, invalid_grant), Err(TokenError::Revoked));
        assert_eq!(answer(401, invalid_grant), Err(TokenError::Revoked));
        assert!(matches!(answer(500, invalid_grant), Err(TokenError::Unknown(_))));
        assert!(
            matches!(answer(401, r#"{"error":"invalid_client"}"#), Err(TokenError::Misconfigured(what)) if what.contains("401 invalid_client"))
        );
        for status in [301, 302, 400, 403, 404, 405, 415] {
            assert!(matches!(answer(status, ""), Err(TokenError::Misconfigured(_))), "{status}");
        }
        for status in [500, 502, 503, 504, 201, 204] {
            assert!(matches!(answer(status, ""), Err(TokenError::Unknown(_))), "{status}");
        }
        assert!(matches!(answer(429, ""), Err(TokenError::RefusedForNow { .. })));
        assert!(matches!(answer(503, r#"{"error":"temporarily_unavailable"}"#), Err(TokenError::RefusedForNow { .. })));
    }

    #[test]
    fn a_refusal_for_good_says_what_to_mend() {
        let told = |status, body| answer(status, body).unwrap_err().to_string();
        assert_eq!(
            told(401, r#"{"error":"invalid_client","error_description":"SECRET"}"#),
            "Flexslot refused the token request with 401 invalid_client; check oauth.client_id and oauth.client_secret"
        );
        assert!(told(302, "").ends_with("it redirects, which is not followed: check upstream.url and oauth.token_url"));
        assert!(told(404, "<html>").ends_with("no token endpoint is there: check upstream.url and oauth.token_url"));
        assert!(told(400, r#"{"error":"invalid_request"}"#).ends_with("check [oauth] and upstream.url"));
    }

    #[test]
    fn a_503_with_retry_after_refuses_for_now() {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, "7".parse().unwrap())]);
        let got = read(StatusCode::SERVICE_UNAVAILABLE, &headers, b"", Timestamp::from_secs(0));
        assert_eq!(
            got,
            Err(TokenError::RefusedForNow { what: "503".into(), retry_after: Some(Duration::from_secs(7)) })
        );
    }

    #[test]
    fn retry_after_takes_seconds_and_dates() {
        let wait = |text: &str, now| {
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]), Timestamp::from_secs(now))
        };
        assert_eq!(wait("120", 0), Some(Duration::from_secs(120)));
        assert_eq!(wait("999999", 0), Some(Duration::from_secs(3600)));
        assert_eq!(wait("Fri, 20 Nov 2026 18:40:00 GMT", 1_795_199_990), Some(Duration::from_secs(10)));
        assert_eq!(wait("Fri, 20 Nov 2026 18:40:00 GMT", 1_795_300_000), Some(Duration::ZERO));
        assert_eq!(wait("soon", 0), None);
    }

    #[test]
    fn a_strange_error_code_is_not_repeated() {
        let Err(TokenError::Misconfigured(what)) = answer(400, r#"{"error":"flx_rt_SECRET"}"#) else {
            panic!("misconfigured")
        };
        assert!(!what.contains("SECRET"), "{what}");
    }

    proptest! {
        #[test]
        fn any_body_gets_a_class(status in 200u16..600, body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), &body, Timestamp::from_secs(0));
        }
    }
}
