//! Keeps the refresh tokens of idle grants alive (`refresh.keep_alive`).
//!
//! Idle tenants are in nobody's memory, so the store is gone through: a page of grants, a pause, the next page, and
//! after the last one a rest. What is due is renewed like any other grant, in the lane for what is ahead of need, a few
//! at a time. Each process does this by itself, and at its own hours; of those who find the same grant due, the lease
//! elects one, and the others adopt what it got.
//!
//! Which grants, and when, is for [`schedule::keep_alive_due`] to say.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::{JoinError, JoinSet},
    time::sleep,
};

use super::{
    At,
    failure::{Failure, FailureClass},
    flight::{Boarding, Cause, Haste, Landing, Wanted, board},
    schedule,
    works::Works,
};
use crate::{
    model::{CredentialKind, TenantId},
    store::ConnectedGrant,
};

/// How many grants are looked at before the next pause.
const PAGE: usize = 500;

/// The pause between two pages, on average. A million grants are gone through in less than six hours.
const PAUSE: Duration = Duration::from_secs(10);

/// The rest between two rounds is this part of the period, on average.
const REST_PART: u32 = 40;
const SHORTEST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(12 * 3600);

/// How often the configuration is looked at while this is off.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Of the token requests that may run at a time, one in so many may be for idle grants.
const PART_OF_TURNS: usize = 4;

/// One going through the store.
struct Round<'a> {
    works: &'a Arc<Works>,
    period: Duration,
    /// Whose slots were loaded for this alone, perhaps, and may go.
    loaded: Vec<TenantId>,
    /// Failures in a row that say more about Flexslot, the store or the configuration than about one grant.
    failures: u32,
}

/// Goes through the store again and again for as long as the process lives.
pub(super) async fn watch_over(works: Arc<Works>) {
    // Sidecars that were started together do not read the store together.
    sleep(works.settings().refresh.keep_alive.map_or(Duration::ZERO, |period| works.random.below(rest(period)))).await;
    loop {
        match works.settings().refresh.keep_alive {
            None => sleep(LOOK_AGAIN).await,
            Some(period) => {
                Round { works: &works, period, loaded: Vec::new(), failures: 0 }.run().await;
                sleep(rest(period) / 2 + works.random.below(rest(period))).await;
            }
        }
    }
}

// === impl Round ===

impl Round<'_> {
    /// Looks at every grant once, unless the configuration changes meanwhile.
    async fn run(mut self) {
        let mut after = None;
        while self.works.settings().refresh.keep_alive == Some(self.period) {
            let done = self.page(&mut after).await;
            let wait = self.wait_after(done);
            sleep(wait).await;
            // Only now, because the tasks of a renewal outlast its landing by a moment.
            self.loaded.drain(..).for_each(|tenant| self.works.let_go_unasked(&tenant));
            if after.is_none() {
                return;
            }
        }
    }

    /// Looks at the grants after `after`, and leaves there where the next page begins. A page that the store does not
    /// give ends the round.
    async fn page(&mut self, after: &mut Option<String>) -> Result<(), Failure> {
        let page = self.works.store.connected(after.take().as_deref(), PAGE).await;
        let page = page.map_err(|error| Failure::store(&error))?;
        *after = page.next;
        self.renew(page.grants).await
    }

    /// Renews what is due. The first failure that says that others would fare no better ends it; what is left comes in
    /// the next round.
    async fn renew(&mut self, grants: Vec<ConnectedGrant>) -> Result<(), Failure> {
        let at_a_time = (self.works.settings().refresh.max_parallel / PART_OF_TURNS).max(1);
        let mut renewals = JoinSet::new();
        let mut done = Ok(());
        for listed in grants {
            if !is_due(self.works, &listed, self.period) {
                continue;
            }
            if renewals.len() >= at_a_time {
                done = outcome(renewals.join_next().await);
            }
            if done.is_err() {
                break;
            }
            self.loaded.push(listed.tenant.clone());
            renewals.spawn(renew_one(Arc::clone(self.works), listed));
        }
        while let Some(renewed) = renewals.join_next().await {
            done = done.and(outcome(Some(renewed)));
        }
        done
    }

    /// How long to wait before the next page.
    fn wait_after(&mut self, done: Result<(), Failure>) -> Duration {
        match done {
            Ok(()) => {
                self.failures = 0;
                // Short periods are for trying out, and with few tenants.
                let pause = PAUSE.min(self.period / REST_PART);
                pause / 2 + self.works.random.below(pause)
            }
            Err(failure) => {
                self.failures += 1;
                tracing::debug!(what = failure.what, "keeping idle grants alive has to wait");
                schedule::backoff(self.failures, failure.retry_after, &self.works.random)
            }
        }
    }
}

fn is_due(works: &Works, listed: &ConnectedGrant, period: Duration) -> bool {
    let ConnectedGrant { tenant, grant, last_used } = listed;
    let settings = works.settings();
    schedule::keep_alive_due(grant, *last_used, period).is_some_and(|due| due <= works.now())
        && settings.policy(tenant).credentials.contains(&CredentialKind::OAuth)
        && settings.objection(&grant.origin, &grant.client_id).is_none()
        && settings.objection_to_type(&grant.client_id, grant.token_type).is_none()
}

/// Renews the pair that was listed, if it is still the one that the store has.
async fn renew_one(works: Arc<Works>, listed: ConnectedGrant) -> Result<(), Failure> {
    let Ok(slot) = works.slot_asked(&listed.tenant, None).await else { return Ok(()) };
    let at = At { grant: listed.grant.id, version: listed.grant.version };
    let wanted = Wanted { at, cause: Cause::Idle, led_by: None };
    let Boarding::Aboard(flight, _) = board(&works, &slot, wanted, Haste::AtOnce) else { return Ok(()) };
    match flight.look_on().await {
        Landing::Failed(failure) if concerns_others(failure.class) => Err(failure),
        _ => Ok(()),
    }
}

fn concerns_others(class: FailureClass) -> bool {
    use FailureClass::{Deferred, Internal, Misconfigured, NotSent, Quiet, Refused, Slow, Store, Unknown, Unreadable};
    match class {
        NotSent | Refused | Unknown | Misconfigured | Store | Quiet => true,
        Deferred | Slow | Unreadable | Internal => false,
    }
}

/// What a renewal says of the others; one that has panicked says nothing.
fn outcome(renewed: Option<Result<Result<(), Failure>, JoinError>>) -> Result<(), Failure> {
    renewed.and_then(Result::ok).unwrap_or(Ok(()))
}

/// The rest between two rounds, on average.
fn rest(period: Duration) -> Duration {
    (period / REST_PART).clamp(SHORTEST_REST, LONGEST_REST)
}
