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
//!
//! [`known`] judges which of the two counts, [`read`] how old a row is; here is what is then written.

mod known;
mod read;

pub use self::known::{Known, KnownGrant, KnownPat};
use self::{known::Verdict, read::Read};
use super::{
    Cas, StoreError, TOMBSTONE_LIFE, TenantRecord, TokenStore, all,
    backend::{Change, Expect, Key, Kind, Row},
    era::{Era, EraId, Found, era_key},
    intent::{tombstone, tombstone_key},
    keys_of, record,
    revocation::{Revocation, RevocationId},
    tenants::is_there,
};
use crate::model::{
    Grant, GrantState, TenantId, Timestamp,
    failpoint::{Step, reach},
    token::{DisconnectReason, Disconnected},
};

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
pub(super) enum Aim {
    AsExpected,
    /// It is another than the outcome expects.
    Other,
    /// The grant that the outcome is of has a tombstone.
    Buried,
}

// === impl TokenStore ===

impl TokenStore {
    /// Compares what is `known` of `tenant` with the store, and writes back what the store has lost.
    pub async fn reconcile(&self, tenant: &TenantId, known: &Known) -> Result<Reconciled, StoreError> {
        let [grant_key, pat_key] = keys_of(tenant);
        let mut keys = vec![grant_key.clone(), pat_key.clone(), era_key(), pat_tombstone_key(tenant)];
        keys.extend(known.grant.id().map(tombstone_key));
        let mut rows = self.backend.get(&keys).await?;
        if known.grant.id().is_none() {
            rows.push(None);
        }
        let [grant_row, pat_row, era, pat_tombstone, tombstone] = all(rows)?;
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
        let of_grant = known.judge_grant(&record.grant, &grant, buried);
        let of_pat = known.judge_pat(record.pat.as_ref(), &pat, pat_buried);
        if matches!((&of_grant, &of_pat), (Verdict::Travelled, _) | (_, Verdict::Travelled)) {
            return Ok(Reconciled::Travelled);
        }
        if matches!((&of_grant, &of_pat), (Verdict::TakeOver, Verdict::TakeOver)) {
            return Ok(Reconciled::TakeOver(record));
        }
        let now = self.backend.now().await?;
        let mut changes = Vec::new();
        match of_grant {
            Verdict::WriteBack => {
                changes.extend(self.grant_back(tenant, known, &grant, now));
                changes.extend(self.revoked_again(tenant, known, &record.grant, now));
            }
            Verdict::Mark => changes.extend(grant_row.map(|row| marked(grant_key, row, known.found(known.grant_at)))),
            Verdict::TakeOver | Verdict::Travelled => {}
        }
        match of_pat {
            Verdict::WriteBack => changes.extend(self.pat_back(tenant, known, pat_row.as_ref(), now)),
            Verdict::Mark => changes.extend(pat_row.map(|row| marked(pat_key, row, known.found(known.pat_at)))),
            Verdict::TakeOver | Verdict::Travelled => {}
        }
        reach(Step::WriteBackDue);
        let _ = self.write(changes).await?;
        Ok(Reconciled::Again)
    }

    /// Stores a pair whose record is not what its intent was written on, if that is because the store has travelled.
    pub(super) async fn raise(&self, tenant: &TenantId, grant: &Grant) -> Result<Cas, StoreError> {
        let (id, version, refresh) = (grant.id, grant.version, grant.tokens.refresh_hash());
        let known = Known { grant: KnownGrant::Live(grant.clone(), None), ..Known::default() };
        loop {
            let Reconciled::TakeOver(record) = self.reconcile(tenant, &known).await? else { continue };
            let stored = record.grant.grant();
            let ours =
                |stored: &Grant| (stored.id, stored.version, stored.tokens.refresh_hash()) == (id, version, refresh);
            return Ok(if stored.is_some_and(ours) { Cas::Stored } else { Cas::Moved });
        }
    }

    /// The outcome of a token request that was made before the store came back is no newer than the row that it is
    /// written over, which was in the store when it came back, or was written back: it says where that was found. Any
    /// other says in which era it was looked at, since the next one may begin before it is written.
    pub(super) async fn keep_origin(&self, change: &mut Change) -> Result<Aim, StoreError> {
        let mut keys = vec![change.key.clone(), era_key()];
        let of_grant = if let Expect::Grant(grant, _) = change.expect { Some(grant) } else { None };
        keys.extend(of_grant.map(tombstone_key));
        let mut rows = self.backend.get(&keys).await?;
        if of_grant.is_none() {
            rows.push(None);
        }
        let [row, era, tombstone] = all(rows)?;
        let era = Era::of_row(era.as_ref())?;
        let read = Read::new(&change.key, row.as_ref(), &era)?;
        let in_era = if read.is_past() { era.before.unwrap_or(EraId::FIRST) } else { era.id };
        let here = row.as_ref().map(|row| Found { era: in_era, revision: row.revision });
        let found = if read.is_past() { here } else { read.found.or(here) };
        if let Some(found) = found {
            let written = (change.label, std::mem::take(&mut change.body));
            (change.label, change.body) = record::written_back(written, found);
        }
        Ok(match change.expect.holds(row.as_ref().map(|row| (row.revision, &row.label))) {
            _ if tombstone.as_ref().is_some_and(is_there) => Aim::Buried,
            true => Aim::AsExpected,
            false => Aim::Other,
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
        let expect = Expect::as_read(row);
        let mut changes = vec![Change { key, expect, label, body }];
        // Whatever other grant the row was of, it has been replaced; unless nobody knows where that was found, in which
        // case whoever holds it has a word to say.
        let replaced = row.filter(|_| !read.is_of_unknown_age()).and_then(|row| row.label.grant);
        let replaced = replaced.filter(|id| Some(*id) != known.grant.id());
        changes.extend(over.into_iter().chain(replaced).map(|id| tombstone(id, now)));
        changes
    }

    /// What was disconnected here is back, and with it may be gone that it was to be revoked.
    fn revoked_again(&self, tenant: &TenantId, known: &Known, stored: &GrantState, now: Timestamp) -> Option<Change> {
        let KnownGrant::Ended(Disconnected { id, reason: DisconnectReason::Disconnected, .. }) = &known.grant else {
            return None;
        };
        let back = stored.grant().filter(|grant| grant.id == *id)?;
        let id = RevocationId { tenant: tenant.clone(), grant: *id };
        Some(self.revocation_change(&id, Expect::Anything, &Revocation::of(back, None, now)))
    }

    fn pat_back(&self, tenant: &TenantId, known: &Known, row: Option<&Row>, now: Timestamp) -> Vec<Change> {
        let key = Key::new(Kind::Pat, tenant.as_str());
        let found = known.found(known.pat_at);
        let back = |key, expect, written| {
            let (label, body) = record::written_back(written, found);
            Change { key, expect, label, body }
        };
        let until = now.plus(TOMBSTONE_LIFE);
        let expect = Expect::as_read(row);
        match (&known.pat, row) {
            (KnownPat::Nothing, _) => Vec::new(),
            (KnownPat::Stored(_), None) => vec![placeholder(key, known, now)],
            (KnownPat::Stored(stored), Some(_)) => {
                vec![back(key, expect, record::pat(&self.sealer, tenant, stored))]
            }
            (KnownPat::Removed, _) => {
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
