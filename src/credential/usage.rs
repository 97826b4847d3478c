//! When tenants' credentials were last used: noted in the slots, told to the store now and then.

use std::mem;

use parking_lot::Mutex;

use super::{state::Slot, works::Works};
use crate::model::{CredentialKind, TenantId, Timestamp};

/// How many notes the store is given at a time.
const BATCH: usize = 500;

/// A slot's notes that the store has still to be told. A later use is told in place of an earlier one.
#[derive(Debug, Default)]
pub(super) struct LastUse {
    oauth: Option<Timestamp>,
    pat: Option<Timestamp>,
}

/// What the store has still to be told, so that telling costs as much as was used and not as much as there is.
#[derive(Default)]
pub(super) struct Used {
    /// Whose slots have notes, each once. By name, since a slot that is in hand cannot be let go of.
    tenants: Mutex<Vec<TenantId>>,
    /// The notes of slots that were let go of.
    left: Mutex<Vec<Note>>,
}

type Note = (TenantId, CredentialKind, Timestamp);

// === impl LastUse ===

impl LastUse {
    /// Notes a use. Answers whether there was no note yet.
    pub(super) fn note(&mut self, kind: CredentialKind, now: Timestamp) -> bool {
        let first = self.oauth.is_none() && self.pat.is_none();
        match kind {
            CredentialKind::OAuth => self.oauth = Some(now),
            CredentialKind::Pat => self.pat = Some(now),
        }
        first
    }

    /// The later of the uses that are noted.
    pub(super) fn latest(&self) -> Option<Timestamp> {
        self.oauth.max(self.pat)
    }

    fn take(&mut self) -> impl Iterator<Item = (CredentialKind, Timestamp)> + use<> {
        let Self { oauth, pat } = mem::take(self);
        let oauth = oauth.map(|at| (CredentialKind::OAuth, at));
        oauth.into_iter().chain(pat.map(|at| (CredentialKind::Pat, at)))
    }
}

// === impl Used ===

impl Used {
    /// Remembers that `slot` has notes.
    pub(super) fn push(&self, slot: &Slot) {
        self.tenants.lock().push(slot.tenant.clone());
    }

    /// Takes over the notes of a slot that goes.
    pub(super) fn keep_notes_of(&self, slot: &Slot) {
        self.left.lock().extend(notes(slot));
    }
}

// === impl Works ===

impl Works {
    /// Tells the store what was noted since the last time. What it does not take is lost, which is no harm.
    pub(super) async fn tell_last_uses(&self) {
        let used = mem::take(&mut *self.used.tenants.lock());
        let held = used.iter().filter_map(|tenant| self.held(tenant)).flat_map(|slot| notes(&slot));
        let mut notes: Vec<Note> = held.collect();
        notes.append(&mut self.used.left.lock());
        for batch in notes.chunks(BATCH) {
            if let Err(error) = self.store.touch(batch).await {
                tracing::debug!(%error, "the store does not take when credentials were last used");
                return;
            }
        }
    }
}

fn notes(slot: &Slot) -> Vec<Note> {
    slot.with(|state| state.last_use.take()).map(|(kind, at)| (slot.tenant.clone(), kind, at)).collect()
}
