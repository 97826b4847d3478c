//! Reads what the OAuth server answers: status, header and body in, a class out. Pure, so that it can be fuzzed.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Introspection, Revocation, TokenAnswer, TokenError,
    dpop::{INVALID_DPOP_PROOF, USE_DPOP_NONCE},
};
use crate::model::{Identity, Secret, Timestamp, TokenType};

/// A life longer than this is cut to it; it keeps arithmetic with times far from its limits.
const LONGEST_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Longer user names and subjects than this are none.
const LONGEST_NAME: usize = 255;

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

/// RFC 7662 section 2.2. Fields of a wrong type read as absent, except the one that counts.
#[derive(Deserialize)]
struct Introspected {
    active: bool,
    #[serde(default)]
    sub: Value,
    #[serde(default)]
    username: Value,
    #[serde(default)]
    scope: Value,
}

/// An endpoint as messages speak of it: what is asked of it, what it is called, and the key that says where it is.
struct Endpoint {
    request: &'static str,
    name: &'static str,
    key: &'static str,
}

const TOKEN: Endpoint = Endpoint { request: "the token request", name: "token endpoint", key: "oauth.token_url" };
const REVOCATION: Endpoint =
    Endpoint { request: "the revocation", name: "revocation endpoint", key: "oauth.revoke_url" };
const INTROSPECTION: Endpoint =
    Endpoint { request: "the introspection", name: "introspection endpoint", key: "oauth.introspect_url" };

/// What mends a refusal of the client itself.
const CHECK_CLIENT: &str = "check this OAuth client's id and secret, in [oauth] or [[oauth.clients]], or give it \
                            another secret: flexslot-proxy client rotate-secret";

/// RFC 6749 section 5.2, the one field that we act on. The description is the server's text and stays out of our
/// messages.
#[derive(Deserialize)]
struct Failure {
    error: String,
}

/// Reads an answer of the token endpoint. `now` is for a `Retry-After` that names a date.
pub fn read(status: StatusCode, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<TokenAnswer, TokenError> {
    if status == StatusCode::OK {
        return success(body).ok_or_else(|| TokenError::Unknown("a 200 that is no token answer".into()));
    }
    Err(failure(&TOKEN, status, headers, body, now))
}

/// What an answer of the token endpoint says of the request's proof of possession, or of the want of one (RFC 9449
/// sections 5 and 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofRefusal {
    /// It wants a nonce.
    Nonce,
    /// It wants one, or another one.
    Proof,
}

/// Reads whether an answer of the token endpoint speaks of the request's proof, and of nothing else.
pub fn refusal_of_proof(status: StatusCode, body: &[u8]) -> Option<ProofRefusal> {
    let failure = serde_json::from_slice::<Failure>(body).ok().filter(|_| status.is_client_error())?;
    match failure.error.as_str() {
        USE_DPOP_NONCE => Some(ProofRefusal::Nonce),
        INVALID_DPOP_PROOF => Some(ProofRefusal::Proof),
        _ => None,
    }
}

/// Reads an answer of the revocation endpoint (RFC 7009 section 2.2): whatever it answers to the request itself is its
/// last word on the token.
pub fn revocation(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<Revocation, TokenError> {
    if status.is_success() {
        return Ok(Revocation::Accepted);
    }
    match failure(&REVOCATION, status, headers, body, now) {
        TokenError::Misconfigured(what) if status.is_client_error() => Ok(Revocation::Refused(what)),
        TokenError::Revoked => Ok(Revocation::Accepted),
        error => Err(error),
    }
}

/// Reads an answer of the introspection endpoint (RFC 7662 section 2.2).
pub fn introspection(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<Introspection, TokenError> {
    if status != StatusCode::OK {
        return Err(failure(&INTROSPECTION, status, headers, body, now));
    }
    let fields: Introspected = serde_json::from_slice(body)
        .map_err(|_| TokenError::Unknown("a 200 that is no introspection answer".into()))?;
    if !fields.active {
        return Ok(Introspection::Inactive);
    }
    let username = name(fields.username);
    Ok(Introspection::Active {
        identity: name(fields.sub).map(|sub| Identity { sub, username }),
        scope: text(fields.scope),
    })
}

/// Whether the server has refused the client itself (RFC 6749 section 5.2), before it has looked at anything else.
pub(super) fn is_invalid_client(status: StatusCode, body: &[u8]) -> bool {
    let error = || serde_json::from_slice::<Failure>(body).ok().map(|failure| failure.error);
    status.is_client_error() && error().as_deref() == Some("invalid_client")
}

/// What an answer other than the one hoped for means.
fn failure(endpoint: &Endpoint, status: StatusCode, headers: &HeaderMap, body: &[u8], now: Timestamp) -> TokenError {
    let error = serde_json::from_slice::<Failure>(body).ok().map(|failure| error_code(&failure.error));
    let retry_after = retry_after(headers, now);
    let what = match &error {
        Some(code) => format!("{} {code}", status.as_u16()),
        None => status.as_u16().to_string(),
    };
    match status.as_u16() {
        429 => TokenError::RefusedForNow { what, retry_after },
        503 if retry_after.is_some() || error.is_some() => TokenError::RefusedForNow { what, retry_after },
        400..=499 if error.as_deref() == Some("invalid_grant") => TokenError::Revoked,
        300..=499 => {
            let mend = what_to_mend(endpoint, status, error.as_deref());
            TokenError::Misconfigured(format!("Flexslot refused {} with {what}; {mend}", endpoint.request))
        }
        _ => TokenError::Unknown(format!("the answer was {what}")),
    }
}

/// Where the fault lies when Flexslot refuses a request for good.
fn what_to_mend(endpoint: &Endpoint, status: StatusCode, error: Option<&str>) -> String {
    let Endpoint { name, key, .. } = endpoint;
    match error {
        Some("invalid_client") => CHECK_CLIENT.into(),
        Some("unauthorized_client") => {
            "this OAuth client may not ask for tokens like this: check its grant types at Flexslot, and oauth.client_id"
                .into()
        }
        Some(USE_DPOP_NONCE | INVALID_DPOP_PROOF) => {
            "it wants tokens that are bound to a key: check oauth.dpop, which \"off\" does not let it have, and this \
             machine's clock"
                .into()
        }
        None if status.is_redirection() => {
            format!("it redirects, which is not followed: check upstream.url and {key}")
        }
        None if matches!(status.as_u16(), 404 | 405) => {
            format!("no {name} is there: check upstream.url and {key}")
        }
        Some(_) | None => "check [oauth] and upstream.url".into(),
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
        key: None,
        access: token(fields.access_token)?,
        refresh: token(fields.refresh_token),
        token_type: token_type(&fields.token_type),
        expires_in: life(&fields.expires_in),
        scope: text(fields.scope),
    })
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// A name that fits on a page and in a record: no controls, nor more than [`LONGEST_NAME`].
fn name(value: Value) -> Option<String> {
    text(value).filter(|name| name.chars().count() <= LONGEST_NAME && !name.chars().any(char::is_control))
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
    use super::{CHECK_CLIENT, introspection, read, retry_after, revocation};
    use crate::flexslot::{Introspection, Revocation, TokenAnswer, TokenError};
    use crate::model::{Identity, Timestamp, TokenType};
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
            "Flexslot refused the token request with 401 invalid_client; check this OAuth client's id and secret, in \
             [oauth] or [[oauth.clients]], or give it another secret: flexslot-proxy client rotate-secret"
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

    fn revoked(status: u16, body: &str) -> Result<Revocation, TokenError> {
        revocation(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes(), Timestamp::from_secs(0))
    }

    #[test]
    fn every_answer_to_a_revocation_but_wait_is_the_last_word() {
        assert_eq!(revoked(200, ""), Ok(Revocation::Accepted));
        assert_eq!(revoked(400, r#"{"error":"invalid_grant"}"#), Ok(Revocation::Accepted));
        let told = format!("Flexslot refused the revocation with 401 invalid_client; {CHECK_CLIENT}");
        assert_eq!(revoked(401, r#"{"error":"invalid_client"}"#), Ok(Revocation::Refused(told)));
        assert!(matches!(revoked(404, "<html>"), Ok(Revocation::Refused(what)) if what.ends_with("oauth.revoke_url")));
        assert!(matches!(revoked(429, ""), Err(TokenError::RefusedForNow { .. })));
        assert!(matches!(revoked(302, ""), Err(TokenError::Misconfigured(_))));
        assert!(matches!(revoked(502, ""), Err(TokenError::Unknown(_))));
    }

    fn introspected(body: &str) -> Result<Introspection, TokenError> {
        introspection(StatusCode::OK, &HeaderMap::new(), body.as_bytes(), Timestamp::from_secs(0))
    }

    #[test]
    fn an_active_token_names_its_user() {
        let body = r#"{"active":true,"sub":"u-1","username":"george","scope":"decks:read","exp":1}"#;
        let identity = Some(Identity { sub: "u-1".into(), username: Some("george".into()) });
        assert_eq!(introspected(body), Ok(Introspection::Active { identity, scope: Some("decks:read".into()) }));
        assert_eq!(introspected(r#"{"active":false,"sub":"u-1"}"#), Ok(Introspection::Inactive));
    }

    #[test]
    fn names_that_cannot_be_shown_are_none() {
        let identity = |body: &str| match introspected(body) {
            Ok(Introspection::Active { identity, .. }) => identity,
            other => panic!("{other:?}"),
        };
        let nobody = |sub: &str| identity(&format!(r#"{{"active":true,"sub":{sub},"username":"george"}}"#)).is_none();
        assert!(nobody("null") && nobody("5") && nobody(r#""""#) && nobody(r#""a\nb""#));
        assert!(nobody(&format!("\"{}\"", "x".repeat(256))));
        let nameless = identity(r#"{"active":true,"sub":"u-1","username":"a\u0007"}"#);
        assert_eq!(nameless, Some(Identity { sub: "u-1".into(), username: None }));
    }

    #[test]
    fn an_introspection_that_cannot_be_read_says_nothing_of_the_token() {
        for body in ["", "{}", r#"{"active":"true"}"#, "[]"] {
            assert!(matches!(introspected(body), Err(TokenError::Unknown(_))), "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_body_gets_a_class(status in 200u16..600, body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (status, headers, now) = (StatusCode::from_u16(status).unwrap(), HeaderMap::new(), Timestamp::from_secs(0));
            let _ = read(status, &headers, &body, now);
            let _ = revocation(status, &headers, &body, now);
            let _ = introspection(status, &headers, &body, now);
        }
    }
}
