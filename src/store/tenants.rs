//! Tenants one by one and in lists, and who of them has changed.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::{
    Cas, KEY_CHECK, StoreError, StoredPat, TOMBSTONE_LIFE, TokenStore, all,
    backend::{Change, Expect, Key, Kind, Listed, Names, Revision, Row, RowState},
    identity::{forget_identity, identity_key},
    intent::tombstone,
    key::Told,
    keys_of,
    record::{self, GrantSummary, PlainState},
};
use crate::model::{Origin, TenantId, Timestamp, token::Disconnected};

/// How many rows one look at the change feed takes.
pub const FEED: usize = 1000;

/// What [`TokenStore::remove`] found and forgot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// There was a grant, connected or not.
    pub grant: bool,
    /// There was a PAT.
    pub pat: bool,
}

/// Tenants to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// With a grant that is believed to hold, uncertain ones too.
    Connected,
    /// With a grant that has ended.
    Disconnected,
    /// With a PAT and without a grant.
    NotConnected,
}

/// A part of the list of tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantPage {
    pub tenants: Vec<TenantSummary>,
    /// The name after which the next part begins; `None` at the end. A part may be shorter than asked, or empty, and
    /// still not be the last.
    pub next: Option<String>,
}

/// A tenant in a list. Nothing is opened for it, and a record that cannot be read spoils its own entry and not the
/// list. Of one whose name is no tenant's nothing is said, since nobody can ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSummary {
    pub tenant: TenantId,
    pub grant: GrantStanding,
    pub pat: PatStanding,
    pub last_used: Option<Timestamp>,
}

/// A part of the list of grants that are believed to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantPage {
    /// Those that can be read.
    pub grants: Vec<ConnectedGrant>,
    /// The name after which the next part begins; `None` at the end.
    pub next: Option<String>,
}

/// A grant in such a list, with nothing opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectedGrant {
    pub tenant: TenantId,
    pub grant: GrantSummary,
    pub last_used: Option<Timestamp>,
}

/// A tenant's grant in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantStanding {
    NeverConnected,
    /// Uncertain where the summary has an intent.
    Connected(GrantSummary),
    Disconnected(Disconnected),
    Unreadable(StoreError),
}

/// A tenant's PAT in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatStanding {
    Absent,
    Stored { origin: Origin },
    Unreadable(StoreError),
}

/// Who has changed since a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The store's newest revision. One that lies before the revision asked for means that the store was restored.
    pub head: Revision,
    /// What to ask from next time.
    pub next: Revision,
    /// Each tenant once, in no order.
    pub tenants: Vec<TenantId>,
    /// Whether any OAuth client has.
    pub clients: bool,
    /// Rows in between whose name is no tenant's, so that nobody can ask for them.
    pub unreadable: Vec<StoreError>,
    /// There is more to be had right away.
    pub more: bool,
}

/// A tenant's row as an engine has given it.
pub(super) type Found = Option<Result<Row, StoreError>>;

// === impl TenantSummary ===

impl TenantSummary {
    /// Whether there is, or was, anything of the tenant.
    pub fn is_of_somebody(&self) -> bool {
        self.grant != GrantStanding::NeverConnected || self.pat != PatStanding::Absent
    }
}

// === impl TokenStore ===
impl TokenStore {
    /// Stores a PAT in place of whatever PAT the tenant had.
    ///
    /// A write that was given up, and that a server does all the same when it goes on, never undoes a later one.
    pub async fn put_pat(&self, tenant: &TenantId, stored: &StoredPat) -> Result<(), StoreError> {
        let key = Key::new(Kind::Pat, tenant.as_str());
        loop {
            let found = self.row(&key).await?;
            let change = self.pat_change(tenant, Expect::as_read(found.as_ref()), stored);
            // A conflict means that somebody else has written in between: ours is the later one.
            if Cas::from(self.write(vec![change]).await?) == Cas::Stored {
                return Ok(());
            }
        }
    }

    /// Forgets `tenant`'s PAT. Answers whether there was one.
    pub async fn remove_pat(&self, tenant: &TenantId) -> Result<bool, StoreError> {
        let key = Key::new(Kind::Pat, tenant.as_str());
        loop {
            // A marker is written anew, as with [`TokenStore::remove`].
            let Some(row) = self.row(&key).await? else { return Ok(false) };
            let (label, body) = record::gone(self.backend.now().await?.plus(TOMBSTONE_LIFE));
            let change = Change { key: key.clone(), expect: Expect::Revision(row.revision), label, body };
            if Cas::from(self.write(vec![change]).await?) == Cas::Stored {
                return Ok(is_there(&row));
            }
        }
    }

    /// Forgets both credentials of `tenant`, and keeps the grant's id from coming back. Revokes nothing.
    pub async fn remove(&self, tenant: &TenantId) -> Result<Removed, StoreError> {
        let [grant_key, pat_key] = keys_of(tenant);
        let keys = [grant_key, pat_key, identity_key(tenant)];
        loop {
            let [grant, pat, identity] = all(self.backend.get(&keys).await?)?;
            let now = self.backend.now().await?;
            let mut changes: Vec<_> = forget_identity(tenant, identity.as_ref(), now).into_iter().collect();
            changes.extend(grant.as_ref().and_then(|row| row.label.grant).map(|grant| tombstone(grant, now)));
            // A marker is written anew: what somebody has found who is cut off, since before the store came back with
            // that marker, is to be forgotten too. The grant's says of a tenant with nothing but a PAT as well that it was
            // removed, and when.
            for (key, row) in keys.iter().zip([&grant, &pat]) {
                if row.is_some() || (key.kind == Kind::Grant && pat.is_some()) {
                    let (label, body) = record::gone(now.plus(TOMBSTONE_LIFE));
                    changes.push(Change { key: key.clone(), expect: Expect::as_read(row.as_ref()), label, body });
                }
            }
            // A conflict means that somebody else has written in between: what they wrote is to be forgotten too.
            if changes.is_empty() || Cas::from(self.write(changes).await?) == Cas::Stored {
                let [grant, pat] = [grant, pat].map(|row| row.is_some_and(|row| is_there(&row)));
                return Ok(Removed { grant, pat });
            }
        }
    }

    /// Up to `limit` tenants, the first of `names`; all, or those of one standing.
    pub async fn list(
        &self,
        names: Names<'_>,
        limit: usize,
        standing: Option<Standing>,
    ) -> Result<TenantPage, StoreError> {
        match standing {
            None => self.list_all(names, limit).await,
            Some(Standing::Connected) => self.list_grants(RowState::Live, names, limit).await,
            Some(Standing::Disconnected) => self.list_grants(RowState::Disconnected, names, limit).await,
            Some(Standing::NotConnected) => self.list_without_grant(names, limit).await,
        }
    }

    /// `tenants` as a list would have them, in their order; those that are not stored too.
    pub async fn summaries(&self, tenants: &[TenantId]) -> Result<Vec<TenantSummary>, StoreError> {
        let keys: Vec<_> = tenants.iter().flat_map(keys_of).collect();
        let mut rows = self.rows(&keys).await?.into_iter();
        let summary = |tenant: &TenantId| {
            let (grant, pat) = (rows.next().flatten(), rows.next().flatten());
            summary(tenant.clone(), grant, pat)
        };
        Ok(tenants.iter().map(summary).collect())
    }

    /// Up to `limit` grants that are believed to hold, uncertain ones too, in the order of their tenants' names after
    /// `after`. Rows that cannot be read are passed over: whoever goes through all grants is not to be stopped by one.
    pub async fn connected(&self, after: Option<&str>, limit: usize) -> Result<GrantPage, StoreError> {
        let rows = self.backend.list(Kind::Grant, Some(RowState::Live), Names::after(after), limit).await?;
        let next = next_after(&rows, limit);
        Ok(GrantPage {
            grants: rows.iter().filter_map(|(name, row)| connected(name, row.as_ref().ok()?)).collect(),
            next,
        })
    }

    /// Whose grant or PAT was written after `since`. Who asks again and again, each time from where the last answer
    /// ended, follows the store's encryption key too.
    pub async fn changed_since(&self, since: Revision) -> Result<Changed, StoreError> {
        let began = Instant::now();
        let (head, keys) = self.backend.changes(since, FEED).await?;
        let more = keys.len() >= FEED;
        let next = keys.last().filter(|_| more).map_or(head, |(_, revision)| *revision);
        let told = match keys.iter().any(|(key, _)| key.kind == Kind::Meta && key.name == KEY_CHECK) {
            true => Told::Changed,
            false if more => Told::SoFar,
            false => Told::Unchanged,
        };
        self.told_of_key(since, next, began, told).await?;
        let clients = keys.iter().any(|(key, _)| key.kind == Kind::Client);
        let names: BTreeSet<_> = keys.into_iter().map(|(key, _)| key).filter(is_tenants).map(|key| key.name).collect();
        let mut changed =
            Changed { head, next, tenants: Vec::with_capacity(names.len()), clients, unreadable: Vec::new(), more };
        for name in &names {
            match tenant_named(name) {
                Ok(tenant) => changed.tenants.push(tenant),
                Err(error) => changed.unreadable.push(error),
            }
        }
        Ok(changed)
    }

    /// The first `limit` names of two sorted lists are among the first `limit` of each, so that a page costs two pages
    /// whatever the store's size.
    async fn list_all(&self, names: Names<'_>, limit: usize) -> Result<TenantPage, StoreError> {
        let grants = self.backend.list(Kind::Grant, None, names, limit).await?;
        let pats = self.backend.list(Kind::Pat, None, names, limit).await?;
        let mut tenants: BTreeMap<String, (Found, Found)> = BTreeMap::new();
        for (name, row) in grants {
            tenants.entry(name).or_default().0 = Some(row);
        }
        for (name, row) in pats {
            tenants.entry(name).or_default().1 = Some(row);
        }
        // Whatever is left comes after these, in either kind; if nothing is, the next page is empty.
        let next = tenants.keys().nth(limit.saturating_sub(1)).cloned();
        let tenants = tenants.into_iter().take(limit);
        let tenants = tenants.filter_map(|(name, (grant, pat))| Some(summary(name.parse().ok()?, grant, pat)));
        Ok(TenantPage { tenants: tenants.collect(), next })
    }

    async fn list_grants(&self, state: RowState, names: Names<'_>, limit: usize) -> Result<TenantPage, StoreError> {
        let grants = self.backend.list(Kind::Grant, Some(state), names, limit).await?;
        let keys: Vec<_> = grants.iter().map(|(name, _)| Key::new(Kind::Pat, name.as_str())).collect();
        let pats = self.rows(&keys).await?;
        let next = next_after(&grants, limit);
        let tenants = grants.into_iter().zip(pats);
        let tenants = tenants.filter_map(|((name, grant), pat)| Some(summary(name.parse().ok()?, Some(grant), pat)));
        Ok(TenantPage { tenants: tenants.collect(), next })
    }

    async fn list_without_grant(&self, names: Names<'_>, limit: usize) -> Result<TenantPage, StoreError> {
        let pats = self.backend.list(Kind::Pat, None, names, limit).await?;
        let keys: Vec<_> = pats.iter().map(|(name, _)| Key::new(Kind::Grant, name.as_str())).collect();
        let grants = self.rows(&keys).await?;
        let next = next_after(&pats, limit);
        let without = pats.into_iter().zip(grants).filter(|(_, grant)| match grant {
            None => true,
            Some(Ok(row)) => !is_there(row),
            Some(Err(_)) => false,
        });
        let tenants = without.filter_map(|((name, pat), _)| Some(summary(name.parse().ok()?, None, Some(pat))));
        Ok(TenantPage { tenants: tenants.collect(), next })
    }

    /// The rows of `keys`, in their order. One that cannot be read says so in its place.
    pub(super) async fn rows(&self, keys: &[Key]) -> Result<Vec<Found>, StoreError> {
        let rows = match self.backend.get(keys).await {
            Ok(rows) => rows,
            // Only one by one does it show which.
            Err(StoreError::Unreadable { .. }) => return self.rows_one_by_one(keys).await,
            Err(error) => return Err(error),
        };
        if rows.len() != keys.len() {
            return Err(StoreError::Unavailable("it answered for another number of records than asked".into()));
        }
        Ok(rows.into_iter().map(|row| row.map(Ok)).collect())
    }

    async fn rows_one_by_one(&self, keys: &[Key]) -> Result<Vec<Found>, StoreError> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.push(match self.row(key).await {
                Err(error @ StoreError::Unavailable(_)) => return Err(error),
                row => row.transpose(),
            });
        }
        Ok(found)
    }

    pub(super) fn pat_change(&self, tenant: &TenantId, expect: Expect, stored: &StoredPat) -> Change {
        let (label, body) = record::pat(&self.sealer, tenant, stored);
        Change { key: Key::new(Kind::Pat, tenant.as_str()), expect, label, body }
    }
}

/// More than the marker of something removed.
pub(super) fn is_there(row: &Row) -> bool {
    row.label.state != RowState::Gone
}

fn is_tenants(key: &Key) -> bool {
    matches!(key.kind, Kind::Grant | Kind::Pat)
}

fn next_after(rows: &[Listed], limit: usize) -> Option<String> {
    rows.last().filter(|_| rows.len() >= limit).map(|(name, _)| name.clone())
}

fn tenant_named(name: &str) -> Result<TenantId, StoreError> {
    name.parse().map_err(|_| StoreError::Unreadable {
        record: format!("tenant {}", name.escape_debug()),
        what: "its name: expected a tenant's name".into(),
    })
}

fn connected(name: &str, row: &Row) -> Option<ConnectedGrant> {
    let tenant = name.parse().ok()?;
    match record::read_plain_grant(&tenant, row) {
        Ok(PlainState::Held(grant)) => Some(ConnectedGrant { tenant, grant, last_used: row.last_used }),
        _ => None,
    }
}

fn summary(tenant: TenantId, grant: Found, pat: Found) -> TenantSummary {
    let rows = [&grant, &pat].into_iter().flatten().flatten();
    let last_used = rows.filter_map(|row| row.last_used).max();
    let grant = match grant.map(|row| record::read_plain_grant(&tenant, &row?)) {
        None | Some(Ok(PlainState::Gone)) => GrantStanding::NeverConnected,
        Some(Ok(PlainState::Held(grant))) => GrantStanding::Connected(grant),
        Some(Ok(PlainState::Disconnected(end))) => GrantStanding::Disconnected(end),
        Some(Err(error)) => GrantStanding::Unreadable(error),
    };
    let pat = match pat.map(|row| read_pat(&tenant, &row?)) {
        None | Some(Ok(None)) => PatStanding::Absent,
        Some(Ok(Some(origin))) => PatStanding::Stored { origin },
        Some(Err(error)) => PatStanding::Unreadable(error),
    };
    TenantSummary { tenant, grant, pat, last_used }
}

fn read_pat(tenant: &TenantId, row: &Row) -> Result<Option<Origin>, StoreError> {
    is_there(row).then(|| record::read_pat_origin(tenant, row)).transpose()
}

#[cfg(test)]
mod tests;
