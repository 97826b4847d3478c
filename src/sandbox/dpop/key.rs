//! Key pairs, for grants that are issued without a token request and for whoever tests a verifier.

use std::fmt;

use jwt_compact::{
    AlgorithmExt, Claims, Header,
    alg::{Es256, SigningKey as _},
    jwk::JsonWebKey,
};
use serde_json::Value;

use super::proof::{self, Signing};
use crate::model::{Random, Secret};

/// A P-256 key pair, as a client of Flexslot holds one. Prints its thumbprint only.
#[derive(Clone)]
pub struct KeyPair(Signing);

// === impl KeyPair ===

impl KeyPair {
    /// A new one.
    pub fn generate(random: &Random) -> Self {
        loop {
            // Fails once in 2^32 times: not every 32 bytes are a scalar of the curve.
            if let Ok(key) = Signing::from_slice(&random.bytes::<32>()) {
                return Self(key);
            }
        }
    }

    /// Its thumbprint (RFC 7638), the `jkt` of tokens that are bound to it.
    pub fn thumbprint(&self) -> String {
        proof::thumbprint(&JsonWebKey::from(&self.0.to_verifying_key()))
    }

    /// The key pair as a JWK, `d` included.
    pub fn private_jwk(&self) -> Secret {
        Secret::new(JsonWebKey::from(&self.0).to_string())
    }

    /// A proof with the right header and these claims, whatever they are.
    ///
    /// # Panics
    ///
    /// Where `claims` is no JSON object.
    #[allow(clippy::expect_used, reason = "for tests, whose claims are JSON objects")]
    pub fn proof(&self, claims: Value) -> String {
        let public = self.0.to_verifying_key();
        let header =
            Header::new(proof::Extension { jwk: JsonWebKey::from(&public), crit: None }).with_token_type(proof::TYPE);
        Es256.token(&header, &Claims::new(claims), &self.0).expect("claims that are an object")
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyPair").field(&self.thumbprint()).finish()
    }
}
