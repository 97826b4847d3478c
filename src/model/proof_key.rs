//! The keys that tokens are bound to (RFC 9449).

use std::{fmt, sync::Arc};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::Secret;

/// A key pair for proofs of possession: ES256 (RFC 7518 section 3.4), the one that Flexslot recommends. Cheap to clone.
///
/// The signing library keeps a copy of its own of the private number, which it does not wipe when dropped.
#[derive(Clone)]
pub struct ProofKey(Arc<Parts>);

struct Parts {
    pair: EcdsaKeyPair,
    jwk: Secret,
    public_jwk: String,
    thumbprint: String,
}

/// Why a JWK is no key for proofs. Shows none of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidProofKey {
    NoObject,
    /// Flexslot takes others, which the sidecar does not sign with.
    NotP256,
    /// Not 32 bytes in base64url. Names the member.
    Member(&'static str),
    /// The private number does not belong to the public point.
    Mismatch,
}

/// The bytes of each of a key's numbers.
const NUMBER: usize = 32;

/// Where the private number begins in a key of [`EcdsaKeyPair::generate_pkcs8`] (RFC 5958, RFC 5915).
const PRIVATE_AT: usize = 36;

// === impl ProofKey ===

impl ProofKey {
    /// A new key.
    pub fn generate() -> Self {
        #[allow(
            clippy::expect_used,
            reason = "fails only without randomness, as Random::system does, or if the library contradicts itself"
        )]
        let (private, public) = generated().expect("the signing library makes a key that it reads");
        let [x, y] = [1, 1 + NUMBER].map(|at| BASE64_URL_SAFE_NO_PAD.encode(&public[at..at + NUMBER]));
        #[allow(clippy::expect_used, reason = "see above")]
        Self::of(&private, &public, &x, &y).expect("the signing library reads the key that it has made")
    }

    /// Reads a private key as JWK (RFC 7517, RFC 7518 section 6.2). Members that say nothing about the key are passed
    /// over.
    pub fn from_jwk(jwk: &Secret) -> Result<Self, InvalidProofKey> {
        match serde_json::from_str(jwk.expose()) {
            Ok(Value::Object(members)) => Self::from_members(members),
            _ => Err(InvalidProofKey::NoObject),
        }
    }

    /// The same of an object that is read already.
    pub fn from_members(mut members: Map<String, Value>) -> Result<Self, InvalidProofKey> {
        let mut text = |name| match members.remove(name) {
            Some(Value::String(text)) => Some(Zeroizing::new(text)),
            _ => None,
        };
        let is = |found: Option<Zeroizing<String>>, wanted| found.is_some_and(|found| *found == wanted);
        if !is(text("kty"), "EC") || !is(text("crv"), "P-256") {
            return Err(InvalidProofKey::NotP256);
        }
        let mut number = |name| {
            let text = text(name).ok_or(InvalidProofKey::Member(name))?;
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(text.as_bytes()).map(Zeroizing::new);
            bytes
                .ok()
                .filter(|bytes| bytes.len() == NUMBER)
                .map(|bytes| (text, bytes))
                .ok_or(InvalidProofKey::Member(name))
        };
        let ((x_text, x), (y_text, y), (_, d)) = (number("x")?, number("y")?, number("d")?);
        let public = [&[UNCOMPRESSED], &x[..], &y[..]].concat();
        Self::of(&d, &public, &x_text, &y_text).ok_or(InvalidProofKey::Mismatch)
    }

    /// `x` and `y` are the halves of `public`, as a JWK has them.
    fn of(private: &[u8], public: &[u8], x: &str, y: &str) -> Option<Self> {
        let random = SystemRandom::new();
        let signing = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(signing, private, public, &random).ok()?;
        // The order and form of RFC 7638 section 3, whose hash is the thumbprint.
        let public_jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let d = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(private));
        let jwk = Secret::new(format!(r#"{{"crv":"P-256","d":"{}","kty":"EC","x":"{x}","y":"{y}"}}"#, *d));
        let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(public_jwk.as_bytes()));
        Some(Self(Arc::new(Parts { pair, jwk, public_jwk, thumbprint })))
    }

    /// The private key as JWK, to be sealed.
    pub fn jwk(&self) -> &Secret {
        &self.0.jwk
    }

    /// The public key as JWK, with the members that a thumbprint is made of and no other.
    pub fn public_jwk(&self) -> &str {
        &self.0.public_jwk
    }

    /// What names the key (RFC 7638): the base64url of 32 bytes.
    pub fn thumbprint(&self) -> &str {
        &self.0.thumbprint
    }

    /// Signs with ES256: 64 bytes.
    pub fn sign(&self, message: &[u8]) -> impl AsRef<[u8]> + use<> {
        #[allow(clippy::expect_used, reason = "fails only without randomness, as Random::system does")]
        self.0.pair.sign(&SystemRandom::new(), message).expect("the operating system gives random bytes")
    }
}

/// Two keys with one thumbprint are one key.
impl PartialEq for ProofKey {
    fn eq(&self, other: &Self) -> bool {
        self.thumbprint() == other.thumbprint()
    }
}

impl Eq for ProofKey {}

impl fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProofKey").field(&self.thumbprint()).finish()
    }
}

/// What the byte in front of an uncompressed point is (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// A new key's private number and public point.
fn generated() -> Option<(Zeroizing<Vec<u8>>, Vec<u8>)> {
    let (random, signing) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
    let document = EcdsaKeyPair::generate_pkcs8(signing, &random).ok()?;
    let pair = EcdsaKeyPair::from_pkcs8(signing, document.as_ref(), &random).ok()?;
    let private = document.as_ref().get(PRIVATE_AT..PRIVATE_AT + NUMBER)?;
    Some((Zeroizing::new(private.to_vec()), pair.public_key().as_ref().to_vec()))
}

// === impl InvalidProofKey ===

impl fmt::Display for InvalidProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoObject => f.write_str("not a JWK; expected a JSON object"),
            Self::NotP256 => {
                f.write_str("not a key on P-256 (\"kty\": \"EC\", \"crv\": \"P-256\"), the only kind that is taken")
            }
            Self::Member(name) => write!(f, "its \"{name}\" is not 32 bytes in base64url"),
            Self::Mismatch => f.write_str("its private part does not belong to its public part"),
        }
    }
}

impl std::error::Error for InvalidProofKey {}

#[cfg(test)]
mod tests {
    use super::{InvalidProofKey, ProofKey};
    use crate::model::Secret;
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    /// The key of RFC 7515 appendix A.3.
    const RFC_7515: &str = r#"{"kty":"EC","crv":"P-256",
        "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI","use":"sig","alg":"ES256"}"#;

    #[test]
    fn a_new_key_survives_being_written_down() {
        let key = ProofKey::generate();
        assert_eq!(ProofKey::from_jwk(key.jwk()), Ok(key.clone()));
        assert_ne!(key, ProofKey::generate());
    }

    #[test]
    fn what_it_signs_its_public_part_verifies() {
        let key = ProofKey::from_jwk(&Secret::new(RFC_7515)).unwrap();
        let public = [
            &[4],
            &decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU")[..],
            &decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
        ]
        .concat();
        let signature = key.sign(b"message");
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public);
        assert!(public.verify(b"message", signature.as_ref()).is_ok());
        assert!(public.verify(b"another", signature.as_ref()).is_err());
    }

    /// The thumbprint was computed with another library (Debian's python3-jwcrypto).
    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        let key = ProofKey::from_jwk(&Secret::new(RFC_7515)).unwrap();
        assert_eq!(key.thumbprint(), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
        assert!(!key.public_jwk().contains("\"d\""));
    }

    #[test]
    fn a_key_of_another_kind_or_in_pieces_is_refused_without_being_shown() {
        let without = |member: &str| {
            let mut value: serde_json::Value = serde_json::from_str(RFC_7515).unwrap();
            value.as_object_mut().unwrap().remove(member);
            ProofKey::from_jwk(&Secret::new(value.to_string())).unwrap_err()
        };
        for member in ["x", "y", "d"] {
            assert_eq!(without(member), InvalidProofKey::Member(member));
        }
        assert_eq!((without("kty"), without("crv")), (InvalidProofKey::NotP256, InvalidProofKey::NotP256));
        let replaced = |from: &str, to: &str| ProofKey::from_jwk(&Secret::new(RFC_7515.replace(from, to))).unwrap_err();
        assert_eq!(replaced("P-256", "P-384"), InvalidProofKey::NotP256);
        assert_eq!(replaced("jpsQ", "jpsR"), InvalidProofKey::Mismatch);
        assert_eq!(replaced("f83O", "f83P"), InvalidProofKey::Mismatch);
        assert_eq!(replaced("jpsQ", ""), InvalidProofKey::Member("d"));
        for text in ["", "[]", "\"jpsQ\""] {
            assert_eq!(ProofKey::from_jwk(&Secret::new(text)).unwrap_err(), InvalidProofKey::NoObject);
        }
    }

    #[test]
    fn debug_shows_its_name_only() {
        let key = ProofKey::from_jwk(&Secret::new(RFC_7515)).unwrap();
        assert_eq!(format!("{key:?}"), format!("ProofKey({:?})", key.thumbprint()));
    }

    fn decode(text: &str) -> Vec<u8> {
        use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
        BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
    }
}
