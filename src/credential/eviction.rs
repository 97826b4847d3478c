//! Keeps the number of tenants in memory near `limits.cached_tenants`: what nobody has asked for the longest goes
//! first.
//!
//! A tenant's record is in the store, so a slot that goes costs the next request one reading. What is only in memory
//! stays there: a renewal that is under way, an outcome that the store has still to take.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{task::spawn_blocking, time::Instant};

use super::{state::Slot, works::Works};
use crate::model::TenantId;

/// From how many tenants on room is made.
pub(super) struct Threshold(AtomicUsize);

/// Room is being made. Whatever becomes of it, it can be made again.
struct Sweep(Arc<Works>);

/// How worth keeping a slot is; the least goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Worth {
    memory: Memory,
    /// When a request last came for the tenant; `None` where none ever did, because a grant was only kept alive.
    asked: Option<Instant>,
}

/// Whether more is known of the tenant than the store knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Memory {
    Nothing,
    /// Of failures and refusals: without it Flexslot would be asked again sooner than it should be.
    OfTrouble,
}

// === impl Threshold ===

impl Threshold {
    pub(super) fn new(limit: usize) -> Self {
        Self(AtomicUsize::new(limit))
    }

    /// Takes over a new limit.
    pub(super) fn change(&self, limit: usize) {
        self.0.store(limit, Ordering::Relaxed);
    }

    /// Whether `tenants` are too many; if so nobody else is told until room was made.
    fn is_passed_by(&self, tenants: usize) -> bool {
        let passed = |threshold| (tenants > threshold).then_some(usize::MAX);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, passed).is_ok()
    }
}

// === impl Works ===

impl Works {
    /// Has room made where there are more tenants than there should be. Called after one has come.
    pub(super) fn bound_memory(self: &Arc<Self>) {
        // Without the store a slot is all that there is of a tenant.
        if self.is_store_reachable() && self.room_below.is_passed_by(self.tenants()) {
            let sweep = Sweep(Arc::clone(self));
            // To look through a hundred thousand slots takes longer than a request should be kept waiting.
            self.tasks.spawn(async move {
                let _ = spawn_blocking(move || sweep.0.make_room()).await;
            });
        }
    }

    /// Lets go of idle slots until an eighth of the limit is free, so that the next look is far away.
    fn make_room(&self) {
        let limit = self.settings().cached_tenants;
        let now = Instant::now();
        let mut idle = self.idle_slots(|slot| worth(slot, now));
        let excess = self.tenants().saturating_sub(limit - limit / 8).min(idle.len());
        if excess < idle.len() {
            idle.select_nth_unstable_by_key(excess, |(worth, _)| *worth);
        }
        let gone = idle.iter().take(excess).filter(|(worth, tenant)| self.evict(tenant, *worth, now)).count();
        tracing::debug!(gone, held = self.tenants(), "tenants that nobody asks for were let go of");
    }

    /// Lets go of `tenant` right away if no request has ever come for it, and nothing has to be remembered of it.
    pub(super) fn let_go_unasked(&self, tenant: &TenantId) {
        self.evict(tenant, Worth { memory: Memory::Nothing, asked: None }, Instant::now());
    }

    /// Lets go of `tenant` unless somebody has taken it in hand or asked for it since it was found idle.
    fn evict(&self, tenant: &TenantId, found: Worth, now: Instant) -> bool {
        let gone = self.take_out(tenant, |slot| worth(slot, now) == Some(found) && !self.custody.awaits(tenant));
        if let Some(slot) = &gone {
            self.used.keep_notes_of(slot);
        }
        gone.is_some()
    }
}

// === impl Sweep ===

impl Drop for Sweep {
    fn drop(&mut self) {
        let limit = self.0.settings().cached_tenants;
        // Where little could go, the next look waits until there is more to look at.
        self.0.room_below.change(limit.max(self.0.tenants() + limit / 8));
    }
}

/// How worth keeping an idle slot is; `None` where it cannot go: somebody has it in hand, or it knows what nobody else
/// knows.
///
/// Slots are taken in hand under the lock of the map, under which this is asked too. So no tenant ever has two slots.
fn worth(slot: &Arc<Slot>, now: Instant) -> Option<Worth> {
    if Arc::strong_count(slot) > 1 {
        return None;
    }
    slot.with(|state| {
        let idle = state.loaded && state.flight.is_none() && state.unsent.is_none();
        let memory = if state.knows_of_trouble(now) { Memory::OfTrouble } else { Memory::Nothing };
        idle.then_some(Worth { memory, asked: state.asked })
    })
}
