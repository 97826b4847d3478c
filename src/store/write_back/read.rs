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
        // What was written back before the store came back once more is as old as it says, to whoever was not there.
        let is_from_before_that = Some(era) < self.era.before;
        match self.found {
            Some(found) if !self.is_past() || is_from_before_that => self.is_of_unknown_age() || found < ours,
            None if !self.is_past() => false,
            _ => self.era.before.is_none_or(|era| Found { era, revision: row.revision } < ours),
        }
    }

    /// Whether it was written back by somebody who did not know where it was found.
    pub(super) fn is_of_unknown_age(&self) -> bool {
        self.found.is_some_and(|found| found.revision == Revision(0))
    }
}

#[cfg(test)]
mod tests {
    use super::Read;
    use crate::{
        model::{Random, Timestamp},
        store::{
            backend::{Key, Kind, Revision, Row},
            era::{Era, EraId, Found},
            record,
        },
    };

    /// Three eras, the first one first.
    fn eras() -> [EraId; 3] {
        let random = Random::from_fn(|buffer| buffer.fill(7));
        let after = |era| EraId::after(era, Timestamp::from_secs(1_800_000_000), &random);
        let second = after(EraId::FIRST);
        [EraId::FIRST, second, after(second)]
    }

    /// Whether a row that was written back at revision 5 of the second era, as found at `found`, and came back with the
    /// store into the third, counts less than what was found at `ours`.
    fn counts_less(found: Found, ours: Found) -> bool {
        let [_, second, third] = eras();
        let (label, body) = record::written_back(record::gone(Timestamp::from_secs(1_900_000_000)), found);
        let row = Row { revision: Revision(5), label, body, last_used: None };
        let era = Era { id: third, quiet_since: None, before: Some(second), past: Revision(9) };
        let read = Read::new(&Key::new(Kind::Grant, "acme"), Some(&row), &era).unwrap();
        assert!(read.is_past());
        read.counts_less_than(Some(ours.era), Some(ours.revision))
    }

    #[test]
    fn what_was_written_back_and_came_back_once_more_is_as_old_as_it_says() {
        let [first, second, _] = eras();
        let found = |era, revision| Found { era, revision: Revision(revision) };
        assert!(counts_less(found(first, 10), found(first, 20)), "its successor was found later");
        assert!(!counts_less(found(first, 20), found(first, 10)));
        assert!(counts_less(found(first, 0), found(first, 1)), "a placeholder says nothing");
        assert!(!counts_less(found(first, 10), found(second, 4)), "whoever was there goes by its revision there");
        assert!(counts_less(found(first, 10), found(second, 6)));
    }
}
