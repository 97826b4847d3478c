//! One proof (RFC 9449 section 4.3), read by `jwt-compact`.

use std::time::Duration;

use jwt_compact::{
    Algorithm, AlgorithmExt, Claims, Header, UntrustedToken, ValidationError, alg::Es256, jwk::JsonWebKey,
};
use serde::{Deserialize, Serialize};
use url::Url;

use super::Fault;
use crate::{model::Timestamp, sandbox::ids};

pub(super) type Signing = <Es256 as Algorithm>::SigningKey;
type Verifying = <Es256 as Algorithm>::VerifyingKey;

/// `typ` of a proof.
pub(super) const TYPE: &str = "dpop+jwt";

/// The longest `jti`; RFC 9449 asks for 96 bits of chance, and for no length.
const JTI_LIMIT: usize = 256;

/// What a proof's header has beside `alg` and `typ`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Extension<'a> {
    pub(super) jwk: JsonWebKey<'a>,
    /// Names extensions that have to be understood (RFC 7515 section 4.1.11); none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) crit: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Stated {
    jti: String,
    htm: String,
    htu: String,
    ath: Option<String>,
    nonce: Option<String>,
}

/// What a proof has to be about.
pub(super) struct Wanted<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a str,
    pub(super) access_token: Option<&'a str>,
    pub(super) now: Timestamp,
    pub(super) tolerance: Duration,
}

/// A proof of possession of one key, for one request; whether it is the first of its name is not known yet.
#[derive(Debug)]
pub(super) struct Proof {
    pub(super) thumbprint: String,
    pub(super) jti: String,
    pub(super) nonce: Option<String>,
}

impl Proof {
    pub(super) fn read(text: &str, wanted: &Wanted<'_>) -> Result<Self, Fault> {
        let token = UntrustedToken::<Extension<'static>>::try_from(text).map_err(|_| Fault::Malformed)?;
        let (jwk, claims) = verified(&token)?;
        check(&claims, wanted)?;
        let Stated { jti, nonce, .. } = claims.custom;
        Ok(Self { thumbprint: thumbprint(&jwk), jti, nonce })
    }
}

/// Header and signature.
fn verified(token: &UntrustedToken<'_, Extension<'static>>) -> Result<(JsonWebKey<'static>, Claims<Stated>), Fault> {
    let Header { token_type, other_fields: Extension { jwk, crit }, .. } = token.header();
    if token_type.as_deref() != Some(TYPE) {
        return Err(Fault::Typ);
    }
    if token.algorithm() != Es256.name() {
        return Err(Fault::Alg);
    }
    if crit.is_some() {
        return Err(Fault::Malformed);
    }
    if jwk.is_signing_key() {
        return Err(Fault::Jwk);
    }
    let key = Verifying::try_from(jwk).map_err(|_| Fault::Jwk)?;
    match Es256.validator::<Stated>(&key).validate(token) {
        Ok(token) => Ok((jwk.clone(), token.into_parts().1)),
        Err(ValidationError::MalformedClaims(_)) => Err(Fault::Malformed),
        Err(_) => Err(Fault::Signature),
    }
}

fn check(claims: &Claims<Stated>, wanted: &Wanted<'_>) -> Result<(), Fault> {
    let Stated { jti, htm, htu, ath, .. } = &claims.custom;
    if jti.is_empty() || jti.len() > JTI_LIMIT {
        return Err(Fault::Malformed);
    }
    if htm != wanted.method {
        return Err(Fault::Htm);
    }
    if !is_same_resource(htu, wanted.url) {
        return Err(Fault::Htu);
    }
    let issued = Timestamp::from_secs(claims.issued_at.ok_or(Fault::Malformed)?.timestamp());
    let apart = issued.since(wanted.now).or(wanted.now.since(issued)).unwrap_or(Duration::MAX);
    if apart > wanted.tolerance {
        return Err(Fault::Iat);
    }
    match wanted.access_token {
        Some(token) if ath.as_deref() != Some(&ids::base64url(&ids::digest(token))) => Err(Fault::Ath),
        _ => Ok(()),
    }
}

/// Whether `htu` names the resource at `url`: both normalised (RFC 3986 sections 6.2.2 and 6.2.3), and nothing in `htu`
/// that does not belong there.
fn is_same_resource(htu: &str, url: &str) -> bool {
    let (Ok(htu), Ok(url)) = (Url::parse(htu), Url::parse(url)) else { return false };
    let parts = |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default());
    let bare =
        htu.query().is_none() && htu.fragment().is_none() && htu.username().is_empty() && htu.password().is_none();
    bare && parts(&htu) == parts(&url) && htu.path() == url.path()
}

/// RFC 7638 section 3: the digest of the required members in their order, which is how a public key prints.
pub(super) fn thumbprint(public: &JsonWebKey<'_>) -> String {
    ids::base64url(&ids::digest(&public.to_string()))
}

#[cfg(test)]
mod tests {
    use super::{Fault, Proof, Wanted, is_same_resource};
    use crate::model::Timestamp;
    use std::time::Duration;

    /// RFC 9449 section 4.1, figure 2.
    const PUBLISHED: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";

    fn read(text: &str) -> Result<Proof, Fault> {
        let wanted = Wanted {
            method: "POST",
            url: "https://server.example.com/token",
            access_token: None,
            now: Timestamp::from_secs(1_562_262_616),
            tolerance: Duration::ZERO,
        };
        Proof::read(text, &wanted)
    }

    #[test]
    fn the_proof_of_the_rfc_is_good_and_its_key_has_the_thumbprint_of_the_rfc() {
        let proof = read(PUBLISHED).expect("a good proof");
        assert_eq!(proof.jti, "-BwC3ESc6acc2lTc");
        // Section 6.1, figure 9.
        assert_eq!(proof.thumbprint, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    }

    #[test]
    fn a_proof_with_a_changed_character_is_none() {
        for at in [PUBLISHED.len() - 10, PUBLISHED.find('.').unwrap() + 20] {
            let mut text = PUBLISHED.to_owned();
            let other = if &text[at..=at] == "A" { "B" } else { "A" };
            text.replace_range(at..=at, other);
            assert!(matches!(read(&text), Err(Fault::Signature)));
        }
    }

    #[test]
    fn the_resource_is_told_by_scheme_host_port_and_path() {
        let url = "http://sandbox:80/api/public/v1/decks/%7Ea";
        for same in ["http://sandbox/api/public/v1/decks/%7Ea", "HTTP://Sandbox:80/api/public/v1/decks/%7Ea"] {
            assert!(is_same_resource(same, url), "{same}");
        }
        for other in [
            "https://sandbox/api/public/v1/decks/%7Ea",
            "http://other/api/public/v1/decks/%7Ea",
            "http://sandbox:81/api/public/v1/decks/%7Ea",
            "http://sandbox/api/public/v1/decks",
            "http://sandbox/api/public/v1/decks/%7Ea/",
            "http://sandbox/api/public/v1/decks/%7Ea?",
            "http://sandbox/api/public/v1/decks/%7Ea?q=1",
            "http://sandbox/api/public/v1/decks/%7Ea#f",
            "http://me@sandbox/api/public/v1/decks/%7Ea",
            "/api/public/v1/decks/%7Ea",
            "",
        ] {
            assert!(!is_same_resource(other, url), "{other}");
        }
    }
}
