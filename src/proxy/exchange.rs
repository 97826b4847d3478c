//! One request's dealings with the upstream: a send, and one retry where the credential is refused. One of the two may be
//! repeated, once, with another proof (DPoP). So there are three sends at most.

use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header::AUTHORIZATION};

use super::{
    challenge::Scheme,
    error::{Code, refusal_problem, upstream_failure},
    facts::Facts,
    handle::{Accepted, Failure},
    replay::{Replay, ReplayBody, Replayer},
    upstream::{Upstream, UpstreamBody},
    verdict::{PROOF_REFUSED, REFRESH_UNAVAILABLE, UNAUTHORIZED_AFTER_REFRESH, Verdict, forbidden},
};
use crate::{
    credential::{Ask, Credentials, DPOP, Picked, Proof, ProofDemand, Unauthorized},
    model::{
        CredentialKind, Observer, Origin,
        observe::RetryOutcome,
        trace::{
            self,
            step::{Remedy, Step},
        },
    },
};

/// What an exchange works with.
pub(super) struct Exchange<'a> {
    pub(super) upstream: &'a Upstream,
    pub(super) origin: &'a Origin,
    pub(super) credentials: &'a Credentials,
    pub(super) observer: &'a dyn Observer,
    pub(super) request: &'a Accepted,
    pub(super) ask: Ask<'a>,
    pub(super) replayer: Replayer,
    pub(super) facts: &'a mut Facts,
    pub(super) proofs: ProofRetry,
}

/// Whether a bound token can be proven anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProofRetry {
    Available,
    Spent,
}

/// The response that goes to the client.
pub(super) struct Exchanged {
    pub(super) response: Response<UpstreamBody>,
    /// What was sent last, so that the answer does not hand it on.
    pub(super) authorization: HeaderValue,
    /// What `Proxy-Status` says of a 401 that is passed on in spite of what was tried.
    pub(super) details: Option<&'static str>,
}

// === impl Exchange ===

impl Exchange<'_> {
    /// Sends the request with the best credential there is; after a 401 once more with another, if one can be had.
    pub(super) async fn run(mut self, body: ReplayBody) -> Result<Exchanged, Failure> {
        self.facts.steps.begin_pick();
        let picked = self.credentials.pick(&self.ask, &mut self.facts.steps).await;
        self.facts.steps.end_pick();
        let picked = picked.map_err(|refusal| refusal_problem(refusal, &self.request.tenant))?;
        let sent = self.send(&picked, body).await;
        self.facts.replay = self.facts.replay.or_else(|| Some(self.replay()));
        let response = sent?;
        let details = match self.verdict(&picked, &response) {
            // Apart, like all that few requests come to: each request carries the room for what is not.
            Verdict::Renew => return Box::pin(self.renew(picked, response)).await,
            Verdict::Prove => {
                self.remedied(Remedy::ProofRefused);
                Some(PROOF_REFUSED)
            }
            Verdict::Deliver => {
                if response.status() == StatusCode::UNAUTHORIZED {
                    self.remedied(Remedy::NotAboutToken);
                } else if vouches(&picked, response.status()) {
                    self.credentials.accepted(&self.ask, &picked);
                }
                None
            }
        };
        Ok(Exchanged { response, authorization: picked.authorization, details })
    }

    /// After a 401. The upload is held meanwhile, so that what is known of the body stays true.
    async fn renew(mut self, refused: Picked, response: Response<UpstreamBody>) -> Result<Exchanged, Failure> {
        self.replayer.hold();
        self.facts.steps.begin_pick();
        let next = self.credentials.unauthorized(&self.ask, &refused, &mut self.facts.steps).await;
        self.facts.steps.end_pick();
        let next = match next {
            Unauthorized::Retry(next) => next,
            Unauthorized::Pass => {
                self.remedied(Remedy::PassedOn);
                return Ok(self.as_it_is(response, refused.authorization, None));
            }
            Unauthorized::AfterRefresh => {
                self.remedied(Remedy::AfterRefresh);
                return Ok(self.as_it_is(response, refused.authorization, Some(UNAUTHORIZED_AFTER_REFRESH)));
            }
            Unauthorized::RefreshUnavailable => {
                self.remedied(Remedy::RefreshUnavailable);
                return Ok(self.as_it_is(response, refused.authorization, Some(REFRESH_UNAVAILABLE)));
            }
            Unauthorized::Refuse(refusal) => {
                self.remedied(Remedy::NothingLeft);
                return Err(refusal_problem(refusal, &self.request.tenant).into());
            }
        };
        // A body that is not kept: the token is new now, and the client's own retry will work.
        let Some(body) = self.replayer.rewind() else {
            self.remedied(Remedy::BodyNotKept);
            self.facts.replay = Some(trace::Replay::Overflowed);
            return Ok(self.as_it_is(response, refused.authorization, None));
        };
        drop(response);
        self.remedied(Remedy::Retried);
        self.rewound();
        self.retry(&next, body).await
    }

    fn verdict(&self, picked: &Picked, response: &Response<UpstreamBody>) -> Verdict {
        let scheme = if picked.binding.is_some() { Scheme::Dpop } else { Scheme::Bearer };
        Verdict::of(response.status(), response.headers(), scheme)
    }

    /// What is done about a 401.
    fn remedied(&mut self, remedy: Remedy) {
        self.facts.steps.note(Step::Unauthorized(remedy));
    }

    /// Notes that the body is sent from its first byte once more.
    fn rewound(&mut self) {
        if self.replayer.progress().is_some() {
            self.facts.replay = Some(trace::Replay::Rewound);
        }
    }

    /// Whether the request can be sent again, as its trace has it.
    fn replay(&self) -> trace::Replay {
        match self.replayer.state() {
            _ if self.replayer.progress().is_none() => trace::Replay::NoBody,
            Replay::Ready | Replay::StillSending => trace::Replay::Kept,
            Replay::Overflowed => trace::Replay::Overflowed,
        }
    }

    /// The second send. There is no third, but for a proof.
    async fn retry(mut self, next: &Picked, body: ReplayBody) -> Result<Exchanged, Failure> {
        let sent = self.send(next, body).await;
        let verdict = sent.as_ref().ok().map(|response| self.verdict(next, response));
        let outcome = match verdict {
            Some(Verdict::Renew) => RetryOutcome::StillUnauthorized,
            Some(Verdict::Deliver) => RetryOutcome::Cured,
            Some(Verdict::Prove) | None => RetryOutcome::Failed,
        };
        self.facts.retry = Some(outcome);
        self.observer.retry(outcome);
        let vouched = |response: &Response<UpstreamBody>| vouches(next, response.status());
        if outcome != RetryOutcome::Cured || sent.as_ref().is_ok_and(vouched) {
            self.credentials.retried(&self.ask, next, outcome);
        }
        let response = sent?;
        let details = match verdict {
            Some(Verdict::Renew) if next.kind == CredentialKind::OAuth => Some(UNAUTHORIZED_AFTER_REFRESH),
            Some(Verdict::Prove) => {
                self.remedied(Remedy::ProofRefused);
                Some(PROOF_REFUSED)
            }
            Some(Verdict::Renew | Verdict::Deliver) | None => None,
        };
        Ok(Exchanged { response, authorization: next.authorization.clone(), details })
    }

    /// The upstream's own answer; an upload that was held goes on.
    fn as_it_is(
        &self,
        response: Response<UpstreamBody>,
        authorization: HeaderValue,
        details: Option<&'static str>,
    ) -> Exchanged {
        self.replayer.resume();
        Exchanged { response, authorization, details }
    }

    /// Sends the request with this credential. Where the proof of a bound token is refused for what its server has only
    /// told with that very answer, the request is sent once more with another proof.
    async fn send(&mut self, picked: &Picked, body: ReplayBody) -> Result<Response<UpstreamBody>, Failure> {
        let (response, other) = self.send_once(picked, None, body).await?;
        let Some(other) = other.filter(|_| self.proofs == ProofRetry::Available) else { return Ok(response) };
        self.replayer.hold();
        let Some(body) = self.replayer.rewind() else {
            self.replayer.resume();
            return Ok(response);
        };
        drop(response);
        self.proofs = ProofRetry::Spent;
        self.remedied(Remedy::ProvenAgain);
        self.rewound();
        let (response, _) = Box::pin(self.send_once(picked, Some(other), body)).await?;
        Ok(response)
    }

    /// Sends the request once, with a proof by what `wanted` says where the token is bound. Answers by what another proof
    /// would have to be made where this one is refused.
    ///
    /// A reload may have moved the upstream since the request came in. Then the credential is one for the new place,
    /// and goes nowhere.
    async fn send_once(
        &mut self,
        picked: &Picked,
        wanted: Option<ProofDemand>,
        body: ReplayBody,
    ) -> Result<(Response<UpstreamBody>, Option<ProofDemand>), Failure> {
        if !self.credentials.are_for(self.origin) {
            let problem = Code::RefreshUnavailable
                .problem("The configuration changed while the request was waiting. Send it again.");
            return Err(problem.retry_after(Duration::from_secs(1)).into());
        }
        self.facts.version = picked.at.map(|at| at.version);
        let (credentials, accepted) = (self.credentials, self.request);
        let path = accepted.target.forward().path();
        let mut proof: Option<Proof> = None;
        let mut waiting = self.facts.begin_send(picked.kind, self.origin, path);
        let mut add = || {
            // No two attempts have the same one.
            proof = credentials.prove(picked, &accepted.method, path, wanted.clone());
            let proof = proof.as_ref().map(|proof| (DPOP, Some(proof.value().clone())));
            let [traceparent, tracestate] = waiting.attempt();
            [Some((AUTHORIZATION, Some(picked.authorization.clone()))), proof, traceparent, tracestate]
        };
        let outcome = self.upstream.send_with(accepted.outgoing(), body, &mut add).await;
        waiting.ended(&outcome);
        drop(waiting);
        let status = outcome.as_ref().ok().map(|response| response.status().as_u16());
        self.facts.upstream_status = status.or(self.facts.upstream_status);
        match outcome {
            Ok(response) => {
                if let Some(said) = forbidden(response.status(), response.headers()) {
                    self.credentials.forbidden(&self.ask, picked, &said);
                }
                let other = proof.and_then(|proof| self.credentials.answered(&proof, response.headers()));
                let refused = self.verdict(picked, &response) == Verdict::Prove;
                Ok((response, other.filter(|_| refused)))
            }
            Err(error) => {
                self.facts.cause = Some(error.to_string());
                Err(upstream_failure(&error, self.replayer.failure()))
            }
        }
    }
}

/// Whether this answer shows that the credential was taken. A PAT that was put aside goes on to where it was taken before, so
/// only success counts there: a redirect or a 404 may have been made before anybody looked at it.
fn vouches(picked: &Picked, status: StatusCode) -> bool {
    picked.kind != CredentialKind::Pat || status.is_success()
}

#[cfg(test)]
mod tests;
