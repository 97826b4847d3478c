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
    policy::{Settings, TenantPolicy},
    state::{Held, State},
};
use crate::model::{
    CredentialKind, PatFallback, Timestamp, TokenType,
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

/// The decision.
pub(super) enum Choice {
    OAuth(Usable),
    /// The PAT, and why it stands in for a grant, where it does.
    Pat(HeaderValue, Option<FallbackCause>),
    Refuse(Refusal),
}

/// A pair of tokens that may be used, as far as its freshness lets it.
pub(super) struct Usable {
    pub(super) at: At,
    pub(super) authorization: HeaderValue,
    pub(super) freshness: Freshness,
}

/// Why the grant was passed over.
enum Passed {
    Absent,
    Ended(DisconnectReason),
    Misconfigured(String),
    Failed(Failure),
    /// It would do, as far as Flexslot lets it.
    Scope(Usable),
}

/// What there is of a PAT.
enum Pat {
    Usable(HeaderValue),
    Rejected(PatSource),
    Unusable(PatFault),
    Absent,
}

/// Picks the credential for `ask`. Takes the state mutably because asking for a rejected PAT may make this request its
/// probe.
pub(super) fn decide(ask: &Ask<'_>, state: &mut State, on: &Circumstances<'_>) -> Choice {
    match ask.class {
        PathClass::PatOnly => pat_only(state, on),
        PathClass::Ordinary => in_order(ask, state, on),
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

fn in_order(ask: &Ask<'_>, state: &mut State, on: &Circumstances<'_>) -> Choice {
    let mut passed = None;
    let mut pat_refusal = None;
    for kind in &on.policy.credentials {
        match kind {
            CredentialKind::OAuth => match grant(ask, state, on) {
                Ok(usable) => return Choice::OAuth(usable),
                Err(why) => passed = Some(why),
            },
            CredentialKind::Pat => {
                if passed.as_ref().is_some_and(|why| !why.lets_pat_stand_in(on.policy.pat_fallback)) {
                    continue;
                }
                match pat(state, on) {
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
        Some(Passed::Scope(usable)) => Choice::OAuth(usable),
        Some(Passed::Failed(failure)) => Choice::Refuse(failure.into_refusal()),
        Some(Passed::Misconfigured(what)) => Choice::Refuse(Refusal::OAuthMisconfigured(what)),
        Some(Passed::Ended(reason)) => Choice::Refuse(Refusal::ReconnectRequired(reason)),
        Some(Passed::Absent) | None => Choice::Refuse(pat_refusal.unwrap_or(Refusal::NotConnected)),
    }
}

fn grant(ask: &Ask<'_>, state: &State, on: &Circumstances<'_>) -> Result<Usable, Passed> {
    let live = match &state.grant {
        Held::Never | Held::Removed(_) => return Err(Passed::Absent),
        Held::Ended(disconnected) => return Err(Passed::Ended(disconnected.reason)),
        Held::Live(live) => live,
    };
    if let Some(failure) = on.failed {
        return Err(Passed::Failed(failure.clone()));
    }
    if let Some(what) = on.settings.objection_to(&live.grant) {
        return Err(Passed::Misconfigured(what));
    }
    let tokens = &live.grant.tokens;
    let Some(authorization) = live.authorization.clone() else {
        let what = match tokens.token_type {
            TokenType::Dpop => "its tokens are bound to a key (DPoP), which this version cannot present",
            TokenType::Bearer => "its access token cannot stand in a header",
        };
        return Err(Passed::Misconfigured(what.into()));
    };
    let freshness = tokens.freshness(on.now, live.plan.opens);
    let usable = Usable { at: live.at(), authorization, freshness };
    match ask.need {
        Some(need) if !tokens.scopes.covers(need) => Err(Passed::Scope(usable)),
        _ => Ok(usable),
    }
}

fn pat(state: &mut State, on: &Circumstances<'_>) -> Pat {
    let Some(pat) = state.pats.current() else { return Pat::Absent };
    let upstream = &on.settings.origin;
    if let Some(own) = pat.origin.as_ref().filter(|own| *own != upstream) {
        return Pat::Unusable(PatFault::OtherOrigin { own: own.to_string(), upstream: upstream.to_string() });
    }
    match &pat.authorization {
        None => Pat::Unusable(PatFault::Malformed),
        Some(authorization) => {
            let authorization = authorization.clone();
            if pat.health.admits(on.instant) { Pat::Usable(authorization) } else { Pat::Rejected(pat.source()) }
        }
    }
}

// === impl Passed ===

impl Passed {
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
