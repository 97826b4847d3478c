//! For each step what a death there leaves behind, and what becomes of the grant.

use flexslot_proxy::model::{
    failpoint::Step,
    token::{Attempt, DisconnectReason},
};

/// A way to a step, on which processes die one after the other, and what follows. The grant begins with the pair of
/// version 1, whose access token is of no use any more.
#[derive(Debug)]
pub(super) struct Row {
    /// Where each of the processes dies; the last of them at the step that the row is about.
    pub(super) deaths: Vec<Step>,
    pub(super) flexslot: Flexslot,
    pub(super) found: Found,
    pub(super) then: Then,
}

/// How Flexslot takes the token request of the last process that dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flexslot {
    Rotates,
    /// 500, and the refresh token stays as it is.
    Fails,
    /// 503 with `Retry-After`: it did not take the refresh token.
    RefusesForNow,
    /// The user has revoked the grant at Flexslot: `invalid_grant`.
    HasEnded,
}

/// What there is when the last of them is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) store: Stored,
    /// How many pairs lie in the spool.
    pub(super) spooled: usize,
    /// How many files are beside them that are not in place yet.
    pub(super) staged: usize,
    /// How many token requests Flexslot has seen.
    pub(super) asked: u64,
}

/// What the store says of the grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// The pair of this version, and no intent.
    Pair(u64),
    /// The pair of version 1, with an intent without outcome.
    Uncertain(Attempt),
    Over(DisconnectReason),
}

/// What the next process makes of it at the first request, and leaves so at the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// 200 with the pair of version 2, after so many token requests.
    Serves { asks: u64 },
    /// 401 `reconnect_required`, after so many token requests, of which so many presented a spent token.
    Ends { asks: u64, replays: u64, reason: DisconnectReason },
}

const UNTOUCHED: Stored = Stored::Pair(1);
const FIRST: Stored = Stored::Uncertain(Attempt::First);
const LAST: Stored = Stored::Uncertain(Attempt::LastResort);
const RENEWED: Stored = Stored::Pair(2);

/// The answer died with its process: the last resort finds a spent token.
const ANSWER_LOST: Then = Then::Ends { asks: 1, replays: 1, reason: DisconnectReason::RefreshOutcomeLost };
/// A last resort died: there is no third.
const GIVEN_UP: Then = Then::Ends { asks: 0, replays: 0, reason: DisconnectReason::RefreshOutcomeLost };

/// Every row of every step.
pub(super) fn rows() -> Vec<Row> {
    Step::ALL.iter().flat_map(|step| rows_of(*step)).collect()
}

fn rows_of(step: Step) -> Vec<Row> {
    let at = || row(&[step]);
    match step {
        Step::LeaseWon => vec![at().leaves(UNTOUCHED, 0).then_serves(1)],
        Step::IntentDue => {
            vec![
                at().leaves(UNTOUCHED, 0).then_serves(1),
                row(&[Step::IntentStored, step]).leaves(FIRST, 0).then_serves(1),
            ]
        }
        Step::IntentStored => vec![at().leaves(FIRST, 0).then_serves(1)],
        Step::LastResortStored => vec![row(&[Step::IntentStored, step]).leaves(LAST, 0).then(GIVEN_UP)],
        Step::AnswerBegun => vec![
            at().leaves(FIRST, 1).then(ANSWER_LOST),
            at().with(Flexslot::Fails).leaves(FIRST, 1).then_serves(1),
            row(&[Step::IntentStored, step]).leaves(LAST, 1).then(GIVEN_UP),
        ],
        Step::PairDue | Step::PairRefused => vec![at().leaves(FIRST, 1).then(ANSWER_LOST)],
        Step::PairStaged => vec![at().leaves(FIRST, 1).in_spool(0, 1).then_serves(0)],
        Step::PairSpooled => vec![
            at().leaves(FIRST, 1).in_spool(1, 0).then_serves(0),
            row(&[Step::IntentStored, step]).leaves(LAST, 1).in_spool(1, 0).then_serves(0),
        ],
        Step::PairStored | Step::PairPublished | Step::LeaseReleased => vec![at().leaves(RENEWED, 1).then_serves(0)],
        Step::SpoolRead => vec![row(&[Step::PairSpooled, step]).leaves(FIRST, 1).in_spool(1, 0).then_serves(0)],
        Step::SpoolTaken => vec![row(&[Step::PairSpooled, step]).leaves(RENEWED, 1).in_spool(1, 0).then_serves(0)],
        Step::EndDue => vec![
            at().with(Flexslot::HasEnded).leaves(FIRST, 1).then_ends(1, DisconnectReason::RefreshOutcomeLost),
            row(&[Step::IntentStored, Step::LastResortStored, step]).leaves(LAST, 0).then(GIVEN_UP),
        ],
        Step::EndStored => {
            let refused = DisconnectReason::InvalidGrant;
            vec![at().with(Flexslot::HasEnded).leaves(Stored::Over(refused), 1).then_ends(0, refused)]
        }
        Step::WithdrawalDue => vec![
            at().with(Flexslot::RefusesForNow).leaves(FIRST, 1).then_serves(1),
            row(&[Step::IntentStored, step]).with(Flexslot::RefusesForNow).leaves(LAST, 1).then(GIVEN_UP),
        ],
        Step::WithdrawalStored => vec![
            at().with(Flexslot::RefusesForNow).leaves(UNTOUCHED, 1).then_serves(1),
            row(&[Step::IntentStored, step]).with(Flexslot::RefusesForNow).leaves(FIRST, 1).then_serves(1),
        ],
        // No step of a renewal: a test of its own.
        Step::WriteBackDue => Vec::new(),
        // Nor these: `management` has their table.
        Step::ClientNoted | Step::ClientAnswered | Step::ClientStored => Vec::new(),
    }
}

fn row(deaths: &[Step]) -> Row {
    let found = Found { store: UNTOUCHED, spooled: 0, staged: 0, asked: 0 };
    Row { deaths: deaths.to_vec(), flexslot: Flexslot::Rotates, found, then: Then::Serves { asks: 0 } }
}

// === impl Row ===

impl Row {
    fn with(self, flexslot: Flexslot) -> Self {
        Self { flexslot, ..self }
    }

    fn leaves(self, store: Stored, asked: u64) -> Self {
        Self { found: Found { store, asked, ..self.found }, ..self }
    }

    fn in_spool(self, spooled: usize, staged: usize) -> Self {
        Self { found: Found { spooled, staged, ..self.found }, ..self }
    }

    fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    fn then_serves(self, asks: u64) -> Self {
        self.then(Then::Serves { asks })
    }

    fn then_ends(self, asks: u64, reason: DisconnectReason) -> Self {
        self.then(Then::Ends { asks, replays: 0, reason })
    }
}
