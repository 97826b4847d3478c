//! A grant that Flexslot has given becomes a tenant's, at once or after a last word.

use std::time::Duration;

use super::{
    Awaited, Awaiting, ConsentError, Parked, Progress, Proof, Session, SessionOutcome,
    sessions::{Read, is_open},
};
use crate::{
    model::{
        Grant, GrantId, Identity, Provenance, ScopeSet, Secret, SessionId, TenantId, Timestamp, Version,
        token::DisconnectReason,
    },
    store::{
        Cas, NewGrant, StoreError, TOMBSTONE_LIFE, TokenStore, all,
        backend::{Change, Expect, Key, Kind, Row, RowState},
        identity::{IdentityRecord, identity_key},
        intent::tombstone,
        record::{self, StoredSession},
        revocation::{Pending, Revocation, RevocationId, disconnected_here, may_be_one_user, over},
        tenants::is_there,
    },
};

/// How a tenant stands when a code is about to be redeemed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outset {
    /// Whose its grant is, or was before it ended by itself.
    pub identity: Option<Identity>,
    /// The grant that was disconnected here before. Of any other the disconnect is a later word than the consent.
    disconnected: Option<GrantId>,
}

/// A grant that Flexslot has given, with an id of its own.
#[derive(Debug, Clone)]
pub struct NewConsent {
    pub grant: Grant,
    /// Whose it is, where Flexslot has said so.
    pub identity: Option<Identity>,
    /// How its tenant stood before.
    outset: Outset,
}

/// A tenant's new connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    pub tenant: TenantId,
    pub identity: Option<Identity>,
    pub scopes: ScopeSet,
}

/// What came of an attempt to make a grant a tenant's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connecting {
    Connected(Connected),
    /// Somebody is revoking an earlier grant of the tenant, and has at most this long for it. To be tried again then.
    Wait(Duration),
}

/// What there is of a tenant before it is connected.
struct Before {
    grant: Option<Row>,
    identity: Option<Row>,
    /// The grant that was disconnected here last, if the tenant has had none since.
    disconnected: Option<GrantId>,
    pending: Vec<Pending>,
    now: Timestamp,
}

/// The last word on a parked grant. It may be said again where its answer was lost.
#[derive(Debug)]
pub struct Word {
    proof: Proven,
    /// The grant that it was said on, once it was found to be the right word.
    on: Option<NewConsent>,
}

/// What the word is proved with.
#[derive(Debug)]
enum Proven {
    Confirmed { binding: Secret },
    Completed { code: Secret },
}

// === impl TokenStore ===

impl TokenStore {
    /// How `tenant` stands. To be asked before a code of its is redeemed.
    pub async fn outset(&self, tenant: &TenantId) -> Result<Outset, StoreError> {
        let keys = [Key::new(Kind::Grant, tenant.as_str()), identity_key(tenant)];
        let [grant, identity] = all(self.backend.get(&keys).await?)?;
        let identity = self.remembered(tenant, grant.as_ref(), identity.as_ref())?;
        let disconnected = grant.and_then(|row| disconnected_here(tenant, &row));
        Ok(Outset { identity: identity.and_then(|record| record.identity), disconnected })
    }

    /// Gives a grant an id that was never used.
    pub fn new_consent(&self, new: NewGrant, identity: Option<Identity>, outset: Outset) -> NewConsent {
        let grant = Grant { provenance: Provenance::Consent, ..self.first_of(new) };
        NewConsent { grant, identity, outset }
    }

    /// Makes what an open session has brought the grant of its tenant. May be called again where its answer was lost.
    pub async fn connect(&self, id: &SessionId, new: &NewConsent) -> Result<Connecting, ConsentError> {
        loop {
            let session = self.read_session(id).await?.ok_or(ConsentError::Unknown)?;
            if has_brought(&session.stored, new.grant.id) {
                return Ok(Connecting::Connected(connected(&session.stored, new)));
            }
            is_open(&session.stored.session.progress)?;
            let before = self.before(&session).await?;
            before.goes_on_from(&new.outset)?;
            self.check_client(&new.grant).await?;
            if let Some(connecting) = self.take_in(session, &before, new, None).await? {
                return Ok(connecting);
            }
        }
    }

    /// Keeps what an open session has brought until somebody has the last word; who does not have it before the session
    /// is over has it revoked. May be called again where its answer was lost.
    pub async fn park(&self, id: &SessionId, new: &NewConsent, awaiting: &Awaiting) -> Result<(), ConsentError> {
        loop {
            let session = self.read_session(id).await?.ok_or(ConsentError::Unknown)?;
            if matches!(session.stored.session.progress, Progress::Parked(_))
                && session.stored.grant == Some(new.grant.id)
            {
                return Ok(());
            }
            is_open(&session.stored.session.progress)?;
            let before = self.before(&session).await?;
            before.goes_on_from(&new.outset)?;
            self.check_client(&new.grant).await?;
            let Read { key, row, stored, .. } = session;
            let StoredSession { session, opened_at, tries, flows, .. } = stored;
            let id = RevocationId { tenant: session.tenant.clone(), grant: new.grant.id };
            let sub = new.identity.as_ref().map(|identity| identity.sub.as_str());
            let revocation = Revocation {
                beside: id_in(before.grant.as_ref()),
                parked: Some(new.grant.tokens.clone()),
                ..Revocation::of(&new.grant, sub, session.expires_at)
            };
            let parked = Parked { identity: new.identity.clone(), awaiting: awaiting.into() };
            let session = Session { progress: Progress::Parked(parked), ..session };
            let grant = Some(new.grant.id);
            let stored = StoredSession { session, opened_at, grant, tries, flows };
            let mut changes = vec![
                self.session_change(key, Expect::Revision(row.revision), &stored),
                self.revocation_change(&id, Expect::Absent, &revocation),
            ];
            // Written anew, so that of this and of a disconnect at the same moment one sees the other.
            changes.extend(before.grant.filter(is_there).map(|row| {
                let (key, expect) = (Key::new(Kind::Grant, id.tenant.as_str()), Expect::Revision(row.revision));
                Change { key, expect, label: row.label, body: row.body }
            }));
            // A conflict means that the session or its tenant's grant has gone on meanwhile.
            if Cas::from(self.write(changes).await?) == Cas::Stored {
                return Ok(());
            }
        }
    }

    /// The word of the browser whose `binding` a grant was parked for, where an app has the very last one: from now on
    /// the grant waits for that one's `code`. May be called again where its answer was lost.
    pub async fn hand_over(&self, id: &SessionId, binding: &str, code: &str) -> Result<(), ConsentError> {
        loop {
            let Read { key, row, stored, .. } = self.read_session(id).await?.ok_or(ConsentError::Unknown)?;
            let parked = match &stored.session.progress {
                Progress::Parked(parked) => parked.clone(),
                Progress::Open => return Err(ConsentError::OutOfStep),
                Progress::Ended(outcome) => return Err(ConsentError::Ended(outcome.clone())),
            };
            let code = Proof::of(code);
            if parked.awaiting == (Awaited::Completion { code }) {
                return Ok(());
            }
            Word::confirmed(binding).fits(&parked.awaiting)?;
            let parked = Parked { awaiting: Awaited::Completion { code }, ..parked };
            let session = Session { progress: Progress::Parked(parked), ..stored.session };
            let stored = StoredSession { session, ..stored };
            let change = self.session_change(key, Expect::Revision(row.revision), &stored);
            // A conflict means that the session has gone on meanwhile.
            if Cas::from(self.write(vec![change]).await?) == Cas::Stored {
                return Ok(());
            }
        }
    }

    /// The last word of the browser or the app that a grant was parked for. Said again where its answer was lost, it
    /// counts once.
    pub async fn last_word(&self, id: &SessionId, word: &mut Word) -> Result<Connecting, ConsentError> {
        loop {
            let session = self.read_session(id).await?.ok_or(ConsentError::Unknown)?;
            if let Some(new) = word.on.as_ref().filter(|new| has_brought(&session.stored, new.grant.id)) {
                return Ok(Connecting::Connected(connected(&session.stored, new)));
            }
            let Session { tenant, progress, .. } = &session.stored.session;
            let (parked, grant) = match (progress, session.stored.grant) {
                (Progress::Parked(parked), Some(grant)) => (parked.clone(), grant),
                (Progress::Ended(outcome), _) => return Err(ConsentError::Ended(outcome.clone())),
                (Progress::Open | Progress::Parked(_), _) => return Err(ConsentError::OutOfStep),
            };
            word.fits(&parked.awaiting)?;
            let revocation = RevocationId { tenant: tenant.clone(), grant };
            let before = self.before(&session).await?;
            let (key, consent) = before.parked(&revocation, parked.identity)?;
            if self.is_revoked_client(&consent.grant.client_id).await? {
                if self.end_beside_client(session, &before, &key).await? == Cas::Moved {
                    continue;
                }
                return Err(ConsentError::ClientRevoked);
            }
            let consent = word.on.insert(consent);
            if let Some(connecting) = self.take_in(session, &before, consent, Some(&key)).await? {
                return Ok(connecting);
            }
        }
    }

    /// A grant that was given to a client is none after the client's end.
    async fn check_client(&self, grant: &Grant) -> Result<(), ConsentError> {
        match self.is_revoked_client(&grant.client_id).await? {
            true => Err(ConsentError::ClientRevoked),
            false => Ok(()),
        }
    }

    /// Ends a session whose parked grant has ended with its client, so that there is nothing to revoke.
    async fn end_beside_client(&self, session: Read, before: &Before, parked: &Key) -> Result<Cas, StoreError> {
        let Read { key, row, stored, now } = session;
        let outcome = SessionOutcome::Failed(DisconnectReason::ClientRevoked.as_str().to_owned());
        let session = Session { progress: Progress::Ended(outcome), ..stored.session };
        let stored = StoredSession { session, ..stored };
        let mut changes = vec![self.session_change(key, Expect::Revision(row.revision), &stored)];
        let pending = before.pending.iter().filter(|pending| pending.key == *parked);
        changes.extend(pending.map(|pending| over(pending.key.clone(), Expect::Revision(pending.row.revision), now)));
        Ok(self.write(changes).await?.into())
    }

    /// Reads what there is of the session's tenant, unless the tenant was removed since the session was opened.
    async fn before(&self, Read { stored, now, .. }: &Read) -> Result<Before, ConsentError> {
        let tenant = &stored.session.tenant;
        let keys = [Key::new(Kind::Grant, tenant.as_str()), identity_key(tenant)];
        let [grant, identity] = all(self.backend.get(&keys).await?)?;
        let removed_at = grant.as_ref().filter(|row| !is_there(row)).and_then(|row| row.label.due);
        if removed_at.is_some_and(|due| due.minus(TOMBSTONE_LIFE) >= stored.opened_at) {
            return Err(ConsentError::Overtaken);
        }
        let disconnected = grant.as_ref().and_then(|row| disconnected_here(tenant, row));
        Ok(Before { grant, identity, disconnected, pending: self.pending(tenant).await?, now: *now })
    }

    /// Writes, in one, all that comes with a new grant; `None` where somebody else has written in between.
    async fn take_in(
        &self,
        session: Read,
        before: &Before,
        new: &NewConsent,
        parked: Option<&Key>,
    ) -> Result<Option<Connecting>, StoreError> {
        let Read { key, row, stored, now } = session;
        let tenant = stored.session.tenant.clone();
        let sub = new.identity.as_ref().map(|identity| identity.sub.as_str());
        // Those of another user's grants go on: whatever becomes of those grants, this one stays.
        let dropped = |pending: &&Pending| {
            let theirs = pending.revocation.as_ref().and_then(|revocation| revocation.sub.as_deref());
            Some(&pending.key) == parked || may_be_one_user(sub, theirs)
        };
        let dropped: Vec<_> = before.pending.iter().filter(dropped).collect();
        let claims = dropped.iter().filter_map(|pending| pending.revocation.as_ref());
        if let Some(left) = claims.map(|claim| claim.claim_left(now)).max().filter(|left| !left.is_zero()) {
            return Ok(Some(Connecting::Wait(left)));
        }
        let answer = connected(&stored, new);
        let session = Session { progress: Progress::Ended(SessionOutcome::Connected), ..stored.session };
        let stored = StoredSession { session, grant: Some(new.grant.id), ..stored };
        let mut changes = vec![self.session_change(key, Expect::Revision(row.revision), &stored)];
        changes.push(self.grant_change(&tenant, Expect::as_read(before.grant.as_ref()), &new.grant, None));
        changes.extend(id_in(before.grant.as_ref()).map(|old| tombstone(old, now)));
        changes.push(self.identity_change(
            &tenant,
            Expect::as_read(before.identity.as_ref()),
            &before.identity_of(new),
        ));
        changes.extend(dropped.iter().map(|pending| {
            let expect = Expect::Revision(pending.row.revision);
            over(pending.key.clone(), expect, now)
        }));
        changes.extend(self.revocation_of_other(&tenant, before, sub));
        Ok((Cas::from(self.write(changes).await?) == Cas::Stored).then_some(Connecting::Connected(answer)))
    }

    /// The old grant's revocation, where it is known to be another user's. It is not where the old one cannot be read.
    fn revocation_of_other(&self, tenant: &TenantId, before: &Before, sub: Option<&str>) -> Option<Change> {
        let row = before.grant.as_ref().filter(|row| row.label.state == RowState::Live)?;
        let theirs = self.sub_of(tenant, row, before.identity.as_ref());
        if may_be_one_user(sub, theirs.as_deref()) {
            return None;
        }
        let state = record::read_grant(&self.sealer, tenant, row).ok()?;
        let old = state.grant()?;
        let id = RevocationId { tenant: tenant.clone(), grant: old.id };
        Some(self.revocation_change(&id, Expect::Anything, &Revocation::of(old, theirs.as_deref(), before.now)))
    }
}

/// Whether the session has ended with this very grant.
fn has_brought(stored: &StoredSession, grant: GrantId) -> bool {
    stored.session.progress == Progress::Ended(SessionOutcome::Connected) && stored.grant == Some(grant)
}

fn connected(stored: &StoredSession, new: &NewConsent) -> Connected {
    Connected {
        tenant: stored.session.tenant.clone(),
        identity: new.identity.clone(),
        scopes: new.grant.tokens.scopes.clone(),
    }
}

/// Of which grant a row is, connected or not.
fn id_in(row: Option<&Row>) -> Option<GrantId> {
    row.filter(|row| is_there(row)).and_then(|row| row.label.grant)
}

// === impl Before ===

impl Before {
    /// Nobody has disconnected the tenant since.
    fn goes_on_from(&self, outset: &Outset) -> Result<(), ConsentError> {
        match self.disconnected {
            Some(grant) if outset.disconnected != Some(grant) => Err(ConsentError::Overtaken),
            _ => Ok(()),
        }
    }

    /// The parked grant, if it may still become the tenant's.
    fn parked(&self, id: &RevocationId, identity: Option<Identity>) -> Result<(Key, NewConsent), ConsentError> {
        let key = id.key();
        let pending = self.pending.iter().find(|pending| pending.key == key).ok_or(ConsentError::Overtaken)?;
        let revocation = pending
            .revocation
            .clone()
            .ok_or_else(|| StoreError::Unreadable { record: key.to_string(), what: "it does not open".into() })?;
        let Revocation { grant, client_id, origin, beside, parked, .. } = revocation;
        match parked {
            // Whoever has claimed it, voided it or stored another grant meanwhile was first.
            Some(tokens) if beside == id_in(self.grant.as_ref()) => {
                let (id, version, provenance) = (grant, Version::FIRST, Provenance::Consent);
                let grant = Grant { id, version, client_id, origin, provenance, tokens };
                // A disconnect has voided what was parked.
                Ok((key, NewConsent { grant, identity, outset: Outset::default() }))
            }
            _ => Err(ConsentError::Overtaken),
        }
    }

    fn identity_of(&self, new: &NewConsent) -> IdentityRecord {
        IdentityRecord { identity: new.identity.clone(), checked_at: self.now, ..IdentityRecord::unasked(new.grant.id) }
    }
}

// === impl Word ===

impl Word {
    /// That of the browser with this binding.
    pub fn confirmed(binding: &str) -> Self {
        Self { proof: Proven::Confirmed { binding: Secret::new(binding) }, on: None }
    }

    /// That of the app with this code.
    pub fn completed(code: &str) -> Self {
        Self { proof: Proven::Completed { code: Secret::new(code) }, on: None }
    }

    /// Whether it is the one that is waited for.
    fn fits(&self, awaited: &Awaited) -> Result<(), ConsentError> {
        let fits = match (&self.proof, awaited) {
            (Proven::Confirmed { binding }, Awaited::Confirmation { binding: proof }) => proof.is_of(binding.expose()),
            (Proven::Completed { code }, Awaited::Completion { code: proof }) => proof.is_of(code.expose()),
            _ => return Err(ConsentError::OutOfStep),
        };
        if fits { Ok(()) } else { Err(ConsentError::Mismatch) }
    }
}
