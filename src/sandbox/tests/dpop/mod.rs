//! Fact sheet section 8 and RFC 9449.

mod api;
mod control;
mod nonces;
mod proofs;
mod token;

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::*;
use crate::sandbox::{KeyPair, ProofRules};

const BOUND: &str = "flx_client_bound";
const NOW: i64 = 1_795_200_000;

/// A sandbox with the public client [`BOUND`], and a key.
struct Bound {
    test: Test,
    key: KeyPair,
}

/// What is sent to the token endpoint or to the API, beside the request itself.
#[derive(Default, Clone)]
struct Sent {
    authorization: Option<String>,
    proofs: Vec<String>,
}

// === impl Bound ===

impl Bound {
    async fn start() -> Self {
        Self::with(ProofRules::default()).await
    }

    async fn with(proofs: ProofRules) -> Self {
        let test = Test::with(Settings { proofs, ..Settings::default() }).await;
        test.sandbox.add_client(Client::public(BOUND).redirect_uri(CALLBACK).dpop_bound());
        Self { test, key: KeyPair::generate(&Random::system()) }
    }

    /// A grant of ada's, bound to the key.
    fn grant(&self) -> TokenPair {
        let (jkt, life) = (self.key.thumbprint(), std::time::Duration::from_secs(3600));
        self.test.sandbox.issue_grant_bound_to("ada", BOUND, &SCOPES.join(" "), life, Some(&jkt)).unwrap()
    }

    /// `GET /decks/` with these headers.
    async fn get(&self, sent: &Sent) -> Reply {
        let request = Request::get("/api/public/v1/decks/").header(header::HOST, "sandbox");
        self.test.send(sent.on(request.body(Full::default()).unwrap())).await
    }

    /// `GET /decks/` with the token and a proof with these claims.
    async fn get_with(&self, token: &Secret, claims: Value) -> Reply {
        self.get(&Sent::dpop(token, self.key.proof(claims))).await
    }

    /// A token request of the public client with these proofs.
    async fn token(&self, fields: &[(&str, &str)], proofs: Vec<String>) -> Reply {
        let fields = [fields, &[("client_id", BOUND)]].concat();
        let sent = Sent { authorization: None, proofs };
        self.test.send(sent.on(form("token", &fields, false))).await
    }

    async fn refresh(&self, token: &Secret, proofs: Vec<String>) -> Reply {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token.expose())], proofs).await
    }

    fn refused(&self, fault: &str) -> u64 {
        self.test.sandbox.counters().proofs_refused(fault)
    }
}

// === impl Sent ===

impl Sent {
    fn dpop(token: &Secret, proof: String) -> Self {
        Self { authorization: Some(format!("DPoP {}", token.expose())), proofs: vec![proof] }
    }

    fn on(&self, mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
        if let Some(value) = &self.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        for proof in &self.proofs {
            request.headers_mut().append("dpop", proof.parse().unwrap());
        }
        request
    }
}

// === impl Reply ===

impl Reply {
    /// Status and `error` of a challenge with the scheme `DPoP`.
    fn challenge(&self) -> (u16, &str) {
        let challenge = self.header(header::WWW_AUTHENTICATE).strip_prefix("DPoP ").expect("a challenge");
        assert!(challenge.ends_with(r#"algs="ES256""#), "{challenge}");
        let error = challenge.split(r#"error=""#).nth(1).and_then(|rest| rest.split('"').next());
        (self.status.as_u16(), error.expect("an error"))
    }

    fn nonce(&self) -> Option<&str> {
        self.headers.get("dpop-nonce").map(|nonce| nonce.to_str().unwrap())
    }
}

fn jti() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("jti-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The claims of a good proof for `GET /decks/`.
fn for_decks(token: &Secret) -> Value {
    let ath = ids::base64url(&ids::digest(token.expose()));
    json!({"jti": jti(), "htm": "GET", "htu": "http://sandbox/api/public/v1/decks/", "iat": NOW, "ath": ath})
}

/// The claims of a good proof for the token endpoint.
fn for_token() -> Value {
    json!({"jti": jti(), "htm": "POST", "htu": "http://sandbox/api/public/v1/oauth/token", "iat": NOW})
}

/// The same with one more claim, or another value of it.
fn with(mut claims: Value, name: &str, value: impl Into<Value>) -> Value {
    claims[name] = value.into();
    claims
}

/// The same without one.
fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name);
    claims
}
