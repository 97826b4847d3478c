//! What the tasks of this room share: settings, slots, store, custody, clock.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    Ask,
    backlog::Backlog,
    coordinator::{Health, Parts},
    custody::Custody,
    eviction::Threshold,
    failure::Failure,
    pick::{Circumstances, Decision, decide},
    policy::Settings,
    proof::Provers,
    schedule::OutOfTurn,
    state::Slot,
    tasks::Tasks,
    travel::Journal,
    turns::Turns,
    unreadable::Unreadable,
    usage::Used,
};
use crate::{
    model::{
        Clock, CredentialKind, Grant, Observer, Random, TenantId, Timestamp, Tracer,
        observe::FallbackCause,
        token::{Attempt, Intent, Owner},
    },
    store::{StoreError, TokenStore, instance::InstanceLock},
};

/// In how many parts the map of slots is. A part that grows is locked for as long as all that is in it takes to move,
/// and keeps every worker waiting that looks for a tenant in it. By default there are four parts for each core: with a
/// million tenants on two cores, each move would be of a hundred thousand. A part takes 128 bytes.
const PARTS: usize = 1024;

/// The same in unit tests, which make thousands of such maps and go through them again and again.
const FEW_PARTS: usize = 16;

/// The machinery behind the door.
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
    pub(super) provers: Provers,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) tracer: Arc<dyn Tracer>,
    /// One for each token request that may be under way.
    pub(super) turns: Turns,
    pub(super) out_of_turn: Mutex<OutOfTurn>,
    pub(super) tasks: Tasks,
    draining: AtomicBool,
    store_reachable: AtomicBool,
    /// Why the store may lose what it has been given, as it said last.
    caveats: Mutex<Vec<String>>,
    pub(super) used: Used,
    /// Whose records do not open; told once, and not with every request.
    pub(super) unreadable: Unreadable,
    pub(super) room_below: Threshold,
    pub(super) journal: Journal,
    /// Whose slots have to be read again.
    pub(super) backlog: Backlog,
    /// When the store's changes were followed to their end last.
    followed_at: Mutex<Instant>,
}

// === impl Works ===

impl Works {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { settings, store, spool, instance, clock, random, observer, tracer } = parts;
        let provers = Provers::of(settings.origin.clone());
        Self {
            turns: Turns::new(settings.refresh.max_parallel),
            room_below: Threshold::new(settings.cached_tenants),
            settings: ArcSwap::from_pointee(settings),
            slots: slots(if cfg!(test) { FEW_PARTS } else { PARTS }),
            custody: Custody::new(store.clone(), spool),
            store,
            owner: instance.as_ref().map_or_else(|| anonymous(&random), |instance| instance.owner().clone()),
            instance,
            clock,
            skew: AtomicI64::new(0),
            random,
            provers,
            observer,
            tracer,
            out_of_turn: Mutex::default(),
            tasks: Tasks::default(),
            draining: AtomicBool::new(false),
            store_reachable: AtomicBool::new(true),
            caveats: Mutex::default(),
            used: Used::default(),
            journal: Journal::default(),
            backlog: Backlog::default(),
            unreadable: Unreadable::default(),
            followed_at: Mutex::new(Instant::now()),
        }
    }

    /// Takes over a new configuration.
    pub(super) fn reload(&self, settings: Settings) {
        self.turns.set_limit(settings.refresh.max_parallel);
        self.room_below.change(settings.cached_tenants);
        self.provers.turn_to(&settings.origin);
        self.settings.store(Arc::new(settings));
        for slot in &self.slots {
            slot.with(|state| {
                state.pats.configure(self.settings.load().policy(slot.key()).pat.as_ref());
                state.pace.configuration_changed();
            });
        }
    }

    pub(super) fn health(&self) -> Health {
        Health {
            store_reachable: self.is_store_reachable(),
            forgetful: !self.caveats.lock().is_empty(),
            waiting: self.custody.waiting(),
            at_risk: self.custody.at_risk(),
            travelled: self.is_quiet(),
        }
    }

    /// The slots in memory, in no order.
    pub(super) fn slots_held(&self) -> Vec<Arc<Slot>> {
        self.slots.iter().map(|slot| Arc::clone(&slot)).collect()
    }

    /// How many tenants are in memory.
    pub(super) fn tenants(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Now, by the store's clock.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.now().millis().saturating_add(self.skew.load(Ordering::Relaxed)))
    }

    /// Takes over what time it is in the store, which was asked at `asked` by our clock. However long its answer took,
    /// from then on [`Works::now`] is never behind it: a token is not sent after its expiry because the store was slow.
    pub(super) fn set_clock(&self, asked: Timestamp, now: Timestamp) {
        self.skew.store(now.millis().saturating_sub(asked.millis()), Ordering::Relaxed);
    }

    /// What time it is by our own clock, which may be wrong.
    pub(super) fn own_time(&self) -> Timestamp {
        self.clock.now()
    }

    /// Offers the store what it has refused so far. Where it has something else by now, that is taken over.
    pub(super) async fn offer(&self) {
        for tenant in self.custody.offer().await {
            if let Some(slot) = self.held(&tenant)
                && let Err(error) = self.read(&slot).await
            {
                tracing::warn!(%tenant, %error, "the record that has moved on cannot be read");
            }
        }
    }

    /// Does what must not be cut off half-way, also where whoever has asked for it goes away.
    pub(super) async fn finish<T, E, W>(self: &Arc<Self>, work: impl FnOnce(Arc<Self>) -> W) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        W: Future<Output = Result<T, E>> + Send + 'static,
    {
        let done = self.tasks.finish(work(Arc::clone(self))).await;
        done.unwrap_or_else(|| Err(StoreError::Unavailable("an error of this program came in between".into()).into()))
    }

    /// Has what was just written of the tenant take effect here at once. Others are told by the store.
    pub(super) async fn look_again_at(&self, tenant: &TenantId) {
        if let Some(slot) = self.held(tenant)
            && let Err(error) = self.read(&slot).await
        {
            tracing::warn!(%tenant, %error, "what was written cannot be read back yet");
        }
    }

    /// The process ends: no renewal is begun any more that nobody needs.
    pub(super) fn begin_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(super) fn reached(&self) {
        if !self.store_reachable.swap(true, Ordering::Relaxed) {
            tracing::info!("the store is in reach again");
        }
    }

    pub(super) fn out_of_reach(&self, error: &StoreError) {
        // What comes back may be another store than the one that went, or an older one.
        self.backlog.doubt();
        if self.store_reachable.swap(false, Ordering::Relaxed) {
            tracing::error!(%error, "the store is out of reach; tenants in memory go on working");
        }
    }

    /// All that others had changed at that time is known here.
    pub(super) fn has_followed(&self, at: Instant) {
        *self.followed_at.lock() = at;
    }

    /// How long ago that was so last.
    pub(super) fn followed_for(&self) -> Duration {
        self.followed_at.lock().elapsed()
    }

    /// Asks the store why it may lose what it has been given, and tells what was not so the last time.
    pub(super) async fn ask_for_caveats(&self) {
        let Ok(found) = self.store.caveats().await else { return };
        let before = mem::replace(&mut *self.caveats.lock(), found.clone());
        for caveat in found.iter().filter(|caveat| !before.contains(caveat)) {
            tell_caveat(caveat);
        }
    }

    /// Tells what about the way to the store should be mended. It is no reason not to be ready: it is known from the
    /// configuration, and is the same in every process that has it.
    pub(super) fn tell_exposure(&self) {
        if let Some(exposure) = self.store.exposure() {
            tell_caveat(&exposure);
        }
    }

    pub(super) fn is_store_reachable(&self) -> bool {
        self.store_reachable.load(Ordering::Relaxed)
    }

    /// The tenant's slot, if it is in memory.
    pub(super) fn held(&self, tenant: &TenantId) -> Option<Arc<Slot>> {
        self.slots.get(tenant).map(|slot| Arc::clone(&slot))
    }

    /// The tenant's slot, if it is in memory; else a new one, still to be loaded.
    pub(super) fn held_or_new(&self, tenant: &TenantId) -> Arc<Slot> {
        Arc::clone(&self.slots.entry(tenant.clone()).or_insert_with(|| Arc::new(Slot::new(tenant.clone()))))
    }

    /// The slots that have a worth, with it.
    pub(super) fn idle_slots<W>(&self, worth: impl Fn(&Arc<Slot>) -> Option<W>) -> Vec<(W, TenantId)> {
        self.slots.iter().filter_map(|slot| Some((worth(slot.value())?, slot.key().clone()))).collect()
    }

    /// Takes the tenant's slot out of memory, if `may_go` says so, with nobody able to take it in hand meanwhile.
    pub(super) fn take_out(&self, tenant: &TenantId, may_go: impl FnOnce(&Arc<Slot>) -> bool) -> Option<Arc<Slot>> {
        self.slots.remove_if(tenant, |_, slot| may_go(slot)).map(|(_, slot)| slot)
    }

    /// Whether `slot` is still its tenant's slot.
    pub(super) fn holds(&self, slot: &Arc<Slot>) -> bool {
        self.slots.get(&slot.tenant).is_some_and(|held| Arc::ptr_eq(&held, slot))
    }

    /// Forgets `slot`. Whoever has it in hand finds by [`Works::holds`] that it is its tenant's no more.
    pub(super) fn let_go(&self, slot: &Arc<Slot>) {
        self.slots.remove_if(&slot.tenant, |_, held| Arc::ptr_eq(held, slot));
    }

    pub(super) fn decide(&self, slot: &Slot, ask: &Ask<'_>, failed: Option<&Failure>) -> Decision {
        let settings = self.settings.load();
        let policy = settings.policy(&slot.tenant);
        let (now, instant) = (self.now(), Instant::now());
        let on = Circumstances { policy: &policy, settings: &settings, now, instant, failed };
        slot.with(|state| decide(ask, state, &on))
    }

    /// Notes what a request gets: when, and for a PAT why it stands in for a grant, where it does.
    pub(super) fn note_use(&self, slot: &Arc<Slot>, kind: CredentialKind, stands_in: Option<FallbackCause>) {
        let now = self.now();
        let (switch, first_note) =
            slot.with(|state| (state.note_switch(kind, stands_in), state.last_use.note(kind, now)));
        if first_note {
            self.used.push(slot);
        }
        if let Some(cause) = switch {
            self.observer.pat_fallback(cause);
            tracing::warn!(tenant = %slot.tenant, cause = cause.as_str(), "the PAT stands in for the grant from now on");
        }
    }

    /// A new intent, dated by the store's clock.
    pub(super) async fn intent(&self, grant: &Grant, attempt: Attempt) -> Result<Intent, Failure> {
        let at = self.time_to_ask().await?;
        Ok(Intent {
            grant: grant.id,
            version: grant.version,
            refresh_hash: grant.tokens.refresh_hash(),
            owner: self.owner.clone(),
            at,
            attempt,
        })
    }

    /// How long until somebody's intent is old enough that its token request cannot be under way any more. An age below
    /// zero counts as old.
    ///
    /// It is as old as the store says: [`Works::now`] runs ahead of the store by as long as the store took to answer,
    /// and would have the other's time end too early.
    pub(super) async fn left_of(&self, intent: &Intent) -> Result<Duration, StoreError> {
        let now = self.vitals().await?.now;
        Ok(self.settings.load().refresh.left_of(intent, now))
    }

    /// How long our own intent keeps the others away, at least; asks nobody.
    pub(super) fn left_of_ours(&self, intent: &Intent, settings: &Settings) -> Duration {
        settings.refresh.left_of(intent, self.now())
    }

    pub(super) fn is_provably_gone(&self, owner: &Owner) -> bool {
        self.instance.as_ref().is_some_and(|instance| instance.is_provably_gone(owner))
    }
}

fn slots(parts: usize) -> DashMap<TenantId, Arc<Slot>> {
    DashMap::with_shard_amount(parts)
}

fn tell_caveat(caveat: &str) {
    tracing::warn!(caveat, "something about the store should be mended");
}

/// An owner that nobody can prove gone.
fn anonymous(random: &Random) -> Owner {
    Owner { host: String::new(), instance: format!("{:032x}", u128::from_le_bytes(random.bytes())) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{PARTS, Slot, slots};

    /// Four times what a part has on average; a part that holds no more than that moves within a fraction of a millisecond.
    const MOST: usize = 4 * 20;

    #[test]
    fn no_part_of_the_map_of_slots_is_long_in_moving() {
        let slots = slots(PARTS);
        for number in 0..20 * 1024 {
            let tenant: crate::model::TenantId = format!("tenant-{number}").parse().unwrap();
            slots.insert(tenant.clone(), Arc::new(Slot::new(tenant)));
        }
        let largest = slots.shards().iter().map(|part| part.read().len()).max().unwrap();
        assert!(largest <= MOST, "{largest} in one part");
    }
}
