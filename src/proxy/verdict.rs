//! What becomes of an upstream's response: delivered, or the request sent once more with a renewed token, or with another
//! proof that a bound token is ours.

use http::{HeaderMap, StatusCode};

use super::challenge::{Scheme, challenge_of_error, first_with_error};
use crate::credential::{Forbidden, INVALID_DPOP_PROOF, USE_DPOP_NONCE};

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
        let challenge = challenge_of_error(headers, presented);
        match challenge.as_ref().and_then(|challenge| challenge.get("error")) {
            None | Some("invalid_token") => Self::Renew,
            Some(USE_DPOP_NONCE | INVALID_DPOP_PROOF) if presented == Scheme::Dpop => Self::Prove,
            Some(_) => Self::Deliver,
        }
    }
}

/// What a 403 says of scopes; `None` where the answer is none. A refresh cannot mend it, and only its user can.
pub fn forbidden(status: StatusCode, headers: &HeaderMap) -> Option<Forbidden> {
    if status != StatusCode::FORBIDDEN {
        return None;
    }
    let challenge = first_with_error(headers);
    Some(match challenge {
        Some(challenge) if challenge.get("error") == Some("insufficient_scope") => {
            challenge.get("scope").map_or(Forbidden::LacksSome, |scope| Forbidden::LacksNamed(scope.to_owned()))
        }
        _ => Forbidden::Unsaid,
    })
}

#[cfg(test)]
mod tests {
    use super::{Scheme, Verdict, forbidden};
    use crate::credential::Forbidden;
    use http::{HeaderMap, StatusCode, header::WWW_AUTHENTICATE};

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
    fn a_proof_that_is_demanded_for_a_bearer_token_is_not_ours_to_make() {
        let demand = "DPoP error=\"use_dpop_nonce\"".parse().unwrap();
        let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, demand)]);
        assert_eq!(Verdict::of(StatusCode::UNAUTHORIZED, &headers, Scheme::Bearer), Verdict::Deliver);
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
        assert_eq!(said(403, named), Some(Forbidden::LacksNamed("decks:read decks:write".into())));
        assert_eq!(said(403, "DPoP error=insufficient_scope"), Some(Forbidden::LacksSome));
        for silent in ["Bearer scope=\"decks:write\"", "Bearer error=\"invalid_token\", scope=\"decks:write\""] {
            assert_eq!(said(403, silent), Some(Forbidden::Unsaid), "{silent}");
        }
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
        assert_eq!(forbidden(StatusCode::FORBIDDEN, &headers), Some(Forbidden::LacksSome), "that scope is another's");
    }
}
