//! What becomes of an upstream's response: delivered, or the request sent once more with a renewed token, or with another
//! proof that a bound token is ours.

use http::{HeaderMap, StatusCode, header::WWW_AUTHENTICATE};

use crate::credential::Forbidden;

/// What to do with a response.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes to the client as it is.
    Deliver,
    /// The credential was refused: ask the credential room for another. At most once per request.
    Renew,
    /// The proof of possession was refused, and the token not looked at: prove it again. At most once per request.
    Prove,
}

/// The `details` of `Proxy-Status` for a 401 of a token that was fresh.
pub const UNAUTHORIZED_AFTER_REFRESH: &str = "unauthorized_after_refresh";

/// The `details` of `Proxy-Status` for a 401 that does not take the proof of a bound token.
pub const PROOF_REFUSED: &str = "dpop_proof_refused";

/// The `details` of `Proxy-Status` for a 401 that no refresh could cure because none could be had.
pub const REFRESH_UNAVAILABLE: &str = "refresh_unavailable";

// === impl Verdict ===

impl Verdict {
    /// Judges a response. Only a 401 that speaks of the token itself (no `error`, or `invalid_token`; RFC 6750 section
    /// 3.1) renews; a 403 never does, since a new token has the same scopes. One that speaks of the proof (RFC 9449
    /// sections 7.1 and 9) is about neither. How often a request is sent is the exchange's business.
    pub fn of(status: StatusCode, headers: &HeaderMap) -> Self {
        if status != StatusCode::UNAUTHORIZED {
            return Self::Deliver;
        }
        match challenge_error(headers).as_deref() {
            None | Some("invalid_token") => Self::Renew,
            Some("use_dpop_nonce" | "invalid_dpop_proof") => Self::Prove,
            Some(_) => Self::Deliver,
        }
    }
}

/// What a 403 says of scopes; `None` where the answer is none. A refresh cannot mend it, and only its user can.
pub fn forbidden(status: StatusCode, headers: &HeaderMap) -> Option<Forbidden> {
    if status != StatusCode::FORBIDDEN {
        return None;
    }
    Some(match (challenge_error(headers).as_deref(), challenge_parameter(headers, "scope")) {
        (Some("insufficient_scope"), Some(scope)) => Forbidden::For(scope),
        (Some("insufficient_scope"), None) => Forbidden::ForSome,
        _ => Forbidden::Unsaid,
    })
}

/// The first `error` parameter of the challenges (RFC 9110 section 11.6.1), whatever the scheme. Tolerant: what does
/// not parse is passed over.
fn challenge_error(headers: &HeaderMap) -> Option<String> {
    challenge_parameter(headers, "error")
}

fn challenge_parameter(headers: &HeaderMap, name: &str) -> Option<String> {
    let challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    challenges.into_iter().find_map(|challenges| parameter(challenges, name))
}

fn parameter(challenges: &str, wanted: &str) -> Option<String> {
    split_unquoted(challenges).into_iter().find_map(|part| {
        let (name, value) = part.split_once('=')?;
        // The first parameter of a challenge follows its scheme: `Bearer error="…"`.
        let name = name.trim_end().rsplit([' ', '\t']).next()?;
        name.eq_ignore_ascii_case(wanted).then(|| unquote(value.trim()))
    })
}

/// Splits at commas that are not inside a quoted string (RFC 9110 section 5.6.4).
fn split_unquoted(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let mut text = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Verdict, forbidden, parameter};
    use crate::credential::Forbidden;
    use http::{HeaderMap, StatusCode, header::WWW_AUTHENTICATE};
    use proptest::prelude::*;

    fn verdict(status: u16, challenge: Option<&str>) -> Verdict {
        let headers =
            challenge.map(|text| (WWW_AUTHENTICATE, text.parse().unwrap())).into_iter().collect::<HeaderMap>();
        Verdict::of(StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[test]
    fn a_401_about_the_token_renews() {
        for challenge in [
            None,
            Some("Bearer"),
            Some("Bearer realm=\"x\""),
            Some("Bearer error=\"invalid_token\""),
            Some("Bearer realm=\"a, error=b\", error=invalid_token"),
        ] {
            assert_eq!(verdict(401, challenge), Verdict::Renew, "{challenge:?}");
        }
    }

    #[test]
    fn a_401_about_something_else_is_delivered() {
        for challenge in ["Bearer error=\"insufficient_scope\"", "Basic, Bearer  error = \"invalid_request\""] {
            assert_eq!(verdict(401, Some(challenge)), Verdict::Deliver, "{challenge}");
        }
    }

    #[test]
    fn a_401_about_the_proof_proves_again() {
        for challenge in [
            "DPoP error=\"use_dpop_nonce\", algs=\"ES256\"",
            "DPoP algs=\"ES256 EdDSA\", error=invalid_dpop_proof, error_description=\"iat\"",
            "Bearer, DPoP error = \"use_dpop_nonce\"",
        ] {
            assert_eq!(verdict(401, Some(challenge)), Verdict::Prove, "{challenge}");
        }
        assert_eq!(verdict(400, Some("DPoP error=\"use_dpop_nonce\"")), Verdict::Deliver);
    }

    #[test]
    fn nothing_but_a_401_renews() {
        for status in [200, 403, 407, 429, 500] {
            assert_eq!(verdict(status, Some("Bearer error=\"invalid_token\"")), Verdict::Deliver, "{status}");
        }
    }

    #[test]
    fn a_403_says_which_scopes_are_lacking_or_only_that_some_are() {
        let said = |status: u16, challenge: &str| {
            let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, challenge.parse().unwrap())]);
            forbidden(StatusCode::from_u16(status).unwrap(), &headers)
        };
        let named = "Bearer realm=\"x\", error=\"insufficient_scope\", scope=\"decks:read decks:write\"";
        assert_eq!(said(403, named), Some(Forbidden::For("decks:read decks:write".into())));
        assert_eq!(said(403, "DPoP error=insufficient_scope"), Some(Forbidden::ForSome));
        assert_eq!(said(403, "Bearer scope=\"decks:write\""), Some(Forbidden::Unsaid));
        assert_eq!(said(401, named), None);
    }

    #[test]
    fn only_the_parameter_named_error_counts() {
        assert_eq!(
            parameter("Bearer error_description=\"error=\\\"x\\\", y\", Error=\"a\\\"b\"", "error").as_deref(),
            Some("a\"b")
        );
        assert_eq!(parameter("Bearer error_uri=x", "error"), None);
    }

    proptest! {
        #[test]
        fn any_challenge_is_read_without_panic(text in ".*") {
            let _ = parameter(&text, "error");
        }
    }
}
