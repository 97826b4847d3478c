//! Whose records do not open, as far as somebody has tried.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::{model::TenantId, store::StoreError};

/// How many faults are remembered.
const MOST: usize = 1000;

/// What was found to be wrong with whose record, until the record or the keys change.
#[derive(Default)]
pub(super) struct Unreadable(Mutex<HashMap<TenantId, StoreError>>);

// === impl Unreadable ===

impl Unreadable {
    /// Remembers a fault. Answers whether it is another one than was known.
    pub(super) fn note(&self, tenant: &TenantId, error: &StoreError) -> bool {
        let mut faults = self.0.lock();
        if faults.len() >= MOST {
            faults.clear();
        }
        faults.insert(tenant.clone(), error.clone()).as_ref() != Some(error)
    }

    /// The record was read, or is another one by now.
    pub(super) fn forget(&self, tenant: &TenantId) {
        self.0.lock().remove(tenant);
    }

    /// The keys are others by now.
    pub(super) fn forget_all(&self) {
        self.0.lock().clear();
    }

    /// The tenant's fault, if one is known.
    pub(super) fn of(&self, tenant: &TenantId) -> Option<StoreError> {
        self.0.lock().get(tenant).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, StoreError, Unreadable};

    fn fault(what: &str) -> StoreError {
        StoreError::Unreadable { record: "grant acme".into(), what: what.into() }
    }

    #[test]
    fn a_fault_is_new_once_until_it_is_forgotten() {
        let (faults, acme) = (Unreadable::default(), "acme".parse().unwrap());
        assert!(faults.note(&acme, &fault("a")));
        assert!(!faults.note(&acme, &fault("a")));
        assert!(faults.note(&acme, &fault("b")), "another one");
        assert_eq!(faults.of(&acme), Some(fault("b")));
        faults.forget(&acme);
        assert_eq!(faults.of(&acme), None);
        assert!(faults.note(&acme, &fault("b")));
        faults.forget_all();
        assert_eq!(faults.of(&acme), None);
    }

    #[test]
    fn more_than_so_many_are_not_remembered() {
        let faults = Unreadable::default();
        for number in 0..=MOST {
            faults.note(&format!("tenant-{number}").parse().unwrap(), &fault("a"));
        }
        assert!(faults.0.lock().len() <= MOST);
    }
}
