//! Refresh tokens that Flexslot has still to be told to revoke.
//!
//! One is told by one process at a time: who is about to do so claims the row, and a claim ends by itself should its
//! owner die. A grant that waits for a last word (see [`consent`](super::consent)) has its row from the beginning, due
//! when its session is over, so that whoever lives revokes what nobody has completed.
//!
//! Flexslot does not say whether to revoke one grant of a user ends another one of theirs. So a revocation is never sent
//! once a later grant was stored that may be of the same user: it is dropped with the write that stores that grant,
//! which waits for claims; and one that this write could not see is dropped when it is claimed.

use std::time::Duration;

use super::{
    Cas, StoreError, TokenStore, all,
    backend::{Change, Expect, Key, Kind, Names, Revision, Row, RowState, Written},
    identity::identity_key,
    record,
    tenants::is_there,
};
use crate::model::{
    Grant, GrantId, Origin, Secret, SessionId, TenantId, Timestamp, TokenSet,
    token::{DisconnectReason, Disconnected},
};

/// How long it is tried to have a refresh token revoked.
pub const REVOCATION_LIFE: Duration = Duration::from_secs(24 * 3600);

/// How long who revokes has it to themselves. Always longer than the request may take.
pub const CLAIM: Duration = Duration::from_secs(30);

/// What is left of a row that has done its work, until every process has seen it go.
const MARKER_LIFE: Duration = Duration::from_secs(3600);

/// How many rows of one tenant are looked at in one call to the engine.
const PAGE: usize = 20;

/// A refresh token that is to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    pub grant: GrantId,
    pub client_id: String,
    pub origin: Origin,
    pub refresh: Secret,
    /// Whose it is, where that is known.
    pub sub: Option<String>,
    /// The grant that its tenant had already when a grant was parked. Any other that the tenant has is a later one.
    pub(super) beside: Option<GrantId>,
    /// Not before.
    pub(super) from: Timestamp,
    /// Not after.
    pub until: Timestamp,
    pub(super) claimed_until: Option<Timestamp>,
    /// How often it was claimed.
    pub attempts: u64,
    /// The pair of a grant that may still become the tenant's.
    pub(super) parked: Option<TokenSet>,
}

/// Names a revocation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RevocationId {
    pub tenant: TenantId,
    pub grant: GrantId,
}

/// A part of the list of revocations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationPage {
    /// Those that are nobody's and due.
    pub due: Vec<RevocationId>,
    /// The name after which the next part begins; `None` at the end.
    pub next: Option<String>,
}

/// A revocation that is ours to send.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub id: RevocationId,
    pub revocation: Revocation,
    revision: Revision,
}

/// What became of a claim.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "taken apart where it is answered")]
pub enum Claim {
    Ours(Claimed),
    /// Somebody else has it for this much longer.
    Taken(Duration),
    NotYet,
    /// There is none, or none any more.
    Nothing,
    /// Its time was over, and it is given up.
    GivenUp,
    /// Its tenant has a later grant that may be of the same user.
    Dropped,
}

/// Whether a revocation that has failed before is claimed before its next time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    WhenDue,
    AtOnce,
}

/// A revocation of a tenant as it was read.
pub(super) struct Pending {
    pub(super) key: Key,
    pub(super) row: Row,
    /// `None` where it does not open, so that nobody here can send it.
    pub(super) revocation: Option<Revocation>,
}

// === impl TokenStore ===

impl TokenStore {
    /// Up to `limit` revocations after `after`, those that are due now.
    pub async fn revocations(&self, after: Option<&str>, limit: usize) -> Result<RevocationPage, StoreError> {
        let names = Names { after: after.unwrap_or_default(), prefix: "" };
        let rows = self.backend.list(Kind::Revocation, Some(RowState::Live), names, limit).await?;
        let next = rows.last().filter(|_| rows.len() >= limit).map(|(name, _)| name.clone());
        if rows.is_empty() {
            return Ok(RevocationPage { due: Vec::new(), next });
        }
        let now = self.backend.now().await?;
        let due = rows.into_iter().filter_map(|(name, row)| {
            let id = RevocationId::of_name(&name)?;
            let revocation = record::read_revocation(&self.sealer, &id.key(), &row.ok()?).ok()?;
            (revocation.claim_left(now).is_zero() && revocation.from <= now).then_some(id)
        });
        Ok(RevocationPage { due: due.collect(), next })
    }

    /// What Flexslot has to be told to revoke of `tenant`, without what is parked.
    pub async fn revocations_of(&self, tenant: &TenantId) -> Result<Vec<RevocationId>, StoreError> {
        let now = self.backend.now().await?;
        let pending = self.pending(tenant).await?;
        let wanted = pending.into_iter().filter_map(|pending| pending.revocation);
        let wanted = wanted.filter(|revocation| revocation.parked.is_none() || revocation.from <= now);
        Ok(wanted.map(|revocation| RevocationId { tenant: tenant.clone(), grant: revocation.grant }).collect())
    }

    /// Claims a revocation for [`CLAIM`]. From then on a parked grant cannot be completed any more.
    pub async fn claim_revocation(&self, id: &RevocationId, patience: Patience) -> Result<Claim, StoreError> {
        let key = id.key();
        loop {
            let keys = [key.clone(), Key::new(Kind::Grant, id.tenant.as_str()), identity_key(&id.tenant)];
            let [row, grant, identity] = all(self.backend.get(&keys).await?)?;
            let Some(row) = row.filter(is_there) else { return Ok(Claim::Nothing) };
            let now = self.backend.now().await?;
            let revocation = record::read_revocation(&self.sealer, &key, &row)?;
            let left = revocation.claim_left(now);
            if !left.is_zero() {
                return Ok(Claim::Taken(left));
            }
            if now < revocation.from && (patience == Patience::WhenDue || revocation.parked.is_some()) {
                return Ok(Claim::NotYet);
            }
            let expect = Expect::Revision(row.revision);
            let ends = if now >= revocation.until {
                Some(Claim::GivenUp)
            } else {
                let live = grant.as_ref().filter(|row| row.label.state == RowState::Live);
                let later = live.is_some_and(|live| live.label.grant != revocation.beside);
                let theirs = live.and_then(|live| self.sub_of(&id.tenant, live, identity.as_ref()));
                (later && may_be_one_user(revocation.sub.as_deref(), theirs.as_deref())).then_some(Claim::Dropped)
            };
            if let Some(end) = ends {
                if Cas::from(self.write(vec![over(key.clone(), expect, now)]).await?) == Cas::Stored {
                    return Ok(end);
                }
                continue;
            }
            let attempts = revocation.attempts.saturating_add(1);
            let revocation = Revocation { claimed_until: Some(now.plus(CLAIM)), attempts, parked: None, ..revocation };
            if let Written::Done(revision) = self.write(vec![self.revocation_change(id, expect, &revocation)]).await? {
                return Ok(Claim::Ours(Claimed { id: id.clone(), revocation, revision }));
            }
        }
    }

    /// Flexslot has answered for good.
    pub async fn revoked(&self, claimed: &Claimed) -> Result<Cas, StoreError> {
        let now = self.backend.now().await?;
        let change = over(claimed.id.key(), Expect::Revision(claimed.revision), now);
        Ok(self.write(vec![change]).await?.into())
    }

    /// It has not, and is asked again after `wait`.
    pub async fn not_revoked(&self, claimed: &Claimed, wait: Duration) -> Result<Cas, StoreError> {
        let from = self.backend.now().await?.plus(wait);
        let revocation = Revocation { claimed_until: None, from, ..claimed.revocation.clone() };
        let change = self.revocation_change(&claimed.id, Expect::Revision(claimed.revision), &revocation);
        Ok(self.write(vec![change]).await?.into())
    }

    /// Has a grant revoked that a session has brought, over or not, and that has not become its tenant's.
    pub async fn discard(&self, session: &SessionId, grant: &Grant, sub: Option<&str>) -> Result<(), StoreError> {
        let Some((tenant, brought)) = self.tenant_of_session(session).await? else {
            return Err(StoreError::Unavailable("it has forgotten the session".into()));
        };
        if brought == Some(grant.id) {
            // It has become its tenant's, or waits for a last word: only the answer was lost.
            return Ok(());
        }
        let now = self.backend.now().await?;
        // The grant that the tenant has is an earlier one, unless this very session has brought it by another window.
        let row = self.row(&Key::new(Kind::Grant, tenant.as_str())).await?.filter(is_there);
        let beside = row.and_then(|row| row.label.grant).filter(|held| Some(*held) != brought);
        let id = RevocationId { tenant, grant: grant.id };
        let revocation = Revocation { beside, ..Revocation::of(grant, sub, now) };
        // In a conflict an earlier call has done it, whose answer was lost.
        let _ = self.write(vec![self.revocation_change(&id, Expect::Absent, &revocation)]).await?;
        Ok(())
    }

    /// Has a pair revoked that has come back after its grant was disconnected here; any other is dropped. Answers
    /// whether it is revoked.
    pub(super) async fn revoke_late(&self, tenant: &TenantId, grant: &Grant) -> Result<bool, StoreError> {
        let id = RevocationId { tenant: tenant.clone(), grant: grant.id };
        loop {
            let keys = [Key::new(Kind::Grant, tenant.as_str()), id.key()];
            let [row, queued] = all(self.backend.get(&keys).await?)?;
            let Some(row) = row.filter(|row| disconnected_here(tenant, row) == Some(grant.id)) else {
                return Ok(false);
            };
            let [key, _] = keys;
            let now = self.backend.now().await?;
            // Written anew, so that of this and of a grant that is stored for the tenant meanwhile one sees the other.
            let still = Change { key, expect: Expect::Revision(row.revision), label: row.label, body: row.body };
            let revocation = Revocation::of(grant, None, now);
            let queue = self.revocation_change(&id, Expect::as_read(queued.as_ref()), &revocation);
            if Cas::from(self.write(vec![still, queue]).await?) == Cas::Stored {
                return Ok(true);
            }
        }
    }

    /// All revocations of `tenant`, parked ones too.
    pub(super) async fn pending(&self, tenant: &TenantId) -> Result<Vec<Pending>, StoreError> {
        let prefix = format!("{tenant} ");
        let (mut pending, mut after) = (Vec::new(), String::new());
        loop {
            let names = Names { after: &after, prefix: &prefix };
            let rows = self.backend.list(Kind::Revocation, Some(RowState::Live), names, PAGE).await?;
            let full = rows.len() >= PAGE;
            for (name, row) in rows {
                after = name;
                let key = Key::new(Kind::Revocation, after.as_str());
                // One that the engine cannot read is nobody's to send.
                let Ok(row) = row else { continue };
                let revocation = record::read_revocation(&self.sealer, &key, &row).ok();
                pending.push(Pending { key, row, revocation });
            }
            if !full {
                return Ok(pending);
            }
        }
    }

    pub(super) fn revocation_change(&self, id: &RevocationId, expect: Expect, revocation: &Revocation) -> Change {
        let key = id.key();
        let (label, body) = record::revocation(&self.sealer, &key, revocation);
        Change { key, expect, label, body }
    }
}

/// A revocation, or anything else that was written for a while, has done its work.
pub(super) fn over(key: Key, expect: Expect, now: Timestamp) -> Change {
    let (label, body) = record::gone(now.plus(MARKER_LIFE));
    Change { key, expect, label, body }
}

/// Whether two grants may be of one Flexslot user: nobody knows of one of them whose it is, or they are.
pub(super) fn may_be_one_user(one: Option<&str>, other: Option<&str>) -> bool {
    one.is_none() || other.is_none() || one == other
}

/// The grant that a row says was disconnected here.
pub(super) fn disconnected_here(tenant: &TenantId, row: &Row) -> Option<GrantId> {
    match record::read_plain_grant(tenant, row) {
        Ok(record::PlainState::Disconnected(Disconnected { id, reason: DisconnectReason::Disconnected, .. })) => {
            Some(id)
        }
        _ => None,
    }
}

// === impl Revocation ===

impl Revocation {
    /// That of `grant`, from now on.
    pub(super) fn of(grant: &Grant, sub: Option<&str>, now: Timestamp) -> Self {
        Self {
            grant: grant.id,
            client_id: grant.client_id.clone(),
            origin: grant.origin.clone(),
            refresh: grant.tokens.refresh.clone(),
            sub: sub.map(str::to_owned),
            beside: None,
            from: now,
            until: now.plus(REVOCATION_LIFE),
            claimed_until: None,
            attempts: 0,
            parked: None,
        }
    }

    /// How much longer it is somebody's. A claim that ends later than one from now was written by a clock that has since
    /// been set back.
    pub(super) fn claim_left(&self, now: Timestamp) -> Duration {
        self.claimed_until.map(|until| until.left(now)).filter(|left| *left <= CLAIM).unwrap_or_default()
    }
}

// === impl RevocationId ===

impl RevocationId {
    pub(super) fn key(&self) -> Key {
        Key::new(Kind::Revocation, format!("{} {}", self.tenant, self.grant))
    }

    fn of_name(name: &str) -> Option<Self> {
        let (tenant, grant) = name.split_once(' ')?;
        Some(Self { tenant: tenant.parse().ok()?, grant: grant.parse().ok()? })
    }
}
