//! What becomes of a grant that Flexslot has just given.
//!
//! A code is spent, so what it has brought is either stored or revoked, whoever still waits for the answer.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{Awaiting, Connected, ConsentError, Consented, Outset};
use crate::{
    credential::{Credentials, works::Works},
    model::{Identity, Secret, SessionId, TenantId},
    store::{Connecting, NewConsent, NewGrant, StoreError, Word, revocation::CLAIM},
};

/// How long the store is asked again to take a grant before it is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the store is asked to take note of a grant that is nobody's.
const DISCARD: Duration = Duration::from_secs(600);

/// The pause before it is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// How often it is looked whether an earlier grant has been revoked by now.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What a session is to come to. Each is such that it does no harm to ask the store for it twice.
enum Step {
    Connect(NewConsent),
    Park(NewConsent, Awaiting),
    HandOver { binding: Secret, code: Secret },
    LastWord(Word),
}

/// What it has come to.
enum Reached {
    Connected(Connected),
    Parked,
}

// === impl Credentials ===

impl Credentials {
    /// Whose the tenant's grant is, or was before it ended by itself.
    pub async fn identity(&self, tenant: &TenantId) -> Result<Option<Identity>, StoreError> {
        Ok(self.works.store.identity(tenant).await?.and_then(|record| record.identity))
    }

    /// How the tenant stands. What a code brings is the tenant's only where nobody disconnects it from then on.
    pub async fn outset(&self, tenant: &TenantId) -> Result<Outset, StoreError> {
        self.works.store.outset(tenant).await
    }

    /// Makes what the session has brought the tenant's grant. Where that cannot be, it is revoked.
    pub async fn connect(&self, id: &SessionId, new: Consented) -> Result<Connected, ConsentError> {
        self.connected_by(id, Step::Connect(self.new_consent(new))).await
    }

    /// Keeps what the session has brought until somebody has the last word. Who does not have it in time, or where it
    /// cannot be kept, has it revoked.
    pub async fn park(&self, id: &SessionId, new: Consented, awaiting: Awaiting) -> Result<(), ConsentError> {
        self.take(id, Step::Park(self.new_consent(new), awaiting)).await.map(drop)
    }

    /// The browser's last word on a parked grant.
    pub async fn confirm(&self, id: &SessionId, binding: &str) -> Result<Connected, ConsentError> {
        self.connected_by(id, Step::LastWord(Word::confirmed(binding))).await
    }

    /// The browser's word on a grant that an app has the very last word on: from now on it waits for that one's code.
    pub async fn hand_over(&self, id: &SessionId, binding: &str, code: Secret) -> Result<(), ConsentError> {
        let binding = Secret::new(binding);
        self.take(id, Step::HandOver { binding, code }).await.map(drop)
    }

    /// The app's last word on a parked grant.
    pub async fn complete(&self, id: &SessionId, code: &str) -> Result<Connected, ConsentError> {
        self.connected_by(id, Step::LastWord(Word::completed(code))).await
    }

    async fn connected_by(&self, id: &SessionId, step: Step) -> Result<Connected, ConsentError> {
        match self.take(id, step).await? {
            Reached::Connected(connected) => Ok(connected),
            Reached::Parked => Err(ConsentError::OutOfStep),
        }
    }

    async fn take(&self, id: &SessionId, mut step: Step) -> Result<Reached, ConsentError> {
        let id = id.clone();
        self.works.finish(|works| async move { works.take(&id, &mut step).await }).await
    }

    fn new_consent(&self, Consented { tokens, client_id, origin, identity, outset }: Consented) -> NewConsent {
        self.works.store.new_consent(NewGrant { client_id, origin, tokens }, identity, outset)
    }
}

// === impl Works ===

impl Works {
    /// Has the store take a step, and everybody here use the grant that it brings. A grant that comes with a step that
    /// cannot be taken is revoked.
    async fn take(self: &Arc<Self>, id: &SessionId, step: &mut Step) -> Result<Reached, ConsentError> {
        let reached = self.insist(id, step).await;
        match &reached {
            Ok(Reached::Connected(connected)) => {
                tracing::info!(tenant = %connected.tenant, "connected to Flexslot");
                self.look_again_at(&connected.tenant).await;
            }
            Ok(Reached::Parked) => {}
            Err(error) => self.discard(id, step, error).await,
        }
        reached
    }

    /// Waits for whoever revokes an earlier grant, and asks a store again that was out of reach.
    async fn insist(&self, id: &SessionId, step: &mut Step) -> Result<Reached, ConsentError> {
        let patience = Instant::now() + PATIENCE;
        // Each claim ends by itself, and between two there is a moment.
        let claims = Instant::now() + 2 * CLAIM;
        loop {
            let answer = match step {
                Step::Park(new, awaiting) => self.store.park(id, new, awaiting).await.map(|()| None),
                Step::HandOver { binding, code } => {
                    self.store.hand_over(id, binding.expose(), code.expose()).await.map(|()| None)
                }
                Step::Connect(new) => self.store.connect(id, new).await.map(Some),
                Step::LastWord(word) => self.store.last_word(id, word).await.map(Some),
            };
            let wait = match answer {
                Ok(None) => return Ok(Reached::Parked),
                Ok(Some(Connecting::Connected(connected))) => return Ok(Reached::Connected(connected)),
                Ok(Some(Connecting::Wait(left))) if Instant::now() < claims => left.min(LOOK_AGAIN),
                Ok(Some(Connecting::Wait(_))) => return Err(ConsentError::Busy),
                Err(ConsentError::Store(StoreError::Unavailable(what))) if Instant::now() < patience => {
                    tracing::warn!(what, "the store does not take a new grant; it is asked again");
                    PAUSE
                }
                Err(error) => return Err(error),
            };
            sleep(wait).await;
        }
    }

    /// Has a grant revoked that cannot become its tenant's. Where the store does not say, it may have become it; the
    /// store is asked again later, and its user, who is told of a failure, need not wait for that.
    async fn discard(self: &Arc<Self>, id: &SessionId, step: &Step, why: &ConsentError) {
        let (Step::Connect(new) | Step::Park(new, _)) = step else { return };
        tracing::warn!(%why, "a consent has not become a connection");
        if matches!(why, ConsentError::ClientRevoked) {
            // Flexslot has ended it with the client.
            return;
        }
        let (works, id, new) = (Arc::clone(self), id.clone(), new.clone());
        let discarding = async move { works.discard_in_time(&id, &new).await };
        match why {
            ConsentError::Store(_) => self.tasks.spawn(discarding),
            _ => discarding.await,
        }
    }

    async fn discard_in_time(&self, id: &SessionId, NewConsent { grant, identity, .. }: &NewConsent) {
        let sub = identity.as_ref().map(|identity| identity.sub.as_str());
        let until = Instant::now() + DISCARD;
        loop {
            match self.store.discard(id, grant, sub).await {
                Ok(()) => return,
                Err(StoreError::Unavailable(_)) if Instant::now() < until => sleep(PAUSE).await,
                Err(error) => {
                    tracing::error!(%error, "what was consented to is not revoked; its user can remove it at Flexslot");
                    return;
                }
            }
        }
    }
}
