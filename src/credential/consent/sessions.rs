//! Sessions, flows and sign-in links. What they are, the store says.

use super::{Again, ConsentError, Flow, NewFlow, OpenedSession, Session, SessionOutcome, SessionWish, SignIn};
use crate::{
    credential::{ConsentClient, Credentials, NoClient},
    model::{RedirectUri, SessionId},
    store::StoreError,
};

// === impl Credentials ===

impl Credentials {
    /// The client that asks a user: the one that `wish` names, by its name or its id, else the usual one.
    pub fn consent_client(&self, wish: Option<&str>, callback: &RedirectUri) -> Result<ConsentClient, NoClient> {
        self.works.settings().server.client(wish, callback)
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

    /// Whether `token` is that of such a link; once.
    pub async fn take_sign_in(&self, token: &str) -> Result<bool, StoreError> {
        self.works.store.take_sign_in(token).await
    }
}
