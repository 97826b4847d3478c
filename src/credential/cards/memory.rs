//! What this process knows of a tenant, and the store does not say.
//!
//! Only slots that are in memory anyway are looked at; nothing is loaded for a card.

use crate::{
    credential::{
        PatSource,
        failure::Failure,
        flight::Cause,
        pace::NotNow,
        state::{Held, Live, State},
        works::Works,
    },
    model::{GrantId, Timestamp},
    store::{GrantStanding, GrantSummary, StoreError, TenantSummary},
};

/// What is remembered of a tenant.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The grant that requests use, where the tenant is loaded.
    pub(super) held: Option<GrantStanding>,
    /// What was found out about the tokens of the grant held.
    pub(super) tokens: TokenHealth,
    pub(super) last_use: Option<Timestamp>,
    /// Where the PAT comes from that Flexslot has refused so often that it counts as absent.
    pub(super) rejected: Option<PatSource>,
    /// Why the tenant's record could not be opened.
    pub(super) unreadable: Option<StoreError>,
}

/// How the tokens of a grant are doing.
#[derive(Debug, Clone, Default)]
pub(super) struct TokenHealth {
    /// Flexslot refuses them though they are new.
    pub(super) refused_anew: bool,
    /// Requests have got the PAT in their place.
    pub(super) switched: bool,
    /// They have expired, and this is why they cannot be renewed now.
    pub(super) failure: Option<Failure>,
}

// === impl Memory ===

impl Memory {
    /// What is known of the tenant of `summary`.
    pub(super) fn of(works: &Works, summary: &TenantSummary) -> Self {
        let unreadable = works.unreadable.of(&summary.tenant);
        let Some(slot) = works.held(&summary.tenant) else { return Self { unreadable, ..Self::default() } };
        let (now, min_interval) = (works.now(), works.settings().refresh.min_interval);
        slot.with(|state| Self {
            held: state.loaded.then(|| standing(state)),
            tokens: TokenHealth {
                refused_anew: state.pace.is_refused_anew(),
                switched: state.has_switched(),
                failure: failure(state, now, min_interval),
            },
            last_use: state.last_use.latest(),
            rejected: state.pats.rejected(),
            unreadable,
        })
    }

    /// The grant to show: what the store said, unless what is held is newer. It is where the store has still to take an
    /// outcome, or to take back what it has lost.
    pub(super) fn newer_than<'a>(&'a self, stored: &'a GrantStanding) -> &'a GrantStanding {
        match (&self.held, stored) {
            (Some(held @ GrantStanding::Connected(ours)), GrantStanding::Connected(theirs))
                if ours.id == theirs.id && ours.version > theirs.version =>
            {
                held
            }
            (Some(held @ GrantStanding::Disconnected(ours)), GrantStanding::Connected(theirs))
                if ours.id == theirs.id && ours.version >= theirs.version =>
            {
                held
            }
            _ => stored,
        }
    }

    /// What was found out about the tokens of the grant `id`.
    pub(super) fn tokens_of(&self, id: GrantId) -> TokenHealth {
        match &self.held {
            Some(GrantStanding::Connected(grant)) if grant.id == id => self.tokens.clone(),
            _ => TokenHealth::default(),
        }
    }
}

fn standing(state: &State) -> GrantStanding {
    match &state.grant {
        Held::Never | Held::Removed(_) => GrantStanding::NeverConnected,
        Held::Live(live) => GrantStanding::Connected(summary(live)),
        Held::Ended(ended) => GrantStanding::Disconnected(ended.clone()),
    }
}

fn summary(Live { grant, intent, .. }: &Live) -> GrantSummary {
    GrantSummary {
        id: grant.id,
        version: grant.version,
        client_id: grant.client_id.clone(),
        origin: grant.origin.clone(),
        token_type: grant.tokens.token_type,
        scopes: grant.tokens.scopes.clone(),
        expires_at: grant.tokens.expires_at,
        answered_at: grant.tokens.answered_at,
        intent: intent.clone(),
    }
}

fn failure(state: &State, now: Timestamp, min_interval: std::time::Duration) -> Option<Failure> {
    let has_expired = now >= state.live()?.grant.tokens.expires_at;
    let held_back = || state.held_back(Cause::Expired, now, min_interval).map(NotNow::into_failure);
    // Of a renewal that is under way nobody knows.
    if has_expired && state.flight.is_none() { held_back() } else { None }
}
