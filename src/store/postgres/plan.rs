//! What becomes of a group of writes, given what they find. No I/O.

use std::collections::{BTreeMap, HashMap};

use crate::{
    model::Timestamp,
    store::{
        backend::{Change, Kind, Label, Revision, RowState, Written},
        record::Body,
    },
};

/// Names a row, in the order in which rows are locked.
pub(super) type Name<'a> = (Kind, &'a str);

/// What a write may look at of a row that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) revision: Revision,
    pub(super) label: Label,
    pub(super) last_used: Option<Timestamp>,
}

/// A row to put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planned<'a> {
    pub(super) stored: Stored,
    pub(super) body: &'a Body,
}

/// The group's outcome.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan<'a> {
    /// One answer for each write.
    pub(super) written: Vec<Written>,
    /// The rows as the last of the writes leaves them.
    pub(super) rows: BTreeMap<Name<'a>, Planned<'a>>,
    /// The newest revision afterwards.
    pub(super) head: Revision,
}

// === impl Plan ===

impl<'a> Plan<'a> {
    /// Does the writes one after the other, each under a revision of its own, beginning after `head`. Each finds what
    /// the ones before it left; one that is in conflict leaves nothing and uses up no revision.
    pub(super) fn new(head: Revision, found: &HashMap<Name<'a>, Stored>, writes: &'a [Vec<Change>]) -> Self {
        let mut plan = Self { written: Vec::with_capacity(writes.len()), rows: BTreeMap::new(), head };
        for changes in writes {
            let written = plan.write(found, changes);
            plan.written.push(written);
        }
        plan
    }

    fn write(&mut self, found: &HashMap<Name<'a>, Stored>, changes: &'a [Change]) -> Written {
        let revision = Revision(self.head.0 + 1);
        // Kept apart until every change has found what it expects.
        let mut next: BTreeMap<Name<'a>, Planned<'a>> = BTreeMap::new();
        for (at, Change { key, expect, label, body }) in changes.iter().enumerate() {
            let name = (key.kind, key.name.as_str());
            let there = next.get(&name).or_else(|| self.rows.get(&name)).map(|planned| &planned.stored);
            let there = there.or_else(|| found.get(&name));
            if !expect.holds(there.map(|row| (row.revision, &row.label))) {
                return Written::Conflict(at);
            }
            let last_used = there.and_then(|row| row.last_used).filter(|_| label.state != RowState::Gone);
            next.insert(name, Planned { stored: Stored { revision, label: *label, last_used }, body });
        }
        self.rows.append(&mut next);
        self.head = revision;
        Written::Done(revision)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{Plan, Stored};
    use crate::{
        model::Timestamp,
        store::{
            backend::{Change, Expect, Key, Kind, Label, Revision, RowState, Written},
            record::Body,
        },
    };

    fn change(name: &str, expect: Expect, state: RowState) -> Change {
        Change {
            key: Key::new(Kind::Grant, name),
            expect,
            label: Label { state, ..Label::default() },
            body: Body::default(),
        }
    }

    fn found(revision: u64) -> HashMap<(Kind, &'static str), Stored> {
        let last_used = Some(Timestamp::from_secs(5));
        let stored = Stored { revision: Revision(revision), label: Label::default(), last_used };
        HashMap::from([((Kind::Grant, "a"), stored)])
    }

    #[test]
    fn writes_of_a_group_have_revisions_without_gaps_and_a_conflict_uses_none() {
        let there = |at| Expect::Revision(Revision(at));
        let writes = [
            vec![change("a", there(7), RowState::Live)],
            vec![change("b", Expect::Anything, RowState::Live), change("a", there(7), RowState::Live)],
            vec![change("a", there(11), RowState::Live)],
        ];
        let found = found(7);
        let plan = Plan::new(Revision(10), &found, &writes);
        let done = |at| Written::Done(Revision(at));
        assert_eq!(plan.written, [done(11), Written::Conflict(1), done(12)]);
        assert_eq!(plan.head, Revision(12));
        let rows: Vec<_> = plan.rows.iter().map(|((_, name), row)| (*name, row.stored.revision)).collect();
        assert_eq!(rows, [("a", Revision(12))], "nothing of the write in conflict");
    }

    #[test]
    fn a_time_of_use_outlives_a_write_and_not_a_removal() {
        let kept = [vec![change("a", Expect::Anything, RowState::Live)]];
        let removed =
            [vec![change("a", Expect::Anything, RowState::Gone)], vec![change("a", Expect::Absent, RowState::Live)]];
        let last_used = |writes: &[Vec<Change>]| {
            let found = found(7);
            let plan = Plan::new(Revision(10), &found, writes);
            plan.rows[&(Kind::Grant, "a")].stored.last_used
        };
        assert_eq!(last_used(&kept), Some(Timestamp::from_secs(5)));
        assert_eq!(last_used(&removed), None);
    }
}
