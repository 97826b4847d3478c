//! PKCE (RFC 7636), with `S256` alone: Flexslot refuses `plain`.

use std::fmt;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use sha2::{Digest, Sha256};

use crate::model::{Random, Secret};

/// The secret behind one authorization request (section 4.1). Not `Clone`: it is presented with one code, once.
#[derive(Debug, PartialEq, Eq)]
pub struct Verifier(Secret);

/// What the authorization request says of its verifier (section 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge(String);

// === impl Verifier ===

impl Verifier {
    /// 32 random bytes in base64url, as section 4.1 recommends: 43 characters.
    pub fn random(random: &Random) -> Self {
        Self(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(random.bytes::<32>())))
    }

    /// One that was put away between the two requests.
    pub fn from_stored(text: Secret) -> Self {
        Self(text)
    }

    /// To put it away until the code comes.
    pub fn into_stored(self) -> Secret {
        self.0
    }

    /// Its SHA-256 in base64url.
    pub fn challenge(&self) -> Challenge {
        Challenge(BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(self.0.expose().as_bytes())))
    }

    /// The text itself, for the token request.
    pub(super) fn expose(&self) -> &str {
        self.0.expose()
    }
}

// === impl Challenge ===

impl Challenge {
    /// The only method there is.
    pub const METHOD: &'static str = "S256";

    /// As in a URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Verifier;
    use crate::model::{Random, Secret};

    #[test]
    fn the_challenge_is_that_of_rfc_7636_appendix_b() {
        let verifier = Verifier::from_stored(Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        assert_eq!(verifier.challenge().as_str(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn a_verifier_has_43_unreserved_characters_and_is_not_shown() {
        let verifier = Verifier::random(&Random::system());
        assert_eq!(verifier.expose().len(), 43);
        assert!(verifier.expose().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
        assert_eq!(format!("{verifier:?}"), "Verifier([redacted])");
        assert_ne!(verifier, Verifier::random(&Random::system()));
    }
}
