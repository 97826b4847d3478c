//! What a storage engine has to do: keep rows, compare before it writes, count changes, lend leases.
//!
//! An engine never sees a secret: a row's [`Body`] is made by `record` alone, out of sealed fields.

mod key;
mod names;

use std::time::Duration;

use async_trait::async_trait;

pub use key::{Key, Kind};
pub use names::Names;

use super::{StoreError, record::Body};
use crate::model::{GrantId, TenantId, Timestamp, Version, token::Owner};

/// The store's change counter: every write takes the next number, and a row carries that of its last write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

/// The part of a row that an engine may look at, to compare and to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Label {
    pub grant: Option<GrantId>,
    pub version: Option<Version>,
    pub state: RowState,
    /// From when on [`Backend::purge`] may delete the row: a tombstone's or a marker's end, a flow's expiry. Never set
    /// on a live grant or PAT.
    pub due: Option<Timestamp>,
}

/// States that listings filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RowState {
    #[default]
    Live,
    Disconnected,
    /// Removed. The row stays as a marker, so that the change is seen by other processes, until it is purged.
    Gone,
}

/// A row as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub revision: Revision,
    pub label: Label,
    pub body: Body,
    pub last_used: Option<Timestamp>,
}

/// A row in a list, with its name. One that cannot be read says so in its place.
pub type Listed = (String, Result<Row, StoreError>);

/// What must hold of a row for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    Anything,
    /// No row, or one that is [`RowState::Gone`].
    Absent,
    /// The row exactly as it was read.
    Revision(Revision),
    /// The row may have been written since, but it is [`RowState::Live`] and its label still has this grant and
    /// version. A disconnected row keeps both in its label, and yet no pair may come back to it.
    Grant(GrantId, Version),
}

/// One conditional write of one row.
#[derive(Debug, Clone)]
pub struct Change {
    pub key: Key,
    pub expect: Expect,
    pub label: Label,
    pub body: Body,
}

/// What became of a batch of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// All of it is durable, under this revision.
    Done(Revision),
    /// The change at this index did not find what it expected; nothing was written.
    Conflict(usize),
}

/// What tells a store that was emptied or restored from the one known before, all of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulse {
    /// A random id, made when the store was.
    pub store: [u8; 16],
    pub newest: Revision,
    pub now: Timestamp,
    /// The row that was asked for beside these.
    pub row: Option<Row>,
    /// How many connections were made until this was answered. Over a new one it may come from another server, or from
    /// the same after a restart, and neither may have all that was acknowledged.
    pub connections: u64,
}

/// What became of a bid for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bid {
    /// It is ours, for the time asked.
    Won,
    /// Somebody else has it for this much longer.
    Lost { holder: Owner, left: Duration },
    /// The store came to it after its time. Nobody's lease is changed.
    Late,
}

/// A storage engine. Every method may fail with [`StoreError::Unavailable`]; a failed write may or may not have
/// happened.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// A random id, made when the store was: it tells a restored or emptied store from the one known before.
    async fn store_id(&self) -> Result<[u8; 16], StoreError>;

    /// The store's clock.
    async fn now(&self) -> Result<Timestamp, StoreError>;

    /// Id, newest revision, time and the row of `beside`, from one snapshot and in one question: every sidecar asks it
    /// about once a second, and before each token request.
    async fn pulse(&self, beside: &Key) -> Result<Pulse, StoreError>;

    /// The rows of `keys`, in their order, from one snapshot.
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Row>>, StoreError>;

    /// Writes all of `changes` or none, durably, under the next revision. They are looked at one after the other: where
    /// two name the same row, the second finds what the first left. A row keeps its `last_used` unless it becomes
    /// [`RowState::Gone`].
    async fn write(&self, changes: Vec<Change>) -> Result<Written, StoreError>;

    /// Up to `limit` rows of `kind`, the first of `names`; markers ([`RowState::Gone`]) only when asked for.
    async fn list(
        &self,
        kind: Kind,
        state: Option<RowState>,
        names: Names<'_>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError>;

    /// The newest revision, and the keys written after `since`, oldest first: as many as make `limit` (at least 1), and
    /// whatever else the last of their revisions wrote, since who goes on from a revision must not miss a part of it.
    /// With fewer than `limit` there is no more. Rows that were purged are not in it, nor those of kinds that this
    /// version does not know.
    async fn changes(&self, since: Revision, limit: usize) -> Result<(Revision, Vec<(Key, Revision)>), StoreError>;

    /// Bids for the tenant's lease. Its owner may bid again to extend it. A lease that ends later than `length` from now
    /// counts as ended. The bid is void after `by`, told by the store's clock when the store comes to it: what a server
    /// that stood still finds in its queue would else be leases that nobody uses and nobody gives back.
    async fn bid(&self, tenant: &TenantId, owner: &Owner, length: Duration, by: Timestamp) -> Result<Bid, StoreError>;

    /// Gives the lease back, if `owner` still has it.
    async fn release(&self, tenant: &TenantId, owner: &Owner) -> Result<(), StoreError>;

    /// Notes when rows were last used, where that is later than what is noted; does not count as a change, and a lost
    /// note is no harm. Rows that do not exist, or are [`RowState::Gone`], stay as they are.
    async fn touch(&self, used: &[(Key, Timestamp)]) -> Result<(), StoreError>;

    /// Deletes rows of `kind` whose `due` lies before `before`; answers how many.
    async fn purge(&self, kind: Kind, before: Timestamp) -> Result<u64, StoreError>;

    /// What about the way to this store an operator should know and mend, such as that anybody may listen; one line that
    /// says what, and what to do. It is known without asking the store, and does not change.
    fn exposure(&self) -> Option<String> {
        None
    }

    /// Why this store may lose what it has been given, such as that it does not survive a restart; each as one line that
    /// says what, and what to do.
    async fn caveats(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}

// === impl RowState ===

impl RowState {
    /// The number that engines store.
    pub const fn code(self) -> u8 {
        match self {
            Self::Live => 0,
            Self::Disconnected => 1,
            Self::Gone => 2,
        }
    }

    /// The state with that number.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Live, Self::Disconnected, Self::Gone].into_iter().find(|state| state.code() == code)
    }
}

// === impl Expect ===

impl Expect {
    /// That nobody has written the row since it was read.
    pub fn as_read(row: Option<&Row>) -> Self {
        row.map_or(Self::Absent, |row| Self::Revision(row.revision))
    }

    /// Whether a write that expects this may happen to `row`, given by its revision and label. The one place that
    /// decides it, for every engine that can look at a row before it writes.
    pub fn holds(self, row: Option<(Revision, &Label)>) -> bool {
        match (self, row) {
            (Self::Anything, _) | (Self::Absent, None) => true,
            (Self::Absent, Some((_, label))) => label.state == RowState::Gone,
            (Self::Revision(at), Some((revision, _))) => revision == at,
            (Self::Grant(grant, version), Some((_, label))) => {
                (label.state, label.grant, label.version) == (RowState::Live, Some(grant), Some(version))
            }
            (Self::Revision(_) | Self::Grant(..), None) => false,
        }
    }
}

// === impl Bid ===

impl Bid {
    /// What becomes of `owner`'s bid at `now`, good until `by`, for a lease that `held` has until the time beside it. The
    /// one place that decides it, for every engine that can look at a lease before it takes it.
    ///
    /// An end further away than a whole `length` was written by a clock that has since been set back, and would
    /// otherwise hold for who knows how long.
    pub fn decide(
        held: Option<(&Owner, Timestamp)>,
        owner: &Owner,
        now: Timestamp,
        length: Duration,
        by: Timestamp,
    ) -> Self {
        match held {
            _ if now > by => Self::Late,
            Some((holder, ends)) if holder != owner && ends > now && ends <= now.plus(length) => {
                Self::Lost { holder: holder.clone(), left: ends.left(now) }
            }
            _ => Self::Won,
        }
    }
}
