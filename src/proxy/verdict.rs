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
    pub fn of(status: StatusCode, headers: &HeaderMap, presented: Scheme) -> Self {
        if status != StatusCode::UNAUTHORIZED {
            return Self::Deliver;
        }
        match challenge(headers, presented).and_then(|challenge| challenge.get("error")).as_deref() {
            None | Some("invalid_token") => Self::Renew,
            Some("use_dpop_nonce" | "invalid_dpop_proof") => Self::Prove,
            Some(_) => Self::Deliver,
        }
    }
}

/// How the token was presented. Of several challenges the one of the same scheme counts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Bearer,
    Dpop,
}

/// One challenge of `WWW-Authenticate` (RFC 9110 section 11.6.1), as far as it could be read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

/// What a 403 says of scopes; `None` where the answer is none. A refresh cannot mend it, and only its user can.
pub fn forbidden(status: StatusCode, headers: &HeaderMap) -> Option<Forbidden> {
    if status != StatusCode::FORBIDDEN {
        return None;
    }
    let challenge = challenges(headers).into_iter().find(|challenge| challenge.get("error").is_some());
    Some(match challenge {
        Some(challenge) if challenge.get("error").as_deref() == Some("insufficient_scope") => {
            challenge.get("scope").map_or(Forbidden::ForSome, Forbidden::For)
        }
        _ => Forbidden::Unsaid,
    })
}

/// The challenge that says what is wrong: of the scheme that was presented, else the first of any that does.
fn challenge(headers: &HeaderMap, presented: Scheme) -> Option<Challenge> {
    let name = match presented {
        Scheme::Bearer => "bearer",
        Scheme::Dpop => "dpop",
    };
    let mut told: Vec<_> =
        challenges(headers).into_iter().filter(|challenge| challenge.get("error").is_some()).collect();
    let own = told.iter().position(|challenge| challenge.scheme.eq_ignore_ascii_case(name)).unwrap_or_default();
    (!told.is_empty()).then(|| told.swap_remove(own))
}

/// All challenges, in their order. Tolerant: what does not parse is passed over.
fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let mut all: Vec<Challenge> = Vec::new();
    for line in headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()) {
        let first = all.len();
        for part in split_unquoted(line) {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value)),
                None => (part.trim(), None),
            };
            // The first parameter of a challenge follows its scheme: `Bearer error="…"`.
            let (scheme, name) = match (name.rsplit_once([' ', '\t']), value) {
                (Some((scheme, name)), Some(_)) => (Some(scheme.trim()), name),
                (_, None) => (Some(name), ""),
                (None, Some(_)) => (None, name),
            };
            if scheme.is_some() || all.len() == first {
                all.push(Challenge { scheme: scheme.unwrap_or_default().to_owned(), ..Challenge::default() });
            }
            if let (Some(value), Some(challenge)) = (value, all.last_mut()) {
                challenge.parameters.push((name.to_ascii_lowercase(), unquote(value.trim())));
            }
        }
    }
    all
}

// === impl Challenge ===

impl Challenge {
    /// The value of the first parameter of that name.
    fn get(&self, name: &str) -> Option<String> {
        self.parameters.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
    }
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
    use super::{Scheme, Verdict, challenges, forbidden};
    use crate::credential::Forbidden;
    use http::{HeaderMap, StatusCode, header::WWW_AUTHENTICATE};
    use proptest::prelude::*;

    fn verdict(status: u16, challenge: Option<&str>) -> Verdict {
        let headers =
            challenge.map(|text| (WWW_AUTHENTICATE, text.parse().unwrap())).into_iter().collect::<HeaderMap>();
        Verdict::of(StatusCode::from_u16(status).unwrap(), &headers, Scheme::Dpop)
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

    /// A server that offers both says of each what is wrong with it.
    #[test]
    fn the_challenge_of_the_scheme_that_was_presented_counts() {
        let both = "Bearer error=\"invalid_token\", DPoP algs=\"ES256\", error=\"use_dpop_nonce\"";
        let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, both.parse().unwrap())]);
        let of = |scheme| Verdict::of(StatusCode::UNAUTHORIZED, &headers, scheme);
        assert_eq!((of(Scheme::Bearer), of(Scheme::Dpop)), (Verdict::Renew, Verdict::Prove));
        let one = HeaderMap::from_iter([(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\", DPoP".parse().unwrap())]);
        assert_eq!(Verdict::of(StatusCode::UNAUTHORIZED, &one, Scheme::Dpop), Verdict::Renew);
        let apart = "Basic realm=\"x\", Bearer error=\"insufficient_scope\", DPoP scope=\"decks:write\"";
        let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, apart.parse().unwrap())]);
        assert_eq!(forbidden(StatusCode::FORBIDDEN, &headers), Some(Forbidden::ForSome), "that scope is another's");
    }

    #[test]
    fn only_the_parameter_named_error_counts() {
        let error = |text: &str| {
            let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, text.parse().unwrap())]);
            challenges(&headers).into_iter().find_map(|challenge| challenge.get("error"))
        };
        let quoted = "Bearer error_description=\"error=\\\"x\\\", y\", Error=\"a\\\"b\"";
        assert_eq!(error(quoted).as_deref(), Some("a\"b"));
        assert_eq!(error("Bearer error_uri=x"), None);
    }

    proptest! {
        #[test]
        fn any_challenge_is_read_without_panic(text in ".*") {
            if let Ok(value) = text.parse() {
                let _ = challenges(&HeaderMap::from_iter([(WWW_AUTHENTICATE, value)]));
            }
        }
    }
}
