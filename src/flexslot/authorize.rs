//! The authorization request: where the browser goes to ask its user (RFC 6749 section 4.1.1, RFC 7636 section 4.3).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::pkce::Challenge;
use crate::model::Secret;

/// What is asked for, and where the answer goes.
#[derive(Debug, Clone, Copy)]
pub struct AuthorizationRequest<'a> {
    pub client_id: &'a str,
    /// Byte for byte as it is registered at Flexslot.
    pub redirect_uri: &'a str,
    /// Separated by spaces.
    pub scope: &'a str,
    pub state: &'a Secret,
    pub challenge: &'a Challenge,
}

/// Everything but the unreserved characters of RFC 3986 section 2.3. A space becomes `%20`, as Flexslot's documentation
/// has it, and not the `+` of forms.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

// === impl AuthorizationRequest ===

impl AuthorizationRequest<'_> {
    /// `endpoint` with this request; what its query has already is kept (RFC 6749 section 3.1).
    pub fn url(&self, endpoint: &Url) -> Url {
        let parameters = [
            ("response_type", "code"),
            ("client_id", self.client_id),
            ("redirect_uri", self.redirect_uri),
            ("scope", self.scope),
            ("state", self.state.expose()),
            ("code_challenge", self.challenge.as_str()),
            ("code_challenge_method", Challenge::METHOD),
        ];
        let own = endpoint.query().filter(|query| !query.is_empty()).map(str::to_owned);
        let added = parameters.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, ENCODED)));
        let query: Vec<_> = own.into_iter().chain(added).collect();
        let mut url = endpoint.clone();
        url.set_query(Some(&query.join("&")));
        url
    }
}

#[cfg(test)]
mod tests {
    use super::AuthorizationRequest;
    use crate::{flexslot::pkce::Verifier, model::Secret};
    use proptest::prelude::*;

    fn url(endpoint: &str, client_id: &str, scope: &str) -> String {
        let verifier = Verifier::from_stored(Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        let request = AuthorizationRequest {
            client_id,
            redirect_uri: "http://127.0.0.1:3540/oauth/callback",
            scope,
            state: &Secret::new("s-1"),
            challenge: &verifier.challenge(),
        };
        request.url(&endpoint.parse().unwrap()).to_string()
    }

    #[test]
    fn all_seven_parameters_are_there_and_encoded() {
        assert_eq!(
            url("https://api.flexslot.gg/api/public/v1/oauth/authorize", "cli_1", "decks:read cards:read"),
            "https://api.flexslot.gg/api/public/v1/oauth/authorize?response_type=code&client_id=cli_1\
             &redirect_uri=http%3A%2F%2F127.0.0.1%3A3540%2Foauth%2Fcallback&scope=decks%3Aread%20cards%3Aread&state=s-1\
             &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
        );
    }

    #[test]
    fn the_endpoints_own_query_is_kept() {
        let url = url("http://localhost:1/authorize?tier=beta", "cli_1", "decks:read");
        assert!(url.starts_with("http://localhost:1/authorize?tier=beta&response_type=code&"), "{url}");
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_arrives_as_it_is(client_id in ".{0,20}", scope in ".{0,20}") {
            let url: url::Url = url("http://localhost:1/", &client_id, &scope).parse().unwrap();
            let arrived: Vec<_> = url.query_pairs().collect();
            prop_assert_eq!(arrived.len(), 7);
            prop_assert_eq!(&arrived[1].1, &client_id);
            prop_assert_eq!(&arrived[3].1, &scope);
        }
    }
}
