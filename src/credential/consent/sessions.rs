//! Sessions, flows, sign-in links and the visits that these begin. What they are, the store says.

use std::time::Duration;

use super::{Again, ConsentError, Flow, NewFlow, OpenedSession, Session, SessionOutcome, SessionWish, SignIn};
use crate::{
    credential::{Credentials, NoClient},
    model::{RedirectUri, Secret, SessionId},
    store::StoreError,
};

// === impl Credentials ===

impl Credentials {
    /// Settles which client asks the wish's tenant: the one that it names, by its name or its id; else that of the tenant's
    /// last grant, as long as it can ask; else the usual one. From here on one that was chosen goes by its id, since a name
    /// can become another's.
    pub async fn choose_client(
        &self,
        wish: SessionWish,
        callback: &RedirectUri,
    ) -> Result<Result<SessionWish, NoClient>, StoreError> {
        let server = &self.works.settings().server;
        let last = match &wish.client {
            Some(_) => None,
            None => self.works.store.last_client_of(&wish.tenant).await?,
        };
        if let Some(client) = last.and_then(|last| server.client(Some(&last), callback).ok()) {
            return Ok(Ok(SessionWish { client: Some(client.client_id), ..wish }));
        }
        Ok(server
            .client(wish.client.as_deref(), callback)
            .map(|client| SessionWish { client: wish.client.as_ref().map(|_| client.client_id), ..wish }))
    }

    /// Opens a connect session: it lasts ten minutes.
    pub async fn open_session(&self, wish: SessionWish) -> Result<OpenedSession, StoreError> {
        self.works.store.open_session(wish).await
    }

    /// The same for who waits for what comes of it: a denial ends it, too, and so does giving it up.
    pub async fn open_awaited_session(&self, wish: SessionWish) -> Result<OpenedSession, StoreError> {
        self.works.store.open_awaited_session(wish).await
    }

    /// The session; `None` where there is none, or its ten minutes are over.
    pub async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        self.works.store.session(id).await
    }

    /// Notes a flow that an open session is about to begin at Flexslot.
    pub async fn begin_flow(&self, id: &SessionId, flow: NewFlow) -> Result<(), ConsentError> {
        self.works.store.begin_flow(id, flow).await
    }

    /// The flow with this `state`, once; `None` where there is none, it was taken, or its time is over.
    pub async fn take_flow(&self, state: &str) -> Result<Option<Flow>, StoreError> {
        self.works.store.take_flow(state).await
    }

    /// Notes that nothing has come of the session. One that is awaited, by an app or a command, is used up with that, and
    /// so is one for which a grant was parked, which is revoked; any other can be tried again until its time is over.
    /// Answers what has come of it instead, where that was first.
    pub async fn end_session(&self, id: &SessionId, outcome: SessionOutcome) -> Result<SessionOutcome, ConsentError> {
        self.works.store.end_session(id, outcome).await
    }

    /// Notes that one flow of the session has come to nothing. It ends a session that is awaited and still open; what
    /// another window has brought stays. Answers whether the session can be tried again.
    pub async fn fail_flow(&self, id: &SessionId, outcome: SessionOutcome) -> Result<Again, ConsentError> {
        self.works.store.fail_flow(id, outcome).await
    }

    /// Makes a one-time link to the connections page; it lasts five minutes.
    pub async fn open_sign_in(&self) -> Result<SignIn, StoreError> {
        self.works.store.open_sign_in().await
    }

    /// Uses up the link of `token`, and notes the session that its browser is given, for as long as `life`. Answers whether
    /// it was such a link; once.
    pub async fn take_sign_in(&self, token: &str, visit: &Secret, life: Duration) -> Result<bool, StoreError> {
        self.works.store.take_sign_in(token, visit, life).await
    }

    /// Whether that session was noted, and nobody has ended it.
    pub async fn is_visit(&self, visit: &Secret) -> Result<bool, StoreError> {
        self.works.store.is_visit(visit).await
    }

    /// Ends it, for every sidecar of the store.
    pub async fn end_visit(&self, visit: &Secret) -> Result<(), StoreError> {
        self.works.store.end_visit(visit).await
    }
}
