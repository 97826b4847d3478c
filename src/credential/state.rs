//! What is held in memory of a tenant.
//!
//! A [`Slot`] is one tenant's place; its [`State`] sits behind a lock that is never held over an await. The store is
//! the truth about a grant, with one exception: a pair that the store has still to take (see [`super::custody`]) is
//! newer than what the store says.

use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    At,
    clearance::Unsent,
    flight::{Cause, Flight},
    header,
    identity::NextLook,
    lacking::Lacking,
    pace::{NotNow, Pace},
    pats::Pats,
    policy::RefreshPolicy,
    proof::Binding,
    schedule::{Plan, Share},
    usage::LastUse,
};
use crate::{
    model::{
        CredentialKind, Freshness, Grant, GrantId, GrantState, Random, TenantId, Timestamp, TokenSet, TokenType,
        failpoint::{Step, reach},
        observe::FallbackCause,
        token::{DisconnectReason, Disconnected, Intent},
    },
    store::{Known, KnownGrant, KnownPat, TenantRecord, backend::Revision, era::EraId},
};

/// One tenant's place in memory.
pub(super) struct Slot {
    pub(super) tenant: TenantId,
    state: Mutex<State>,
    /// Held while the tenant is read from the store: readings do not overtake each other, and a cold tenant costs one
    /// however many ask.
    pub(super) reading: tokio::sync::Mutex<()>,
}

/// What is known of the tenant now.
#[derive(Default)]
pub(super) struct State {
    pub(super) grant: Held,
    pub(super) pats: Pats,
    pub(super) loaded: bool,
    /// Where grant and PAT were found in the store.
    found: Found,
    /// The store has something newer that could not be opened with the keys as they were.
    pub(super) unreadable: bool,
    /// How often what is known has changed.
    pub(super) changes: u64,
    /// When a request last came for the tenant.
    pub(super) asked: Option<Instant>,
    /// The renewal that is under way.
    pub(super) flight: Option<Flight>,
    pub(super) pace: Pace,
    pub(super) unsent: Option<Unsent>,
    pub(super) last_use: LastUse,
    /// When it is asked next whose the grant is.
    pub(super) next_look: Option<NextLook>,
    /// Why the PAT stands in for the grant, as far as it was told.
    told: Vec<FallbackCause>,
    pub(super) lacking: Lacking,
}

/// Where a tenant's rows were found: in which era of the store, and at which revisions.
#[derive(Default)]
struct Found {
    era: Option<EraId>,
    grant: Option<Revision>,
    pat: Option<Revision>,
}

/// The tenant's grant.
#[derive(Default)]
pub(super) enum Held {
    #[default]
    Never,
    /// There was this one, and it was removed.
    Removed(GrantId),
    Live(Arc<Live>),
    Ended(Disconnected),
}

/// A grant with tokens, ready to be used.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) grant: Grant,
    /// The token request for the next pair, if there is one whose outcome is not known here.
    pub(super) intent: Option<Intent>,
    /// `None` where the access token cannot stand in a header.
    pub(super) authorization: Option<HeaderValue>,
    /// What the token is bound to, and every request with it has to prove.
    pub(super) binding: Option<Binding>,
    /// When this version should be renewed; drawn once per version.
    pub(super) plan: Plan,
    /// Since when it has been here.
    since: Instant,
}

// === impl Slot ===

impl Slot {
    pub(super) fn new(tenant: TenantId) -> Self {
        Self { tenant, state: Mutex::default(), reading: tokio::sync::Mutex::default() }
    }

    /// Looks at or changes the state. `f` must be short.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock())
    }
}

// === impl State ===

impl State {
    /// Notes when a request asks for the tenant, if one does. Answers whether it is known.
    pub(super) fn note_asked(&mut self, asked: Option<Instant>) -> bool {
        self.asked = asked.or(self.asked);
        self.loaded
    }

    /// Takes over what the store says, unless it is older than what is held.
    pub(super) fn adopt(&mut self, record: TenantRecord, policy: &RefreshPolicy, random: &Random) {
        self.found = Found { era: Some(record.era), grant: record.revision, pat: record.pat_revision };
        self.changes += 1;
        self.pats.adopt(record.pat);
        self.adopt_grant(record.grant, policy, random);
        self.loaded = true;
        self.unreadable = false;
    }

    /// The store has come into `era` with everything that was found of the tenant before.
    pub(super) fn found_again_in(&mut self, era: EraId) {
        self.found.era = Some(era);
        self.changes += 1;
    }

    /// The last write that was found of the tenant.
    pub(super) fn found_at(&self) -> Option<Revision> {
        self.found.grant.max(self.found.pat)
    }

    /// What is known, to be compared with what the store says.
    pub(super) fn known(&self) -> Known {
        Known {
            grant: match &self.grant {
                Held::Never => KnownGrant::Nothing,
                Held::Removed(id) => KnownGrant::Removed(*id),
                Held::Live(live) => KnownGrant::Live(live.grant.clone(), live.intent.clone()),
                Held::Ended(ended) => KnownGrant::Ended(ended.clone()),
            },
            pat: match (self.pats.stored(), self.found.pat) {
                (Some(stored), _) => KnownPat::Stored(stored),
                (None, Some(_)) => KnownPat::Removed,
                (None, None) => KnownPat::Nothing,
            },
            era: self.found.era,
            grant_at: self.found.grant,
            pat_at: self.found.pat,
            waiting: false,
        }
    }

    fn adopt_grant(&mut self, stored: GrantState, policy: &RefreshPolicy, random: &Random) {
        match stored {
            GrantState::NeverConnected => self.end_with(match &self.grant {
                Held::Never => Held::Never,
                Held::Removed(id) => Held::Removed(*id),
                Held::Live(live) => Held::Removed(live.grant.id),
                Held::Ended(ended) => Held::Removed(ended.id),
            }),
            GrantState::Disconnected(disconnected) => self.end_with(Held::Ended(disconnected)),
            GrantState::Connected(grant) => self.adopt_pair(grant, None, policy, random),
            GrantState::Uncertain(grant, intent) => self.adopt_pair(grant, Some(intent), policy, random),
        }
    }

    fn adopt_pair(&mut self, grant: Grant, intent: Option<Intent>, policy: &RefreshPolicy, random: &Random) {
        let at = At::of(&grant);
        if !self.has_seen(at) {
            self.publish(grant, policy, random);
        }
        self.note_intent(at, intent);
    }

    /// Notes that `intent` was written over the row as it was at `revision`: a row that is as it was then is from
    /// before.
    pub(super) fn begun(&mut self, revision: Revision, intent: &Intent) {
        let at = At { grant: intent.grant, version: intent.version };
        if self.live().is_some_and(|live| live.at() == at) {
            self.found.grant = self.found.grant.max(Some(Revision(revision.0 + 1)));
            self.changes += 1;
        }
        self.note_intent(at, Some(intent.clone()));
    }

    /// Notes the token request for the pair after `at`, or that there is none, if that is the pair held.
    pub(super) fn note_intent(&mut self, at: At, intent: Option<Intent>) {
        if let Held::Live(live) = &mut self.grant
            && live.at() == at
            && live.intent != intent
        {
            *live = Arc::new(Live { intent, ..Live::clone(live) });
            self.changes += 1;
        }
    }

    /// Whether this pair, or a later one of its grant, is or was the one held. A grant that has ended at a version
    /// stays ended at it, whatever a store says that has still to be told; one that was disconnected here, at any.
    fn has_seen(&self, at: At) -> bool {
        match &self.grant {
            Held::Live(live) => live.grant.id == at.grant && live.grant.version >= at.version,
            Held::Ended(ended) => {
                let for_good = ended.reason == DisconnectReason::Disconnected;
                ended.id == at.grant && (for_good || ended.version >= at.version)
            }
            Held::Never | Held::Removed(_) => false,
        }
    }

    /// Makes the next pair of the grant held the one that requests use, unless the slot has moved on. Answers whether
    /// it holds that pair now.
    pub(super) fn advance(&mut self, next: Grant, policy: &RefreshPolicy, random: &Random) -> bool {
        let at = At::of(&next);
        if self.live().is_some_and(|live| live.grant.id == at.grant && live.grant.version < at.version) {
            self.publish(next, policy, random);
        }
        reach(Step::PairPublished);
        self.live().is_some_and(|live| live.at() == at)
    }

    /// Ends the grant held, if it is still at the version that `ended` names.
    pub(super) fn end(&mut self, ended: Disconnected) {
        let at = At { grant: ended.id, version: ended.version };
        if self.live().is_some_and(|live| live.at() == at) {
            self.end_with(Held::Ended(ended));
        }
    }

    /// Ends the grant held, if it is this one, at whatever version: somebody has ended it, and how has still to be read.
    pub(super) fn end_unread(&mut self, grant: GrantId, now: Timestamp) -> bool {
        let live = self.live().filter(|live| live.grant.id == grant).cloned();
        let ended = live.map(|live| live.grant.disconnected(DisconnectReason::Disconnected, now));
        let has_ended = ended.is_some();
        if let Some(ended) = ended {
            self.end_with(Held::Ended(ended));
        }
        has_ended
    }

    /// Makes `grant` the one that requests use from now on.
    fn publish(&mut self, grant: Grant, policy: &RefreshPolicy, random: &Random) {
        if self.live().is_none_or(|held| held.grant.id != grant.id) {
            self.pace = Pace::default();
            self.told.clear();
        }
        self.changes += 1;
        self.pace.backoff = None;
        self.unsent = None;
        self.grant = Held::Live(Arc::new(Live::new(grant, policy, random)));
    }

    /// Notes what a request gets: a PAT that stands in for the grant because of `cause`, if there is one. Answers the
    /// cause where that is a switch, and not told yet.
    pub(super) fn note_switch(&mut self, kind: CredentialKind, cause: Option<FallbackCause>) -> Option<FallbackCause> {
        if kind == CredentialKind::OAuth {
            // A scope that the grant lacks it lacks for the next request too.
            self.told.retain(|cause| *cause == FallbackCause::Scope);
        }
        let cause = cause.filter(|cause| !self.told.contains(cause))?;
        self.told.push(cause);
        Some(cause)
    }

    fn end_with(&mut self, held: Held) {
        self.changes += 1;
        self.grant = held;
        self.pace = Pace::default();
        self.unsent = None;
    }

    /// What speaks against renewing the pair held because of `cause` at `now`.
    pub(super) fn held_back(&self, cause: Cause, now: Timestamp, min_interval: Duration) -> Option<NotNow> {
        let live = self.live()?;
        self.pace.held_back(live.grant.version, cause, live.age(now), min_interval)
    }

    /// Whether requests have got the PAT in place of the grant, as far as none that got the grant since has shown that
    /// this is over.
    pub(super) fn has_switched(&self) -> bool {
        !self.told.is_empty()
    }

    /// The grant, where tokens are held.
    pub(super) fn live(&self) -> Option<&Arc<Live>> {
        match &self.grant {
            Held::Live(live) => Some(live),
            Held::Never | Held::Removed(_) | Held::Ended(_) => None,
        }
    }

    /// Whether failures or refusals are remembered that should still have an effect.
    pub(super) fn knows_of_trouble(&self, now: Instant) -> bool {
        self.pace.holds_back(now) || !self.pats.are_good()
    }
}

// === impl Live ===

impl Live {
    fn new(grant: Grant, policy: &RefreshPolicy, random: &Random) -> Self {
        let plan = Plan::new(&grant.tokens, Share::new(grant.id, grant.version), policy, random);
        let TokenSet { access, token_type, key, .. } = &grant.tokens;
        let (authorization, binding) = match (token_type, key) {
            // It came without one: it counts as expired, so that it is refreshed before anything is sent.
            _ if access.is_empty() => (Some(header::without_token()), None),
            (TokenType::Bearer, _) => (header::bearer(access), None),
            (TokenType::Dpop, Some(key)) => (header::dpop(access), Some(Binding::new(key.clone(), access))),
            (TokenType::Dpop, None) => (Some(header::without_token()), None),
        };
        Self { plan, authorization, binding, grant, intent: None, since: Instant::now() }
    }

    /// The age of the last token answer; `None` for an imported pair. A pair is no younger than its time in here, which a
    /// wall clock that stands still does not see.
    fn age(&self, now: Timestamp) -> Option<Duration> {
        self.grant.tokens.age(now).map(|age| age.max(self.since.elapsed()))
    }

    /// How fresh the access token is at `now`. A bound one whose key is not here counts as expired: the next is bound to
    /// a key that is.
    pub(super) fn freshness(&self, now: Timestamp) -> Freshness {
        let tokens = &self.grant.tokens;
        let is_presentable = tokens.token_type == TokenType::Bearer || tokens.key.is_some();
        if is_presentable { tokens.freshness(now, self.plan.opens) } else { Freshness::Expired }
    }

    /// Which pair this is.
    pub(super) fn at(&self) -> At {
        At { grant: self.grant.id, version: self.grant.version }
    }
}
