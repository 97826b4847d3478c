//! The store comes back empty, or as it was some time ago.
//!
//! Connections are cut before. Afterwards somebody notices before anybody writes; then every process, but for one that
//! may be [cut off](super::cut_off), gets through to the store for as long as nobody may refresh, in any order, while
//! token requests go on as they like; nobody dies, starts or commands meanwhile. Then the store must have what the best
//! informed of those who got through had.

use std::time::Duration;

use tokio::time::advance;

use super::{
    play::{Play, TENANTS, TOKEN_FAULTS},
    stage::{Fate, Kind, Process, at_once},
};
use crate::{
    credential::{Credentials, tests::world::tenant},
    model::{Grant, GrantId, GrantState, TenantId, token::Attempt},
    store::{
        Known, KnownGrant, KnownPat, StoredPat,
        backend::{Backend, Revision},
        era::{EraId, era_key},
    },
};

/// How often connections are cut before the store goes: until nobody asks for anything any more.
const CUTS: usize = 30;

/// For how many tenths of a second nobody is faster than those who notice.
const NOTICING: usize = 12;

/// For how many tenths of a second everybody gets through.
const CALM: usize = 130;

/// What the living, and the copy, had of a tenant.
struct Witness {
    who: String,
    grant: KnownGrant,
    pat: KnownPat,
    era: Option<EraId>,
    grant_at: Option<Revision>,
    pat_at: Option<Revision>,
}

// === impl Play ===

impl Play {
    /// Keeps a copy of the store, to come back to.
    pub(super) fn copy(&mut self) {
        self.note("the store is copied");
        self.copy = Some(self.shared.backend.snapshot());
    }

    pub(super) async fn travel(&mut self) {
        self.outage = false;
        for _ in 0..CUTS {
            if !self.shared.stage.cut(&mut self.dice) {
                break;
            }
            self.settle(4).await;
        }
        let copy = self.copy.clone().filter(|_| self.dice.percent(70));
        self.note(if copy.is_some() { "the store comes back older" } else { "the store comes back empty" });
        let store_before = at_once(self.shared.backend.store_id());
        match &copy {
            Some(copy) => self.shared.backend.restore(copy.clone()),
            None => self.shared.backend.empty(&self.dice.random()),
        }
        self.shared.forget_opened();
        self.shared.monitor.forget_what_is_to_be_revoked();
        let newest = at_once(self.shared.backend.pulse(&era_key())).expect("answers").newest;
        self.cut_somebody_off(copy.is_some().then_some(newest));
        let mut witnesses: Vec<_> = TENANTS.map(|name| self.living(&tenant(name))).into();
        if copy.is_some() && self.lives().iter().all(|(_, it)| it.newest() <= newest) {
            self.note("nobody alive can notice");
            TENANTS.iter().for_each(|name| self.accept(name));
        }
        for (name, witnesses) in TENANTS.iter().zip(&mut witnesses) {
            let mut copy = Witness::new("the copy".into(), self.shared.known_of(&tenant(name)));
            if at_once(self.shared.backend.store_id()) != store_before {
                copy.era = None;
            }
            witnesses.push(copy);
            for witness in witnesses {
                // What has a tombstone is never written back.
                if matches!(&witness.grant, KnownGrant::Live(grant, _) if self.shared.is_buried(grant.id)) {
                    witness.grant = KnownGrant::Nothing;
                }
            }
        }
        self.shared.monitor.set_calm(true);
        self.everybody_has_time().await;
        self.shared.monitor.set_calm(false);
        for (name, witnesses) in TENANTS.iter().zip(witnesses) {
            self.nothing_is_lost(name, &witnesses);
        }
        self.note("the store is as it should be");
        self.the_others_are_done();
    }

    /// Everybody gets through, and has the time that an era's quiet gives.
    pub(super) async fn everybody_has_time(&mut self) {
        for tenth in 0..CALM {
            self.everybody_gets_through(tenth < NOTICING).await;
            advance(Duration::from_millis(100)).await;
        }
    }

    /// Gives a turn to all, or to those who look around.
    async fn everybody_gets_through(&mut self, only_to_look: bool) {
        let may = |kind, what: &str| !only_to_look || kind == Kind::Read || what.contains("write meta");
        for _ in 0..60 {
            let fates = |dice: &mut super::dice::Dice, kind| match kind {
                Kind::Token if dice.percent(20) => dice.one_of(&TOKEN_FAULTS),
                _ => Fate::Done,
            };
            match self.shared.stage.give_a_turn_to(&mut self.dice, may, fates) {
                Some(what) => self.note(what),
                None => return,
            }
            self.settle(4).await;
        }
    }

    /// What the living processes know of a tenant that are not cut off.
    fn living(&self, tenant: &TenantId) -> Vec<Witness> {
        let known =
            |(process, it): (Process, Credentials)| Some(Witness::new(format!("process {process}"), it.known(tenant)?));
        let cut_off = self.cut_off.as_ref().map(|cut_off| cut_off.process);
        self.lives().into_iter().filter(|(process, _)| Some(*process) != cut_off).filter_map(known).collect()
    }

    fn nothing_is_lost(&mut self, name: &str, witnesses: &[Witness]) {
        let state = self.shared.grant_of(&tenant(name));
        let monitor = &self.shared.monitor;
        let violate = |who: &str, what: &str| {
            monitor.violate(format!("after the store came back, of {name} {what}, as {who} knew; it has {state:?}"));
        };
        for witness in witnesses.iter().filter(|witness| over(&witness.grant).is_some()) {
            if over(&witness.grant) == state.grant().map(|grant| grant.id) {
                violate(&witness.who, "what was over is back");
            }
        }
        let best = witnesses.iter().filter(|witness| !matches!(witness.grant, KnownGrant::Nothing));
        let best = best.max_by_key(|witness| (witness.era, witness.grant_at, rank(&witness.grant)));
        if let Some(Witness { who, grant: KnownGrant::Live(grant, intent), .. }) = best
            && !monitor.is_lost(grant)
        {
            let kept = match &state {
                GrantState::Connected(stored) | GrantState::Uncertain(stored, _) => {
                    let forgotten = stored.version == grant.version
                        && intent.as_ref().is_some_and(|intent| {
                            !matches!(&state, GrantState::Uncertain(_, stored) if stored.attempt == intent.attempt
                                || stored.attempt == Attempt::LastResort)
                                && monitor.may_be_spent(intent)
                        });
                    stored.id == grant.id && stored.version >= grant.version && !forgotten
                }
                GrantState::Disconnected(end) => end.id == grant.id && !monitor.is_good(grant),
                GrantState::NeverConnected => false,
            };
            if !kept {
                violate(who, "something is lost");
            }
        }
        let pats = witnesses.iter().filter(|witness| !matches!(witness.pat, KnownPat::Nothing));
        if let Some(best) = pats.max_by_key(|witness| (witness.era, witness.pat_at)) {
            let kept: Option<&StoredPat> = match &best.pat {
                KnownPat::Stored(pat) => Some(pat),
                KnownPat::Removed | KnownPat::Nothing => None,
            };
            if self.shared.pat_of(&tenant(name)).as_ref() != kept {
                violate(&best.who, "the PAT is another one");
            }
        }
        self.accept(name);
    }

    /// What nobody alive knew nobody could write back.
    pub(super) fn accept(&self, name: &str) {
        let tenant = tenant(name);
        let monitor = &self.shared.monitor;
        monitor.accept(&tenant, &self.shared.grant_of(&tenant));
        if matches!(self.shared.known_of(&tenant).grant, KnownGrant::Nothing) {
            monitor.know_nothing_of(&tenant, |grant| self.shared.is_buried(grant));
        }
    }
}

// === impl Witness ===

impl Witness {
    fn new(who: String, known: Known) -> Self {
        let Known { grant, pat, era, grant_at, pat_at, .. } = known;
        Self { who, grant, pat, era, grant_at, pat_at }
    }
}

fn over(known: &KnownGrant) -> Option<GrantId> {
    match known {
        KnownGrant::Ended(end) => Some(end.id),
        KnownGrant::Removed(id) => Some(*id),
        KnownGrant::Nothing | KnownGrant::Live(..) => None,
    }
}

fn rank(known: &KnownGrant) -> (u64, u8) {
    match known {
        KnownGrant::Live(Grant { version, .. }, intent) => (version.number(), u8::from(intent.is_some())),
        KnownGrant::Ended(_) | KnownGrant::Removed(_) => (u64::MAX, 0),
        KnownGrant::Nothing => (0, 0),
    }
}
