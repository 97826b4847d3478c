//! One process is cut off while the store comes back, and gets through again when the others are long done.
//!
//! What it alone knew, others may meanwhile have gone behind: a token that it knows spent may have been presented. But
//! what was commanded meanwhile it must not undo, and what nobody else had it must write back.

use std::collections::HashSet;

use super::{
    play::{Play, TENANTS, WITH_PAT},
    stage::{Process, at_once},
};
use crate::{
    credential::{Credentials, tests::world::tenant},
    model::{Grant, GrantState, token::Intent},
    store::{Known, KnownGrant, KnownPat, backend::Revision, era::EraId},
};

pub(super) struct CutOff {
    pub(super) process: Process,
    /// How many steps are left until it gets through.
    steps: usize,
    /// Whose grant, and whether the PAT, was written by a command meanwhile.
    pub(super) commanded: HashSet<String>,
    pub(super) commanded_pat: bool,
}

// === impl Play ===

impl Play {
    /// Cuts somebody off, if somebody else notices that the store has come back; its copy's newest revision is `copy`.
    pub(super) fn cut_somebody_off(&mut self, copy: Option<Revision>) {
        let lives = self.lives();
        if lives.len() < 2 || !self.dice.percent(40) {
            return;
        }
        let (process, _) = &lives[self.dice.below(lives.len())];
        let notices = |it: &Credentials| copy.is_none_or(|copy| it.newest() > copy);
        if lives.iter().any(|(other, it)| other != process && notices(it)) {
            self.note(format!("{process} is cut off"));
            self.shared.stage.cut_off(Some(*process));
            let steps = 20 + self.dice.below(80);
            let (commanded, commanded_pat) = Default::default();
            self.cut_off = Some(CutOff { process: *process, steps, commanded, commanded_pat });
        }
    }

    /// The others are done. What the one that is cut off knows more, nobody can go by.
    pub(super) fn the_others_are_done(&mut self) {
        let Some(it) = self.the_cut_off() else { return };
        let era = at_once(self.shared.store.vitals()).expect("answers").era.id;
        for name in TENANTS {
            let Some(Known { grant: KnownGrant::Live(grant, intent), .. }) = it.known(&tenant(name)) else { continue };
            if !is_as(&self.shared.grant_of(&tenant(name)), &grant, intent.as_ref()) {
                self.shared.monitor.lose(&grant);
            }
        }
        let known = TENANTS.iter().filter_map(|name| it.known(&tenant(name))?.era).max().unwrap_or(EraId::FIRST);
        if era <= known {
            self.end_cut();
        }
    }

    pub(super) fn end_cut(&mut self) {
        self.shared.stage.cut_off(None);
        self.cut_off = None;
    }

    /// A step has passed.
    pub(super) async fn cut_for_a_step_less(&mut self) {
        let Some(cut_off) = &mut self.cut_off else { return };
        cut_off.steps = cut_off.steps.saturating_sub(1);
        if cut_off.steps == 0 {
            self.come_back().await;
        }
    }

    /// It gets through again.
    pub(super) async fn come_back(&mut self) {
        let Some(it) = self.the_cut_off() else { return };
        let Some(CutOff { process, commanded, commanded_pat, .. }) = self.cut_off.take() else { return };
        self.note(format!("{process} is not cut off any more"));
        self.outage = false;
        self.shared.stage.cut_off(None);
        let before = TENANTS.map(|name| self.shared.known_of(&tenant(name)));
        let held = TENANTS.map(|name| it.known(&tenant(name)).unwrap_or_default());
        self.shared.monitor.set_calm(true);
        self.everybody_has_time().await;
        self.shared.monitor.set_calm(false);
        for ((name, before), held) in TENANTS.iter().zip(before).zip(held) {
            let commanded = (commanded.contains(*name), commanded_pat && *name == WITH_PAT);
            self.nothing_is_undone(name, commanded, &before, &held);
            self.accept(name);
        }
        self.note("what was commanded meanwhile is not undone");
    }

    fn nothing_is_undone(&self, name: &str, (grant, pat): (bool, bool), before: &Known, held: &Known) {
        let state = self.shared.grant_of(&tenant(name));
        let violate = |what: &str| {
            self.shared
                .monitor
                .violate(format!("who was cut off has come back, and of {name} {what}; it has {state:?}"));
        };
        match (&before.grant, &held.grant) {
            (KnownGrant::Live(newer, _), _) if grant && state.id() != Some(newer.id) => {
                violate("what was connected meanwhile is undone");
            }
            (KnownGrant::Removed(_) | KnownGrant::Ended(_), _) if grant && state.grant().is_some() => {
                violate("what was removed meanwhile is back");
            }
            (KnownGrant::Nothing, KnownGrant::Live(ours, _))
                if !self.shared.is_buried(ours.id) && state.id() != Some(ours.id) =>
            {
                violate("what it alone held is lost");
            }
            _ => {}
        }
        let stored = self.shared.pat_of(&tenant(name));
        let right = match (&before.pat, &held.pat) {
            (KnownPat::Stored(newer), _) if pat => stored.as_ref() == Some(newer),
            (KnownPat::Removed, _) if pat => stored.is_none(),
            (KnownPat::Nothing, KnownPat::Stored(ours)) => stored.as_ref() == Some(ours),
            _ => true,
        };
        if !right {
            violate("the PAT is another one");
        }
    }

    fn the_cut_off(&self) -> Option<Credentials> {
        let cut_off = self.cut_off.as_ref()?;
        self.lives().into_iter().find(|(process, _)| *process == cut_off.process).map(|(_, it)| it)
    }
}

fn is_as(state: &GrantState, grant: &Grant, intent: Option<&Intent>) -> bool {
    let stored = match state {
        GrantState::Uncertain(_, stored) => Some(stored),
        GrantState::NeverConnected | GrantState::Connected(_) | GrantState::Disconnected(_) => None,
    };
    state.grant().is_some_and(|stored| (stored.id, stored.version) == (grant.id, grant.version)) && stored == intent
}
