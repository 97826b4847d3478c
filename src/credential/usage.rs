//! When tenants' credentials were last used: noted in the slots, told to the store now and then.

use std::{mem, sync::Arc};

use parking_lot::Mutex;

use super::{state::Slot, works::Works};
use crate::model::{CredentialKind, Timestamp};

/// How many notes the store is given at a time.
const BATCH: usize = 500;

/// A slot's notes that the store has still to be told. A later use is told in place of an earlier one.
#[derive(Debug, Default)]
pub(super) struct LastUse {
    oauth: Option<Timestamp>,
    pat: Option<Timestamp>,
}

/// The slots with notes, each once, so that telling costs as much as was used and not as much as there is.
#[derive(Default)]
pub(super) struct Used(Mutex<Vec<Arc<Slot>>>);

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

    fn take(&mut self) -> impl Iterator<Item = (CredentialKind, Timestamp)> + use<> {
        let Self { oauth, pat } = mem::take(self);
        let oauth = oauth.map(|at| (CredentialKind::OAuth, at));
        oauth.into_iter().chain(pat.map(|at| (CredentialKind::Pat, at)))
    }
}

// === impl Used ===

impl Used {
    /// Remembers that `slot` has notes.
    pub(super) fn push(&self, slot: &Arc<Slot>) {
        self.0.lock().push(Arc::clone(slot));
    }
}

// === impl Works ===

impl Works {
    /// Tells the store what was noted since the last time. What it does not take is lost, which is no harm.
    pub(super) async fn tell_last_uses(&self) {
        let slots = mem::take(&mut *self.used.0.lock());
        let notes = slots.iter().flat_map(|slot| {
            let notes = slot.with(|state| state.last_use.take());
            notes.map(|(kind, at)| (slot.tenant.clone(), kind, at))
        });
        let notes: Vec<_> = notes.collect();
        for batch in notes.chunks(BATCH) {
            if let Err(error) = self.store.touch(batch).await {
                tracing::debug!(%error, "the store does not take when credentials were last used");
                return;
            }
        }
    }
}
