//! The store may come back empty, or older than it was. What tells, and what is done.
//!
//! Whoever notices begins a new era of the store (see [`crate::store::era`]). The era's record says so to everybody
//! else, also to processes that have noticed nothing or start just then. Every slot is read again, which writes back
//! what the store has lost (see [`super::loading`]), and until that is done everywhere nobody refreshes: an older
//! record has a refresh token that is spent.
//!
//! Who was cut off until that was over finds an era that others have begun, and does not begin another: what was
//! written meanwhile is newer than what it holds. But it has its time to write back too, as may more of its kind, and
//! so prolongs the quiet of that era.

use std::{mem, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    failure::{Failure, FailureClass},
    works::Works,
};
use crate::{
    model::{Random, Timestamp},
    store::{
        Cas, StoreError,
        backend::Revision,
        era::{Era, EraId, QUIET, Vitals},
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
    connections: u64,
    /// When, by the store's clock.
    at: Timestamp,
}

/// What an answer of the store tells of its travels.
enum News {
    Nothing,
    /// It came over a new connection, maybe from a server that took another's place. Whether that one has lost writes
    /// cannot be told by counting once it has taken as many new ones.
    Reconnected,
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
                News::Reconnected => {
                    self.backlog.doubt();
                    return Ok(vitals);
                }
                News::Overtaken => {}
                News::Travelled => self.begin_era(before.travels, EraId::FIRST).await?,
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

    /// Begins a new era, unless somebody has done so already. `noticed` is from before what was noticed, and `known`
    /// the era that is known of what was looked at.
    pub(super) async fn begin_era(&self, noticed: Travels, known: EraId) -> Result<(), StoreError> {
        let _beginning = self.journal.beginning.lock().await;
        loop {
            let before = *self.journal.page.lock();
            if before.travels != noticed {
                return Ok(());
            }
            let vitals = self.store.vitals().await?;
            let era = before.next_era(&vitals, known, &self.random);
            if era != vitals.era && self.store.begin_era(&vitals, &era).await? == Cas::Moved {
                continue;
            }
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
            Some(last) => {
                (last.newest, last.at) = (last.newest.max(vitals.newest), vitals.now);
                let connections = mem::replace(&mut last.connections, vitals.connections);
                self.keep_quiet(&vitals.era, vitals.now);
                if connections != vitals.connections {
                    return News::Reconnected;
                }
            }
        }
        News::Nothing
    }

    /// The era that a store is to be in which has travelled since this process looked last, in `known` or later.
    fn next_era(&self, vitals: &Vitals, known: EraId, random: &Random) -> Era {
        let Vitals { store, newest, now, era, .. } = *vitals;
        let same_store = self.last.is_none_or(|last| last.store == store);
        let known = self.last.map_or(known, |last| last.era.max(known));
        let is_quiet = !era.quiet_left(now).is_zero();
        // The era of another store may be from long before that store was put in this one's place.
        let is_news = same_store || is_quiet || self.last.is_some_and(|last| era.id.began() >= last.at);
        if era.id <= known || !is_news {
            let id = EraId::after(known.max(era.id), now, random);
            return Era { id, quiet_since: Some(now), before: same_store.then_some(era.id), past: newest };
        }
        // Whoever comes late has half of the time at least; all but the latest prolong nothing.
        let has_time = era.quiet_left(now) >= QUIET / 2;
        if has_time { era } else { Era { quiet_since: Some(now), ..era } }
    }

    /// The store is as `vitals` say, in `era`.
    fn arrive(&mut self, vitals: &Vitals, era: Era) {
        let Vitals { store, newest, now, connections, .. } = *vitals;
        self.last = Some(Last { store, era: era.id, newest, connections, at: now });
        self.travels.0 += 1;
        self.followed = vitals.newest;
        self.keep_quiet(&era, vitals.now);
    }

    /// Notes until when nobody refreshes in `era`, by the store's time `now`.
    fn keep_quiet(&mut self, era: &Era, now: Timestamp) {
        let left = era.quiet_left(now);
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
