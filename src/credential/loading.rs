//! How what the store says of a tenant gets into its slot.
//!
//! Of one slot there is one reading at a time, so that what was read first is also taken over first: an answer that was
//! long on its way never undoes what a later one has found.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    At, Refusal,
    failure::Failure,
    flight::Landing,
    state::{Held, Slot},
    works::Works,
};
use crate::{
    model::{TenantId, observe::RefreshOutcome},
    store::{Known, Reconciled, StoreError, TenantRecord, era::EraId},
};

/// Lets go of a slot whose first loading failed or was cut off, so that made-up names cost no memory.
struct FirstLoading<'a> {
    works: &'a Works,
    slot: &'a Arc<Slot>,
    done: bool,
}

/// How many travels of the store one reading of a tenant follows. A store that travels more often while a tenant is
/// read is out of order, and is looked at again when the next look comes.
const MOST_TRAVELS: usize = 3;

// === impl Works ===

impl Works {
    /// The tenant's slot, loaded for a request. A tenant that nobody knows gets none.
    pub(super) async fn slot(self: &Arc<Self>, tenant: &TenantId) -> Result<Arc<Slot>, Refusal> {
        self.slot_asked(tenant, Some(Instant::now())).await
    }

    /// The same, asked for by a request at `asked`, or by none.
    pub(super) async fn slot_asked(
        self: &Arc<Self>,
        tenant: &TenantId,
        asked: Option<Instant>,
    ) -> Result<Arc<Slot>, Refusal> {
        loop {
            let slot = self.held(tenant).unwrap_or_else(|| self.held_or_new(tenant));
            if slot.with(|state| state.note_asked(asked)) {
                return Ok(slot);
            }
            let reading = match slot.reading.try_lock() {
                Ok(reading) => reading,
                // Somebody is finding out already whether the store is back.
                Err(_) if !self.is_store_reachable() && self.take_file_pat(&slot) => return Ok(Arc::clone(&slot)),
                Err(_) => slot.reading.lock().await,
            };
            if !self.holds(&slot) {
                // Its first loading has failed while we waited, and by now somebody else may have begun another.
                continue;
            }
            if !slot.with(|state| state.loaded) {
                let mut loading = FirstLoading { works: self, slot: &slot, done: false };
                self.load(&slot).await?;
                loading.done = true;
                self.bound_memory();
            }
            drop(reading);
            return Ok(slot);
        }
    }

    async fn load(&self, slot: &Slot) -> Result<(), Refusal> {
        let travels = self.travels();
        let record = match self.store.load(&slot.tenant).await {
            Ok(record) => {
                self.note_newest(record.revision.max(record.pat_revision), travels);
                self.unreadable.forget(&slot.tenant);
                record
            }
            Err(error) => {
                let served = self.take_file_pat(slot);
                match &error {
                    StoreError::Unavailable(_) if served => self.out_of_reach(&error),
                    StoreError::Unavailable(_) => {}
                    StoreError::Unreadable { .. } => self.tell_unreadable(&slot.tenant, &error),
                }
                return if served { Ok(()) } else { Err(Failure::store(&error).into_refusal()) };
            }
        };
        slot.with(|state| {
            // Looked up under the slot's lock, so that a reload during the load is not undone.
            let settings = self.settings();
            if record.is_absent() && !settings.names(&slot.tenant) {
                return Err(Refusal::NotConnected);
            }
            state.pats.configure(settings.policy(&slot.tenant).pat.as_ref());
            state.adopt(record, &settings.refresh, &self.random);
            Ok(())
        })
    }

    /// Tells the operator, once for each fault. That one tenant's record cannot be read says nothing about the store.
    fn tell_unreadable(&self, tenant: &TenantId, error: &StoreError) {
        if self.unreadable.note(tenant, error) {
            tracing::error!(%tenant, %error, "a record cannot be read; requests that need it are turned away");
        }
    }

    /// Where a PAT of the file serves whatever the store says, it serves without the store.
    fn take_file_pat(&self, slot: &Slot) -> bool {
        slot.with(|state| {
            let policy = self.settings().policy(&slot.tenant);
            let pat = policy.pat_that_needs_no_store();
            if pat.is_some() {
                state.pats.configure(pat);
            }
            pat.is_some()
        })
    }

    /// Reads the tenant and takes over what the store says; to a store that has come back older, what is held is
    /// written back before.
    pub(super) async fn read(&self, slot: &Slot) -> Result<TenantRecord, StoreError> {
        let _reading = slot.reading.lock().await;
        let mut followed = 0;
        loop {
            let travels = self.travels();
            let (known, changes) = self.known(slot);
            match self.store.reconcile(&slot.tenant, &known).await? {
                Reconciled::Again => {}
                Reconciled::Travelled if followed == MOST_TRAVELS => {
                    return Err(StoreError::Unavailable("it comes back older again and again".into()));
                }
                Reconciled::Travelled => {
                    followed += 1;
                    self.begin_era(travels, known.era.unwrap_or(EraId::FIRST)).await?;
                }
                Reconciled::TakeOver(record) => {
                    self.note_newest(record.revision.max(record.pat_revision), travels);
                    let settings = self.settings();
                    let taken = slot.with(|state| {
                        // Otherwise it was compared with what is not held any more.
                        let unchanged = state.changes == changes && self.travels() == travels;
                        if unchanged {
                            state.adopt(record.clone(), &settings.refresh, &self.random);
                        }
                        unchanged
                    });
                    if taken {
                        self.unreadable.forget(&slot.tenant);
                        if let Some(id) = record.grant.id() {
                            self.custody.void_all_but(&slot.tenant, id).await;
                        }
                        return Ok(record);
                    }
                }
            }
        }
    }

    /// What is known of the tenant, and how often that had changed by then.
    pub(super) fn known(&self, slot: &Slot) -> (Known, u64) {
        let (known, changes) = slot.with(|state| (state.known(), state.changes));
        // In this order: a pair is given into custody before it is held, and is held no more there once the store
        // has it.
        (Known { waiting: self.custody.awaits(&slot.tenant), ..known }, changes)
    }

    /// What has become of the pair `at` in the slot: nothing, if it is still there.
    pub(super) fn moved_from(&self, slot: &Slot, at: At) -> Option<Landing> {
        slot.with(|state| match &state.grant {
            Held::Live(live) if live.at() == at => None,
            Held::Live(live) if live.grant.id == at.grant => {
                self.observer.refresh(RefreshOutcome::Adopted);
                Some(Landing::Renewed)
            }
            Held::Live(_) | Held::Never | Held::Removed(_) => Some(Landing::Moved),
            Held::Ended(ended) => Some(Landing::Ended(ended.reason)),
        })
    }
}

// === impl FirstLoading ===

impl Drop for FirstLoading<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.works.let_go(self.slot);
        }
    }
}
