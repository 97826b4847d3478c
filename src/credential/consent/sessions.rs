//! Sessions, flows and sign-in links.

use super::{ConsentError, Flow, NewFlow, OpenedSession, Session, SessionOutcome, SessionWish, SignIn, not_built};
use crate::{credential::Credentials, model::SessionId, store::StoreError};

// === impl Credentials ===

impl Credentials {
    /// Opens a connect session: it lasts ten minutes.
    pub async fn open_session(&self, wish: SessionWish) -> Result<OpenedSession, StoreError> {
        let _ = wish;
        Err(not_built())
    }

    /// The session; `None` where there is none, or its ten minutes are over.
    pub async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        let _ = id;
        Err(not_built())
    }

    /// Begins a flow at Flexslot for an open session.
    pub async fn begin_flow(&self, id: &SessionId, flow: NewFlow) -> Result<Session, ConsentError> {
        let _ = (id, flow);
        Err(not_built().into())
    }

    /// The flow with this `state`, once; `None` where there is none, it was taken, or its time is over.
    pub async fn take_flow(&self, state: &str) -> Result<Option<Flow>, StoreError> {
        let _ = state;
        Err(not_built())
    }

    /// Notes how the session came to nothing; what was parked for it is revoked. With `Denied` or `Failed`, a session
    /// without `return_to` stays open.
    pub async fn end_session(&self, id: &SessionId, outcome: SessionOutcome) -> Result<(), ConsentError> {
        let _ = (id, outcome);
        Err(not_built().into())
    }

    /// Makes a one-time link to the connections page.
    pub async fn open_sign_in(&self) -> Result<SignIn, StoreError> {
        Err(not_built())
    }

    /// Whether `token` is that of such a link; once.
    pub async fn take_sign_in(&self, token: &str) -> Result<bool, StoreError> {
        let _ = token;
        Err(not_built())
    }
}
