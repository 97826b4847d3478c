//! Token requests, with proofs of possession (RFC 9449) where the tokens are bound to a key.

use http::Method;
use tokio::time::{Instant, timeout};

use super::HttpAuthorizationServer;
use crate::{
    flexslot::{
        TokenAnswer, TokenError,
        answer::{self, ProofRefusal},
        dpop::{Proof, ProofDemand, ProofTarget, without_query},
        transport::Answer,
    },
    model::{ProofKey, Timestamp, TokenType, token::DpopMode},
};

/// What a request's proof is made by.
pub(super) struct ProofInput<'a> {
    key: &'a ProofKey,
    /// What an answer to an earlier try has said of proofs.
    wanted: Option<ProofDemand>,
}

// === impl HttpAuthorizationServer ===

impl HttpAuthorizationServer {
    /// Asks for tokens, in `give_up`.
    pub(super) async fn tokens(
        &self,
        client_id: &str,
        form: &[(&str, &str)],
        key: Option<&ProofKey>,
    ) -> Result<TokenAnswer, TokenError> {
        let answer = timeout(self.give_up, self.tokens_bound(client_id, form, key)).await;
        answer.unwrap_or_else(|_| Err(TokenError::Unknown("no answer in time".into())))
    }

    /// Asks for tokens, bound to `key` where the grant has one; else to a new one, where they are to be bound.
    ///
    /// A request that is refused for its proof is made once more with another: one for want of any (which tells us that
    /// the client's tokens are bound), and one for a nonce, or for its time. The code or refresh token is not spent by
    /// that, because a server judges the proof first (RFC 9449 sections 5 and 8). Where half of the time is gone, nothing
    /// more is sent.
    async fn tokens_bound(
        &self,
        client_id: &str,
        form: &[(&str, &str)],
        key: Option<&ProofKey>,
    ) -> Result<TokenAnswer, TokenError> {
        let late = self.late();
        let mode = self.clients.dpop(client_id);
        let mut key = match mode {
            DpopMode::Off => None,
            DpopMode::Always => Some(key.cloned().unwrap_or_else(ProofKey::generate)),
            DpopMode::Auto => key.cloned().or_else(|| self.is_bound(client_id).then(ProofKey::generate)),
        };
        let (mut wanted, mut sent_again) = (None, false);
        loop {
            let asked = self.clock.now();
            let input = key.as_ref().map(|key| ProofInput { key, wanted: wanted.take() });
            let (answer, proof) = self.post(&self.endpoints.token, client_id, form, input, late).await?;
            let now = self.clock.now();
            let other = match &proof {
                Some(proof) => self.prover.answered(proof, &answer.headers, now),
                None => {
                    self.prover.heard(&answer.headers, asked, now);
                    None
                }
            };
            let may_send = Instant::now() < late;
            match (answer::refusal_of_proof(answer.status, &answer.body), &proof, other) {
                (Some(_), None, _) if mode == DpopMode::Auto && may_send => {
                    self.learn_bound(client_id);
                    key = Some(ProofKey::generate());
                }
                (Some(_), Some(_), Some(other)) if !sent_again && may_send => {
                    (wanted, sent_again) = (Some(other), true);
                }
                // Nothing is misconfigured: the next try has another nonce.
                (Some(ProofRefusal::Nonce), Some(_), _) => {
                    return Err(TokenError::RefusedForNow { what: "400 use_dpop_nonce".into(), retry_after: None });
                }
                _ => return self.accept(client_id, key, &answer, now),
            }
        }
    }

    /// What the last answer to a request comes to.
    fn accept(
        &self,
        client_id: &str,
        key: Option<ProofKey>,
        answer: &Answer,
        now: Timestamp,
    ) -> Result<TokenAnswer, TokenError> {
        let answer = answer::read(answer.status, &answer.headers, &answer.body, now)?;
        if answer.token_type == TokenType::Dpop {
            self.learn_bound(client_id);
        }
        Ok(TokenAnswer { key, ..answer })
    }

    /// Whether Flexslot binds the client's tokens, as far as it has shown or as its client object says.
    fn is_bound(&self, client_id: &str) -> bool {
        let kept = self.clients.stored.get(client_id);
        kept.is_some_and(|kept| kept.client.dpop_bound_access_tokens) || self.bound.lock().contains(client_id)
    }

    fn learn_bound(&self, client_id: &str) {
        if self.bound.lock().insert(client_id.to_owned()) {
            tracing::info!(client_id, "Flexslot binds this OAuth client's tokens to keys (DPoP)");
        }
    }

    /// A proof for the token endpoint.
    pub(super) fn proof(&self, ProofInput { key, wanted }: &ProofInput<'_>) -> Proof {
        let url = without_query(&self.endpoints.token);
        let (target, now) = (ProofTarget { method: &Method::POST, url: &url, token: None }, self.clock.now());
        self.prover.prove(wanted.clone(), key, &target, now, &self.random)
    }
}
