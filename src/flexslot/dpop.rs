//! Proofs of possession (RFC 9449): what a proof says, and what a server's answers say of the next one.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use arc_swap::ArcSwapOption;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{AGE, DATE},
};
use serde_json::json;
use sha2::{Digest, Sha256};
use url::Url;

use crate::model::{ProofKey, Random, Secret, Timestamp};

/// The header that a proof stands in (RFC 9449 section 4.1).
pub const DPOP: HeaderName = HeaderName::from_static("dpop");

/// The header in which a server says what the next proof has to have in it (section 8.1).
pub const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// The error code of a server that demands another nonce (section 8).
pub const USE_DPOP_NONCE: &str = "use_dpop_nonce";

/// The error code of a server that does not take a proof, or misses one (section 5).
pub const INVALID_DPOP_PROOF: &str = "invalid_dpop_proof";

/// Makes proofs for one server, by what its answers have told: the nonce that it wants, and what time it is there.
#[derive(Debug, Default)]
pub struct Prover {
    nonce: ArcSwapOption<Nonce>,
    /// By how many milliseconds the server's clock is ahead of ours.
    ahead: AtomicI64,
}

/// What a proof is for (section 4.2). Each is good for one request.
#[derive(Debug, Clone, Copy)]
pub struct Proven<'a> {
    pub method: &'a Method,
    /// The request's URL without query and fragment.
    pub url: &'a str,
    /// Absent where no access token goes with the request.
    pub token: Option<&'a TokenHash>,
}

/// A proof, and what it was made from.
#[derive(Debug)]
pub struct Proof {
    value: HeaderValue,
    nonce: Option<Arc<Nonce>>,
    ahead: i64,
}

/// What a proof says of the access token that it goes with (`ath`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenHash(Arc<str>);

/// What a server wants to find in the next proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(String);

/// Clocks that differ by less than this count as equal: `Date` has no fractions, and an answer was on its way for a
/// while. Servers let proofs be older than this.
const CLOSE: i64 = 5_000;

/// A longer nonce is none: it would have to be sent with every request.
const LONGEST_NONCE: usize = 1024;

// === impl Prover ===

impl Prover {
    /// A new proof at `now` by our clock.
    pub fn prove(&self, key: &ProofKey, of: &Proven<'_>, now: Timestamp, random: &Random) -> Proof {
        let (nonce, ahead) = (self.nonce.load_full(), self.ahead.load(Ordering::Relaxed));
        let mut claims = json!({
            "jti": BASE64_URL_SAFE_NO_PAD.encode(random.bytes::<16>()),
            "htm": of.method.as_str(),
            "htu": of.url,
            "iat": Timestamp::from_millis(now.millis().saturating_add(ahead)).secs(),
        });
        if let Some(TokenHash(hash)) = of.token {
            claims["ath"] = json!(**hash);
        }
        if let Some(Nonce(nonce)) = nonce.as_deref() {
            claims["nonce"] = json!(nonce);
        }
        let header = format!(r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{}}}"#, key.public_jwk());
        let [header, claims] = [header, claims.to_string()].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        let mut text = format!("{header}.{claims}");
        let signature = key.sign(text.as_bytes());
        text.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        #[allow(clippy::expect_used, reason = "base64url and dots")]
        let mut value = HeaderValue::try_from(text).expect("a proof is a header's text");
        value.set_sensitive(true);
        Proof { value, nonce, ahead }
    }

    /// Learns from the header of an answer that came at `now` by our clock.
    pub fn heard(&self, headers: &HeaderMap, now: Timestamp) {
        if let Some(nonce) = Nonce::read(headers)
            && self.nonce.load().as_deref() != Some(&nonce)
        {
            self.nonce.store(Some(Arc::new(nonce)));
        }
        if let Some(date) = date(headers) {
            let ahead = date.millis().saturating_sub(now.millis());
            self.ahead.store(if ahead.abs() < CLOSE { 0 } else { ahead }, Ordering::Relaxed);
        }
    }

    /// Whether a proof made now would be another than `proof` was, in what a server can object to.
    pub fn has_moved_on_from(&self, proof: &Proof) -> bool {
        let ahead = self.ahead.load(Ordering::Relaxed);
        ahead.abs_diff(proof.ahead) >= CLOSE.unsigned_abs() || *self.nonce.load() != proof.nonce
    }
}

/// What time it is at the server. What a cache has kept says nothing of it.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    if headers.contains_key(AGE) {
        return None;
    }
    let date = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok().map(Timestamp::from_secs)
}

/// `url` as a proof names it (section 4.2, `htu`).
pub fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

// === impl Proof ===

impl Proof {
    /// As it stands in the header [`DPOP`], marked sensitive.
    pub fn value(&self) -> &HeaderValue {
        &self.value
    }
}

// === impl TokenHash ===

impl TokenHash {
    /// What an access token is named by.
    pub fn of(token: &Secret) -> Self {
        Self(BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(token.expose().as_bytes())).into())
    }
}

// === impl Nonce ===

impl Nonce {
    /// The nonce in an answer's header, where there is one that can stand in a proof (section 8.1: NQCHAR).
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(DPOP_NONCE)?.to_str().ok()?;
        let is_nqchar = |byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        let fits = (1..=LONGEST_NONCE).contains(&text.len()) && text.bytes().all(is_nqchar);
        fits.then(|| Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests;
