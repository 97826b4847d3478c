//! Whose slots have to be read again, and in what order.
//!
//! Revisions count the writes of the whole store, and a store that comes back older has lost all writes after one of
//! them, whoever's they were. So what was written last is read first. What may be lost is then written back before
//! anything else; and once a slot is found in the store as it was, so is everything that was written before it.

use std::{collections::HashSet, mem};

use parking_lot::Mutex;

use super::{state::Slot, works::Works};
use crate::{
    model::TenantId,
    store::{StoreError, backend::Revision},
};

/// What is still to be read. Lists are worked off by [`super::watch`] alone; anybody may ask for more.
#[derive(Default)]
pub(super) struct Backlog(Mutex<Lists>);

#[derive(Default)]
struct Lists {
    asked: Asked,
    /// Each of these is to be read; the next one is the last.
    left: Vec<Entry>,
    /// These are to be looked at until it is clear that the store has lost nothing; the next one is the last.
    doubted: Vec<Entry>,
    /// Some of those that were doubted together have been looked at.
    is_parted: bool,
}

/// What somebody has asked for since the lists were made.
#[derive(Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    #[default]
    Nothing,
    Doubt,
    All,
}

/// One slot in a list; the order is that of importance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// An outcome of the tenant waits for the store.
    waiting: bool,
    /// The last write that was found of the tenant when the list was made.
    pub(super) found: Option<Revision>,
    pub(super) tenant: TenantId,
}

/// One of the lists.
#[derive(Debug, Clone, Copy)]
pub(super) enum List {
    Left,
    Doubted,
}

/// What has become of entries that were to be read.
#[derive(Default)]
pub(super) struct Outcome {
    /// The earliest write of those that are in the store as they were found.
    pub(super) stayed: Option<Revision>,
    /// They were not come to.
    pub(super) unread: Vec<Entry>,
    pub(super) failed: Vec<Entry>,
    pub(super) failures: Failures,
}

/// The first failure among some that keep nobody from going on with the others.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Failures(pub(super) Option<StoreError>);

// === impl Backlog ===

impl Backlog {
    /// What comes back after an outage may be another store than the one that went, or an older one.
    pub(super) fn doubt(&self) {
        self.ask(Asked::Doubt);
    }

    fn ask(&self, asked: Asked) {
        let mut lists = self.0.lock();
        lists.asked = lists.asked.max(asked);
    }

    /// Whether slots are known that have to be read.
    pub(super) fn is_any_left(&self) -> bool {
        let lists = self.0.lock();
        lists.asked == Asked::All || !lists.left.is_empty()
    }

    /// Up to `most` of the next entries of `list`, the next one last. They stay in it until [`Backlog::done`].
    pub(super) fn next(&self, list: List, most: usize) -> Vec<Entry> {
        let mut lists = self.0.lock();
        let list = lists.of(list);
        list[list.len().saturating_sub(most)..].to_vec()
    }

    /// How many entries are in `list`.
    pub(super) fn len(&self, list: List) -> usize {
        self.0.lock().of(list).len()
    }

    /// The last `count` entries of `list` have come to `outcome`.
    pub(super) fn done(&self, list: List, count: usize, outcome: Outcome) -> Result<Failures, StoreError> {
        let mut lists = self.0.lock();
        let entries = lists.of(list);
        entries.truncate(entries.len().saturating_sub(count));
        lists.is_parted |= matches!(list, List::Doubted);
        lists.put_off(outcome)
    }

    /// Entries that are in no list have come to `outcome`. Where that was given up, whoever has them tries them all
    /// again.
    pub(super) fn put_off(&self, outcome: Outcome) -> Result<Failures, StoreError> {
        let Outcome { unread, .. } = &outcome;
        match outcome.failures.0 {
            Some(error) if !unread.is_empty() => Err(error),
            _ => self.0.lock().put_off(outcome),
        }
    }

    /// The store has lost nothing.
    pub(super) fn believe(&self) {
        self.0.lock().doubted.clear();
    }
}

// === impl Failures ===

impl Failures {
    /// Notes another one.
    pub(super) fn add(&mut self, error: impl Into<Option<StoreError>>) {
        self.0 = self.0.take().or(error.into());
    }
}

// === impl Lists ===

impl Lists {
    fn of(&mut self, list: List) -> &mut Vec<Entry> {
        match list {
            List::Left => &mut self.left,
            List::Doubted => &mut self.doubted,
        }
    }

    /// Begins to doubt `entries`. Those of an earlier doubt that were not come to have to be read: what was read
    /// meanwhile tells nothing of them.
    fn doubt(&mut self, entries: Vec<Entry>) {
        let rest = mem::replace(&mut self.doubted, entries);
        if mem::take(&mut self.is_parted) {
            self.put_last(rest);
        }
    }

    /// Has read later what could not be read; fails where that was given up.
    fn put_off(&mut self, Outcome { unread, failed, failures, .. }: Outcome) -> Result<Failures, StoreError> {
        let given_up = !unread.is_empty();
        self.left.extend(unread);
        self.put_last(failed);
        match failures.0 {
            Some(error) if given_up => Err(error),
            _ => Ok(failures),
        }
    }

    /// Has `entries` read after all others, so that one that always fails is in nobody's way.
    fn put_last(&mut self, entries: Vec<Entry>) {
        if !entries.is_empty() {
            let there: HashSet<_> = self.left.iter().map(|entry| entry.tenant.clone()).collect();
            self.left.splice(0..0, entries.into_iter().filter(|entry| !there.contains(&entry.tenant)));
        }
    }
}

// === impl Works ===

impl Works {
    /// Has every slot read again.
    pub(super) fn read_all_again(&self) {
        self.backlog.ask(Asked::All);
    }

    /// Makes the lists that were asked for.
    pub(super) fn list_backlog(&self) {
        let asked = mem::take(&mut self.backlog.0.lock().asked);
        match asked {
            Asked::Nothing => {}
            Asked::Doubt => {
                let entries = self.entries();
                self.backlog.0.lock().doubt(entries);
            }
            Asked::All => {
                let left = self.entries();
                let mut lists = self.backlog.0.lock();
                *lists = Lists { left, asked: lists.asked, ..Lists::default() };
            }
        }
    }

    /// Has the slots read again whose records could not be opened with the keys as they were.
    pub(super) fn read_unreadable_again(&self) {
        let unreadable = self.slots_held().into_iter().filter(|slot| slot.with(|state| state.unreadable));
        let entries: Vec<_> = unreadable.map(|slot| Entry::changed(slot.tenant.clone())).collect();
        self.backlog.0.lock().left.extend(entries);
    }

    /// One entry for each slot in memory.
    fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<_> = self.slots_held().iter().map(|slot| self.entry(slot)).collect();
        entries.sort_unstable();
        entries
    }

    fn entry(&self, slot: &Slot) -> Entry {
        let found = slot.with(|state| state.found_at());
        Entry { waiting: self.custody.awaits(&slot.tenant), found, tenant: slot.tenant.clone() }
    }
}

// === impl Entry ===

impl Entry {
    /// A tenant that has changed.
    pub(super) fn changed(tenant: TenantId) -> Self {
        Self { waiting: false, found: None, tenant }
    }
}
