//! What must never be seen, and Flexslot itself, which sees it first.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use parking_lot::Mutex;

use super::{
    lines::Line,
    names::{access_of, name_of, pair_hash, tenant_of},
    stage::Process,
};
use crate::{
    credential::{At, Picked, Refusal},
    model::{
        Clock, Grant, GrantId, GrantState, Secret, TenantId, Timestamp, Version,
        clock::TokioClock,
        token::{Attempt, Intent, Owner},
    },
    store::backend::{Key, Kind},
};

pub(super) struct Monitor {
    pub(super) clock: TokioClock,
    spool: PathBuf,
    pub(super) seen: Mutex<Seen>,
}

/// What a token request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The asker waits.
    Open,
    NotTaken,
    /// The asker cannot know, or is dead.
    Unknown,
    Rotated,
    Revoked,
}

/// A token request by its number.
pub(super) type Question = usize;

#[derive(Default)]
pub(super) struct Seen {
    violation: Option<String>,
    /// Flexslot's own view: a line of rotating refresh tokens for each grant, `name.number`.
    pub(super) lines: HashMap<String, Line>,
    /// Every intent that was ever stored.
    pub(super) intents: Vec<Stored>,
    pub(super) questions: Vec<Asked>,
    owners: HashMap<Process, Owner>,
    /// Dead processes whose instance lock is free.
    pub(super) gone: Vec<Owner>,
    /// Grants that were removed, replaced or disconnected in the store.
    pub(super) over: HashSet<GrantId>,
    /// Pairs that a process has offered to the store, with whatever success, or found there.
    offered: HashSet<(Process, GrantId, Version)>,
    /// Whose grant could not be read since the process was given a pair of it.
    unread: HashSet<(Process, TenantId)>,
    stored: HashSet<(GrantId, Version)>,
    /// Whose grant that was or is.
    tenants: HashMap<GrantId, TenantId>,
    /// Tokens that were answered with 401.
    pub(super) refused: HashSet<(GrantId, Version)>,
    /// What each process has handed out last, and what it has said of it that it is over.
    shown: HashMap<(Process, TenantId), At>,
    ended: HashMap<(Process, TenantId), At>,
    /// The store has come back, and what is held is written back.
    calm: bool,
    /// Lines of which the store has an older pair because nobody alive had the newer one.
    pub(super) lost: HashSet<String>,
    /// Tenants whose last grant came by a consent, and which line that is of.
    consents: HashMap<TenantId, String>,
    /// Grants that somebody has disconnected here.
    disconnected: HashSet<GrantId>,
    /// Those that are their tenants' last, and whose ends the store has not travelled away from.
    leftover: HashMap<TenantId, Leftover>,
    /// Who has whose lease, and what lay in the spool when they won it.
    pub(super) elected: HashMap<(Process, TenantId), Vec<String>>,
}

/// A grant as it was when it was disconnected.
struct Leftover {
    line: String,
    number: u64,
    at: Timestamp,
}

pub(super) struct Stored {
    pub(super) intent: Intent,
    pub(super) question: Option<Question>,
}

pub(super) struct Asked {
    pub(super) token: String,
    attempt: Attempt,
    pub(super) outcome: Outcome,
    /// The number that it rotated to.
    pub(super) number: u64,
    /// Who has been told that the grant is revoked.
    told: Option<Process>,
}

// === impl Monitor ===

impl Monitor {
    pub(super) fn new(clock: TokioClock, spool: PathBuf) -> Self {
        Self { clock, spool, seen: Mutex::default() }
    }

    /// What was seen that must not be.
    pub(super) fn violation(&self) -> Option<String> {
        self.seen.lock().violation.clone()
    }

    pub(super) fn violate(&self, what: String) {
        self.seen.lock().violate(what);
    }

    // --- token requests ---

    /// A process is about to present `refresh`.
    pub(super) fn asked(&self, process: Process, refresh: &Secret) -> Question {
        let mut seen = self.seen.lock();
        let token = refresh.expose().to_owned();
        let hash = pair_hash(refresh);
        let question = seen.questions.len();
        let owner = seen.owners.get(&process).cloned();
        let stored = seen.intents.iter_mut().rev().find(|stored| {
            stored.question.is_none()
                && stored.intent.refresh_hash == hash
                && Some(&stored.intent.owner) == owner.as_ref()
        });
        let attempt = stored.map(|stored| {
            stored.question = Some(question);
            stored.intent.attempt
        });
        let attempt = attempt.unwrap_or_else(|| {
            seen.violate(format!("{process} presents {token} without a stored intent"));
            Attempt::First
        });
        let earlier = |asked: &&Asked| asked.token == token && asked.outcome != Outcome::NotTaken;
        let times = seen.questions.iter().filter(earlier).count() + 1;
        let last_resorts = seen.questions.iter().filter(earlier).filter(|asked| asked.attempt == Attempt::LastResort);
        let one_too_many = times > 1 && (attempt == Attempt::First || last_resorts.count() > 0);
        if one_too_many && !seen.lost.contains(&name_of(refresh).0) {
            seen.violate(format!("{process} presents {token} for the {times}. time, as {attempt:?}"));
        }
        if seen.questions.iter().any(|asked| asked.token == token && asked.told == Some(process)) {
            seen.violate(format!("{process} presents {token} though it was told that it is revoked"));
        }
        seen.questions.push(Asked { token, attempt, outcome: Outcome::Open, number: 0, told: None });
        question
    }

    pub(super) fn ended(&self, question: Question, outcome: Outcome) {
        self.seen.lock().questions[question].outcome = outcome;
    }

    pub(super) fn told_revoked(&self, process: Process, question: Question) {
        self.seen.lock().questions[question].told = Some(process);
    }

    pub(super) fn delivered(&self, process: Process, question: Question) {
        let mut seen = self.seen.lock();
        let Asked { token, number, .. } = &seen.questions[question];
        let (name, number) = (name_of(&Secret::new(token.clone())).0, *number);
        seen.line(&name).delivered.insert(number, process);
        let tenant = tenant_of(&name);
        seen.unread.retain(|unread| *unread != (process, tenant.clone()));
    }

    // --- processes ---

    pub(super) fn born(&self, process: Process, owner: Owner) {
        self.seen.lock().owners.insert(process, owner);
    }

    /// `process` is dead; with `proof` its lock is free.
    pub(super) fn died(&self, process: Process, proof: bool) {
        let mut seen = self.seen.lock();
        let owner = seen.owners[&process].clone();
        let questions: Vec<_> = seen.intents.iter().filter(|stored| stored.intent.owner == owner).collect();
        let questions: Vec<_> = questions.into_iter().filter_map(|stored| stored.question).collect();
        for question in questions {
            let outcome = &mut seen.questions[question].outcome;
            if *outcome == Outcome::Open {
                *outcome = Outcome::Unknown;
            }
        }
        if proof {
            seen.gone.push(owner);
        }
    }

    pub(super) fn elected(&self, process: Process, tenant: &TenantId) {
        let spooled = self.spooled();
        self.seen.lock().elected.entry((process, tenant.clone())).or_insert(spooled);
    }

    pub(super) fn resigned(&self, process: Process, tenant: &TenantId) {
        self.seen.lock().elected.remove(&(process, tenant.clone()));
    }

    pub(super) fn offered(&self, process: Process, grant: GrantId, version: Version) {
        self.seen.lock().offered.insert((process, grant, version));
    }

    /// The store has not let a process read `keys`. A grant and the store's key are read before a pair is written: not
    /// to be let read them counts as an offer of the pair that the process was given last.
    pub(super) fn refused_to_read(&self, process: Process, keys: &[Key]) {
        let mut seen = self.seen.lock();
        let tenants: HashSet<_> = seen.lines.keys().map(|line| tenant_of(line)).collect();
        let is_needed = |tenant: &TenantId| {
            keys.iter().any(|key| [Key::new(Kind::Meta, "key"), Key::new(Kind::Grant, tenant.as_str())].contains(key))
        };
        seen.unread.extend(tenants.into_iter().filter(is_needed).map(|tenant| (process, tenant)));
    }

    pub(super) fn spooled(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.spool).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    // --- the record ---

    /// Somebody has written a tenant's grant.
    pub(super) fn written(&self, process: Process, tenant: &TenantId, before: &GrantState, after: &GrantState) {
        let now = self.clock.now();
        let mut seen = self.seen.lock();
        if seen.calm {
            return seen.note(before, after);
        }
        if let Err(what) = seen.transition(process, tenant, before, after, now) {
            seen.violate(format!("{process} makes of {tenant} {}: {what}", short(after)));
        }
        seen.note(before, after);
    }

    /// Somebody connected, removed or replaced by a command.
    pub(super) fn commanded(&self, before: &GrantState, after: &GrantState) {
        self.seen.lock().note(before, after);
    }

    // --- what is revoked ---

    /// Somebody has put another grant in the place of whatever `tenant` had, by a consent or otherwise.
    pub(super) fn replaced(&self, tenant: &TenantId, by_consent: Option<String>) {
        let mut seen = self.seen.lock();
        seen.leftover.remove(tenant);
        match by_consent {
            Some(line) => drop(seen.consents.insert(tenant.clone(), line)),
            None => drop(seen.consents.remove(tenant)),
        }
    }

    /// Somebody has disconnected `tenant`, which had this grant.
    pub(super) fn disconnected(&self, tenant: &TenantId, grant: &Grant) {
        let (line, number) = name_of(&grant.tokens.refresh);
        let at = self.clock.now();
        let mut seen = self.seen.lock();
        seen.consents.remove(tenant);
        seen.disconnected.insert(grant.id);
        seen.leftover.insert(tenant.clone(), Leftover { line, number, at });
    }

    /// The store has travelled: what was to be revoked may be forgotten, and what was dropped may be back.
    pub(super) fn forget_what_is_to_be_revoked(&self) {
        let mut seen = self.seen.lock();
        seen.consents.clear();
        seen.leftover.clear();
    }

    /// A process revokes `refresh`: never the grant that is in use, and never one before a later consent.
    pub(super) fn may_revoke(
        &self,
        process: Process,
        refresh: &Secret,
        grant_of: impl FnOnce(&TenantId) -> GrantState,
    ) {
        let (line, _) = name_of(refresh);
        let tenant = tenant_of(&line);
        let in_use = grant_of(&tenant).grant().is_some_and(|grant| name_of(&grant.tokens.refresh).0 == line);
        let mut seen = self.seen.lock();
        if in_use {
            seen.violate(format!("{process} revokes {line}, which is in use"));
        }
        if let Some(later) = seen.consents.get(&tenant).filter(|later| **later != line) {
            let what = format!("{process} revokes {line} of {tenant}, which has {later} since");
            seen.violate(what);
        }
    }

    /// What was disconnected and could have been revoked, and is not.
    pub(super) fn left_over(&self, alive: &[Process], long_ago: Timestamp) -> Option<String> {
        let seen = self.seen.lock();
        let spooled = self.spooled();
        seen.leftover.iter().find_map(|(tenant, Leftover { line, number, at })| {
            let found = &seen.lines[line];
            let holder = found.delivered.get(&found.current);
            let is_known = found.current == *number || holder.is_some_and(|holder| alive.contains(holder));
            let left = !found.revoked && is_known && *at > long_ago && !seen.lost.contains(line);
            left.then(|| {
                format!("{tenant}'s {line}.{} was disconnected and is not revoked; spool: {spooled:?}", found.current)
            })
        })
    }

    pub(super) fn set_calm(&self, calm: bool) {
        self.seen.lock().calm = calm;
    }

    /// Whether the token request of `intent` was made, and was not provably without effect.
    pub(super) fn may_be_spent(&self, intent: &Intent) -> bool {
        self.seen.lock().outcome(intent).is_some_and(|outcome| outcome != Outcome::NotTaken)
    }

    /// Somebody who is cut off knows more of a stored grant than the store.
    pub(super) fn lose(&self, grant: &Grant) {
        self.seen.lock().lost.insert(name_of(&grant.tokens.refresh).0);
    }

    /// Takes what the store has after its travel for what it should have. Where that is less than there was, nobody
    /// alive knew more.
    pub(super) fn accept(&self, tenant: &TenantId, state: &GrantState) {
        let mut seen = self.seen.lock();
        // Which grant took whose place while the store was away, nobody has looked at.
        seen.shown.retain(|(_, of), at| of != tenant || state.id().is_none_or(|id| id == at.grant));
        let grant = match state {
            GrantState::NeverConnected => return,
            GrantState::Disconnected(end) => {
                seen.over.insert(end.id);
                return;
            }
            GrantState::Connected(grant) | GrantState::Uncertain(grant, _) => grant,
        };
        seen.over.remove(&grant.id);
        let token = grant.tokens.refresh.expose();
        let made = |attempt| {
            let made =
                |asked: &&Asked| asked.token == token && asked.attempt == attempt && asked.outcome != Outcome::NotTaken;
            seen.questions.iter().find(made).is_some()
        };
        let more_than_known = match state {
            GrantState::Uncertain(_, intent) if intent.attempt == Attempt::LastResort => false,
            GrantState::Uncertain(..) => made(Attempt::LastResort),
            _ => made(Attempt::First) || made(Attempt::LastResort),
        };
        if more_than_known {
            seen.lost.insert(name_of(&grant.tokens.refresh).0);
        }
    }

    /// The store has come back without a grant of `tenant`, and nobody alive has one: then nobody knows either which were
    /// over, except by a tombstone, and a spooled pair of any other may come back.
    pub(super) fn know_nothing_of(&self, tenant: &TenantId, is_buried: impl Fn(GrantId) -> bool) {
        let mut seen = self.seen.lock();
        let Seen { over, tenants, .. } = &mut *seen;
        over.retain(|id| tenants.get(id) != Some(tenant) || is_buried(*id));
    }

    // --- requests ---

    /// A request got a credential or none: what a process hands out never goes back, has not expired, and was offered
    /// to the store or spooled before.
    pub(super) fn answered(&self, process: Process, tenant: &TenantId, answer: &Result<Picked, Refusal>) {
        let mut seen = self.seen.lock();
        let here = (process, tenant.clone());
        match answer {
            Ok(picked) => {
                if let (Some(at), Some((name, number))) = (picked.at, access_of(picked)) {
                    let token = format!("at.{name}.{number}");
                    let spooled = self.spooled().contains(&format!("{}-{}.pair", at.grant, at.version));
                    if let Err(what) = seen.may_hand_out(&here, at, (&name, number), spooled, self.clock.now()) {
                        seen.violate(format!("{process} hands out {token} of {tenant}, {what}"));
                    }
                    seen.shown.insert(here, at);
                }
            }
            Err(Refusal::ReconnectRequired(_)) => {
                if let Some(at) = seen.shown.get(&here).copied() {
                    seen.ended.insert(here, at);
                }
            }
            Err(_) => {}
        }
    }

    pub(super) fn answered_401(&self, at: At) {
        self.seen.lock().refused.insert((at.grant, at.version));
    }
}

// === impl Seen ===

impl Seen {
    /// Whether somebody has disconnected it here.
    pub(super) fn was_disconnected(&self, grant: GrantId) -> bool {
        self.disconnected.contains(&grant)
    }

    fn violate(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    pub(super) fn line(&mut self, name: &str) -> &mut Line {
        self.lines.get_mut(name).expect("a line that was issued")
    }

    fn note(&mut self, before: &GrantState, after: &GrantState) {
        let id = |state: &GrantState| state.grant().map(|grant| grant.id);
        if let Some(old) = id(before).filter(|old| id(after) != Some(*old) && !self.calm) {
            self.over.insert(old);
        }
        if let Some(grant) = after.grant() {
            self.stored.insert((grant.id, grant.version));
            self.tenants.insert(grant.id, tenant_of(&name_of(&grant.tokens.refresh).0));
        }
        if let GrantState::Uncertain(_, intent) = after
            && self.intents.iter().all(|stored| stored.intent != *intent)
        {
            self.intents.push(Stored { intent: intent.clone(), question: None });
        }
    }

    fn may_hand_out(
        &self,
        here: &(Process, TenantId),
        at: At,
        (line, number): (&str, u64),
        spooled: bool,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        if self.lines[line].expires.get(number as usize).is_none_or(|end| *end <= now) {
            return Err("which has expired");
        }
        let offered = self.unread.contains(here) || self.offered.contains(&(here.0, at.grant, at.version));
        if !offered && !spooled && !self.stored.contains(&(at.grant, at.version)) {
            return Err("before it was kept");
        }
        if self.ended.get(here).is_some_and(|ended| ended.grant == at.grant && ended.version >= at.version) {
            return Err("of which it has said that it is over");
        }
        match self.shown.get(here) {
            Some(shown) if shown.grant == at.grant && shown.version > at.version => Err("after a newer one"),
            Some(shown)
                if shown.grant != at.grant && self.over.contains(&at.grant) && !self.over.contains(&shown.grant) =>
            {
                Err("after another grant's that took its place")
            }
            _ => Ok(()),
        }
    }
}

fn short(state: &GrantState) -> String {
    match state {
        GrantState::NeverConnected => "nothing".into(),
        GrantState::Connected(grant) => format!("connected v{}", grant.version),
        GrantState::Uncertain(grant, intent) => format!("uncertain v{} ({:?})", grant.version, intent.attempt),
        GrantState::Disconnected(end) => format!("disconnected v{} ({:?})", end.version, end.reason),
    }
}
