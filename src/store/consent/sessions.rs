//! Sessions, flows and sign-in links: opened, found, used up.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    ConsentError, Flow, NewFlow, OpenedSession, Progress, Proof, SESSION, SIGN_IN, STATE, Session, SessionOutcome,
    SessionWish, SignIn, VISIT, key,
};
use crate::{
    model::{GrantId, Secret, SessionId, TenantId, Timestamp},
    store::{
        Cas, StoreError, TokenStore,
        backend::{Change, Expect, Key, Row, Written},
        record::{self, StoredSession, Tries},
        revocation::{Revocation, RevocationId, over},
        tenants::is_there,
    },
};

/// How long a session lasts, and whatever it has begun.
const SESSION_LIFE: Duration = Duration::from_secs(600);

/// How many flows a session can begin. Each leaves a row until the session is over, and nobody needs as many.
pub const MOST_FLOWS: u64 = 20;

/// How long a sign-in link can be used.
const SIGN_IN_LIFE: Duration = Duration::from_secs(300);

/// A session as it was read.
pub(super) struct Read {
    pub(super) key: Key,
    pub(super) row: Row,
    pub(super) stored: StoredSession,
    /// When, by the store's clock.
    pub(super) now: Timestamp,
}

/// Whether a session can be begun anew after a flow of it came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    Possible,
    Over,
}

/// What a session is at that was to end.
enum Left {
    Open,
    /// What another flow has brought waits for a last word.
    Parked,
    Ended(SessionOutcome),
}

/// What becomes of a grant that is parked when its session ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OfParked {
    Stays,
    IsRevoked,
}

// === impl TokenStore ===

impl TokenStore {
    /// Opens a session. Nothing else names it but what is answered.
    pub async fn open_session(&self, wish: SessionWish) -> Result<OpenedSession, StoreError> {
        self.open_session_with(wish, Tries::Many).await
    }

    /// The same for who waits for what comes of it: whatever ends it, it has ended.
    pub async fn open_awaited_session(&self, wish: SessionWish) -> Result<OpenedSession, StoreError> {
        self.open_session_with(wish, Tries::One).await
    }

    async fn open_session_with(&self, wish: SessionWish, tries: Tries) -> Result<OpenedSession, StoreError> {
        let SessionWish { tenant, scopes, return_to, client } = wish;
        let (id, now) = (SessionId::random(&self.random), self.backend.now().await?);
        let expires_at = now.plus(SESSION_LIFE);
        let session = Session { tenant, scopes, return_to, client, expires_at, progress: Progress::Open };
        let stored = StoredSession { session, opened_at: now, grant: None, tries, flows: 0 };
        self.put_new(self.session_change(key(SESSION, id.expose()), Expect::Absent, &stored)).await?;
        Ok(OpenedSession { id, expires_at })
    }

    /// The session; `None` where there is none, or it is over.
    pub async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        Ok(self.read_session(id).await?.map(|read| read.stored.session))
    }

    pub(super) fn session_change(&self, key: Key, expect: Expect, stored: &StoredSession) -> Change {
        let (label, body) = record::session(&self.sealer, &key, stored);
        Change { key, expect, label, body }
    }

    pub(super) async fn read_session(&self, id: &SessionId) -> Result<Option<Read>, StoreError> {
        let key = key(SESSION, id.expose());
        let Some(row) = self.row(&key).await?.filter(is_there) else { return Ok(None) };
        let stored = record::read_session(&self.sealer, &key, &row)?;
        let now = self.backend.now().await?;
        Ok((now < stored.session.expires_at).then_some(Read { key, row, stored, now }))
    }

    /// The tenant of a session, over or not, and the grant that it has brought.
    pub(in crate::store) async fn tenant_of_session(
        &self,
        id: &SessionId,
    ) -> Result<Option<(TenantId, Option<GrantId>)>, StoreError> {
        let key = key(SESSION, id.expose());
        let row = self.row(&key).await?.filter(is_there);
        let stored = row.map(|row| record::read_session(&self.sealer, &key, &row)).transpose()?;
        Ok(stored.map(|stored| (stored.session.tenant, stored.grant)))
    }

    /// Writes down a flow that an open session is about to begin. A session may begin several; one of them ends it.
    pub async fn begin_flow(&self, id: &SessionId, new: NewFlow) -> Result<(), ConsentError> {
        let NewFlow { state, verifier, binding, client_id, redirect_uri, scopes } = new;
        let key = key(STATE, state.expose());
        let binding = Proof::of(binding.expose());
        let flow = Flow { session: id.clone(), verifier, binding, client_id, redirect_uri, scopes: Some(scopes) };
        loop {
            let Read { key: of_session, row, stored, .. } =
                self.read_session(id).await?.ok_or(ConsentError::Unknown)?;
            is_open(&stored.session.progress)?;
            if stored.flows >= MOST_FLOWS {
                return Err(ConsentError::TooManyFlows);
            }
            let (label, body) = record::flow(&self.sealer, &key, &flow, stored.session.expires_at);
            let begun = Change { key: key.clone(), expect: Expect::Absent, label, body };
            let stored = StoredSession { flows: stored.flows + 1, ..stored };
            let counted = self.session_change(of_session, Expect::Revision(row.revision), &stored);
            match self.write(vec![begun, counted]).await? {
                Written::Done(_) => return Ok(()),
                Written::Conflict(0) => return Err(name_was_taken().into()),
                // The session has gone on meanwhile.
                Written::Conflict(_) => {}
            }
        }
    }

    /// The flow with this `state`, to one caller; `None` where there is none, it was taken, or it is over.
    pub async fn take_flow(&self, state: &str) -> Result<Option<Flow>, StoreError> {
        let key = key(STATE, state);
        let Some(row) = self.row(&key).await?.filter(is_there) else { return Ok(None) };
        let (flow, expires_at) = record::read_flow(&self.sealer, &key, &row)?;
        Ok(self.take(key, &row, expires_at).await?.then_some(flow))
    }

    /// Notes that nothing has come of a session. One that somebody waits for is used up with that, and so is one whose
    /// grant was parked, which is revoked now. Any other can be tried again. Answers what has come of it instead, where
    /// that was first.
    pub async fn end_session(&self, id: &SessionId, outcome: SessionOutcome) -> Result<SessionOutcome, ConsentError> {
        Ok(match self.end_at(id, outcome.clone(), OfParked::IsRevoked).await? {
            Left::Ended(first) => first,
            Left::Open | Left::Parked => outcome,
        })
    }

    /// Notes that one flow of a session has come to nothing. What another window of it has brought stays. Answers whether
    /// the session can be tried again.
    pub async fn fail_flow(&self, id: &SessionId, outcome: SessionOutcome) -> Result<Again, ConsentError> {
        Ok(match self.end_at(id, outcome, OfParked::Stays).await? {
            Left::Open => Again::Possible,
            Left::Parked | Left::Ended(_) => Again::Over,
        })
    }

    async fn end_at(&self, id: &SessionId, outcome: SessionOutcome, of: OfParked) -> Result<Left, ConsentError> {
        if outcome == SessionOutcome::Connected {
            return Err(ConsentError::OutOfStep);
        }
        loop {
            let Read { key, row, stored, now } = self.read_session(id).await?.ok_or(ConsentError::Unknown)?;
            let parked = match (&stored.session.progress, &stored.session.return_to) {
                (Progress::Ended(first), _) => return Ok(Left::Ended(first.clone())),
                (Progress::Open, None) if stored.tries == Tries::Many => return Ok(Left::Open),
                (Progress::Open, _) => None,
                (Progress::Parked(_), _) if of == OfParked::Stays => return Ok(Left::Parked),
                (Progress::Parked(_), _) => stored.grant,
            };
            let mut changes = Vec::new();
            if let Some(grant) = parked {
                let id = RevocationId { tenant: stored.session.tenant.clone(), grant };
                if let Some(row) = self.row(&id.key()).await?.filter(is_there) {
                    let revocation = record::read_revocation(&self.sealer, &id.key(), &row)?;
                    let due = Revocation { from: now, parked: None, ..revocation };
                    changes.push(self.revocation_change(&id, Expect::Revision(row.revision), &due));
                }
            }
            let session = Session { progress: Progress::Ended(outcome.clone()), ..stored.session };
            let stored = StoredSession { session, ..stored };
            changes.push(self.session_change(key, Expect::Revision(row.revision), &stored));
            // A conflict means that it has gone on meanwhile, or that what was parked is being revoked.
            if Cas::from(self.write(changes).await?) == Cas::Stored {
                return Ok(Left::Ended(outcome));
            }
        }
    }

    /// Makes a one-time link to the connections page.
    pub async fn open_sign_in(&self) -> Result<SignIn, StoreError> {
        let token = Secret::new(URL_SAFE_NO_PAD.encode(self.random.bytes::<32>()));
        let expires_at = self.backend.now().await?.plus(SIGN_IN_LIFE);
        let key = key(SIGN_IN, token.expose());
        let (label, body) = record::link(&self.sealer, &key, expires_at);
        self.put_new(Change { key, expect: Expect::Absent, label, body }).await?;
        Ok(SignIn { token, expires_at })
    }

    /// Uses up the link of `token`, and notes `visit`, the session that its browser is given, for as long as `life`. Answers
    /// whether it was such a link, to one caller.
    pub async fn take_sign_in(&self, token: &str, visit: &Secret, life: Duration) -> Result<bool, StoreError> {
        let link = key(SIGN_IN, token);
        let Some(row) = self.row(&link).await?.filter(is_there) else { return Ok(false) };
        let now = self.backend.now().await?;
        if now >= record::read_link(&self.sealer, &link, &row)? {
            return Ok(false);
        }
        let key = key(VISIT, visit.expose());
        let (label, body) = record::link(&self.sealer, &key, now.plus(life));
        let noted = Change { key, expect: Expect::Absent, label, body };
        match self.write(vec![over(link, Expect::Revision(row.revision), now), noted]).await? {
            Written::Done(_) => Ok(true),
            Written::Conflict(0) => Ok(false),
            Written::Conflict(_) => Err(name_was_taken()),
        }
    }

    /// Whether `visit` was noted, and has not ended. When it is over by itself is for its reader to know.
    pub async fn is_visit(&self, visit: &Secret) -> Result<bool, StoreError> {
        let key = key(VISIT, visit.expose());
        let Some(row) = self.row(&key).await?.filter(is_there) else { return Ok(false) };
        record::read_link(&self.sealer, &key, &row).map(|_| true)
    }

    /// Ends `visit`, for every process of the store.
    pub async fn end_visit(&self, visit: &Secret) -> Result<(), StoreError> {
        let key = key(VISIT, visit.expose());
        while let Some(row) = self.row(&key).await?.filter(is_there) {
            let change = over(key.clone(), Expect::Revision(row.revision), self.backend.now().await?);
            if Cas::from(self.write(vec![change]).await?) == Cas::Stored {
                break;
            }
        }
        Ok(())
    }

    /// Takes the row away, unless it is over or somebody else has. Answers whether it is ours.
    async fn take(&self, key: Key, row: &Row, expires_at: Timestamp) -> Result<bool, StoreError> {
        let now = self.backend.now().await?;
        if now >= expires_at {
            return Ok(false);
        }
        let change = over(key, Expect::Revision(row.revision), now);
        Ok(Cas::from(self.write(vec![change]).await?) == Cas::Stored)
    }

    /// Writes a row whose name nobody else can have made.
    async fn put_new(&self, change: Change) -> Result<(), StoreError> {
        match self.write(vec![change]).await?.into() {
            Cas::Stored => Ok(()),
            Cas::Moved => Err(name_was_taken()),
        }
    }
}

fn name_was_taken() -> StoreError {
    StoreError::Unavailable("a random name was there already".into())
}

/// Whether a grant may still come to a session that has come so far.
pub(super) fn is_open(progress: &Progress) -> Result<(), ConsentError> {
    match progress {
        Progress::Open => Ok(()),
        Progress::Parked(_) => Err(ConsentError::OutOfStep),
        Progress::Ended(outcome) => Err(ConsentError::Ended(outcome.clone())),
    }
}
