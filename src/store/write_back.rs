//! What a process knows of a tenant, against what the store says: taken over, or written back to a store that came back
//! older.
//!
//! Within one era of the store (see [`era`](super::era)) the store is right, and what cannot have come about there
//! means that it has travelled: a row that is missing, that is older than the one that was read before, or that is
//! another grant's without a tombstone of the one before. In a new era both are looked at. Of one grant, the higher
//! version counts; of one version, the later attempt to refresh; and an end counts more than any of these. Of two
//! grants, or two PATs, the one that was found later counts, and what was written after the store came back counts more
//! than both.
//!
//! Nothing is ever written over a row that was not read: where there is none, a marker is written first, and what is
//! known then takes the place of that marker, as it was read together with the tombstone. So an end that another
//! process knows of is never written over unseen.

use std::cmp::Ordering;

use super::{
    Cas, StoreError, StoredPat, TOMBSTONE_LIFE, TenantRecord, TokenStore,
    backend::{Change, Expect, Key, Kind, Revision, Row},
    era::{Era, EraId, Found, era_key},
    intent::{tombstone, tombstone_key},
    keys_of, record,
    tenants::is_there,
};
use crate::model::{
    Grant, GrantId, GrantState, TenantId, Timestamp, Version,
    token::{Attempt, Disconnected, Intent},
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

/// What to do with what is known.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "taken apart where it is answered")]
pub enum Reconciled {
    /// The store is right.
    TakeOver(TenantRecord),
    /// Something was written, by us or by somebody who was faster. Look again.
    Again,
    /// The store has travelled, and its new era has still to begin.
    Travelled,
}

/// The row that the outcome of a token request goes over, as it was read before the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    AsExpected,
    /// It is another than the outcome expects.
    Other,
    /// The grant that the outcome is of has a tombstone.
    Buried,
}

enum Verdict {
    TakeOver,
    /// Ours goes over the row as it was read.
    WriteBack,
    /// The row is ours, and is to say where we have found it, as it counts less than that.
    Mark,
    Travelled,
}

/// A row as it was read, and what its age is told by.
struct Read<'a> {
    row: Option<&'a Row>,
    found: Option<Found>,
    era: &'a Era,
}

// === impl TokenStore ===

impl TokenStore {
    /// Compares what is `known` of `tenant` with the store, and writes back what the store has lost.
    pub async fn reconcile(&self, tenant: &TenantId, known: &Known) -> Result<Reconciled, StoreError> {
        let [grant_key, pat_key] = keys_of(tenant);
        let mut keys = vec![grant_key.clone(), pat_key.clone(), era_key(), pat_tombstone_key(tenant)];
        keys.extend(known.grant.id().map(tombstone_key));
        let mut rows = self.backend.get(&keys).await?;
        rows.resize(5, None);
        let [grant_row, pat_row, era, pat_tombstone, tombstone] = <[_; 5]>::try_from(rows).unwrap_or_default();
        let era = Era::of_row(era.as_ref())?;
        if known.era.is_some_and(|known| era.id < known) {
            // What is written back before the new era has begun would be taken for what was in the store when it came
            // back.
            return Ok(Reconciled::Travelled);
        }
        let record = self.record(tenant, grant_row.as_ref(), pat_row.as_ref(), era.id)?;

        let grant = Read::new(&grant_key, grant_row.as_ref(), &era)?;
        let pat = Read::new(&pat_key, pat_row.as_ref(), &era)?;
        let buried = tombstone.as_ref().is_some_and(is_there);
        let pat_buried = Read::new(&pat_tombstone_key(tenant), pat_tombstone.as_ref(), &era)?.found;
        let of_grant = known.of_grant(&record.grant, &grant, buried);
        let of_pat = known.of_pat(record.pat.as_ref(), &pat, pat_buried);
        if matches!((&of_grant, &of_pat), (Verdict::Travelled, _) | (_, Verdict::Travelled)) {
            return Ok(Reconciled::Travelled);
        }
        let mut changes = Vec::new();
        if matches!((&of_grant, &of_pat), (Verdict::TakeOver, Verdict::TakeOver)) {
            return Ok(Reconciled::TakeOver(record));
        }
        let now = self.backend.now().await?;
        match of_grant {
            Verdict::WriteBack => changes.extend(self.grant_back(tenant, known, &grant, now)),
            Verdict::Mark => changes.extend(grant_row.map(|row| marked(grant_key, row, known.found(known.grant_at)))),
            Verdict::TakeOver | Verdict::Travelled => {}
        }
        match of_pat {
            Verdict::WriteBack => changes.extend(self.pat_back(tenant, known, pat_row.as_ref(), now)),
            Verdict::Mark => changes.extend(pat_row.map(|row| marked(pat_key, row, known.found(known.pat_at)))),
            Verdict::TakeOver | Verdict::Travelled => {}
        }
        let _ = self.write(changes).await?;
        Ok(Reconciled::Again)
    }

    /// Stores a pair whose record is not what its intent was written on, if that is because the store has travelled.
    pub(super) async fn raise(&self, tenant: &TenantId, grant: Grant) -> Result<Cas, StoreError> {
        let (id, version, refresh) = (grant.id, grant.version, grant.tokens.refresh_hash());
        let known = Known { grant: KnownGrant::Live(grant, None), ..Known::default() };
        loop {
            let Reconciled::TakeOver(record) = self.reconcile(tenant, &known).await? else { continue };
            let stored = record.grant.grant();
            let ours =
                |stored: &Grant| (stored.id, stored.version, stored.tokens.refresh_hash()) == (id, version, refresh);
            return Ok(if stored.is_some_and(ours) { Cas::Stored } else { Cas::Moved });
        }
    }

    /// The outcome of a token request that was made before the store came back is no newer than the row that it is
    /// written over, which was in the store when it came back, or was written back: it says where that was found.
    pub(super) async fn keep_origin(&self, change: &mut Change) -> Result<Standing, StoreError> {
        let mut keys = vec![change.key.clone(), era_key()];
        if let Expect::Grant(grant, _) = change.expect {
            keys.push(tombstone_key(grant));
        }
        let mut rows = self.backend.get(&keys).await?;
        rows.resize(3, None);
        let [row, era, tombstone] = <[_; 3]>::try_from(rows).unwrap_or_default();
        let era = Era::of_row(era.as_ref())?;
        let read = Read::new(&change.key, row.as_ref(), &era)?;
        let of_row = |row: &Row| Found { era: era.before.unwrap_or(EraId::FIRST), revision: row.revision };
        let found = if read.is_past() { row.as_ref().map(of_row) } else { read.found };
        if let Some(found) = found {
            let written = (change.label, std::mem::take(&mut change.body));
            (change.label, change.body) = record::written_back(written, found);
        }
        Ok(match change.expect.holds(row.as_ref().map(|row| (row.revision, &row.label))) {
            _ if tombstone.as_ref().is_some_and(is_there) => Standing::Buried,
            true => Standing::AsExpected,
            false => Standing::Other,
        })
    }

    fn grant_back(&self, tenant: &TenantId, known: &Known, read: &Read<'_>, now: Timestamp) -> Vec<Change> {
        let row = read.row;
        let key = Key::new(Kind::Grant, tenant.as_str());
        let found = known.found(known.grant_at);
        let gone = || record::gone(now.plus(TOMBSTONE_LIFE));
        let (written, over) = match (&known.grant, row) {
            (KnownGrant::Live(..) | KnownGrant::Ended(_), None) => return vec![placeholder(key, known, now)],
            (KnownGrant::Nothing, _) => return Vec::new(),
            (KnownGrant::Live(grant, intent), _) => (record::grant(&self.sealer, tenant, grant, intent.as_ref()), None),
            (KnownGrant::Ended(end), _) => (record::disconnected(end), Some(end.id)),
            (KnownGrant::Removed(id), _) => (gone(), Some(*id)),
        };
        let (label, body) = record::written_back(written, found);
        let expect = row.map_or(Expect::Absent, |row| Expect::Revision(row.revision));
        let mut changes = vec![Change { key, expect, label, body }];
        // Whatever other grant the row was of, it has been replaced; unless nobody knows where that was found, in which
        // case whoever holds it has a word to say.
        let replaced = row.filter(|_| !read.is_of_unknown_age()).and_then(|row| row.label.grant);
        let replaced = replaced.filter(|id| Some(*id) != known.grant.id());
        changes.extend(over.into_iter().chain(replaced).map(|id| tombstone(id, now)));
        changes
    }

    fn pat_back(&self, tenant: &TenantId, known: &Known, row: Option<&Row>, now: Timestamp) -> Vec<Change> {
        let key = Key::new(Kind::Pat, tenant.as_str());
        let found = known.found(known.pat_at);
        let back = |key, expect, written| {
            let (label, body) = record::written_back(written, found);
            Change { key, expect, label, body }
        };
        let until = now.plus(TOMBSTONE_LIFE);
        let expect = row.map_or(Expect::Absent, |row| Expect::Revision(row.revision));
        match (&known.pat, row) {
            (KnownPat::Stored(_), None) => vec![placeholder(key, known, now)],
            (KnownPat::Stored(stored), Some(_)) => {
                vec![back(key, expect, record::pat(&self.sealer, tenant, stored))]
            }
            (KnownPat::Removed | KnownPat::Nothing, _) => {
                // A placeholder may be written over the marker, and must not make anybody forget it.
                let tombstone = back(pat_tombstone_key(tenant), Expect::Anything, record::pat_tombstone(until));
                vec![back(key, expect, record::gone(until)), tombstone]
            }
        }
    }
}

/// Says until when a removed PAT was seen.
fn pat_tombstone_key(tenant: &TenantId) -> Key {
    Key::new(Kind::Tombstone, format!("pat {tenant}"))
}

/// A marker that says that nothing is known; everything counts more than it.
fn placeholder(key: Key, known: &Known, now: Timestamp) -> Change {
    let (label, body) = record::written_back(record::gone(now.plus(TOMBSTONE_LIFE)), known.found(None));
    Change { key, expect: Expect::Absent, label, body }
}

/// The row as it is, except that it says where it was found.
fn marked(key: Key, row: Row, found: Found) -> Change {
    let (label, body) = record::written_back((row.label, row.body), found);
    Change { key, expect: Expect::Revision(row.revision), label, body }
}

// === impl Known ===

impl Known {
    fn found(&self, revision: Option<Revision>) -> Found {
        Found { era: self.era.unwrap_or(EraId::FIRST), revision: revision.unwrap_or(Revision(0)) }
    }

    fn of_grant(&self, stored: &GrantState, read: &Read<'_>, buried: bool) -> Verdict {
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
                let goes_on = live(stored).is_some_and(|(_, version)| version > end.version);
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

    fn of_pat(&self, stored: Option<&StoredPat>, read: &Read<'_>, buried: Option<Found>) -> Verdict {
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
    fn id(&self) -> Option<GrantId> {
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

// === impl Read ===

impl<'a> Read<'a> {
    fn new(key: &Key, row: Option<&'a Row>, era: &'a Era) -> Result<Self, StoreError> {
        let found = row.map(|row| record::found(key, row)).transpose()?.flatten();
        Ok(Self { row, found, era })
    }

    /// Whether the store has travelled since something was found in `era`.
    fn is_new_era(&self, era: Option<EraId>) -> bool {
        era != Some(self.era.id)
    }

    /// Whether it was written for the first time in this era.
    fn is_new(&self) -> bool {
        self.found.is_none() && !self.is_past()
    }

    /// Whether it was in the store when that came back, or is not there.
    fn is_past(&self) -> bool {
        self.row.is_none_or(|row| row.revision <= self.era.past)
    }

    /// Whether there is less than what was there at `revision`.
    fn is_before(&self, revision: Option<Revision>) -> bool {
        self.row.map(|row| row.revision) < revision
    }

    /// Whether it is there, and was found earlier than at `revision` in `era`.
    fn is_older_than(&self, era: Option<EraId>, revision: Option<Revision>) -> bool {
        self.row.is_some() && era.is_some() && revision.is_some() && self.counts_less_than(era, revision)
    }

    /// Whether something else that was found in an earlier `era`, at `revision`, counts more.
    fn counts_less_than(&self, era: Option<EraId>, revision: Option<Revision>) -> bool {
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
    fn is_of_unknown_age(&self) -> bool {
        !self.is_past() && self.found.is_some_and(|found| found.revision == Revision(0))
    }
}
