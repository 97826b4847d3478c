//! How old a row is that was read: from before the store came back, written back, or new.

use crate::store::{
    StoreError,
    backend::{Key, Revision, Row},
    era::{Era, EraId, Found},
    record,
};

/// A row as it was read, and what its age is told by.
pub(super) struct Read<'a> {
    pub(super) row: Option<&'a Row>,
    pub(super) found: Option<Found>,
    era: &'a Era,
}

// === impl Read ===

impl<'a> Read<'a> {
    pub(super) fn new(key: &Key, row: Option<&'a Row>, era: &'a Era) -> Result<Self, StoreError> {
        let found = row.map(|row| record::found(key, row)).transpose()?.flatten();
        Ok(Self { row, found, era })
    }

    /// Whether the store has travelled since something was found in `era`.
    pub(super) fn is_new_era(&self, era: Option<EraId>) -> bool {
        era != Some(self.era.id)
    }

    /// Whether it was written for the first time in this era.
    pub(super) fn is_new(&self) -> bool {
        self.found.is_none_or(|found| found.era == self.era.id) && !self.is_past()
    }

    /// Whether it was in the store when that came back, or is not there.
    pub(super) fn is_past(&self) -> bool {
        self.row.is_none_or(|row| row.revision <= self.era.past)
    }

    /// Whether there is less than what was there at `revision`.
    pub(super) fn is_before(&self, revision: Option<Revision>) -> bool {
        self.row.map(|row| row.revision) < revision
    }

    /// Whether it is there, and was found earlier than at `revision` in `era`.
    pub(super) fn is_older_than(&self, era: Option<EraId>, revision: Option<Revision>) -> bool {
        self.row.is_some() && era.is_some() && revision.is_some() && self.counts_less_than(era, revision)
    }

    /// Whether something else that was found in an earlier `era`, at `revision`, counts more.
    pub(super) fn counts_less_than(&self, era: Option<EraId>, revision: Option<Revision>) -> bool {
        let Some(row) = self.row else { return true };
        let (Some(era), Some(revision)) = (era, revision) else {
            // Nobody knows where that was found.
            return self.is_of_unknown_age();
        };
        let ours = Found { era, revision };
        match self.found {
            _ if self.is_past() => self.era.before.is_none_or(|era| Found { era, revision: row.revision } < ours),
            None => false,
            Some(found) => self.is_of_unknown_age() || found < ours,
        }
    }

    /// Whether it was written back by somebody who did not know where it was found.
    pub(super) fn is_of_unknown_age(&self) -> bool {
        !self.is_past() && self.found.is_some_and(|found| found.revision == Revision(0))
    }
}
