//! Which credential is best for a request.
//!
//! The decision asks nobody and waits for nothing: it follows from what is held of the tenant, the tenant's policy and
//! the request. Kinds are tried in the policy's order, a grant is passed over when its scopes do not cover the request
//! and a PAT can stand in, and what Flexslot guards by PAT alone gets a PAT or nothing. It leaves one trace: a rejected
//! PAT that has rested is probed by whoever is given it.

use http::HeaderValue;
use tokio::time::Instant;

use super::{
    Ask, At, PatFault, PatSource, PathClass, Refusal,
    failure::Failure,
    policy::{Objection, Settings, TenantPolicy},
    state::{Held, State},
};
use crate::model::{
    CredentialKind, Grant, Origin, PatFallback, Scope, ScopeSet, Timestamp, TokenType,
    observe::FallbackCause,
    token::{DisconnectReason, Freshness},
};

/// What the decision looks at besides the request and the state.
pub(super) struct Circumstances<'a> {
    pub(super) policy: &'a TenantPolicy,
    pub(super) settings: &'a Settings,
    pub(super) now: Timestamp,
    pub(super) instant: Instant,
    /// Set once a renewal for this very request has failed: the grant is not tried again.
    pub(super) failed: Option<&'a Failure>,
}

/// The decision, with what is to be sent.
pub(super) enum Choice<G = Usable, P = HeaderValue> {
    OAuth(G),
    /// The PAT, and why it stands in for a grant, where it does.
    Pat(P, Option<FallbackCause>),
    Refuse(Refusal),
}

/// A tenant's grant as far as the decision looks at it, with the tokens that would be sent.
pub(super) enum Candidate<'a, G = Usable> {
    Absent,
    Ended(DisconnectReason),
    Live {
        origin: &'a Origin,
        client_id: &'a str,
        token_type: TokenType,
        scopes: &'a ScopeSet,
        /// `None` where the access token cannot stand in a `Bearer` header.
        tokens: Option<G>,
    },
}

/// A pair of tokens that may be used, as far as its freshness lets it.
pub(super) struct Usable {
    pub(super) at: At,
    pub(super) authorization: HeaderValue,
    pub(super) freshness: Freshness,
}

/// Why the grant was passed over.
pub(super) enum Passed<G = Usable> {
    Absent,
    Ended(DisconnectReason),
    Misconfigured(Objection),
    Failed(Failure),
    /// It would do, as far as Flexslot lets it.
    Scope(G),
}

/// What there is of a PAT.
pub(super) enum Pat<P = HeaderValue> {
    Usable(P),
    Rejected(PatSource),
    Unusable(PatFault),
    Absent,
}

/// Picks the credential for `ask`. Takes the state mutably because asking for a rejected PAT may make this request its
/// probe.
pub(super) fn decide(ask: &Ask<'_>, state: &mut State, on: &Circumstances<'_>) -> Choice {
    match ask.class {
        PathClass::PatOnly => pat_only(state, on),
        PathClass::Ordinary => {
            let grant = Candidate::held_in(state, on).judge(ask.need, on);
            in_order(on.policy, grant, || pat(state, on))
        }
    }
}

fn pat_only(state: &mut State, on: &Circumstances<'_>) -> Choice {
    if !on.policy.credentials.contains(&CredentialKind::Pat) {
        return Choice::Refuse(Refusal::PatRequired);
    }
    match pat(state, on) {
        Pat::Usable(authorization) => Choice::Pat(authorization, None),
        Pat::Rejected(source) => Choice::Refuse(Refusal::PatRejected(source)),
        Pat::Unusable(fault) => Choice::Refuse(Refusal::PatUnusable(fault)),
        Pat::Absent => Choice::Refuse(Refusal::PatRequired),
    }
}

/// Tries the kinds in the policy's order. The PAT is asked for only where it is tried.
pub(super) fn in_order<G, P>(
    policy: &TenantPolicy,
    grant: Result<G, Passed<G>>,
    mut pat: impl FnMut() -> Pat<P>,
) -> Choice<G, P> {
    let mut grant = Some(grant);
    let mut passed = None;
    let mut pat_refusal = None;
    for kind in &policy.credentials {
        match kind {
            CredentialKind::OAuth => match grant.take() {
                Some(Ok(tokens)) => return Choice::OAuth(tokens),
                Some(Err(why)) => passed = Some(why),
                None => {}
            },
            CredentialKind::Pat => {
                if passed.as_ref().is_some_and(|why| !why.lets_pat_stand_in(policy.pat_fallback)) {
                    continue;
                }
                match pat() {
                    Pat::Usable(authorization) => {
                        return Choice::Pat(authorization, passed.and_then(|why| why.fallback_cause()));
                    }
                    Pat::Rejected(source) => pat_refusal = Some(Refusal::PatRejected(source)),
                    Pat::Unusable(fault) => pat_refusal = Some(Refusal::PatUnusable(fault)),
                    Pat::Absent => {}
                }
            }
        }
    }
    match passed {
        Some(Passed::Scope(tokens)) => Choice::OAuth(tokens),
        Some(Passed::Failed(failure)) => Choice::Refuse(failure.into_refusal()),
        Some(Passed::Misconfigured(what)) => Choice::Refuse(Refusal::OAuthMisconfigured(what.to_string())),
        Some(Passed::Ended(reason)) => Choice::Refuse(Refusal::ReconnectRequired(reason)),
        Some(Passed::Absent) | None => Choice::Refuse(pat_refusal.unwrap_or(Refusal::NotConnected)),
    }
}

fn pat(state: &mut State, on: &Circumstances<'_>) -> Pat {
    let Some(pat) = state.pats.current() else { return Pat::Absent };
    if let Some(fault) = pat.origin.as_ref().and_then(|own| foreign(own, on.settings)) {
        return Pat::Unusable(fault);
    }
    match &pat.authorization {
        None => Pat::Unusable(PatFault::Malformed),
        Some(authorization) => {
            let authorization = authorization.clone();
            if pat.health.admits(on.instant) { Pat::Usable(authorization) } else { Pat::Rejected(pat.source()) }
        }
    }
}

/// What is wrong with a PAT that belongs to another upstream than the configured one.
pub(super) fn foreign(own: &Origin, settings: &Settings) -> Option<PatFault> {
    let upstream = &settings.origin;
    (own != upstream).then(|| PatFault::OtherOrigin { own: own.to_string(), upstream: upstream.to_string() })
}

// === impl Candidate ===

impl<'a> Candidate<'a> {
    fn held_in(state: &'a State, on: &Circumstances<'_>) -> Self {
        let live = match &state.grant {
            Held::Never | Held::Removed(_) => return Self::Absent,
            Held::Ended(disconnected) => return Self::Ended(disconnected.reason),
            Held::Live(live) => live,
        };
        let Grant { origin, client_id, tokens, .. } = &live.grant;
        let freshness = tokens.freshness(on.now, live.plan.opens);
        let usable = live.authorization.clone();
        let usable = usable.map(|authorization| Usable { at: live.at(), authorization, freshness });
        Self::Live { origin, client_id, token_type: tokens.token_type, scopes: &tokens.scopes, tokens: usable }
    }
}

impl<G> Candidate<'_, G> {
    /// Whether its tokens are to be sent with a request that needs `need`.
    pub(super) fn judge(self, need: Option<Scope>, on: &Circumstances<'_>) -> Result<G, Passed<G>> {
        let (origin, client_id, token_type, scopes, tokens) = match self {
            Self::Absent => return Err(Passed::Absent),
            Self::Ended(reason) => return Err(Passed::Ended(reason)),
            Self::Live { origin, client_id, token_type, scopes, tokens } => {
                (origin, client_id, token_type, scopes, tokens)
            }
        };
        if let Some(failure) = on.failed {
            return Err(Passed::Failed(failure.clone()));
        }
        if let Some(objection) = on.settings.objection(origin, client_id) {
            return Err(Passed::Misconfigured(objection));
        }
        let tokens = tokens.ok_or(match token_type {
            TokenType::Dpop => Passed::Misconfigured(Objection::Bound),
            TokenType::Bearer => Passed::Misconfigured(Objection::Malformed),
        })?;
        match need {
            Some(need) if !scopes.covers(need) => Err(Passed::Scope(tokens)),
            _ => Ok(tokens),
        }
    }
}

// === impl Passed ===

impl<G> Passed<G> {
    fn lets_pat_stand_in(&self, fallback: PatFallback) -> bool {
        match (self, fallback) {
            (Self::Absent, _) | (_, PatFallback::Always) => true,
            (_, PatFallback::Never) | (Self::Ended(_), PatFallback::UnlessRevoked) => false,
            (_, PatFallback::UnlessRevoked) => true,
        }
    }

    fn fallback_cause(&self) -> Option<FallbackCause> {
        match self {
            Self::Absent => None,
            Self::Ended(_) => Some(FallbackCause::Disconnected),
            Self::Misconfigured(_) => Some(FallbackCause::Misconfigured),
            Self::Failed(_) => Some(FallbackCause::RefreshUnavailable),
            Self::Scope(..) => Some(FallbackCause::Scope),
        }
    }
}
