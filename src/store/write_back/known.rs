//! What a process knows of a tenant, and whether that or the store counts more.

use std::cmp::Ordering;

use super::read::Read;
use crate::{
    model::{
        Grant, GrantId, GrantState, Version,
        token::{Attempt, DisconnectReason, Disconnected, Intent},
    },
    store::{
        StoredPat,
        backend::Revision,
        era::{EraId, Found},
    },
};

/// What a process knows of a tenant, and where it has found that.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub grant: KnownGrant,
    pub pat: KnownPat,
    /// In which era both were found; `None` where that is not known.
    pub era: Option<EraId>,
    /// The rows as they were found.
    pub grant_at: Option<Revision>,
    pub pat_at: Option<Revision>,
    /// An outcome of a token request waits for the store, so that it may rightly say less than is known.
    pub waiting: bool,
}

/// What is known of a tenant's grant.
#[derive(Debug, Clone, Default)]
#[expect(clippy::large_enum_variant, reason = "made for one comparison")]
pub enum KnownGrant {
    #[default]
    Nothing,
    Live(Grant, Option<Intent>),
    Ended(Disconnected),
    /// There was this one, and it was removed.
    Removed(GrantId),
}

/// What is known of a tenant's PAT.
#[derive(Debug, Clone, Default)]
pub enum KnownPat {
    #[default]
    Nothing,
    Stored(StoredPat),
    /// There was one, and it was removed.
    Removed,
}

/// Which counts more.
pub(super) enum Verdict {
    /// What the store says.
    TakeOver,
    /// What is known; it goes over the row as it was read.
    WriteBack,
    /// Neither: they are equal, and the row is to say where that was found here, which counts more than where the row was.
    Mark,
    /// Within one era this cannot be: the store has travelled.
    Travelled,
}

// === impl Known ===

impl Known {
    /// Where a row was found that was at `revision`. What nobody knows counts least.
    pub(super) fn found(&self, revision: Option<Revision>) -> Found {
        Found { era: self.era.unwrap_or(EraId::FIRST), revision: revision.unwrap_or(Revision(0)) }
    }

    /// What is known of the grant against its row; `buried` where its tombstone is there.
    pub(super) fn judge_grant(&self, stored: &GrantState, read: &Read<'_>, buried: bool) -> Verdict {
        use Verdict::{Mark, TakeOver, Travelled, WriteBack};
        let new_era = read.is_new_era(self.era);
        let lost = if new_era { WriteBack } else { Travelled };
        match (&self.grant, stored) {
            (KnownGrant::Nothing, _) => TakeOver,
            (KnownGrant::Live(..), _) if buried => TakeOver,
            (KnownGrant::Live(ours, intent), GrantState::Connected(theirs) | GrantState::Uncertain(theirs, _))
                if ours.id == theirs.id =>
            {
                let later = rank(intent.as_ref()) > rank(intent_of(stored));
                match theirs.version.cmp(&ours.version) {
                    Ordering::Greater => TakeOver,
                    Ordering::Less if self.waiting && !new_era => TakeOver,
                    Ordering::Less => lost,
                    Ordering::Equal if new_era && later && !read.is_new() => WriteBack,
                    Ordering::Equal if !new_era && read.is_before(self.grant_at) => Travelled,
                    Ordering::Equal if new_era && read.is_older_than(self.era, self.grant_at) => Mark,
                    Ordering::Equal => TakeOver,
                }
            }
            (KnownGrant::Ended(end), stored) if live(stored).is_some_and(|(id, _)| id == end.id) => {
                // A later pair shows that Flexslot had not ended it. Of who disconnects it that says nothing.
                let goes_on = end.reason != DisconnectReason::Disconnected
                    && live(stored).is_some_and(|(_, version)| version > end.version);
                if goes_on || (self.waiting && !new_era) { TakeOver } else { lost }
            }
            (KnownGrant::Live(..) | KnownGrant::Ended(_), GrantState::Disconnected(theirs))
                if self.grant.id() == Some(theirs.id) =>
            {
                TakeOver
            }
            (KnownGrant::Removed(id), stored) if stored.id() == Some(*id) => lost,
            _ if buried => TakeOver,
            // Marker and tombstone are purged once everybody has had the time to see them.
            (KnownGrant::Removed(_), _) if !new_era && (read.row.is_none() || !read.is_before(self.grant_at)) => {
                TakeOver
            }
            _ if !new_era => Travelled,
            _ if read.counts_less_than(self.era, self.grant_at) => WriteBack,
            _ => TakeOver,
        }
    }

    /// The same of the PAT; `buried` is until when its removal was seen, where it was.
    pub(super) fn judge_pat(&self, stored: Option<&StoredPat>, read: &Read<'_>, buried: Option<Found>) -> Verdict {
        use Verdict::{Mark, TakeOver, Travelled, WriteBack};
        let new_era = read.is_new_era(self.era);
        match (&self.pat, stored) {
            (KnownPat::Nothing, _) => TakeOver,
            (KnownPat::Stored(ours), Some(theirs)) if ours == theirs => {
                if new_era && read.is_older_than(self.era, self.pat_at) { Mark } else { TakeOver }
            }
            (KnownPat::Removed, _) if !new_era && read.row.is_none() => TakeOver,
            _ if !new_era && read.is_before(self.pat_at) => Travelled,
            _ if !new_era => TakeOver,
            (KnownPat::Stored(_), None) if buried > Some(self.found(self.pat_at)) => TakeOver,
            _ if read.counts_less_than(self.era, self.pat_at) => WriteBack,
            _ => TakeOver,
        }
    }
}

// === impl KnownGrant ===

impl KnownGrant {
    pub(super) fn id(&self) -> Option<GrantId> {
        match self {
            Self::Nothing => None,
            Self::Live(grant, _) => Some(grant.id),
            Self::Ended(end) => Some(end.id),
            Self::Removed(id) => Some(*id),
        }
    }
}

fn live(state: &GrantState) -> Option<(GrantId, Version)> {
    state.grant().map(|grant| (grant.id, grant.version))
}

fn intent_of(state: &GrantState) -> Option<&Intent> {
    match state {
        GrantState::Uncertain(_, intent) => Some(intent),
        GrantState::NeverConnected | GrantState::Connected(_) | GrantState::Disconnected(_) => None,
    }
}

/// How often the refresh token may have been presented.
fn rank(intent: Option<&Intent>) -> u8 {
    match intent.map(|intent| intent.attempt) {
        None => 0,
        Some(Attempt::First) => 1,
        Some(Attempt::LastResort) => 2,
    }
}
