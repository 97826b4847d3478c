//! Which credential is best for a request.
//!
//! The decision asks nobody and waits for nothing: it follows from what is held of the tenant, the tenant's policy and
//! the request. Kinds are tried in the policy's order, a grant is passed over when its scopes do not cover the request
//! and a PAT can stand in, and what Flexslot guards by PAT alone gets a PAT or nothing. It changes one thing: a rejected
//! PAT that has rested is probed by whoever is given it. What was considered on the way, and why it was taken or not, is
//! part of the answer, for the trace of the request.

use http::HeaderValue;
use tokio::time::Instant;

use super::{
    Ask, At, PatFault, PatSource, PathClass, Refusal,
    failure::Failure,
    policy::{Objection, Settings, TenantPolicy},
    proof::Binding,
    state::{Held, State},
};
use crate::model::{
    CredentialKind, Grant, Origin, PatFallback, Scope, ScopeSet, Timestamp, TokenType,
    observe::FallbackCause,
    token::{DisconnectReason, Freshness},
    trace::{Considered, Finding, GrantFinding, Pair, PatFinding},
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

/// The decision, and what it looked at.
pub(super) struct Decision {
    pub(super) choice: Choice,
    pub(super) considered: Considered,
}

/// What a request gets.
pub(super) enum Choice<G = Usable, P = HeaderValue> {
    OAuth(G),
    /// The PAT, and why it stands in for a grant, where it does.
    Pat(P, Option<FallbackCause>),
    Refuse(Refusal),
}

/// A tenant's grant as the decision looks at it, with the tokens that would be sent.
pub(super) enum Candidate<'a, G = Usable> {
    Absent,
    Ended(DisconnectReason),
    Live {
        origin: &'a Origin,
        client_id: &'a str,
        token_type: TokenType,
        scopes: &'a ScopeSet,
        /// `None` where the access token cannot stand in a header.
        tokens: Option<G>,
    },
}

/// Tokens as the decision names them in a trace.
pub(super) trait Tokens {
    fn pair(&self) -> Pair;
}

/// A pair of tokens that may be used, as far as its freshness lets it.
pub(super) struct Usable {
    pub(super) at: At,
    pub(super) authorization: HeaderValue,
    pub(super) binding: Option<Binding>,
    pub(super) freshness: Freshness,
}

/// Why the grant was passed over.
pub(super) enum Passed<G = Usable> {
    Absent,
    Ended(DisconnectReason),
    Misconfigured(Objection),
    Failed(Failure),
    /// It would do, as far as Flexslot lets it; this scope it lacks.
    Scope(Scope, G),
}

/// What there is of a PAT.
pub(super) enum Pat<P = HeaderValue> {
    Usable(P, PatSource),
    Rejected(PatSource),
    Unusable(PatFault),
    Absent,
}

/// Picks the credential for `ask`. Takes the state mutably because asking for a rejected PAT may make this request its
/// probe.
pub(super) fn decide(ask: &Ask<'_>, state: &mut State, on: &Circumstances<'_>) -> Decision {
    let mut considered = Considered::default();
    let choice = match ask.class {
        PathClass::PatOnly => pat_only(state, ask, on, &mut considered),
        PathClass::Ordinary => {
            let grant = Candidate::held_in(state, on).judge(ask.need, on);
            let has_pat = state.pats.current().is_some();
            in_order(on.policy, grant, has_pat, || pat(state, ask, on), &mut considered)
        }
    };
    Decision { choice, considered }
}

fn pat_only(state: &mut State, ask: &Ask<'_>, on: &Circumstances<'_>, considered: &mut Considered) -> Choice {
    considered.push(Finding::OAuth(GrantFinding::PatOnlyPath));
    if !on.policy.credentials.contains(&CredentialKind::Pat) {
        considered.push(Finding::Pat(PatFinding::NotListed));
        return Choice::Refuse(Refusal::PatRequired);
    }
    let pat = pat(state, ask, on);
    considered.push(Finding::Pat(pat.finding(None)));
    match pat {
        Pat::Usable(authorization, _) => Choice::Pat(authorization, None),
        Pat::Rejected(source) => Choice::Refuse(Refusal::PatRejected(source)),
        Pat::Unusable(fault) => Choice::Refuse(Refusal::PatUnusable(fault)),
        Pat::Absent => Choice::Refuse(Refusal::PatRequired),
    }
}

/// Tries the kinds in the policy's order. What there is of a PAT is asked only where it is tried.
pub(super) fn in_order<G: Tokens, P>(
    policy: &TenantPolicy,
    grant: Result<G, Passed<G>>,
    has_pat: bool,
    mut pat: impl FnMut() -> Pat<P>,
    considered: &mut Considered,
) -> Choice<G, P> {
    let listed = &policy.credentials;
    let mut grant = Some(grant);
    if !listed.contains(&CredentialKind::OAuth) {
        considered.push(Finding::OAuth(GrantFinding::NotListed));
    }
    let mut passed = None;
    let mut pat_refusal = None;
    for kind in listed {
        match kind {
            CredentialKind::OAuth => match grant.take() {
                Some(Ok(tokens)) => {
                    considered.push(Finding::OAuth(GrantFinding::Taken(tokens.pair())));
                    return Choice::OAuth(tokens);
                }
                Some(Err(why)) => {
                    considered.push(Finding::OAuth(why.finding()));
                    passed = Some(why);
                }
                None => {}
            },
            CredentialKind::Pat => {
                if passed.as_ref().is_some_and(|why| !why.lets_pat_stand_in(policy.pat_fallback)) {
                    considered.push(Finding::Pat(if has_pat { PatFinding::NotAllowed } else { PatFinding::Absent }));
                    continue;
                }
                let stands_in = passed.as_ref().and_then(Passed::fallback_cause);
                let pat = pat();
                considered.push(Finding::Pat(pat.finding(stands_in)));
                match pat {
                    Pat::Usable(authorization, _) => return Choice::Pat(authorization, stands_in),
                    Pat::Rejected(source) => pat_refusal = Some(Refusal::PatRejected(source)),
                    Pat::Unusable(fault) => pat_refusal = Some(Refusal::PatUnusable(fault)),
                    Pat::Absent => {}
                }
            }
        }
    }
    if !listed.contains(&CredentialKind::Pat) {
        considered.push(Finding::Pat(PatFinding::NotListed));
    }
    match passed {
        Some(Passed::Scope(lacking, tokens)) => {
            considered.push(Finding::OAuth(GrantFinding::TakenWithoutScope(lacking, tokens.pair())));
            Choice::OAuth(tokens)
        }
        Some(Passed::Failed(failure)) => Choice::Refuse(failure.into_refusal()),
        Some(Passed::Misconfigured(objection)) => Choice::Refuse(Refusal::OAuthMisconfigured(objection.to_string())),
        Some(Passed::Ended(reason)) => Choice::Refuse(Refusal::ReconnectRequired(reason)),
        Some(Passed::Absent) | None => Choice::Refuse(pat_refusal.unwrap_or(Refusal::NotConnected)),
    }
}

fn pat(state: &mut State, ask: &Ask<'_>, on: &Circumstances<'_>) -> Pat {
    let Some(pat) = state.pats.current() else { return Pat::Absent };
    if let Some(fault) = pat.origin.as_ref().and_then(|own| foreign(own, on.settings)) {
        return Pat::Unusable(fault);
    }
    let source = pat.source();
    match &pat.authorization {
        None => Pat::Unusable(PatFault::Malformed),
        Some(authorization) => {
            let authorization = authorization.clone();
            if pat.admits(ask.resource, on.instant) {
                Pat::Usable(authorization, source)
            } else {
                Pat::Rejected(source)
            }
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
        let usable = live.authorization.clone().map(|authorization| Usable {
            at: live.at(),
            authorization,
            binding: live.binding.clone(),
            freshness: live.freshness(on.now),
        });
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
        if let Some(objection) = on.settings.objection_to_type(client_id, token_type) {
            return Err(Passed::Misconfigured(objection));
        }
        let Some(tokens) = tokens else { return Err(Passed::Misconfigured(Objection::Malformed)) };
        match need {
            Some(need) if !scopes.covers(need) => Err(Passed::Scope(need, tokens)),
            _ => Ok(tokens),
        }
    }
}

// === impl Usable ===

impl Tokens for Usable {
    fn pair(&self) -> Pair {
        Pair { version: self.at.version, freshness: self.freshness }
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

    /// As a trace has it.
    fn finding(&self) -> GrantFinding {
        match self {
            Self::Absent => GrantFinding::NeverConnected,
            Self::Ended(reason) => GrantFinding::Ended(*reason),
            Self::Misconfigured(objection) => objection.into(),
            Self::Failed(failure) => GrantFinding::NotRefreshed(failure.class),
            Self::Scope(lacking, _) => GrantFinding::LacksScope(*lacking),
        }
    }
}

// === impl Pat ===

impl<P> Pat<P> {
    /// As a trace has it, where the PAT stands in for a grant for this reason, or for none.
    fn finding(&self, stands_in: Option<FallbackCause>) -> PatFinding {
        match (self, stands_in) {
            (Self::Usable(_, source), Some(cause)) => PatFinding::StandsIn(*source, cause),
            (Self::Usable(_, source), None) => PatFinding::Taken(*source),
            (Self::Rejected(source), _) => PatFinding::Rejected(*source),
            (Self::Unusable(PatFault::OtherOrigin { .. }), _) => PatFinding::OtherOrigin,
            (Self::Unusable(PatFault::Malformed), _) => PatFinding::Malformed,
            (Self::Absent, _) => PatFinding::Absent,
        }
    }
}
