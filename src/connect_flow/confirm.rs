//! The last word on a consent that was given as another Flexslot user than before. It is the browser's that consented.

use super::{ConnectFlow, Outcome, Refusal, Refused, begin::secret, return_to};
use crate::{
    credential::{Progress, Session, SessionOutcome, consent::Awaited},
    model::SessionId,
};

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastWord {
    /// The other user is meant.
    Yes,
    No,
}

// === impl ConnectFlow ===

impl ConnectFlow {
    /// Takes the last word. `bindings` are all that the browser has.
    pub async fn confirm(&self, id: &SessionId, bindings: &[&str], word: LastWord) -> Outcome {
        let session = match self.session(id).await {
            Ok(session) => session,
            Err(refused) => return self.refuse(refused),
        };
        let refused = |why| Refused { why, tenant: Some(session.tenant.clone()), again: None };
        let binding = match its_own(&session, bindings) {
            Ok(binding) => binding,
            Err(why) => return self.refuse(refused(why)),
        };
        match word {
            LastWord::Yes => match self.take_word(id, &session, binding).await {
                Ok(outcome) => self.tell(&session.tenant, outcome),
                Err(why) => self.refuse(refused(why)),
            },
            LastWord::No => self.keep(id, &session).await,
        }
    }

    /// The tenant stays as it was, unless another window of the browser's has said yes before.
    pub(super) async fn keep(&self, id: &SessionId, session: &Session) -> Outcome {
        let why = match self.credentials().end_session(id, SessionOutcome::Denied).await {
            Ok(SessionOutcome::Connected) => Refusal::UsedLink(SessionOutcome::Connected),
            Ok(SessionOutcome::Denied | SessionOutcome::Failed(_)) => Refusal::Kept,
            Err(error) => error.into(),
        };
        let kept = why == Refusal::Kept;
        let told = self.refuse(Refused { why, tenant: Some(session.tenant.clone()), again: None });
        if !kept {
            return told;
        }
        return_to::address(&self.settings(), id, session, &SessionOutcome::Denied, None).map_or(told, Outcome::Return)
    }

    /// The grant becomes the tenant's; or goes on to wait for the app that has the very last word.
    async fn take_word(&self, id: &SessionId, session: &Session, binding: &str) -> Result<Outcome, Refusal> {
        if session.return_to.is_none() {
            return Ok(Outcome::Connected(self.credentials().confirm(id, binding).await?));
        }
        let code = secret(&self.0.random);
        let address = return_to::address(&self.settings(), id, session, &SessionOutcome::Connected, Some(&code));
        let address = address.ok_or(Refusal::NoWayBack)?;
        self.credentials().hand_over(id, binding, code).await?;
        Ok(Outcome::Return(address))
    }
}

/// The binding of these that the session's grant waits for.
fn its_own<'a>(session: &Session, bindings: &[&'a str]) -> Result<&'a str, Refusal> {
    match &session.progress {
        Progress::Open => Err(Refusal::OtherBrowser),
        Progress::Ended(outcome) => Err(Refusal::UsedLink(outcome.clone())),
        Progress::Parked(parked) => match &parked.awaiting {
            Awaited::Completion { .. } => Err(Refusal::Waiting),
            Awaited::Confirmation { binding } => {
                bindings.iter().find(|own| binding.is_of(own)).copied().ok_or(Refusal::OtherBrowser)
            }
        },
    }
}
