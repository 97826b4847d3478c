//! What a storage engine has to do: keep rows, compare before it writes, count changes, lend leases.
//!
//! An engine never sees a secret: a row's [`Body`] is made by `record` alone, out of sealed fields.

use std::{
    fmt,
    ops::{Bound, RangeInclusive},
    time::Duration,
};

use async_trait::async_trait;

use super::{StoreError, record::Body};
use crate::model::{GrantId, TenantId, Timestamp, Version, token::Owner};

/// The kinds of record. The number is stored and never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A tenant's grant, connected or not; named by the tenant.
    Grant,
    /// A tenant's PAT; named by the tenant.
    Pat,
    /// An OAuth client with its secret; named by its `client_id`.
    Client,
    /// A connect session, a flow that it has begun at Flexslot, or a sign-in link; named by the hash of what opens it.
    Flow,
    /// A refresh token that Flexslot has still to be told to revoke; named by tenant and grant id.
    Revocation,
    /// A grant id that must never come back; named by it.
    Tombstone,
    /// What the store knows of itself, the key check for one.
    Meta,
    /// Whose a tenant's grant is at Flexslot; named by the tenant.
    Identity,
}

/// Which row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub kind: Kind,
    pub name: String,
}

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

/// The names that a list goes through, in their bytewise order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Names<'a> {
    /// Only those after this text; the empty one comes before all names.
    pub after: &'a str,
    /// Only those that begin with this text.
    pub prefix: &'a str,
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

// === impl Kind ===

impl Kind {
    /// The number that engines store.
    pub const fn code(self) -> u8 {
        match self {
            Self::Grant => 1,
            Self::Pat => 2,
            Self::Client => 3,
            Self::Flow => 4,
            Self::Revocation => 5,
            Self::Tombstone => 6,
            Self::Meta => 7,
            Self::Identity => 8,
        }
    }

    /// All that this version knows, in the order in which they are sealed anew: first what says with which key.
    pub const ALL: [Self; 8] = [
        Self::Meta,
        Self::Grant,
        Self::Pat,
        Self::Client,
        Self::Flow,
        Self::Revocation,
        Self::Tombstone,
        Self::Identity,
    ];

    /// The numbers of all kinds that this version knows. A newer one, on the same store, may write others.
    pub const CODES: RangeInclusive<u8> = 1..=8;

    /// The kind with that number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The word for it: in messages, and in what a sealed value is bound to, so it never changes either.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Pat => "pat",
            Self::Client => "client",
            Self::Flow => "flow",
            Self::Revocation => "revocation",
            Self::Tombstone => "tombstone",
            Self::Meta => "meta",
            Self::Identity => "identity",
        }
    }
}

// === impl Key ===

impl Key {
    /// The row of `kind` named `name`.
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }
}

/// `grant acme`; how messages name a record.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

// === impl Names ===

impl<'a> Names<'a> {
    /// All of them.
    pub const ALL: Names<'static> = Names { after: "", prefix: "" };

    /// Those after `name`; all without one.
    pub fn after(name: Option<&'a str>) -> Self {
        Self { after: name.unwrap_or_default(), prefix: "" }
    }

    /// Those of them that begin with `prefix`.
    #[must_use]
    pub fn with_prefix(self, prefix: &'a str) -> Self {
        Self { prefix, ..self }
    }

    /// Whether `name` is one of them.
    pub fn have(self, name: &str) -> bool {
        self.after < name && name.starts_with(self.prefix)
    }

    /// Where they begin: behind a text, or with it.
    pub fn start(self) -> Bound<&'a str> {
        if self.after < self.prefix { Bound::Included(self.prefix) } else { Bound::Excluded(self.after) }
    }

    /// The same for an engine that can only begin with a text: that text, and the one name that is none of them.
    pub fn from(self) -> (&'a str, &'a str) {
        (self.after.max(self.prefix), self.after)
    }

    /// The text before which they end, if they do not go on to the last of all.
    pub fn end(self) -> Option<String> {
        let mut end = self.prefix.to_owned();
        while let Some(last) = end.pop() {
            // UTF-8 keeps the order of characters.
            if let Some(next) = (last..=char::MAX).nth(1) {
                end.push(next);
                return Some(end);
            }
        }
        None
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

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use super::{Kind, Names};

    #[test]
    fn every_number_in_the_range_is_a_kind_and_no_other_is() {
        for code in 0..=u8::MAX {
            assert_eq!(Kind::from_code(code).is_some(), Kind::CODES.contains(&code), "{code}");
        }
    }

    #[test]
    fn names_begin_at_their_prefix_or_behind_the_last_one_seen() {
        let start = |after, prefix| Names { after, prefix }.start();
        assert_eq!(start("", ""), Bound::Excluded(""));
        assert_eq!(start("", "acme"), Bound::Included("acme"));
        assert_eq!(start("aaa", "acme"), Bound::Included("acme"));
        assert_eq!(start("acme", "acme"), Bound::Excluded("acme"));
        assert_eq!(start("acme.eu", "acme"), Bound::Excluded("acme.eu"));
    }

    #[test]
    fn names_end_before_the_first_text_that_begins_otherwise() {
        let end = |prefix| Names::ALL.with_prefix(prefix).end();
        assert_eq!(end(""), None);
        assert_eq!(end("acme").as_deref(), Some("acmf"));
        assert_eq!(end("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(end("\u{d7ff}").as_deref(), Some("\u{e000}"), "what lies in between are no characters");
        assert_eq!(end("\u{10ffff}"), None);
    }
}
