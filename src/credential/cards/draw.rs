//! How a card is drawn from what is known.

use std::time::Duration;

use tokio::time::Instant;

use super::memory::{Memory, TokenHealth};
use crate::{
    credential::{
        PatFault, PatSource,
        failure::{Failure, FailureClass},
        header,
        pick::{Candidate, Choice, Circumstances, Pat, Tokens, foreign, in_order},
        policy::{Objection, Settings, TenantPolicy},
    },
    model::{
        Card, ConnectionState, CredentialKind, Freshness, GrantId, NextStep, PatState, Reason, Scope, ScopeSet,
        Timestamp,
        token::{DisconnectReason, Disconnected},
        trace::{Considered, Pair},
    },
    store::{GrantStanding, GrantSummary, IdentityRecord, PatStanding, StoreError, TenantSummary},
};

/// How long a refresh token lives after the token answer that brought it (Flexslot's documentation).
const REFRESH_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// With less left of it, a connection counts as expiring.
const EXPIRING: Duration = Duration::from_secs(7 * 24 * 3600);

/// Everything that a card is drawn from.
pub(super) struct Sitting<'a> {
    pub(super) summary: &'a TenantSummary,
    pub(super) memory: &'a Memory,
    /// Whose the grant is, as far as that is known.
    pub(super) whose: Option<&'a Whose>,
    pub(super) policy: &'a TenantPolicy,
    pub(super) settings: &'a Settings,
    pub(super) now: Timestamp,
}

/// Whose a grant is.
#[derive(Debug, Clone)]
pub(super) struct Whose {
    /// Which grant.
    pub(super) grant: GrantId,
    pub(super) username: Option<String>,
    /// Flexslot has named another user for it since.
    pub(super) is_anothers: bool,
    /// Scopes that requests with it were refused for want of.
    pub(super) lacks: ScopeSet,
}

/// A state, and why it is this one or what else there is to know.
type Judgement = (ConnectionState, Option<Reason>);

// === impl Sitting ===

impl Sitting<'_> {
    pub(super) fn draw(&self) -> Card {
        let grant = self.memory.newer_than(&self.summary.grant);
        let held = connected(grant);
        let lacks = held.map_or_else(ScopeSet::unknown, |held| self.can_be_asked(held, &self.lacks(held, grant)));
        let (state, reason) = self.judge(grant);
        let next_step = self.next_step(state, reason.as_ref(), &lacks);
        Card {
            tenant: self.summary.tenant.clone(),
            state,
            serves: self.serves(grant),
            username: self.whose_is(grant).and_then(|whose| whose.username.clone()),
            scopes: held.map_or_else(ScopeSet::unknown, |held| held.scopes.clone()),
            lacks,
            pat: match self.pat() {
                Pat::Usable(..) => PatState::Ok,
                Pat::Rejected(_) => PatState::Rejected,
                // One that cannot be sent counts for no more than none, and is replaced in the same way.
                Pat::Unusable(_) | Pat::Absent => PatState::None,
            },
            last_used: self.summary.last_used.max(self.memory.last_use),
            expires_at: held.map(|held| held.expires_at),
            refresh_expires_at: held.and_then(refresh_end),
            reason,
            next_step,
        }
    }

    // === what a request gets ===

    /// What an ordinary request gets now, by the very decision that it meets.
    fn serves(&self, grant: &GrantStanding) -> Option<CredentialKind> {
        let grant = match (self.unreadable(grant), &self.memory.held) {
            (None, _) => grant,
            // What was known of the tenant goes on serving.
            (Some(_), Some(held)) => held,
            (Some(_), None) => {
                let pat = self.policy.pat_that_needs_no_store();
                return pat.and_then(|_| matches!(self.pat(), Pat::Usable(..)).then_some(CredentialKind::Pat));
            }
        };
        let failure = connected(grant).and_then(|grant| self.memory.tokens_of(grant.id).failure);
        let on = Circumstances {
            policy: self.policy,
            settings: self.settings,
            now: self.now,
            instant: Instant::now(),
            failed: failure.as_ref(),
        };
        let grant = candidate(grant, self.now).judge(None, &on);
        let has_pat = !matches!(self.pat(), Pat::Absent);
        match in_order(self.policy, grant, has_pat, || self.pat(), &mut Considered::default()) {
            Choice::OAuth(_) => Some(CredentialKind::OAuth),
            Choice::Pat((), _) => Some(CredentialKind::Pat),
            Choice::Refuse(_) => None,
        }
    }

    /// The PAT that counts. Whether a stored one can stand in a header is not known without opening it.
    fn pat(&self) -> Pat<()> {
        let (source, fault) = match (&self.policy.pat, &self.summary.pat) {
            (Some(pat), _) => (PatSource::Configuration, header::bearer(pat).is_none().then_some(PatFault::Malformed)),
            (None, PatStanding::Stored { origin }) => (PatSource::Store, foreign(origin, self.settings)),
            (None, PatStanding::Absent | PatStanding::Unreadable(_)) => return Pat::Absent,
        };
        match fault {
            Some(fault) => Pat::Unusable(fault),
            None if self.memory.rejected == Some(source) => Pat::Rejected(source),
            None => Pat::Usable((), source),
        }
    }

    // === the state ===

    fn judge(&self, grant: &GrantStanding) -> Judgement {
        if let Some(what) = self.unreadable(grant) {
            return (ConnectionState::Error, Some(Reason::Unreadable(what)));
        }
        match grant {
            GrantStanding::Connected(held) => self.judge_held(held, grant),
            GrantStanding::Disconnected(Disconnected { reason, .. }) => match reason {
                DisconnectReason::InvalidGrant => (ConnectionState::ReconnectRequired, Some(Reason::InvalidGrant)),
                DisconnectReason::RefreshOutcomeLost => {
                    (ConnectionState::ReconnectRequired, Some(Reason::RefreshOutcomeLost))
                }
                DisconnectReason::ClientRevoked => (ConnectionState::ReconnectRequired, Some(Reason::ClientRevoked)),
                DisconnectReason::Disconnected => self.judge_without(Some(Reason::Disconnected)),
            },
            GrantStanding::NeverConnected | GrantStanding::Unreadable(_) => self.judge_without(None),
        }
    }

    fn judge_held(&self, held: &GrantSummary, grant: &GrantStanding) -> Judgement {
        let objection = self.settings.objection(&held.origin, &held.client_id);
        let objection = objection.or_else(|| self.settings.objection_to_type(&held.client_id, held.token_type));
        let tokens = self.memory.tokens_of(held.id);
        let error = match objection {
            Some(objection) => Some(objection.into()),
            None if self.whose_is(grant).is_some_and(|whose| whose.is_anothers) => Some(Reason::SubjectChanged),
            None if tokens.refused_anew => Some(Reason::UnauthorizedAfterRefresh),
            None => tokens.failure.as_ref().and_then(lasting),
        };
        if error.is_some() {
            return (ConnectionState::Error, error);
        }
        // By the calendar it may be over, but nobody knows before Flexslot is asked, and the next call does ask: whoever
        // stopped here on a guess would end a connection that may be alive. The page says that it may be over all the
        // same, and offers to connect again.
        let left = refresh_end(held).map(|end| end.left(self.now));
        let state = match left {
            Some(left) if left < EXPIRING => ConnectionState::Expiring,
            _ => ConnectionState::Connected,
        };
        (state, self.remark(held, &tokens, left, self.lacks(held, grant)))
    }

    /// What else there is to know of a grant that is believed to hold.
    fn remark(
        &self,
        held: &GrantSummary,
        tokens: &TokenHealth,
        left: Option<Duration>,
        lacks: ScopeSet,
    ) -> Option<Reason> {
        if held.intent.is_some() {
            Some(Reason::RefreshUncertain)
        } else if tokens.failure.is_some() {
            Some(Reason::RefreshUnavailable)
        } else if left.is_some_and(|left| left.is_zero()) {
            Some(Reason::ProbablyExpired)
        } else {
            match self.pat() {
                Pat::Rejected(_) => Some(Reason::PatRejected),
                _ if !lacks.is_empty() => Some(Reason::LacksScopes(lacks)),
                Pat::Usable(..) => tokens.switched.then_some(Reason::PatStandsIn),
                Pat::Unusable(_) | Pat::Absent => None,
            }
        }
    }

    /// Without a grant the PAT is all that there may be; what is wrong with it comes before how the grant `ended`.
    fn judge_without(&self, ended: Option<Reason>) -> Judgement {
        match (self.pat(), &self.summary.pat) {
            (Pat::Unusable(PatFault::OtherOrigin { .. }), PatStanding::Stored { origin }) => {
                (ConnectionState::Error, Some(Reason::OtherOrigin(origin.clone())))
            }
            (Pat::Unusable(_), _) => {
                let what = "the PAT has characters that cannot stand in a header";
                (ConnectionState::Error, Some(Reason::Unreadable(what.into())))
            }
            (Pat::Rejected(_), _) => (ConnectionState::NotConnected, Some(ended.unwrap_or(Reason::PatRejected))),
            (Pat::Usable(..) | Pat::Absent, _) => (ConnectionState::NotConnected, ended),
        }
    }

    /// Why the tenant's record cannot be read, if it cannot: as a whole, since a request needs it as a whole.
    fn unreadable(&self, grant: &GrantStanding) -> Option<String> {
        let plain = match (grant, &self.summary.pat) {
            (GrantStanding::Unreadable(error), _) | (_, PatStanding::Unreadable(error)) => Some(error),
            _ => None,
        };
        plain.or(self.memory.unreadable.as_ref()).map(what_is_wrong)
    }

    /// Whose the grant is. With a disconnect here that is forgotten.
    fn whose_is(&self, grant: &GrantStanding) -> Option<&Whose> {
        let id = match grant {
            GrantStanding::Connected(held) => held.id,
            GrantStanding::Disconnected(ended) if ended.reason != DisconnectReason::Disconnected => ended.id,
            _ => return None,
        };
        self.whose.filter(|whose| whose.grant == id)
    }

    /// Scopes that its requests were refused for want of, but for those that are known to be granted by now.
    fn lacks(&self, held: &GrantSummary, grant: &GrantStanding) -> ScopeSet {
        let refused = self.whose_is(grant).map_or_else(ScopeSet::unknown, |whose| whose.lacks.clone());
        let scopes = refused.names().filter_map(Scope::from_name);
        let missing = scopes.filter(|scope| held.scopes.is_empty() || !held.scopes.covers(*scope));
        ScopeSet::unknown().and(missing)
    }

    // === what can be done ===

    /// Those of them that the grant's client may ask for: its user can allow no others.
    fn can_be_asked(&self, held: &GrantSummary, scopes: &ScopeSet) -> ScopeSet {
        let may = scopes.names().filter(|scope| self.settings.endpoint.may_ask(&held.client_id, scope));
        ScopeSet::unknown().and(may.filter_map(Scope::from_name))
    }

    /// `lacks` are the scopes that its user can be asked for.
    fn next_step(&self, state: ConnectionState, reason: Option<&Reason>, lacks: &ScopeSet) -> Option<NextStep> {
        let uses_grants = self.policy.credentials.contains(&CredentialKind::OAuth);
        match (state, reason) {
            (_, Some(Reason::PatRejected)) => Some(NextStep::SetPat),
            (ConnectionState::Connected, Some(Reason::LacksScopes(_))) if !lacks.is_empty() => {
                Some(NextStep::AllowMore)
            }
            (ConnectionState::Connected, _) => None,
            (ConnectionState::Expiring | ConnectionState::ReconnectRequired, _)
            | (ConnectionState::Error, Some(Reason::SubjectChanged)) => Some(NextStep::Reconnect),
            // Neither connecting again nor another setting is known to help.
            (ConnectionState::Error, Some(Reason::UnauthorizedAfterRefresh)) => None,
            (ConnectionState::Error, _) => Some(NextStep::FixConfig),
            (ConnectionState::NotConnected, _) if uses_grants => Some(NextStep::Connect),
            (ConnectionState::NotConnected, _) => matches!(self.pat(), Pat::Absent).then_some(NextStep::SetPat),
        }
    }
}

/// The grant as the decision sees it. Whether its access token can stand in a header is not known without opening it.
fn candidate(grant: &GrantStanding, now: Timestamp) -> Candidate<'_, Pair> {
    match grant {
        GrantStanding::NeverConnected | GrantStanding::Unreadable(_) => Candidate::Absent,
        GrantStanding::Disconnected(ended) => Candidate::Ended(ended.reason),
        GrantStanding::Connected(held) => {
            let freshness = if now < held.expires_at { Freshness::Fresh } else { Freshness::Expired };
            let pair = Pair { version: held.version, freshness };
            Candidate::Live {
                origin: &held.origin,
                client_id: &held.client_id,
                token_type: held.token_type,
                scopes: &held.scopes,
                tokens: Some(pair),
            }
        }
    }
}

fn connected(grant: &GrantStanding) -> Option<&GrantSummary> {
    match grant {
        GrantStanding::Connected(held) => Some(held),
        _ => None,
    }
}

/// When the refresh token ends; `None` of a pair whose age nobody knows.
fn refresh_end(held: &GrantSummary) -> Option<Timestamp> {
    held.answered_at.map(|at| at.plus(REFRESH_LIFE))
}

/// What a failed renewal says that time does not mend.
fn lasting(failure: &Failure) -> Option<Reason> {
    match failure.class {
        FailureClass::Misconfigured => Some(Reason::RefreshMisconfigured),
        FailureClass::Unreadable => Some(Reason::Unreadable(failure.what.clone())),
        _ => None,
    }
}

fn what_is_wrong(error: &StoreError) -> String {
    match error {
        StoreError::Unreadable { record, what } => format!("{record}: {what}"),
        StoreError::Unavailable(what) => what.clone(),
    }
}

// === impl Whose ===

impl From<IdentityRecord> for Whose {
    fn from(IdentityRecord { grant, identity, other_sub, lacks, .. }: IdentityRecord) -> Self {
        let username = identity.and_then(|identity| identity.username);
        Self { grant, username, is_anothers: other_sub.is_some(), lacks }
    }
}

// === impl Pair ===

impl Tokens for Pair {
    fn pair(&self) -> Pair {
        *self
    }
}

// === impl Reason ===

impl From<Objection> for Reason {
    fn from(objection: Objection) -> Self {
        match objection {
            Objection::OtherOrigin { own, .. } => Self::OtherOrigin(own),
            Objection::OtherClient(client) => Self::OtherClient(client),
            Objection::Bound | Objection::Malformed => Self::TokenUnusable,
        }
    }
}
