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
pub struct ProofTarget<'a> {
    pub method: &'a Method,
    /// The request's URL without query and fragment.
    pub url: &'a str,
    /// Absent where no access token goes with the request.
    pub token: Option<&'a AccessTokenHash>,
}

/// A proof, and what it was made from.
#[derive(Debug)]
pub struct Proof {
    value: HeaderValue,
    nonce: Option<Arc<Nonce>>,
    ahead: i64,
    made_at: Timestamp,
}

/// What one answer has said of proofs. The request that it refuses is sent again with a proof by its word, whatever other
/// answers say meanwhile.
#[derive(Debug, Clone)]
pub struct ProofDemand {
    nonce: Option<Arc<Nonce>>,
    ahead: i64,
}

/// The claim `ath` (RFC 9449 section 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessTokenHash(Arc<str>);

/// What a server wants to find in the next proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(String);

/// `Date` has no fractions: the time that it names lasts this long, in milliseconds.
const SECOND: i64 = 1_000;

/// A longer nonce is none: it would have to be sent with every request.
const LONGEST_NONCE: usize = 1024;

// === impl Prover ===

impl Prover {
    /// A new proof at `now` by our clock: by `wanted`, where an answer has refused another, else by the newest answer's
    /// word.
    pub fn prove(
        &self,
        wanted: Option<ProofDemand>,
        key: &ProofKey,
        of: &ProofTarget<'_>,
        now: Timestamp,
        random: &Random,
    ) -> Proof {
        let newest = || ProofDemand { nonce: self.nonce.load_full(), ahead: self.ahead.load(Ordering::Relaxed) };
        let ProofDemand { nonce, ahead } = wanted.unwrap_or_else(newest);
        let mut claims = json!({
            "jti": BASE64_URL_SAFE_NO_PAD.encode(random.bytes::<16>()),
            "htm": of.method.as_str(),
            "htu": of.url,
            "iat": Timestamp::from_millis(now.millis().saturating_add(ahead)).secs(),
        });
        if let Some(AccessTokenHash(hash)) = of.token {
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
        Proof { value, nonce, ahead, made_at: now }
    }

    /// Learns from the header of an answer that came at `now` by our clock, to a request of the time `asked`.
    pub fn heard(&self, headers: &HeaderMap, asked: Timestamp, now: Timestamp) {
        if let Some(nonce) = Nonce::read(headers)
            && self.nonce.load().as_deref() != Some(&nonce)
        {
            self.nonce.store(Some(Arc::new(nonce)));
        }
        if let Some(date) = date(headers) {
            self.ahead.store(nearest(self.ahead.load(Ordering::Relaxed), date, asked, now), Ordering::Relaxed);
        }
    }

    /// The same for the answer to a request that `proof` went with. Answers by what another proof would have to be made
    /// where the server objects to this one; `None` where it would be no other.
    pub fn answered(&self, proof: &Proof, headers: &HeaderMap, now: Timestamp) -> Option<ProofDemand> {
        self.heard(headers, proof.made_at, now);
        let nonce = Nonce::read(headers).map(Arc::new).or_else(|| self.nonce.load_full());
        let ahead = date(headers).map_or(proof.ahead, |date| nearest(proof.ahead, date, proof.made_at, now));
        let is_other = nonce != proof.nonce || ahead.abs_diff(proof.ahead) >= SECOND.unsigned_abs();
        is_other.then_some(ProofDemand { nonce, ahead })
    }
}

/// The offset of the server's clock that fits an answer dated `date`, which was made at some moment between `asked` and
/// `now`. Every offset in that range fits. The one nearest to `ahead` is taken, so that a slow answer moves nothing.
fn nearest(ahead: i64, date: Timestamp, asked: Timestamp, now: Timestamp) -> i64 {
    let least = date.millis().saturating_sub(now.millis());
    let most = date.millis().saturating_add(SECOND).saturating_sub(asked.millis());
    ahead.clamp(least, most.max(least))
}

/// By how many milliseconds the server's clock is ahead of ours at least, by the header of an answer that came at `now` to
/// a request of the time `asked`; `None` where the answer does not tell.
pub fn clock_ahead(headers: &HeaderMap, asked: Timestamp, now: Timestamp) -> Option<i64> {
    Some(nearest(0, date(headers)?, asked, now))
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

// === impl AccessTokenHash ===

impl AccessTokenHash {
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
