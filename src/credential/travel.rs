//! The store may come back empty, or older than it was. What tells, and what is done.
//!
//! Whoever notices begins a new era of the store (see [`crate::store::era`]). The era's record says so to everybody
//! else, also to processes that have noticed nothing or start just then. Every slot is read again, which writes back
//! what the store has lost (see [`super::loading`]), and until that is done everywhere nobody refreshes: an older
//! record has a refresh token that is spent.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    failure::{Failure, FailureClass},
    works::Works,
};
use crate::{
    model::Timestamp,
    store::{
        Cas, StoreError,
        backend::Revision,
        era::{Era, EraId, Vitals},
    },
};

/// What is known of the store itself.
#[derive(Default)]
pub(super) struct Journal {
    page: Mutex<Page>,
    /// Held while an era is begun, so that many that notice at once begin one.
    beginning: tokio::sync::Mutex<()>,
}

#[derive(Default, Clone, Copy)]
struct Page {
    /// The store, its era and its newest revision as they were seen last; `None` before the first look.
    last: Option<Last>,
    /// How often the store has travelled, or was seen for the first time.
    travels: Travels,
    /// Up to where its changes have been followed.
    followed: Revision,
    /// When refreshes may begin again, by the time of this process.
    quiet_until: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Last {
    store: [u8; 16],
    era: EraId,
    newest: Revision,
}

/// What an answer of the store tells of its travels.
enum News {
    Nothing,
    /// Another answer was faster; ask again.
    Overtaken,
    Travelled,
}

/// Counts the store's travels as this process has noticed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Travels(u64);

// === impl Works ===

impl Works {
    pub(super) fn travels(&self) -> Travels {
        self.journal.page.lock().travels
    }

    /// Up to where the store's changes have been followed.
    pub(super) fn followed(&self) -> (Revision, Travels) {
        let page = self.journal.page.lock();
        (page.followed, page.travels)
    }

    /// Notes that its changes were followed up to `revision`, unless it has travelled since.
    pub(super) fn set_followed(&self, revision: Revision, travels: Travels) {
        let mut page = self.journal.page.lock();
        if page.travels == travels {
            page.followed = revision;
        }
    }

    /// Notes that the store has come as far as `revision`, unless it has travelled since.
    pub(super) fn note_newest(&self, revision: Option<Revision>, travels: Travels) {
        let mut page = self.journal.page.lock();
        if page.travels == travels
            && let (Some(last), Some(revision)) = (&mut page.last, revision)
        {
            last.newest = last.newest.max(revision);
        }
    }

    /// The newest revision that this process has seen or written.
    pub(super) fn newest(&self) -> Revision {
        let seen = self.journal.page.lock().last.map_or(Revision(0), |last| last.newest);
        seen.max(self.store.written())
    }

    /// Whether refreshes wait because the store has travelled.
    pub(super) fn is_quiet(&self) -> bool {
        self.journal.page.lock().quiet_until.is_some_and(|until| Instant::now() < until)
    }

    /// Looks at the store itself, takes over its time, and notices if it has travelled.
    pub(super) async fn vitals(&self) -> Result<Vitals, StoreError> {
        loop {
            let before = *self.journal.page.lock();
            let at_least = self.newest();
            let asked = self.own_time();
            let vitals = self.store.vitals().await?;
            self.set_clock(asked, vitals.now);
            let news = self.journal.page.lock().compare(&vitals, before.travels, at_least);
            match news {
                News::Nothing => return Ok(vitals),
                News::Overtaken => {}
                News::Travelled => self.begin_era(before.travels).await?,
            }
        }
    }

    /// The store's time for a token request that is about to be made; a failure while nobody may make one.
    pub(super) async fn time_to_ask(&self) -> Result<Timestamp, Failure> {
        let vitals = self.vitals().await?;
        let left = vitals.era.quiet_left(vitals.now);
        if left.is_zero() {
            return Ok(vitals.now);
        }
        let what = "the store has come back older or empty, and what is known is written back before any refresh";
        Err(Failure::new(FailureClass::Quiet, what).retry_in(left))
    }

    /// Begins a new era, unless somebody has done so already. `noticed` is from before what was noticed.
    pub(super) async fn begin_era(&self, noticed: Travels) -> Result<(), StoreError> {
        let _beginning = self.journal.beginning.lock().await;
        loop {
            let before = *self.journal.page.lock();
            if before.travels != noticed {
                return Ok(());
            }
            let vitals = self.store.vitals().await?;
            let begun_by_others = before.last.is_some_and(|last| last.era != vitals.era.id)
                && !vitals.era.quiet_left(vitals.now).is_zero();
            let era = if begun_by_others {
                vitals.era
            } else {
                let same_store = before.last.is_none_or(|last| last.store == vitals.store);
                let id = EraId::new(vitals.now, &self.random);
                let before = same_store.then_some(vitals.era.id);
                let era = Era { id, began: Some(vitals.now), before, past: vitals.newest };
                if self.store.begin_era(&vitals, &era).await? == Cas::Moved {
                    continue;
                }
                era
            };
            let left = era.quiet_left(vitals.now);
            tracing::error!(wait = ?left, "the store has come back older or empty; what is known is written back, and nobody refreshes meanwhile");
            self.store.forget_written();
            self.journal.page.lock().arrive(&vitals, era);
            self.read_all_again();
            return Ok(());
        }
    }
}

// === impl Page ===

impl Page {
    /// What `vitals` say that was not known. When they were asked for, the store had travelled so often, and its newest
    /// revision was `at_least` this one.
    fn compare(&mut self, vitals: &Vitals, travels: Travels, at_least: Revision) -> News {
        // An answer that was overtaken by the news of a travel says nothing about the store as it is.
        if self.travels != travels {
            return News::Overtaken;
        }
        match &mut self.last {
            None => self.arrive(vitals, vitals.era),
            Some(last) if !last.is_followed_by(vitals, at_least) => return News::Travelled,
            Some(last) => last.newest = last.newest.max(vitals.newest),
        }
        News::Nothing
    }

    /// The store is as `vitals` say, in `era`.
    fn arrive(&mut self, vitals: &Vitals, era: Era) {
        self.last = Some(Last { store: vitals.store, era: era.id, newest: vitals.newest });
        self.travels.0 += 1;
        self.followed = vitals.newest;
        let left = era.quiet_left(vitals.now);
        self.quiet_until = (left > Duration::ZERO).then(|| Instant::now() + left);
    }
}

// === impl Last ===

impl Last {
    /// Whether `vitals` are of the same store in the same era, and not from before `at_least`.
    fn is_followed_by(&self, vitals: &Vitals, at_least: Revision) -> bool {
        self.store == vitals.store && self.era == vitals.era.id && vitals.newest >= at_least
    }
}
