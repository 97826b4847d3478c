//! What one renewal does, step by step.
//!
//! ```text
//! lease -> load again -> write the intent -> ask Flexslot -> keep the outcome -> publish -> release
//! ```
//!
//! Without lease and stored intent no token request is sent. The new pair is durable (store, else spool) before any request uses it. An intent
//! whose outcome nobody knows makes the grant uncertain: its refresh token is presented at most once more, when the access token is of no use
//! any more and whoever wrote the intent is gone or has had time enough.

use std::{sync::Arc, time::Duration};

use super::{
    At, Refusal,
    custody::Kept,
    flight::{Cause, Landing},
    lease,
    state::Slot,
    works::Works,
};
use crate::{
    flexslot::{TokenAnswer, TokenError},
    model::{
        Grant, GrantState, ScopeSet, Timestamp, TokenSet,
        observe::RefreshOutcome,
        token::{Attempt, DEFAULT_LIFE, DisconnectReason, Intent},
    },
    store::{Cas, Settlement, StoreError, TenantRecord, backend::Revision},
};

/// How often an intent is tried again because somebody else wrote the record between our load and our write.
const TRIES: usize = 3;

/// Why a renewal brought no tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) class: FailureClass,
    /// For logs and problem details; never a secret.
    pub(super) what: String,
    pub(super) retry_after: Option<Duration>,
}

/// Failures by what they mean for the grant and for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureClass {
    NotSent,
    Refused,
    /// This token request, or an earlier one of whoever, may have been answered without anybody knowing.
    Unknown,
    Misconfigured,
    Store,
    /// The renewal goes on; the caller's patience has ended.
    Slow,
    Internal,
}

/// The refresh token may be presented: the grant as stored, the row to write the intent on, and which attempt this is.
struct Cleared {
    grant: Grant,
    revision: Revision,
    attempt: Attempt,
    /// The intent without outcome that a last resort writes over; it comes back if the token is not taken this time.
    earlier: Option<Intent>,
}

/// Runs one renewal of version `at`.
pub(super) async fn run(works: &Arc<Works>, slot: &Arc<Slot>, at: At, cause: Cause) -> Landing {
    let Ok(_permit) = works.parallel.acquire().await else { return Landing::Failed(Failure::internal()) };
    let lease = match lease::win(works, slot, at).await {
        Ok(lease) => lease,
        Err(landing) => return landing,
    };
    let landing = with_lease(works, slot, at, cause).await;
    lease.release().await;
    if let Landing::Failed(failure) = &landing {
        tracing::warn!(tenant = %slot.tenant, %cause, class = ?failure.class, what = failure.what, "the token was not renewed");
    }
    landing
}

async fn with_lease(works: &Arc<Works>, slot: &Arc<Slot>, at: At, cause: Cause) -> Landing {
    for _ in 0..TRIES {
        let record = match works.read(slot).await {
            Ok(record) => record,
            Err(error) => return Landing::Failed(Failure::store(&error)),
        };
        let cleared = match clear(works, slot, at, cause, record).await {
            Ok(cleared) => cleared,
            Err(landing) => return landing,
        };
        let intent = match works.intent(&cleared.grant, cleared.attempt).await {
            Ok(intent) => intent,
            Err(error) => return Landing::Failed(Failure::store(&error)),
        };
        match works.store.begin(&slot.tenant, cleared.revision, &cleared.grant, &intent).await {
            Ok(Cas::Stored) => return ask(works, slot, cleared, intent, cause).await,
            Ok(Cas::Moved) => {}
            Err(error) => {
                // Whether it was written nobody knows; that nothing was sent, we do.
                slot.with(|state| state.unsent = Some(intent));
                return Landing::Failed(Failure::store(&error));
            }
        }
    }
    Landing::Failed(Failure::new(FailureClass::Store, "the record keeps changing under our hands"))
}

/// Looks at what the store holds now: adopts what is newer, and judges whether the refresh token may be presented.
async fn clear(
    works: &Arc<Works>,
    slot: &Arc<Slot>,
    at: At,
    cause: Cause,
    record: TenantRecord,
) -> Result<Cleared, Landing> {
    if let Some(landing) = works.moved_from(slot, at) {
        return Err(landing);
    }
    let Some(revision) = record.revision else { return Err(Landing::Moved) };
    match record.grant {
        GrantState::Connected(grant) if At::of(&grant) == at => {
            Ok(Cleared { grant, revision, attempt: Attempt::First, earlier: None })
        }
        GrantState::Uncertain(grant, intent) if At::of(&grant) == at => match uncertain(works, slot, cause, &intent)
            .await?
        {
            Attempt::First => Ok(Cleared { grant, revision, attempt: Attempt::First, earlier: None }),
            Attempt::LastResort => Ok(Cleared { grant, revision, attempt: Attempt::LastResort, earlier: Some(intent) }),
        },
        // What is held is newer than what the store says: a pair waits in custody, and the store has to take it first.
        GrantState::Connected(_) | GrantState::Uncertain(..) => {
            Err(Landing::Failed(Failure::new(FailureClass::Store, "the newest tokens are not in the store yet")))
        }
        GrantState::NeverConnected | GrantState::Disconnected(_) => Err(Landing::Moved),
    }
}

/// An intent without outcome: whether and how the refresh token may be presented all the same.
async fn uncertain(works: &Arc<Works>, slot: &Arc<Slot>, cause: Cause, intent: &Intent) -> Result<Attempt, Landing> {
    if slot.with(|state| state.unsent.as_ref() == Some(intent)) {
        return Ok(intent.attempt);
    }
    // The pair may lie in the spool of a process that died between the answer and the store.
    if works.custody.recover(&slot.tenant).await {
        works.read(slot).await.map_err(|error| Landing::Failed(Failure::store(&error)))?;
        let at = At { grant: intent.grant, version: intent.version };
        return Err(works.moved_from(slot, at).unwrap_or(Landing::Moved));
    }
    let unknown = |wait| Failure {
        retry_after: Some(wait),
        ..Failure::new(FailureClass::Unknown, "an earlier token request has no known outcome")
    };
    if cause == Cause::Ageing {
        return Err(Landing::Failed(unknown(works.settings().refresh.uncertain_after)));
    }
    let left = works.left_of(intent).await.map_err(|error| Landing::Failed(Failure::store(&error)))?;
    if !left.is_zero() && !works.is_provably_gone(&intent.owner) {
        return Err(Landing::Failed(unknown(left)));
    }
    match intent.attempt {
        Attempt::First => Ok(Attempt::LastResort),
        Attempt::LastResort => Err(end(works, slot, intent, DisconnectReason::RefreshOutcomeLost).await),
    }
}

/// Presents the refresh token, once.
async fn ask(works: &Arc<Works>, slot: &Arc<Slot>, cleared: Cleared, intent: Intent, cause: Cause) -> Landing {
    let Cleared { grant, earlier, .. } = cleared;
    let settings = works.settings();
    let answer = settings.endpoint.refresh(&grant.client_id, &grant.tokens.refresh).await;
    let outcome = match &answer {
        Ok(_) => RefreshOutcome::Refreshed,
        Err(TokenError::Revoked) => RefreshOutcome::InvalidGrant,
        Err(TokenError::NotSent(_)) => RefreshOutcome::NotSent,
        Err(TokenError::RefusedForNow { .. }) => RefreshOutcome::Refused,
        Err(TokenError::Unknown(_)) => RefreshOutcome::Unknown,
        Err(TokenError::Misconfigured(_)) => RefreshOutcome::Misconfigured,
    };
    works.observer.refresh(outcome);
    match answer {
        Ok(answer) => keep(works, slot, grant, intent, answer, cause).await,
        Err(TokenError::Revoked) => revoked(works, slot, &intent).await,
        Err(TokenError::Unknown(what)) => Landing::Failed(Failure {
            retry_after: Some(settings.refresh.uncertain_after),
            ..Failure::new(FailureClass::Unknown, what)
        }),
        Err(TokenError::NotSent(what)) => {
            untouched(works, slot, intent, earlier, Failure::new(FailureClass::NotSent, what)).await
        }
        Err(TokenError::Misconfigured(what)) => {
            untouched(works, slot, intent, earlier, Failure::new(FailureClass::Misconfigured, what)).await
        }
        Err(TokenError::RefusedForNow { what, retry_after }) => {
            untouched(
                works,
                slot,
                intent,
                earlier,
                Failure { retry_after, ..Failure::new(FailureClass::Refused, what) },
            )
            .await
        }
    }
}

/// Keeps the new pair, then lets requests use it.
async fn keep(
    works: &Arc<Works>,
    slot: &Arc<Slot>,
    grant: Grant,
    intent: Intent,
    answer: TokenAnswer,
    cause: Cause,
) -> Landing {
    let settings = works.settings();
    let tokens = tokens(&grant.tokens, answer, intent.at, works.now());
    let renewed = grant.renewed(tokens);
    match works.custody.keep(&slot.tenant, &intent, Settlement::Renewed(renewed.clone())).await {
        Kept::Moved => superseded(works, slot, At::of(&renewed)).await,
        Kept::Stored | Kept::Waiting => {
            tracing::info!(tenant = %slot.tenant, version = %renewed.version, %cause, expires_at = %renewed.tokens.expires_at, "the token was renewed");
            let serves = slot.with(|state| state.advance(renewed, &settings.refresh, &works.random));
            if serves { Landing::Renewed } else { Landing::Moved }
        }
    }
}

/// The record has moved on while the answer was under way: disconnected, reconnected or removed. That wins, and the pair is dropped.
async fn superseded(works: &Arc<Works>, slot: &Arc<Slot>, pair: At) -> Landing {
    tracing::warn!(tenant = %slot.tenant, grant = %pair.grant, version = %pair.version, "a new pair was dropped: its grant was replaced or removed meanwhile");
    match works.read(slot).await {
        Ok(_) => works.moved_from(slot, pair).unwrap_or(Landing::Moved),
        Err(error) => Landing::Failed(Failure::store(&error)),
    }
}

/// `invalid_grant`: a newer version in the store is adopted; else the grant is over.
async fn revoked(works: &Arc<Works>, slot: &Arc<Slot>, intent: &Intent) -> Landing {
    let at = At { grant: intent.grant, version: intent.version };
    if works.read(slot).await.is_ok()
        && let Some(landing) = works.moved_from(slot, at)
    {
        return landing;
    }
    let reason = match intent.attempt {
        Attempt::First => DisconnectReason::InvalidGrant,
        Attempt::LastResort => DisconnectReason::RefreshOutcomeLost,
    };
    end(works, slot, intent, reason).await
}

/// Ends the grant that `intent` names, in the store and here, unless the store has moved on.
async fn end(works: &Arc<Works>, slot: &Arc<Slot>, intent: &Intent, reason: DisconnectReason) -> Landing {
    let at = At { grant: intent.grant, version: intent.version };
    let Some(live) = slot.with(|state| state.live().filter(|live| live.at() == at).cloned()) else {
        return Landing::Moved;
    };
    let disconnected = live.grant.disconnected(reason, works.now());
    match works.custody.keep(&slot.tenant, intent, Settlement::Ended(disconnected.clone())).await {
        Kept::Moved => superseded(works, slot, at).await,
        Kept::Stored | Kept::Waiting => {
            tracing::warn!(tenant = %slot.tenant, grant = %at.grant, version = %at.version, reason = reason.as_str(), "the grant is disconnected");
            slot.with(|state| state.end(disconnected));
            Landing::Ended(reason)
        }
    }
}

/// The refresh token was not taken: the record becomes what it was before the intent.
async fn untouched(
    works: &Arc<Works>,
    slot: &Arc<Slot>,
    intent: Intent,
    earlier: Option<Intent>,
    failure: Failure,
) -> Landing {
    if works.custody.keep(&slot.tenant, &intent, Settlement::Untouched { earlier }).await == Kept::Waiting {
        slot.with(|state| state.unsent = Some(intent));
    }
    Landing::Failed(failure)
}

/// The next pair. The life counts from when the question was asked, so that a slow answer never makes a token look fresher than it is.
fn tokens(before: &TokenSet, answer: TokenAnswer, asked_at: Timestamp, now: Timestamp) -> TokenSet {
    TokenSet {
        access: answer.access,
        refresh: answer.refresh.unwrap_or_else(|| before.refresh.clone()),
        token_type: answer.token_type,
        scopes: answer.scope.as_deref().map_or_else(|| before.scopes.clone(), ScopeSet::new),
        expires_at: asked_at.plus(answer.expires_in.unwrap_or(DEFAULT_LIFE)),
        answered_at: Some(now),
    }
}

// === impl Failure ===

impl Failure {
    pub(super) fn new(class: FailureClass, what: impl Into<String>) -> Self {
        Self { class, what: what.into(), retry_after: None }
    }

    pub(super) fn store(error: &StoreError) -> Self {
        Self::new(FailureClass::Store, error.to_string())
    }

    pub(super) fn internal() -> Self {
        Self::new(FailureClass::Internal, "the renewal ended without an outcome")
    }

    pub(super) fn slow() -> Self {
        Self::new(FailureClass::Slow, "the token is still being renewed")
    }

    pub(super) fn retry_in(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// What a request without another credential is told.
    pub(super) fn into_refusal(self) -> Refusal {
        match self.class {
            FailureClass::Misconfigured => Refusal::OAuthMisconfigured(self.what),
            FailureClass::Store => Refusal::StoreUnavailable(self.what),
            FailureClass::NotSent
            | FailureClass::Refused
            | FailureClass::Unknown
            | FailureClass::Slow
            | FailureClass::Internal => Refusal::RefreshUnavailable { what: self.what, retry_after: self.retry_after },
        }
    }
}

// === impl At ===

impl At {
    pub(super) fn of(grant: &Grant) -> Self {
        Self { grant: grant.id, version: grant.version }
    }
}
