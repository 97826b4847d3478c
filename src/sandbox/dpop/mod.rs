//! DPoP (RFC 9449): tokens that are of use only to whoever has a key.
//!
//! What is asked of a proof is in [`proof`], which reads it by other code than the sidecar writes it by. Here is which
//! request needs one, and what an answer says where it is missing or bad.

mod key;
mod nonces;
mod proof;
mod rules;
mod seen;

use std::sync::Arc;

use http::{HeaderName, StatusCode, header};
use parking_lot::RwLock;

pub use self::{
    key::KeyPair,
    rules::{Nonces, ProofRules, UnaskedProofs},
};
use self::{
    nonces::Mint,
    proof::{Proof, Wanted},
    rules::Uses,
    seen::Seen,
};
use super::{
    Shared,
    answer::{self, Answer, AnswerExt},
    call::Call,
};
use crate::model::Random;

/// The thumbprint of a key that a token is bound to.
pub(super) type Thumbprint = Arc<str>;

/// How many of the last proofs, and of the last spent nonces, are known again: two thousand a second for as long as they
/// can be presented.
const CAPACITY: usize = 1 << 18;

const DPOP: HeaderName = HeaderName::from_static("dpop");
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// What is known of proofs from one request to the next.
pub(super) struct Desk {
    pub(super) rules: RwLock<ProofRules>,
    mint: Mint,
    seen: Seen,
}

/// Who asks for a proof. Each has nonces of its own (RFC 9449 section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Token,
    Api,
}

/// What is wrong with a proof. The names are those of the header's and the claims' members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// One is needed, and there is none.
    Missing,
    /// More than one header field.
    Several,
    /// Not a JWS with the claims that a proof has.
    Malformed,
    Typ,
    Alg,
    /// No key of the curve, or a private one.
    Jwk,
    Signature,
    Htm,
    Htu,
    Iat,
    Ath,
    /// Seen before.
    Jti,
    /// A good proof, of another key than the token's.
    Key,
    /// No proof either: a bound token sent as a bearer token.
    Scheme,
    /// A good proof, with a token that is bound to no key.
    Unbound,
    /// None, or one that is unknown or spent.
    Nonce,
}

// === impl Desk ===

impl Desk {
    pub(super) fn new(rules: ProofRules, random: &Random) -> Self {
        Self { rules: RwLock::new(rules), mint: Mint::new(random), seen: Seen::new(CAPACITY) }
    }

    /// Every nonce so far is unknown from now on.
    pub(super) fn forget_nonces(&self) {
        self.mint.forget();
    }
}

// === impl Shared ===

impl Shared {
    /// The thumbprint of the key that the call has proved, for a call to the API with its access token.
    pub(super) fn proved(&self, call: &Call, access_token: Option<&str>) -> Result<Thumbprint, Fault> {
        let mut lines = call.headers.get_all(DPOP).iter();
        let text = match (lines.next(), lines.next()) {
            (None, _) => return Err(Fault::Missing),
            (Some(_), Some(_)) => return Err(Fault::Several),
            (Some(line), None) => line.to_str().map_err(|_| Fault::Malformed)?,
        };
        self.counters.proof();
        let rules = *self.desk.rules.read();
        let (now, url) = (self.now(), self.url_of(call));
        let wanted = Wanted { method: call.method.as_str(), url: &url, access_token, now, tolerance: rules.tolerance };
        let proof = Proof::read(text, &wanted)?;
        // By the clock that nobody can set. A proof is good for twice the tolerance at most: from now until then.
        let now = self.clock.now();
        let until = now.plus(rules.tolerance.saturating_mul(2)).plus(std::time::Duration::from_secs(1));
        if !self.desk.seen.is_first(&format!("{} {}", proof.thumbprint, proof.jti), now, until) {
            return Err(Fault::Jti);
        }
        let server = if access_token.is_some() { Server::Api } else { Server::Token };
        match (rules.nonces(server).uses(), proof.nonce) {
            (None, _) => {}
            (Some(uses), Some(nonce)) if self.desk.mint.accepts(&nonce, server, rules.nonce_life, uses, now) => {}
            (Some(_), _) => return Err(Fault::Nonce),
        }
        Ok(proof.thumbprint.into())
    }

    /// The URL that a call was made to (RFC 9110 section 7.1): where the settings name no issuer, by its own Host.
    fn url_of(&self, call: &Call) -> String {
        match &self.settings.issuer {
            Some(issuer) => format!("{}{}", issuer.trim_end_matches('/'), call.path),
            None => format!("http://{}{}", call.authority, call.path),
        }
    }

    /// `answer` with a new nonce, where every answer has one.
    pub(super) fn with_next_nonce(&self, answer: Answer, server: Server) -> Answer {
        let rotating = self.desk.rules.read().nonces(server).rotate();
        if rotating && !answer.headers().contains_key(DPOP_NONCE) { self.with_nonce(answer, server) } else { answer }
    }

    fn with_nonce(&self, answer: Answer, server: Server) -> Answer {
        answer.with(DPOP_NONCE, &self.desk.mint.issue(server, self.clock.now(), &self.random))
    }

    /// The answer of the token endpoint (RFC 9449 sections 5 and 8).
    pub(super) fn refuse_token_proof(&self, fault: Fault) -> Answer {
        self.counters.proof_refused(fault);
        let error = fault.error();
        let answer = answer::oauth_error(StatusCode::BAD_REQUEST, error, fault.description());
        let answer = answer.note(format!("{error} ({})", fault.word()));
        if fault == Fault::Nonce { self.with_nonce(answer, Server::Token) } else { answer }
    }

    /// The answer of the API (sections 7.1 and 9).
    pub(super) fn refuse_api_proof(&self, fault: Fault) -> Answer {
        self.counters.proof_refused(fault);
        let error = match fault {
            // Stolen, for all that the API knows.
            Fault::Key | Fault::Scheme | Fault::Unbound => "invalid_token",
            _ => fault.error(),
        };
        let answer = challenged(error, fault.description()).note(format!("{error} ({})", fault.word()));
        if fault == Fault::Nonce { self.with_nonce(answer, Server::Api) } else { answer }
    }
}

/// 401 with a challenge of the scheme `DPoP`.
pub(super) fn challenged(error: &str, description: &str) -> Answer {
    let challenge =
        format!(r#"DPoP realm="flexslot", error="{error}", error_description="{description}", algs="ES256""#);
    answer::error(StatusCode::UNAUTHORIZED, error, description).with(header::WWW_AUTHENTICATE, &challenge)
}

// === impl Fault ===

impl Fault {
    /// As the counters and the log name it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Several => "several",
            Self::Malformed => "malformed",
            Self::Typ => "typ",
            Self::Alg => "alg",
            Self::Jwk => "jwk",
            Self::Signature => "signature",
            Self::Htm => "htm",
            Self::Htu => "htu",
            Self::Iat => "iat",
            Self::Ath => "ath",
            Self::Jti => "jti",
            Self::Key => "key",
            Self::Scheme => "scheme",
            Self::Unbound => "unbound",
            Self::Nonce => "nonce",
        }
    }

    fn error(self) -> &'static str {
        if self == Self::Nonce { "use_dpop_nonce" } else { "invalid_dpop_proof" }
    }

    /// Goes into a quoted string, so it has no quotes.
    fn description(self) -> &'static str {
        match self {
            Self::Missing => "A DPoP proof is needed.",
            Self::Several => "There is more than one DPoP header field.",
            Self::Malformed => "The proof is no JWS with jwk, jti, htm, htu and iat.",
            Self::Typ => "typ is not dpop+jwt.",
            Self::Alg => "The stand-in takes ES256 only; Flexslot takes ES384, EdDSA and RS256 too.",
            Self::Jwk => "jwk is no public key of P-256.",
            Self::Signature => "The signature is not that of jwk.",
            Self::Htm => "htm is not the method of this request.",
            Self::Htu => "htu is not the URL of this request without query and fragment.",
            Self::Iat => "iat is too far from the time of this server.",
            Self::Ath => "ath is not the digest of the access token.",
            Self::Jti => "The proof was used before.",
            Self::Key => "The proof is not of the key that the token is bound to.",
            Self::Scheme => "The token is bound to a key: it needs the scheme DPoP, and a proof.",
            Self::Unbound => "The token is bound to no key: its scheme is Bearer.",
            Self::Nonce => "The proof needs the nonce of this answer.",
        }
    }
}
