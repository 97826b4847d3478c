//! What one renewal does, step by step.
//!
//! ```text
//! lease -> load again -> write the intent -> ask Flexslot -> keep the outcome -> publish -> release
//! ```
//!
//! Without lease and stored intent no token request is sent. The new pair is durable (store, else spool) before any
//! request uses it. Whether the refresh token may be presented at all is for [`super::clearance`] to say.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

use super::{
    At,
    clearance::{Cleared, Unsent},
    custody::Kept,
    failure::{Failure, FailureClass},
    flight::{Cause, Landing},
    lease,
    policy::Settings,
    state::Slot,
    works::Works,
};
use crate::{
    flexslot::{TokenAnswer, TokenError},
    model::{
        Grant, ProofKey, ScopeSet, Timestamp, TokenSet, TokenType,
        observe::RefreshOutcome,
        token::{Attempt, DEFAULT_LIFE, DisconnectReason, Disconnected, Intent},
    },
    store::{Cas, Settlement},
};

/// What is known of an intent that is withdrawn.
#[derive(Clone, Copy)]
enum Intended {
    Stored,
    /// The store may have it, or may yet get it: the write's answer was lost.
    Perhaps,
}

/// How often an intent is tried again because somebody else wrote the record between our load and our write.
const TRIES: usize = 3;

/// One renewal under way, with the lease in its hand.
pub(super) struct Renewal {
    pub(super) works: Arc<Works>,
    pub(super) slot: Arc<Slot>,
    /// Which pair is to be renewed.
    pub(super) at: At,
    pub(super) cause: Cause,
    /// The configuration from the judgement to the answer, so that a grant is asked for where it was judged to belong.
    pub(super) settings: Arc<Settings>,
}

/// Runs one renewal of version `at`. `awaited` says whether a request waits for it.
pub(super) async fn run(
    works: &Arc<Works>,
    slot: &Arc<Slot>,
    at: At,
    cause: Cause,
    mut awaited: watch::Receiver<bool>,
) -> Landing {
    // Before the lease, so that nobody is kept from his turn meanwhile.
    if let Some(client) = slot.with(|state| state.live().map(|live| live.grant.client_id.clone())) {
        works.settings().endpoint.settled(&client).await;
    }
    let lease = match lease::win(works, slot, at, cause, &mut awaited).await {
        Ok(lease) => lease,
        Err(landing) => return landing,
    };
    let settings = works.settings();
    let renewal = Renewal { works: Arc::clone(works), slot: Arc::clone(slot), at, cause, settings };
    let landing = renewal.fly().await.unwrap_or_else(|landing| landing);
    match landing {
        // A store that did not take the pair does not take the lease either; who waits for the pair waits no longer,
        // and the lease runs out.
        Landing::Renewed if works.custody.awaits(&slot.tenant) => drop(lease),
        _ => lease.release().await,
    }
    if let Landing::Failed(failure) = &landing {
        tracing::warn!(tenant = %slot.tenant, %cause, class = ?failure.class, what = failure.what, "the token was not refreshed");
    }
    landing
}

// === impl Renewal ===

impl Renewal {
    /// From the second look at the store to the landing; `Err` where nothing was asked.
    async fn fly(&self) -> Result<Landing, Landing> {
        for _ in 0..TRIES {
            let Cleared { grant, revision, attempt, earlier } = self.clear().await?;
            let intent = self.intent(&grant, attempt).await?;
            match self.works.store.begin(&self.slot.tenant, revision, &grant, &intent).await {
                Ok(Cas::Stored) => {
                    // Should the store travel now, it has to be told of it again.
                    self.slot.with(|state| state.begun(revision, &intent));
                    return Ok(self.ask(grant, intent, earlier).await);
                }
                Ok(Cas::Moved) => {}
                // Whether it was written nobody knows; that nothing was sent, we do.
                Err(error) => {
                    return Err(self.untouched(intent, Intended::Perhaps, earlier, Failure::store(&error)).await);
                }
            }
        }
        Err(Failure::new(FailureClass::Store, "the record keeps changing under our hands").into())
    }

    /// A new intent, and not one whose withdrawal still waits for the store: by a clock that stands still, or was set back,
    /// they could be the same, and the new one would be taken back with its token request under way. It is dated back, as one
    /// from the future counts as old.
    async fn intent(&self, grant: &Grant, attempt: Attempt) -> Result<Intent, Failure> {
        let intent = self.works.intent(grant, attempt).await?;
        if self.works.custody.holds(&self.slot.tenant, &intent) {
            return Ok(Intent { at: intent.at.minus(Duration::from_millis(1)), ..intent });
        }
        Ok(intent)
    }

    /// Presents the refresh token, once, and within the time that the intent keeps the others from it.
    async fn ask(&self, grant: Grant, intent: Intent, earlier: Option<Intent>) -> Landing {
        let left = self.works.left_of_ours(&intent, &self.settings);
        if left.is_zero() {
            let what = "the intent was too old before the token endpoint could be asked";
            let failure = Failure::new(FailureClass::NotSent, what);
            return self.untouched(intent, Intended::Stored, earlier, failure).await;
        }
        self.slot.with(|state| state.unsent = None);
        // Tokens that were bound stay bound, to a new key where theirs is lost.
        let is_bound = grant.tokens.token_type == TokenType::Dpop;
        let key = grant.tokens.key.clone().or_else(|| is_bound.then(ProofKey::generate));
        let asked = self.settings.endpoint.refresh(&grant.client_id, &grant.tokens.refresh, key.as_ref());
        let answer =
            timeout(left, asked).await.unwrap_or_else(|_| Err(TokenError::Unknown("no answer in time".into())));
        self.works.observer.refresh(outcome_of(&answer));
        let failure = match answer {
            Ok(answer) => return self.keep(grant, intent, answer).await,
            Err(TokenError::Revoked) => return self.revoked(&intent).await,
            Err(error @ TokenError::Unknown(_)) => {
                let wait = self.settings.refresh.uncertain_after;
                return Failure::new(FailureClass::Unknown, error.to_string()).retry_in(wait).into();
            }
            Err(error @ TokenError::NotSent(_)) => Failure::new(FailureClass::NotSent, error.to_string()),
            Err(error @ TokenError::Misconfigured(_)) => Failure::new(FailureClass::Misconfigured, error.to_string()),
            Err(error @ TokenError::RefusedForNow { retry_after, .. }) => {
                Failure::refused(&error, retry_after, self.works.now())
            }
        };
        self.untouched(intent, Intended::Stored, earlier, failure).await
    }

    /// Keeps the new pair, then lets requests use it.
    async fn keep(&self, grant: Grant, intent: Intent, answer: TokenAnswer) -> Landing {
        let renewed = grant.clone().renewed(tokens(&grant.tokens, answer, intent.at, self.works.now()));
        let (version, expires_at) = (renewed.version, renewed.tokens.expires_at);
        match self.settle(&intent, Settlement::Renewed(renewed.clone())).await {
            Kept::Moved => {
                tracing::warn!(tenant = %self.slot.tenant, grant = %grant.id, %version, "a new pair is not stored: its grant was disconnected, replaced or removed meanwhile");
                self.look_again().await
            }
            Kept::Stored | Kept::Waiting => {
                tracing::info!(tenant = %self.slot.tenant, %version, cause = %self.cause, %expires_at, "the token was refreshed");
                let refresh = &self.settings.refresh;
                let serves = self.slot.with(|state| state.advance(renewed, refresh, &self.works.random));
                if serves { Landing::Renewed } else { Landing::Moved }
            }
        }
    }

    /// Has `outcome` kept. That the record is another one counts only where it stays so after what it has lost was
    /// written back.
    async fn settle(&self, intent: &Intent, outcome: Settlement) -> Kept {
        let custody = &self.works.custody;
        if self.slot.with(|state| state.live().is_none_or(|live| live.at() != self.at)) {
            // Should the store have travelled, it is told first what has become of the grant meanwhile, and does not take
            // the outcome for that of a grant that holds.
            let _ = self.works.read(&self.slot).await;
        }
        for _ in 0..TRIES {
            match custody.keep(&self.slot.tenant, intent, outcome.clone()).await {
                Kept::Moved => {}
                kept => return kept,
            }
            match self.works.read(&self.slot).await {
                Ok(_) if self.slot.with(|state| state.live().is_none_or(|live| live.at() != self.at)) => break,
                Ok(_) => {}
                Err(_) => return custody.hold(&self.slot.tenant, intent, outcome).await,
            }
        }
        Kept::Moved
    }

    /// The record has moved on while the answer was under way: disconnected, reconnected or removed. That wins.
    async fn look_again(&self) -> Landing {
        match self.works.read(&self.slot).await {
            Ok(_) => self.works.moved_from(&self.slot, self.at).unwrap_or(Landing::Moved),
            Err(error) => error.into(),
        }
    }

    /// `invalid_grant`: a newer version in the store is adopted; else the grant is over.
    async fn revoked(&self, intent: &Intent) -> Landing {
        if self.works.read(&self.slot).await.is_ok()
            && let Some(landing) = self.works.moved_from(&self.slot, self.at)
        {
            return landing;
        }
        let reason = match intent.attempt {
            Attempt::First => DisconnectReason::InvalidGrant,
            Attempt::LastResort => DisconnectReason::RefreshOutcomeLost,
        };
        self.end(intent, reason).await
    }

    /// Ends the grant that Flexslot has refused, in the store and here, unless either has moved on.
    async fn end(&self, intent: &Intent, reason: DisconnectReason) -> Landing {
        let Some(ended) = self.ended(reason) else { return Landing::Moved };
        match self.settle(intent, Settlement::Ended(ended.clone())).await {
            Kept::Moved => self.look_again().await,
            Kept::Stored | Kept::Waiting => self.end_here(ended),
        }
    }

    /// Gives up a grant whose last resort has no known outcome either. What the store does not take can be judged anew
    /// another time.
    pub(super) async fn abandon(&self, intent: &Intent) -> Landing {
        let Some(ended) = self.ended(DisconnectReason::RefreshOutcomeLost) else { return Landing::Moved };
        let settlement = Settlement::Abandoned(ended.clone());
        match self.works.store.settle(&self.slot.tenant, intent, settlement).await {
            Ok(Cas::Stored) => self.end_here(ended),
            Ok(Cas::Moved) => self.look_again().await,
            Err(error) => error.into(),
        }
    }

    fn ended(&self, reason: DisconnectReason) -> Option<Disconnected> {
        let live = self.slot.with(|state| state.live().filter(|live| live.at() == self.at).cloned());
        live.map(|live| live.grant.disconnected(reason, self.works.now()))
    }

    fn end_here(&self, ended: Disconnected) -> Landing {
        let reason = ended.reason;
        tracing::warn!(tenant = %self.slot.tenant, grant = %ended.id, version = %ended.version, reason = reason.as_str(), "the grant is disconnected");
        self.slot.with(|state| state.end(ended));
        Landing::Ended(reason)
    }

    /// The refresh token was not taken: the record becomes what it was before the intent.
    async fn untouched(
        &self,
        intent: Intent,
        intended: Intended,
        earlier: Option<Intent>,
        failure: Failure,
    ) -> Landing {
        // Told apart from an attempt even where the store keeps it against our will.
        let unsent = Unsent { intent: intent.clone(), earlier: earlier.clone() };
        self.slot.with(|state| {
            state.unsent = Some(unsent);
            state.note_intent(self.at, earlier.clone());
        });
        match self.works.custody.keep(&self.slot.tenant, &intent, Settlement::Untouched { earlier }).await {
            Kept::Moved if self.works.read(&self.slot).await.is_ok() => {
                self.works.moved_from(&self.slot, self.at).unwrap_or(Landing::Failed(failure))
            }
            Kept::Stored => {
                if let Intended::Stored = intended {
                    // It was there, and is there no more: nothing is left to be told apart.
                    self.slot.with(|state| state.unsent = None);
                }
                Landing::Failed(failure)
            }
            Kept::Moved | Kept::Waiting => Landing::Failed(failure),
        }
    }
}

fn outcome_of(answer: &Result<TokenAnswer, TokenError>) -> RefreshOutcome {
    match answer {
        Ok(_) => RefreshOutcome::Refreshed,
        Err(TokenError::Revoked) => RefreshOutcome::InvalidGrant,
        Err(TokenError::NotSent(_)) => RefreshOutcome::NotSent,
        Err(TokenError::RefusedForNow { .. }) => RefreshOutcome::Refused,
        Err(TokenError::Unknown(_)) => RefreshOutcome::Unknown,
        Err(TokenError::Misconfigured(_)) => RefreshOutcome::Misconfigured,
    }
}

/// The next pair. The life counts from when the question was asked, so that a slow answer never makes a token look
/// fresher than it is.
fn tokens(before: &TokenSet, answer: TokenAnswer, asked_at: Timestamp, now: Timestamp) -> TokenSet {
    TokenSet {
        access: answer.access,
        refresh: answer.refresh.unwrap_or_else(|| before.refresh.clone()),
        token_type: answer.token_type,
        scopes: answer.scope.as_deref().map_or_else(|| before.scopes.clone(), ScopeSet::new),
        expires_at: asked_at.plus(answer.expires_in.unwrap_or(DEFAULT_LIFE)),
        answered_at: Some(now),
        key: answer.key.or_else(|| before.key.clone()),
    }
}
