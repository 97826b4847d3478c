//! Tells Flexslot what is to be revoked, again and again until it has done so or a day is over.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::works::Works;
use crate::{
    flexslot::{Revocation, Revoke, TokenError},
    model::Random,
    store::{Claim, Claimed, Patience, RevocationId, StoreError, revocation::CLAIM},
};

/// How often it is looked what is due, on average.
const EVERY: Duration = Duration::from_secs(5);

/// How many revocations are looked at in one go, and how many requests are under way at a time.
const PAGE: usize = 100;
const PARALLEL: usize = 8;

/// A request has to end in this part of a claim, so that it is over for whoever waits for the claim's end.
const SEND: Duration = Duration::from_secs(CLAIM.as_secs() / 2);

/// The pause after the first failure, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// What became of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// Flexslot has done it.
    Answered,
    /// It has not, and is asked again.
    Later,
    /// Somebody else is asking, and has this much time for it.
    ByOther(Duration),
    /// There is nothing to be sent.
    Nothing,
}

/// Sends what is due for as long as the process lives.
pub(super) async fn watch_over(works: Arc<Works>) {
    let mut after = None;
    loop {
        sleep(EVERY / 2 + works.random.below(EVERY)).await;
        match works.store.revocations(after.take().as_deref(), PAGE).await {
            Ok(page) => {
                after = page.next;
                send_all(&works, page.due).await;
            }
            Err(error) => tracing::debug!(%error, "what is to be revoked is not known"),
        }
    }
}

async fn send_all(works: &Arc<Works>, due: Vec<RevocationId>) {
    let mut sending = JoinSet::new();
    for id in due {
        if sending.len() >= PARALLEL {
            let _ = sending.join_next().await;
        }
        let works = Arc::clone(works);
        sending.spawn(async move {
            if let Err(error) = works.revoke(&id, Patience::WhenDue).await {
                tracing::debug!(tenant = %id.tenant, %error, "a revocation could not be looked at");
            }
        });
    }
    while sending.join_next().await.is_some() {}
}

// === impl Works ===

impl Works {
    /// Sends one revocation, if it is to be sent and nobody else does.
    pub(super) async fn revoke(&self, id: &RevocationId, patience: Patience) -> Result<Sent, StoreError> {
        // From before the claim, so that it ends later than this says.
        let claimed_at = Instant::now();
        let claimed = match self.store.claim_revocation(id, patience).await? {
            Claim::Ours(claimed) => claimed,
            Claim::Taken(left) => return Ok(Sent::ByOther(left)),
            Claim::NotYet => return Ok(Sent::Later),
            Claim::Nothing => return Ok(Sent::Nothing),
            Claim::Dropped => {
                tracing::info!(tenant = %id.tenant, grant = %id.grant, "an earlier grant is not revoked any more: the tenant has a new one");
                return Ok(Sent::Nothing);
            }
            Claim::GivenUp => {
                tracing::error!(tenant = %id.tenant, grant = %id.grant, "Flexslot was not told for a whole day that a grant is revoked; its user can remove it there");
                return Ok(Sent::Nothing);
            }
        };
        match self.send(&claimed, SEND.saturating_sub(claimed_at.elapsed())).await {
            Ok(()) => {
                tracing::info!(tenant = %id.tenant, grant = %id.grant, "the grant is revoked at Flexslot");
                // Where that is not noted, the claim ends by itself, and Flexslot is told once more.
                if let Err(error) = self.store.revoked(&claimed).await {
                    tracing::debug!(tenant = %id.tenant, %error, "that a grant was revoked is not noted");
                }
                Ok(Sent::Answered)
            }
            Err((what, asked)) => {
                let pause = pause_after(claimed.revocation.attempts, &self.random).max(asked.unwrap_or_default());
                tracing::warn!(tenant = %id.tenant, grant = %id.grant, what, ?pause, "the grant is not revoked at Flexslot yet");
                let _ = self.store.not_revoked(&claimed, pause).await?;
                Ok(Sent::Later)
            }
        }
    }

    /// Asks Flexslot once, within `left`; a failure comes with the pause that Flexslot has asked for.
    ///
    /// A refusal is a failure like any other: most often the client's secret is wrong here, and once that is mended the
    /// grant can still be revoked.
    async fn send(&self, claimed: &Claimed, left: Duration) -> Result<(), (String, Option<Duration>)> {
        let settings = self.settings();
        let revocation = &claimed.revocation;
        if let Some(objection) = settings.objection(&revocation.origin, &revocation.client_id) {
            return Err((objection.to_string(), None));
        }
        if left.is_zero() {
            return Err(("the store took too long to say that it may be sent".into(), None));
        }
        match timeout(left, settings.server.revoke(&revocation.client_id, Revoke::Refresh(&revocation.refresh))).await {
            Ok(Ok(Revocation::Accepted)) => Ok(()),
            Ok(Ok(Revocation::Refused(what))) => Err((what, None)),
            Ok(Err(TokenError::RefusedForNow { what, retry_after })) => Err((what, retry_after)),
            Ok(Err(error)) => Err((error.to_string(), None)),
            Err(_) => Err(("no answer in time".into(), None)),
        }
    }
}

/// Doubles with each attempt; drawn from its upper half, so that those that failed together do not come back together.
fn pause_after(attempts: u64, random: &Random) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
    pause / 2 + random.below(pause / 2)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LONGEST_PAUSE, pause_after};
    use crate::model::Random;

    #[test]
    fn pauses_double_up_to_an_hour_and_differ() {
        let random = Random::from_fn(|buffer| buffer.fill(0));
        let pauses = [1, 2, 3, 12, u64::MAX].map(|attempts| pause_after(attempts, &random));
        assert_eq!(pauses[..3], [2500, 5000, 10_000].map(Duration::from_millis));
        assert_eq!(pauses[3..], [LONGEST_PAUSE / 2; 2]);
        let late = Random::from_fn(|buffer| buffer.fill(0x7f));
        assert!(pause_after(1, &late) > pause_after(1, &random));
    }
}
