//! How a sidecar shows that it has the admin token before it is sent it: another program may have its port.
//!
//! Who asks gives a nonce of its own. The proof is of that and of both ends of the connection, so that nobody can pass on
//! what the sidecar has answered over another one: not at another address, and not at the same one either, by a connection
//! that was kept from before the sidecar had it.

use std::net::SocketAddr;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::model::{Random, Secret};

/// A nonce of who asks: 32 random bytes in base64url.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(String);

/// Both ends of a connection over TCP, as each of them sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    pub listener: SocketAddr,
    pub caller: SocketAddr,
}

/// What is answered: `GET /v1/proof`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofDocument {
    /// HMAC-SHA256 under the admin token, in base64url.
    pub proof: String,
}

/// Tells this use of the token from its others.
const PURPOSE: &[u8] = b"flexslot-proxy admin listener\0";

/// The shortest token that is proven, in bytes. Whoever asks could try guesses against a proof by themselves, and a
/// token that somebody has made up may be found so.
const SHORTEST: usize = 20;

/// Whether a token can be shown to be there without giving it away.
pub fn can_be_proven(token: &Secret) -> bool {
    token.expose().len() >= SHORTEST
}

// === impl Nonce ===

impl Nonce {
    pub fn random(random: &Random) -> Self {
        Self(URL_SAFE_NO_PAD.encode(random.bytes::<32>()))
    }

    /// One that somebody has sent; `None` where it is none.
    pub fn from_text(text: &str) -> Option<Self> {
        let is_one = URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32);
        is_one.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl ProofDocument ===

impl ProofDocument {
    /// The proof for who has reached us by this connection.
    pub fn new(token: &Secret, nonce: &Nonce, ends: Ends) -> Self {
        Self { proof: URL_SAFE_NO_PAD.encode(mac(token, nonce, ends).finalize().into_bytes()) }
    }

    /// Whether whoever has answered this has `token`, and was reached by this connection.
    pub fn is_of(&self, token: &Secret, nonce: &Nonce, ends: Ends) -> bool {
        let Ok(proof) = URL_SAFE_NO_PAD.decode(&self.proof) else { return false };
        mac(token, nonce, ends).verify_slice(&proof).is_ok()
    }
}

#[allow(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104 section 2)")]
fn mac(token: &Secret, nonce: &Nonce, ends: Ends) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(token.expose().as_bytes()).expect("a key of any length");
    let plain = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    let text = format!("{} {} {}", nonce.as_str(), plain(ends.listener), plain(ends.caller));
    mac.chain_update(PURPOSE).chain_update(text)
}

#[cfg(test)]
mod tests {
    use super::{Ends, Nonce, ProofDocument, can_be_proven};
    use crate::model::{Random, Secret};

    #[test]
    fn a_proof_is_of_one_token_one_nonce_and_one_connection() {
        let (token, nonce) = (Secret::new("token"), Nonce::random(&Random::system()));
        let ends = |listener: &str, caller: &str| Ends {
            listener: listener.parse().unwrap(),
            caller: caller.parse().unwrap(),
        };
        let here = ends("127.0.0.1:3540", "127.0.0.1:50000");
        let proof = ProofDocument::new(&token, &nonce, here);
        assert!(proof.is_of(&token, &nonce, here));
        assert!(proof.is_of(&token, &nonce, ends("[::ffff:127.0.0.1]:3540", "127.0.0.1:50000")), "the same address");
        assert!(!proof.is_of(&Secret::new("other"), &nonce, here));
        assert!(!proof.is_of(&token, &Nonce::random(&Random::system()), here));
        assert!(!proof.is_of(&token, &nonce, ends("127.0.0.1:3541", "127.0.0.1:50000")));
        assert!(!proof.is_of(&token, &nonce, ends("127.0.0.1:3540", "127.0.0.1:50001")), "another connection");
        assert!(!ProofDocument { proof: String::new() }.is_of(&token, &nonce, here));
    }

    #[test]
    fn a_nonce_is_32_bytes() {
        let nonce = Nonce::random(&Random::system());
        assert_eq!(Nonce::from_text(nonce.as_str()), Some(nonce));
        for other in ["", "x", "AAAA", &"A".repeat(44), &"A".repeat(64)] {
            assert_eq!(Nonce::from_text(other), None, "{other}");
        }
    }

    #[test]
    fn what_could_be_guessed_is_not_proven() {
        assert!(
            !can_be_proven(&Secret::new("nineteen-characters")) && can_be_proven(&Secret::new("twenty-characters-it"))
        );
    }
}
