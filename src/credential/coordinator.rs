//! Puts picking, renewal, custody and the view of the store together.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use http::Method;
use tokio::{sync::Semaphore, time::Instant};

use super::{
    Ask, At, PathClass, Permission, Picked, Refusal, Resend,
    custody::Custody,
    flight::{Boarding, Cause, Landing, NotNow, board},
    pat_health::PatHealth,
    pick::{Choice, Circumstances, decide, permit},
    policy::{Settings, TenantPolicy},
    renewal::{Failure, FailureClass},
    state::{Live, Slot, Uncured},
    tasks::Tasks,
    watch,
};
use crate::{
    model::{
        Clock, CredentialKind, Grant, Observer, Random, TenantId, Timestamp,
        observe::RefreshOutcome,
        token::{Attempt, Freshness, Intent, Owner},
    },
    store::{StoreError, TenantRecord, TokenStore, backend::Revision, instance::InstanceLock, spool::Spool},
};

/// How often a pick looks again after a renewal before it gives up.
const ROUNDS: usize = 4;

/// The door to the tokens. Cheap to clone.
#[derive(Clone)]
pub struct Credentials {
    works: Arc<Works>,
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
}

/// The machinery behind the door, shared with the tasks.
pub(super) struct Works {
    settings: ArcSwap<Settings>,
    slots: DashMap<TenantId, Arc<Slot>>,
    pub(super) store: TokenStore,
    pub(super) custody: Custody,
    pub(super) owner: Owner,
    instance: Option<InstanceLock>,
    clock: Arc<dyn Clock>,
    /// What has to be added to the clock to get the store's, in milliseconds.
    skew: AtomicI64,
    pub(super) random: Random,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) parallel: Semaphore,
    pub(super) tasks: Tasks,
    store_reachable: AtomicBool,
}

// === impl Credentials ===

impl Credentials {
    /// Builds the room; nothing runs until [`Credentials::start`].
    pub fn new(parts: Parts) -> Self {
        let Parts { settings, store, spool, instance, clock, random, observer } = parts;
        let works = Works {
            parallel: Semaphore::new(settings.refresh.max_parallel),
            settings: ArcSwap::from_pointee(settings),
            slots: DashMap::new(),
            custody: Custody::new(store.clone(), spool),
            store,
            owner: instance.as_ref().map_or_else(|| anonymous(&random), |instance| instance.owner().clone()),
            instance,
            clock,
            skew: AtomicI64::new(0),
            random,
            observer,
            tasks: Tasks::default(),
            store_reachable: AtomicBool::new(true),
        };
        Self { works: Arc::new(works) }
    }

    /// Stores what earlier processes left in the spool, then follows the store's changes and offers outcomes to it until dropped.
    pub async fn start(&self) -> Result<Background, StoreError> {
        let works = Arc::clone(&self.works);
        works.set_clock(works.store.now().await?);
        works.custody.empty_spool().await;
        let since = works.store.changed_since(Revision(u64::MAX)).await?.head;
        let follow = tokio::spawn(watch::follow(Arc::clone(&works), since));
        let offer = tokio::spawn(async move { works.custody.keep_offering().await });
        Ok(Background([follow, offer]))
    }

    /// Takes over a new configuration.
    pub fn reload(&self, settings: Settings) {
        self.works.settings.store(Arc::new(settings));
        for slot in &self.works.slots {
            let pat = self.works.policy(slot.key()).1;
            slot.with(|state| {
                state.set_file_pat(pat.pat.as_ref());
                state.pace.backoff = None;
            });
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
        permit(&self.works.policy(tenant).1, method, class, segments)
    }

    /// The best available credential for a request.
    ///
    /// Waits for a renewal, at most `refresh.timeout`, where there is no usable token without one.
    pub async fn pick(&self, ask: &Ask<'_>) -> Result<Picked, Refusal> {
        let slot = self.works.slot(ask.tenant).await?;
        self.pick_in(&slot, ask, None).await
    }

    async fn pick_in(&self, slot: &Arc<Slot>, ask: &Ask<'_>, mut failed: Option<Failure>) -> Result<Picked, Refusal> {
        let mut patient = ask.resend == Resend::Impossible;
        for _ in 0..ROUNDS {
            let (live, freshness) = match self.works.decide(slot, ask, failed.as_ref()) {
                Choice::Refuse(refusal) => return Err(refusal),
                Choice::Pat(authorization, cause) => {
                    if let Some(cause) = cause {
                        self.works.observer.pat_fallback(cause);
                        tracing::debug!(tenant = %slot.tenant, cause = cause.as_str(), "the PAT stands in for the grant");
                    }
                    return Ok(Picked { kind: CredentialKind::Pat, authorization, at: None });
                }
                Choice::OAuth(live, freshness) => (live, freshness),
            };
            match freshness {
                Freshness::Fresh => return oauth(&live),
                Freshness::Ageing => {
                    let boarding = board(&self.works, slot, live.at(), Cause::Ageing);
                    match boarding {
                        Boarding::Aboard(flight) if patient => {
                            drop(flight.wait(self.works.settings().refresh.timeout).await)
                        }
                        Boarding::Aboard(_) | Boarding::Moved | Boarding::NotNow(_) => return oauth(&live),
                    }
                    patient = false;
                }
                Freshness::Expired => failed = self.renew(slot, live.at(), Cause::Expired).await,
            }
        }
        Err(Failure::internal().into_refusal())
    }

    /// Waits for the renewal of version `at`. Answers the failure, if it failed.
    async fn renew(&self, slot: &Arc<Slot>, at: At, cause: Cause) -> Option<Failure> {
        let landing = match board(&self.works, slot, at, cause) {
            Boarding::Moved => return None,
            Boarding::NotNow(NotNow::Backoff(failure)) => return Some(failure),
            Boarding::NotNow(NotNow::TooSoon | NotNow::Uncured) => {
                return Some(Failure::new(FailureClass::Refused, "the last renewal was moments ago"));
            }
            Boarding::Aboard(flight) => flight.wait(self.works.settings().refresh.timeout).await,
        };
        match landing {
            Landing::Failed(failure) => Some(failure),
            Landing::Renewed | Landing::Ended(_) | Landing::Moved => None,
        }
    }

    /// What to do after the upstream answered 401 to `picked`. At most one call per request.
    ///
    /// The caller has made sure that the 401 is about the token (no `error`, or `invalid_token`).
    pub async fn unauthorized(&self, ask: &Ask<'_>, picked: &Picked) -> Unauthorized {
        let Ok(slot) = self.works.slot(ask.tenant).await else { return Unauthorized::RefreshUnavailable };
        let Some(at) = picked.at else {
            slot.with(|state| state.pat().map(|pat| pat.health.refused(Instant::now())));
            return Unauthorized::Pass;
        };
        let failed = match board(&self.works, &slot, at, Cause::Refused) {
            Boarding::Moved => None,
            Boarding::NotNow(NotNow::TooSoon) => {
                self.works.observer.unauthorized_after_refresh();
                tracing::error!(tenant = %slot.tenant, version = %at.version, "Flexslot refuses a token that it issued moments ago");
                return Unauthorized::AfterRefresh;
            }
            Boarding::NotNow(NotNow::Uncured) => return Unauthorized::Pass,
            Boarding::NotNow(NotNow::Backoff(failure)) => Some(failure),
            Boarding::Aboard(flight) => match flight.wait(self.works.settings().refresh.timeout).await {
                Landing::Renewed | Landing::Ended(_) | Landing::Moved => None,
                Landing::Failed(failure) => Some(failure),
            },
        };
        let after_failure = failed.is_some();
        match self.pick_in(&slot, ask, failed).await {
            Ok(next) if next.at == Some(at) => Unauthorized::RefreshUnavailable,
            Ok(next) => Unauthorized::Retry(next),
            Err(_) if after_failure => Unauthorized::RefreshUnavailable,
            Err(refusal) => Unauthorized::Refuse(refusal),
        }
    }

    /// The upstream's answer to a retry: whether the new token cured the 401. Call it once per retry.
    pub fn retried(&self, tenant: &TenantId, picked: &Picked, cured: bool) {
        let Some(slot) = self.works.held(tenant) else { return };
        let Some(at) = picked.at else {
            let judge = |health: &mut PatHealth| if cured { health.accepted() } else { health.refused(Instant::now()) };
            slot.with(|state| state.pat().map(|pat| judge(&mut pat.health)));
            return;
        };
        slot.with(|state| match (cured, state.pace.uncured) {
            (true, _) => state.pace.uncured = None,
            (false, Some(uncured)) if uncured.version == at.version => {}
            (false, before) => state.pace.uncured = Some(Uncured::after(before, at)),
        });
        if !cured {
            self.works.observer.unauthorized_after_refresh();
            tracing::error!(%tenant, version = %at.version, "Flexslot refuses a token that was just renewed");
        }
    }

    /// The upstream took `picked`: anything but a 401.
    pub fn accepted(&self, tenant: &TenantId, picked: &Picked) {
        if picked.kind == CredentialKind::Pat
            && let Some(slot) = self.works.held(tenant)
        {
            slot.with(|state| state.pat().map(|pat| pat.health.accepted()));
        }
    }

    /// How custody and store are doing.
    pub fn health(&self) -> Health {
        Health {
            store_reachable: self.works.store_reachable.load(Ordering::Relaxed),
            waiting: self.works.custody.waiting(),
            at_risk: self.works.custody.at_risk(),
        }
    }

    /// Waits until no token request is under way and every outcome is kept, at most `patience`. What is not done then stays open by its intent.
    pub async fn drain(&self, patience: Duration) {
        let works = &self.works;
        let _ = tokio::time::timeout(patience, async {
            works.tasks.idle().await;
            works.custody.offer().await;
        })
        .await;
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("tenants", &self.works.slots.len()).finish_non_exhaustive()
    }
}

fn oauth(live: &Live) -> Result<Picked, Refusal> {
    let Some(authorization) = live.authorization.clone() else {
        return Err(Refusal::OAuthMisconfigured("the grant's access token cannot stand in a header".into()));
    };
    Ok(Picked { kind: CredentialKind::OAuth, authorization, at: Some(live.at()) })
}

/// The tasks of [`Credentials::start`]; they end when this is dropped.
#[derive(Debug)]
pub struct Background([tokio::task::JoinHandle<()>; 2]);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// An owner that nobody can prove gone.
fn anonymous(random: &Random) -> Owner {
    Owner { host: String::new(), instance: format!("{:032x}", u128::from_le_bytes(random.bytes())) }
}

// === impl Works ===

impl Works {
    pub(super) fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Now, by the store's clock.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.now().millis().saturating_add(self.skew.load(Ordering::Relaxed)))
    }

    pub(super) fn set_clock(&self, store_now: Timestamp) {
        self.skew.store(store_now.millis() - self.clock.now().millis(), Ordering::Relaxed);
    }

    pub(super) fn reached(&self) {
        if !self.store_reachable.swap(true, Ordering::Relaxed) {
            tracing::info!("the store is in reach again");
        }
    }

    pub(super) fn out_of_reach(&self, error: &StoreError) {
        if self.store_reachable.swap(false, Ordering::Relaxed) {
            tracing::error!(%error, "the store is out of reach; tenants in memory go on working");
        }
    }

    /// The tenant's policy, and whether the configuration names the tenant.
    fn policy(&self, tenant: &TenantId) -> (bool, Arc<TenantPolicy>) {
        match self.settings.load().tenant(tenant) {
            Some(policy) => (true, Arc::clone(policy)),
            None => (false, Arc::default()),
        }
    }

    /// The tenant's slot, if it is in memory.
    pub(super) fn held(&self, tenant: &TenantId) -> Option<Arc<Slot>> {
        self.slots.get(tenant).map(|slot| Arc::clone(&slot))
    }

    /// The tenant's slot, loaded. A tenant that nobody knows gets none, so that made-up names cost no memory.
    async fn slot(&self, tenant: &TenantId) -> Result<Arc<Slot>, Refusal> {
        if let Some(slot) = self.held(tenant).filter(|slot| slot.with(|state| state.loaded)) {
            return Ok(slot);
        }
        let slot = Arc::clone(&self.slots.entry(tenant.clone()).or_insert_with(|| Arc::new(Slot::new(tenant.clone()))));
        let _loading = slot.loading.lock().await;
        if slot.with(|state| state.loaded) {
            return Ok(Arc::clone(&slot));
        }
        let loaded = self.load(&slot).await;
        if loaded.is_err() {
            self.slots.remove_if(tenant, |_, held| Arc::ptr_eq(held, &slot));
        }
        loaded.map(|()| Arc::clone(&slot))
    }

    async fn load(&self, slot: &Slot) -> Result<(), Refusal> {
        let (named, policy) = self.policy(&slot.tenant);
        let record = match self.store.load(&slot.tenant).await {
            Ok(record) => record,
            // A PAT of the file needs no store, and waits for none.
            Err(error) if policy.pat.is_none() => return Err(Refusal::StoreUnavailable(error.to_string())),
            Err(error) => {
                self.out_of_reach(&error);
                slot.with(|state| state.set_file_pat(policy.pat.as_ref()));
                return Ok(());
            }
        };
        if !named && record.is_absent() {
            return Err(Refusal::NotConnected);
        }
        let settings = self.settings();
        slot.with(|state| {
            state.set_file_pat(policy.pat.as_ref());
            state.adopt(record, &settings.refresh, &self.random);
        });
        Ok(())
    }

    fn decide(&self, slot: &Slot, ask: &Ask<'_>, failed: Option<&Failure>) -> Choice {
        let settings = self.settings.load();
        let (_, policy) = self.policy(&slot.tenant);
        let knows_client = |client_id: &str| settings.endpoint.knows(client_id);
        let on = Circumstances {
            policy: &policy,
            origin: &settings.origin,
            knows_client: &knows_client,
            now: self.now(),
            instant: Instant::now(),
            failed,
        };
        slot.with(|state| decide(ask, state, &on))
    }

    /// Takes over a record as the store has it now.
    pub(super) fn refresh_slot(&self, slot: &Slot, record: TenantRecord) {
        let settings = self.settings();
        slot.with(|state| state.adopt(record, &settings.refresh, &self.random));
    }

    /// Takes over a record, and answers a landing if the slot is not at `at` any more.
    pub(super) fn adopt(&self, slot: &Slot, record: TenantRecord, at: At) -> Option<Landing> {
        self.refresh_slot(slot, record);
        slot.with(|state| match &state.grant {
            super::state::Held::Live(live) if live.at() == at => None,
            super::state::Held::Live(live) if live.grant.id == at.grant => {
                self.observer.refresh(RefreshOutcome::Adopted);
                Some(Landing::Renewed)
            }
            super::state::Held::Live(_) | super::state::Held::Never => Some(Landing::Moved),
            super::state::Held::Ended(ended) => Some(Landing::Ended(ended.reason)),
        })
    }

    /// A new intent, dated by the store's clock.
    pub(super) async fn intent(&self, grant: &Grant, attempt: Attempt) -> Result<Intent, StoreError> {
        let at = self.store.now().await?;
        self.set_clock(at);
        Ok(Intent {
            grant: grant.id,
            version: grant.version,
            refresh_hash: grant.tokens.refresh_hash(),
            owner: self.owner.clone(),
            at,
            attempt,
        })
    }

    /// How long until an intent is old enough that its token request cannot be under way any more. An age below zero counts as old.
    pub(super) async fn left_of(&self, intent: &Intent) -> Result<Duration, StoreError> {
        let now = self.store.now().await?;
        let age = now.since(intent.at).unwrap_or(Duration::MAX);
        Ok(self.settings.load().refresh.uncertain_after.saturating_sub(age))
    }

    pub(super) fn is_provably_gone(&self, owner: &Owner) -> bool {
        self.instance.as_ref().is_some_and(|instance| instance.is_provably_gone(owner))
    }
}

// === impl Uncured ===

impl Uncured {
    /// The next renewal because of a 401 waits a minute, doubling to an hour.
    fn after(before: Option<Self>, at: At) -> Self {
        let times = before.map_or(0, |uncured| uncured.times).saturating_add(1);
        let wait = Duration::from_secs(60 << times.saturating_sub(1).min(6)).min(Duration::from_secs(3600));
        Self { times, until: Instant::now() + wait, version: at.version }
    }
}
