//! Whether a grant's refresh token may be presented now.
//!
//! What the store says is looked at again under the lease, because another process may have renewed, disconnected or
//! begun meanwhile. An intent whose outcome nobody knows makes the grant uncertain: its refresh token is presented at
//! most once more, when the access token is of no use any more and whoever wrote the intent is gone or has had time
//! enough.

use super::{
    At,
    custody::Recovery,
    failure::{Failure, FailureClass},
    flight::{Cause, Landing},
    renewal::Renewal,
};
use crate::{
    model::{
        Grant, GrantState,
        token::{Attempt, Intent},
    },
    store::backend::Revision,
};

/// The refresh token may be presented: the grant as stored, the row to write the intent on, and which attempt this is.
pub(super) struct Cleared {
    pub(super) grant: Grant,
    pub(super) revision: Revision,
    pub(super) attempt: Attempt,
    /// The intent without outcome that a last resort writes over; it comes back if the token is not taken this time.
    pub(super) earlier: Option<Intent>,
}

/// An intent whose token request never reached Flexslot: it was stored, or may have been, and is no attempt.
pub(super) struct Unsent {
    pub(super) intent: Intent,
    /// What it was written over.
    pub(super) earlier: Option<Intent>,
}

// === impl Renewal ===

impl Renewal {
    /// Loads again, adopts what is newer, and judges whether the refresh token may be presented.
    pub(super) async fn clear(&self) -> Result<Cleared, Landing> {
        let record = self.works.read(&self.slot).await?;
        if let Some(landing) = self.works.moved_from(&self.slot, self.at) {
            return Err(landing);
        }
        let Some(revision) = record.revision else { return Err(Landing::Moved) };
        let (grant, intent) = match record.grant {
            GrantState::Connected(grant) => (grant, None),
            GrantState::Uncertain(grant, intent) => (grant, Some(intent)),
            GrantState::NeverConnected | GrantState::Disconnected(_) => return Err(Landing::Moved),
        };
        if At::of(&grant) != self.at {
            // What is held is newer than what the store says: a pair waits in custody, and the store has to take it
            // first.
            return Err(Failure::new(FailureClass::Store, "the newest tokens are not in the store yet").into());
        }
        // The configuration may be another one than when this was decided on.
        if let Some(objection) = self.settings.objection_to(&grant) {
            return Err(Failure::new(FailureClass::Misconfigured, objection.to_string()).into());
        }
        let (attempt, earlier) = match intent {
            None => (Attempt::First, None),
            Some(intent) => self.next_attempt(&grant, intent).await?,
        };
        Ok(Cleared { grant, revision, attempt, earlier })
    }

    /// An intent without outcome: which attempt the next one would be, and over which intent, if there may be one.
    async fn next_attempt(&self, grant: &Grant, intent: Intent) -> Result<(Attempt, Option<Intent>), Landing> {
        let unsent = self.slot.with(|state| {
            let unsent = state.unsent.as_ref().filter(|unsent| unsent.intent == intent);
            unsent.map(|unsent| (intent.attempt, unsent.earlier.clone()))
        });
        if let Some(repeated) = unsent {
            return Ok(repeated);
        }
        // Looked at before the spool: who is gone, or has had time enough, puts nothing into it any more.
        let left = self.works.left_of(&intent).await?;
        let may_try = left.is_zero() || self.works.is_provably_gone(&intent.owner);
        // The pair may lie in the spool of a process that died between the answer and the store.
        match self.works.custody.recover(&self.slot.tenant, intent.grant).await {
            Recovery::Stored => {
                self.works.read(&self.slot).await?;
                return Err(self.works.moved_from(&self.slot, self.at).unwrap_or(Landing::Moved));
            }
            Recovery::Blocked => {
                let what = "the newest tokens may lie in the spool, which cannot be emptied";
                return Err(Failure::new(FailureClass::Store, what).into());
            }
            Recovery::Nothing => {}
        }
        let unknown = "an earlier token request has no known outcome, and it is too early for another";
        if self.lets_wait(grant) {
            let wait = self.settings.refresh.uncertain_after;
            return Err(Failure::new(FailureClass::Deferred, unknown).retry_in(wait).into());
        }
        if !may_try {
            return Err(Failure::new(FailureClass::Unknown, unknown).retry_in(left).into());
        }
        match intent.attempt {
            Attempt::First => Ok((Attempt::LastResort, Some(intent))),
            Attempt::LastResort => Err(self.abandon(&intent).await),
        }
    }

    /// Whether the access token still serves whoever wants this renewal.
    fn lets_wait(&self, grant: &Grant) -> bool {
        match self.cause {
            Cause::Ageing => true,
            Cause::Idle => self.works.now() < grant.tokens.expires_at,
            Cause::Expired | Cause::Refused => false,
        }
    }
}
