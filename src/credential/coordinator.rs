//! Puts picking, renewal, custody and the view of the store together.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use http::Method;
use tokio::time::{Instant, sleep, timeout};

use super::{
    Ask, At, PathClass, Permission, Picked, Refusal, Resend,
    background::{Background, OFFER_AGAIN},
    failure::{Failure, FailureClass},
    flight::{Boarding, Cause, Flight, Haste, Landing, Wanted, board},
    pace::NotNow,
    permit::permit,
    pick::{Choice, Decision},
    policy::Settings,
    state::Slot,
    works::Works,
};
use crate::{
    model::{
        Clock, Observer, Origin, Random, TenantId, Tracer,
        observe::{FallbackCause, RetryOutcome},
        token::Freshness,
        trace::{
            Step, Steps,
            operations::noted,
            step::{Landing as Landed, NotLoaded, Part},
        },
    },
    store::{StoreError, TokenStore, instance::InstanceLock, spool::Spool},
};

/// How often a pick looks again after a renewal before it gives up.
const ROUNDS: usize = 4;

/// The door to the tokens. Cheap to clone.
#[derive(Clone)]
pub struct Credentials {
    pub(super) works: Arc<Works>,
}

/// What the room is built from.
pub struct Parts {
    pub settings: Settings,
    pub store: TokenStore,
    pub spool: Option<Spool>,
    /// Shows other processes of this host that we live; `None` where nothing is shared (`memory:`).
    pub instance: Option<InstanceLock>,
    pub clock: Arc<dyn Clock>,
    pub random: Random,
    pub observer: Arc<dyn Observer>,
    /// Decides which refreshes are exported.
    pub tracer: Arc<dyn Tracer>,
}

/// What to do with an upstream's 401.
#[derive(Debug)]
#[must_use]
pub enum Unauthorized {
    /// Send the request once more, with this.
    Retry(Picked),
    /// The 401 goes to the client as it is.
    Pass,
    /// As it is, and `Proxy-Status` says that a fresh token was refused.
    AfterRefresh,
    /// As it is, and `Proxy-Status` says that no refresh could be had.
    RefreshUnavailable,
    /// There is no credential any more.
    Refuse(Refusal),
}

/// How the store is doing, for `/readyz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    pub store_reachable: bool,
    /// Outcomes that the store has still to take.
    pub waiting: usize,
    /// Of these, pairs that are in memory alone.
    pub at_risk: usize,
    /// It has come back older or empty moments ago; what is held is written back, and nobody refreshes.
    pub travelled: bool,
    /// The store may forget what it has been given, as it is set up.
    pub forgetful: bool,
}

// === impl Credentials ===

impl Credentials {
    /// Builds the room; nothing runs until [`Credentials::start`].
    pub fn new(parts: Parts) -> Self {
        Self { works: Arc::new(Works::new(parts)) }
    }

    /// Stores what earlier processes left in the spool, then follows the store's changes and offers outcomes to it
    /// until dropped.
    pub async fn start(&self) -> Result<Background, StoreError> {
        let works = &self.works;
        works.vitals().await?;
        works.settings().endpoint.clients_changed().await;
        works.custody.empty_spool().await;
        works.tell_exposure();
        Ok(Background::start(works))
    }

    /// Has all background work done on this runtime, whichever runtime it is begun on.
    pub fn live_here(&self) {
        self.works.tasks.live_here();
    }

    /// Takes over a new configuration.
    pub fn reload(&self, settings: Settings) {
        self.works.reload(settings);
    }

    /// Finds out which encryption key the store is sealed with, and takes it over if the key file has it.
    pub async fn look_at_key(&self) {
        if let Err(error) = self.works.store.look_at_key().await {
            tracing::debug!(%error, "the store does not say which key it is sealed with");
        }
    }

    /// Whether the tenant's rules let a request through, for one reading of its path below `/api/public/v1/`.
    pub fn permit(
        &self,
        tenant: &TenantId,
        method: &Method,
        class: PathClass,
        segments: &[Cow<'_, str>],
    ) -> Permission {
        permit(&self.works.settings().policy(tenant), method, class, segments)
    }

    /// Whether what is picked now is for the upstream at `origin`.
    pub fn are_for(&self, origin: &Origin) -> bool {
        self.works.settings().origin == *origin
    }

    /// The best available credential for a request, which learns by its `steps` what was considered and waited for.
    ///
    /// Waits for a renewal, at most `refresh.timeout`, where there is no usable token without one.
    pub async fn pick(&self, ask: &Ask<'_>, steps: &mut Steps) -> Result<Picked, Refusal> {
        let slot = self.slot(ask.tenant, steps).await;
        let slot = slot.inspect_err(|refusal| steps.note(Step::NotLoaded(not_loaded(refusal))))?;
        self.pick_in(&slot, ask, None, self.deadline(), steps).await
    }

    /// The tenant's slot; one that has to be loaded is loaded where background work is done.
    async fn slot(&self, tenant: &TenantId, steps: &Steps) -> Result<Arc<Slot>, Refusal> {
        let works = &self.works;
        if let Some(slot) = works.held(tenant)
            && slot.with(|state| state.note_asked(Some(Instant::now())))
        {
            return Ok(slot);
        }
        let (loading, tenant, operations) = (Arc::clone(works), tenant.clone(), steps.operations());
        let loading = noted(operations, async move { loading.slot(&tenant).await });
        // Apart, like the waits below: what most requests do not come to takes no room in each of them.
        let loaded = Box::pin(works.tasks.at_home(loading)).await;
        loaded.unwrap_or_else(|| Err(Failure::internal().into_refusal()))
    }

    /// How long a request waits, for however many renewals.
    fn deadline(&self) -> Instant {
        Instant::now() + self.works.settings().refresh.timeout
    }

    async fn pick_in(
        &self,
        slot: &Arc<Slot>,
        ask: &Ask<'_>,
        failed: Option<Failure>,
        deadline: Instant,
        steps: &mut Steps,
    ) -> Result<Picked, Refusal> {
        let (picked, stands_in) = self.best(slot, ask, failed, deadline, steps).await?;
        self.works.note_use(slot, picked.kind, stands_in);
        Ok(picked)
    }

    /// The best available credential, and for a PAT why it stands in for the grant, where it does.
    async fn best(
        &self,
        slot: &Arc<Slot>,
        ask: &Ask<'_>,
        mut failed: Option<Failure>,
        deadline: Instant,
        steps: &mut Steps,
    ) -> Result<(Picked, Option<FallbackCause>), Refusal> {
        let mut needs_fresh = ask.resend == Resend::Impossible;
        for _ in 0..ROUNDS {
            let Decision { choice, considered } = self.works.decide(slot, ask, failed.as_ref());
            steps.considered(&considered);
            let usable = match choice {
                Choice::Refuse(refusal) => return Err(refusal),
                Choice::Pat(authorization, stands_in) => return Ok((Picked::pat(authorization), stands_in)),
                Choice::OAuth(usable) => usable,
            };
            let at = usable.at;
            match usable.freshness {
                Freshness::Fresh => return Ok((Picked::oauth(usable), None)),
                Freshness::Ageing => {
                    let wanted = Wanted { at, cause: Cause::Ageing, led_by: steps.context() };
                    match board(&self.works, slot, wanted, Haste::of(needs_fresh)) {
                        Boarding::Aboard(flight, part) if needs_fresh => {
                            Box::pin(aboard(flight, Cause::Ageing, part, deadline, steps)).await;
                            // Where that brought no newer token, the ageing one has to do.
                            needs_fresh = false;
                        }
                        Boarding::Aboard(flight, part) => {
                            steps.leave_refresh(Cause::Ageing, part, flight.span());
                            return Ok((Picked::oauth(usable), None));
                        }
                        Boarding::NotNow(not_now) => {
                            steps.note(Step::HeldBack(Cause::Ageing, not_now.held_back()));
                            return Ok((Picked::oauth(usable), None));
                        }
                        Boarding::Moved => {}
                    }
                }
                Freshness::Expired => {
                    let renewed = Box::pin(self.renew(slot, at, Cause::Expired, deadline, steps)).await;
                    failed = renewed.err().map(NotNow::into_failure);
                }
            }
        }
        Err(Failure::internal().into_refusal())
    }

    /// Waits for the renewal of the pair `at`; afterwards the slot is worth another look.
    async fn renew(
        &self,
        slot: &Arc<Slot>,
        at: At,
        cause: Cause,
        deadline: Instant,
        steps: &mut Steps,
    ) -> Result<(), NotNow> {
        loop {
            let wanted = Wanted { at, cause, led_by: steps.context() };
            let (flight, part) = match board(&self.works, slot, wanted, Haste::AtOnce) {
                Boarding::Moved => {
                    steps.note(Step::FoundChanged(cause));
                    return Ok(());
                }
                Boarding::NotNow(not_now) => {
                    steps.note(Step::HeldBack(cause, not_now.held_back()));
                    return Err(not_now);
                }
                Boarding::Aboard(flight, part) => (flight, part),
            };
            match aboard(flight, cause, part, deadline, steps).await {
                // It flew for somebody whose token still serves; ours does not, and may do more.
                Landing::Failed(failure) if failure.class == FailureClass::Deferred && cause != Cause::Ageing => {}
                Landing::Failed(failure) => return Err(NotNow::Failed(failure)),
                Landing::Renewed | Landing::Ended(_) | Landing::Moved => return Ok(()),
            }
        }
    }

    /// What to do after the upstream answered 401 to `picked`. At most one call per request.
    ///
    /// The caller has made sure that the 401 is about the token (no `error`, or `invalid_token`).
    pub async fn unauthorized(&self, ask: &Ask<'_>, picked: &Picked, steps: &mut Steps) -> Unauthorized {
        let Ok(slot) = self.slot(ask.tenant, steps).await else { return Unauthorized::RefreshUnavailable };
        let Some(at) = picked.at else {
            pat_refused(&slot, ask, picked);
            return Unauthorized::Pass;
        };
        let deadline = self.deadline();
        let failed = match self.renew(&slot, at, Cause::Refused, deadline, steps).await {
            Ok(()) => None,
            Err(NotNow::TooSoon) => {
                self.refused_too_soon(&slot, at);
                return Unauthorized::AfterRefresh;
            }
            Err(NotNow::Uncured | NotNow::NotItsTurn | NotNow::Draining) => return Unauthorized::Pass,
            Err(NotNow::Failed(failure)) => Some(failure),
        };
        let after_failure = failed.is_some();
        match self.pick_in(&slot, ask, failed, deadline, steps).await {
            Ok(next) if next.at == Some(at) => Unauthorized::RefreshUnavailable,
            Ok(next) => Unauthorized::Retry(next),
            Err(_) if after_failure => Unauthorized::RefreshUnavailable,
            Err(refusal) => Unauthorized::Refuse(refusal),
        }
    }

    /// A token was refused within `min_interval` of its answer: another one would be no better.
    fn refused_too_soon(&self, slot: &Slot, at: At) {
        slot.with(|state| {
            if state.pace.answers_401(at.version) {
                state.pace.not_cured(at.version);
            }
        });
        self.works.observer.unauthorized_after_refresh();
        tracing::error!(
            tenant = %slot.tenant,
            version = %at.version,
            hint = "it is refreshed once refresh.min_interval has passed; where the user has revoked the access, connect again",
            "Flexslot refuses a token that it issued moments ago"
        );
    }

    /// How the upstream took `picked` when the request was sent the second time. Call it once per retry.
    pub fn retried(&self, ask: &Ask<'_>, picked: &Picked, outcome: RetryOutcome) {
        let tenant = ask.tenant;
        let Some(slot) = self.works.held(tenant) else { return };
        match (outcome, picked.at) {
            (RetryOutcome::Failed, _) => {}
            (RetryOutcome::Cured, None) => slot.with(|state| state.pats.accepted(picked, ask.resource)),
            (RetryOutcome::Cured, Some(_)) => slot.with(|state| state.pace.cured()),
            (RetryOutcome::StillUnauthorized, None) => pat_refused(&slot, ask, picked),
            (RetryOutcome::StillUnauthorized, Some(at)) => {
                slot.with(|state| state.pace.not_cured(at.version));
                self.works.observer.unauthorized_after_refresh();
                tracing::error!(%tenant, version = %at.version, "Flexslot refuses a token that was just refreshed");
            }
        }
    }

    /// The upstream took `picked`: anything but a 401.
    pub fn accepted(&self, ask: &Ask<'_>, picked: &Picked) {
        let Some(slot) = self.works.held(ask.tenant) else { return };
        slot.with(|state| match picked.at {
            None => state.pats.accepted(picked, ask.resource),
            Some(at) => state.pace.taken(at.version),
        });
    }

    /// What is held of a tenant, if anything is.
    #[cfg(test)]
    pub(crate) fn known(&self, tenant: &TenantId) -> Option<crate::store::Known> {
        self.works.held(tenant).map(|slot| slot.with(|state| state.known()))
    }

    /// The newest revision of the store that has been seen.
    #[cfg(test)]
    pub(crate) fn newest(&self) -> crate::store::backend::Revision {
        self.works.newest()
    }

    /// How custody and store are doing.
    pub fn health(&self) -> Health {
        self.works.health()
    }

    /// Runs `work` to its end, whoever waits for it or does not; a drain waits for it too. `None` where it panicked.
    pub async fn see_through<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        self.works.tasks.finish(work).await
    }

    /// Waits, for `patience` at most, for what may not be cut off: token requests, codes that are being redeemed.
    pub async fn idle(&self, patience: Duration) {
        let _ = timeout(patience, self.works.tasks.idle()).await;
    }

    /// Ends in good order, beside `requests`, the last requests, and within `patience`: waits until they are over, no
    /// token request is under way and every new pair is somewhere that outlives the process. A token request that is not
    /// done then stays open by its intent. None is begun from now on for a token that still serves.
    pub async fn drain(&self, requests: impl Future<Output = ()>, patience: Duration) {
        self.works.begin_draining();
        let _ = timeout(patience, async {
            // Now, and not only after the last response, which may take all the time there is.
            self.settle().await;
            requests.await;
            self.settle().await;
        })
        .await;
    }

    /// Waits until no token request is under way and nothing is in memory alone.
    async fn settle(&self) {
        let works = &self.works;
        works.tasks.idle().await;
        works.offer().await;
        works.tell_last_uses().await;
        while works.custody.at_risk() > 0 {
            sleep(OFFER_AGAIN).await;
            works.offer().await;
        }
    }
}

/// Why there is no slot, as a trace has it.
const fn not_loaded(refusal: &Refusal) -> NotLoaded {
    match refusal {
        Refusal::NotConnected => NotLoaded::Unknown,
        Refusal::RecordUnreadable(_) => NotLoaded::RecordUnreadable,
        _ => NotLoaded::StoreUnavailable,
    }
}

/// Waits for a renewal in the sight of the request's trace.
async fn aboard(flight: Flight, cause: Cause, part: Part, deadline: Instant, steps: &mut Steps) -> Landing {
    let mut wait = steps.await_refresh(cause, part, flight.span());
    let landing = flight.wait(deadline).await;
    wait.landed(Landed::from(&landing));
    landing
}

/// Tells the operator, once, of a PAT that has become rejected.
fn pat_refused(slot: &Slot, ask: &Ask<'_>, picked: &Picked) {
    if let Some(from) = slot.with(|state| state.pats.refused(picked, ask.resource)) {
        let tenant = &slot.tenant;
        tracing::warn!(%tenant, from = from.as_str(), "Flexslot has refused the PAT three times in a row; it counts as rejected");
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("tenants", &self.works.tenants()).finish_non_exhaustive()
    }
}

// === impl Parts ===

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("settings", &self.settings).finish_non_exhaustive()
    }
}
