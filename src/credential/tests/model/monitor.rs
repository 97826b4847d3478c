//! What must never be seen, and Flexslot itself, which sees it first.
//!
//! The monitor knows the life of a grant's record and checks each write against it:
//!
//! ```text
//! connected v ──intent──▶ uncertain v ──200──▶ connected v+1
//!      ▲                   │  ▲    │
//!      └──not taken────────┘  │    ├──invalid_grant──────────────▶ disconnected
//!                last resort ─┘    └──last resort, no outcome────▶ disconnected
//! ```

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    time::Duration,
};

use parking_lot::Mutex;

use super::stage::Process;
use crate::{
    credential::{At, Picked, Refusal},
    flexslot::{TokenAnswer, TokenError},
    model::{
        Clock, Grant, GrantId, GrantState, Secret, TenantId, Timestamp, TokenSet, TokenType, Version,
        clock::TokioClock,
        token::{Attempt, DisconnectReason, Disconnected, Intent, Owner},
    },
};

/// `refresh.uncertain_after`'s default.
const UNCERTAIN_AFTER: Duration = Duration::from_secs(120);

/// How far a process's idea of the store's time may be ahead: it counts the store's slowness in.
const AHEAD: Duration = Duration::from_secs(25);

pub(super) struct Monitor {
    clock: TokioClock,
    spool: PathBuf,
    seen: Mutex<Seen>,
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
struct Seen {
    violation: Option<String>,
    /// Flexslot's own view: a line of rotating refresh tokens for each grant, `name.number`.
    lines: HashMap<String, Line>,
    /// Every intent that was ever stored.
    intents: Vec<Stored>,
    questions: Vec<Asked>,
    owners: HashMap<Process, Owner>,
    /// Dead processes whose instance lock is free.
    gone: Vec<Owner>,
    /// Grants that were removed, replaced or disconnected in the store.
    over: HashSet<GrantId>,
    /// Pairs that a process has offered to the store, with whatever success, or found there.
    offered: HashSet<(Process, GrantId, Version)>,
    stored: HashSet<(GrantId, Version)>,
    /// Tokens that were answered with 401.
    refused: HashSet<(GrantId, Version)>,
    /// What each process has handed out last, and what it has said of it that it is over.
    shown: HashMap<(Process, TenantId), At>,
    ended: HashMap<(Process, TenantId), At>,
    /// Who has whose lease, and what lay in the spool when they won it.
    elected: HashMap<(Process, TenantId), Vec<String>>,
}

struct Line {
    current: u64,
    revoked: bool,
    expires: Vec<Timestamp>,
    /// Which process got the answer with the pair of that number.
    delivered: HashMap<u64, Process>,
}

struct Stored {
    intent: Intent,
    question: Option<Question>,
}

struct Asked {
    token: String,
    attempt: Attempt,
    outcome: Outcome,
    /// The number that it rotated to.
    number: u64,
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

    // --- Flexslot ---

    /// The pair that a consent yields.
    pub(super) fn issue(&self, line: &str, life: Duration) -> TokenSet {
        let expires_at = self.clock.now().plus(life);
        let new = Line { current: 0, revoked: false, expires: vec![expires_at], delivered: HashMap::new() };
        self.seen.lock().lines.insert(line.to_owned(), new);
        pair(line, 0, expires_at)
    }

    /// The user revokes a grant.
    pub(super) fn revoke(&self, grant: &Grant) {
        let (name, _) = name_of(&grant.tokens.refresh);
        self.seen.lock().line(&name).revoked = true;
    }

    /// Whether Flexslot takes an access token now.
    pub(super) fn takes(&self, picked: &Picked) -> bool {
        let seen = self.seen.lock();
        let Some((name, number)) = access_of(picked) else { return true };
        let line = &seen.lines[&name];
        !line.revoked && line.expires.get(number as usize).is_some_and(|end| *end > self.clock.now())
    }

    pub(super) fn rotate(&self, question: Question, refresh: &Secret) -> Result<TokenAnswer, TokenError> {
        let (name, number) = name_of(refresh);
        let expires_at = self.clock.now().plus(Duration::from_secs(3600));
        let mut seen = self.seen.lock();
        let line = seen.line(&name);
        // A spent token revokes the grant.
        line.revoked |= number != line.current;
        if line.revoked {
            seen.questions[question].outcome = Outcome::Revoked;
            return Err(TokenError::Revoked);
        }
        line.current += 1;
        let next = line.current;
        line.expires.push(expires_at);
        seen.questions[question].outcome = Outcome::Rotated;
        seen.questions[question].number = next;
        Ok(TokenAnswer {
            access: Secret::new(format!("at.{name}.{next}")),
            refresh: Some(Secret::new(format!("{name}.{next}"))),
            token_type: TokenType::Bearer,
            expires_in: Some(Duration::from_secs(3600)),
            scope: None,
        })
    }

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
        let earlier: Vec<_> =
            seen.questions.iter().filter(|asked| asked.token == token && asked.outcome != Outcome::NotTaken).collect();
        let second_last_resort = earlier.iter().any(|asked| asked.attempt == Attempt::LastResort);
        if !earlier.is_empty() && (attempt == Attempt::First || second_last_resort) {
            let times = earlier.len() + 1;
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

    fn spooled(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.spool).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    // --- the record ---

    /// Somebody has written a tenant's grant.
    pub(super) fn written(&self, process: Process, tenant: &TenantId, before: &GrantState, after: &GrantState) {
        let now = self.clock.now();
        let mut seen = self.seen.lock();
        if let Err(what) = seen.transition(process, tenant, before, after, now) {
            seen.violate(format!("{process} makes of {tenant} {}: {what}", short(after)));
        }
        seen.note(before, after);
    }

    /// Somebody connected, removed or replaced by a command.
    pub(super) fn commanded(&self, before: &GrantState, after: &GrantState) {
        self.seen.lock().note(before, after);
    }

    // --- requests ---

    /// A request got a credential or none: what a process hands out never goes back, has not expired, and was offered to the store before.
    pub(super) fn answered(&self, process: Process, tenant: &TenantId, answer: &Result<Picked, Refusal>) {
        let mut seen = self.seen.lock();
        let here = (process, tenant.clone());
        match answer {
            Ok(picked) => {
                if let (Some(at), Some((name, number))) = (picked.at, access_of(picked)) {
                    let token = format!("at.{name}.{number}");
                    if let Err(what) = seen.may_hand_out(&here, at, &name, number, self.clock.now()) {
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

    // --- the end ---

    /// Whether a stored grant's newest pair is in the store and good.
    pub(super) fn is_good(&self, grant: &Grant) -> bool {
        let (name, number) = name_of(&grant.tokens.refresh);
        let seen = self.seen.lock();
        let line = &seen.lines[&name];
        !line.revoked && line.current == number
    }

    /// Why a grant whose newest pair never reached the store should have reached it, if it should.
    pub(super) fn wrongly_lost(&self, grant: &Grant, alive: &[Process]) -> Option<String> {
        let (name, number) = name_of(&grant.tokens.refresh);
        let seen = self.seen.lock();
        let line = &seen.lines[&name];
        if line.current == number {
            return None;
        }
        let holder = line.delivered.get(&line.current)?;
        let file = format!("{}-{}.pair", grant.id, line.current + 1);
        let spooled = self.spooled().contains(&file);
        (alive.contains(holder) || spooled).then(|| {
            format!(
                "{name}.{} was given to {holder} and the store still has {name}.{number}; in the spool: {spooled}",
                line.current
            )
        })
    }
}

// === impl Seen ===

impl Seen {
    fn violate(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    fn line(&mut self, name: &str) -> &mut Line {
        self.lines.get_mut(name).expect("a line that was issued")
    }

    fn note(&mut self, before: &GrantState, after: &GrantState) {
        let id = |state: &GrantState| state.grant().map(|grant| grant.id);
        if let Some(old) = id(before).filter(|old| id(after) != Some(*old)) {
            self.over.insert(old);
        }
        if let Some(grant) = after.grant() {
            self.stored.insert((grant.id, grant.version));
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
        line: &str,
        number: u64,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        if self.lines[line].expires.get(number as usize).is_none_or(|end| *end <= now) {
            return Err("which has expired");
        }
        let offered = self.offered.contains(&(here.0, at.grant, at.version));
        if !offered && !self.stored.contains(&(at.grant, at.version)) {
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

    /// What became of the token request of `intent`; `None` if it was never made.
    fn outcome(&self, intent: &Intent) -> Option<Outcome> {
        let stored = self.intents.iter().find(|stored| stored.intent == *intent)?;
        Some(self.questions[stored.question?].outcome)
    }

    /// Whether enough time has passed since `intent`, or its owner is gone.
    fn may_be_passed_over(&self, intent: &Intent, now: Timestamp) -> bool {
        now.since(intent.at).is_none_or(|age| age >= UNCERTAIN_AFTER) || self.gone.contains(&intent.owner)
    }

    /// Whether the record may go from `before` to `after`.
    fn transition(
        &self,
        process: Process,
        tenant: &TenantId,
        before: &GrantState,
        after: &GrantState,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        use GrantState::{Connected, Disconnected as Gone, NeverConnected, Uncertain};
        let live = |state: &GrantState| state.grant().map(|grant| (grant.id, grant.version));
        if live(after).is_some_and(|(id, _)| self.over.contains(&id)) {
            return Err("a grant that was over comes back");
        }
        match (before, after) {
            (Connected(old), Uncertain(new, intent)) if same(old, new) => match intent.attempt {
                Attempt::First => Ok(()),
                Attempt::LastResort => Err("a last resort before a first try"),
            },
            (Uncertain(old, earlier), Uncertain(new, intent)) if same(old, new) => {
                self.next_intent(process, tenant, old, earlier, intent, now)
            }
            (Uncertain(old, intent), Connected(new)) if same(old, new) => match self.outcome(intent) {
                None | Some(Outcome::NotTaken) => Ok(()),
                Some(_) => Err("an intent is taken back whose token may be spent"),
            },
            (Uncertain(old, _) | Connected(old), Connected(new)) if old.id == new.id => {
                let rotated = self.questions.iter().any(|asked| {
                    asked.token == old.tokens.refresh.expose()
                        && new.tokens.refresh.expose() == format!("{}.{}", name_of(&old.tokens.refresh).0, asked.number)
                });
                if rotated { Ok(()) } else { Err("a pair that nobody gave out for the one before") }
            }
            (Uncertain(old, intent), Gone(end)) if old.id == end.id => self.may_end(old, intent, end, now),
            (Connected(old), Gone(end)) if old.id == end.id => {
                let revoked = self.revoked(old);
                if revoked { Ok(()) } else { Err("it ends without a reason") }
            }
            (NeverConnected | Gone(_), NeverConnected | Gone(_)) => Ok(()),
            _ => Err("no renewal does that"),
        }
    }

    fn next_intent(
        &self,
        process: Process,
        tenant: &TenantId,
        grant: &Grant,
        earlier: &Intent,
        intent: &Intent,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        let never_taken = matches!(self.outcome(earlier), None | Some(Outcome::NotTaken));
        // A withdrawal, or the same attempt once more by who knows that it was never made.
        let stored = self.intents.iter().any(|stored| stored.intent == *intent);
        if never_taken && (stored || (earlier.owner == intent.owner && earlier.attempt == intent.attempt)) {
            return Ok(());
        }
        if (earlier.attempt, intent.attempt) != (Attempt::First, Attempt::LastResort) {
            return Err("one attempt too many");
        }
        if !self.may_be_passed_over(earlier, now) {
            return Err("a last resort while the first try may be under way");
        }
        let refused = self.refused.contains(&(grant.id, grant.version));
        if grant.tokens.expires_at > now.plus(AHEAD) && !refused {
            return Err("a last resort while the access token serves");
        }
        let file = format!("{}-{}.pair", grant.id, grant.version.number() + 1);
        let elected = self.elected.get(&(process, tenant.clone()));
        if elected.is_some_and(|spooled| spooled.contains(&file)) {
            return Err("a last resort while the next pair lies in the spool");
        }
        Ok(())
    }

    fn may_end(&self, grant: &Grant, intent: &Intent, end: &Disconnected, now: Timestamp) -> Result<(), &'static str> {
        if self.revoked(grant) {
            return Ok(());
        }
        match (end.reason, intent.attempt) {
            (DisconnectReason::RefreshOutcomeLost, Attempt::LastResort) if self.may_be_passed_over(intent, now) => {
                Ok(())
            }
            _ => Err("it ends without a reason"),
        }
    }

    /// Whether Flexslot has refused this very pair.
    fn revoked(&self, grant: &Grant) -> bool {
        let token = grant.tokens.refresh.expose();
        self.questions.iter().any(|asked| asked.token == token && asked.outcome == Outcome::Revoked)
    }
}

fn same(old: &Grant, new: &Grant) -> bool {
    (old.id, old.version) == (new.id, new.version)
}

fn short(state: &GrantState) -> String {
    match state {
        GrantState::NeverConnected => "nothing".into(),
        GrantState::Connected(grant) => format!("connected v{}", grant.version),
        GrantState::Uncertain(grant, intent) => format!("uncertain v{} ({:?})", grant.version, intent.attempt),
        GrantState::Disconnected(end) => format!("disconnected v{} ({:?})", end.version, end.reason),
    }
}

// === names of tokens ===

fn pair(line: &str, number: u64, expires_at: Timestamp) -> TokenSet {
    TokenSet {
        access: Secret::new(format!("at.{line}.{number}")),
        refresh: Secret::new(format!("{line}.{number}")),
        token_type: TokenType::Bearer,
        scopes: crate::model::ScopeSet::new("decks:read"),
        expires_at,
        answered_at: None,
    }
}

fn pair_hash(refresh: &Secret) -> [u8; 32] {
    TokenSet { refresh: refresh.clone(), ..pair("", 0, Timestamp::from_secs(0)) }.refresh_hash()
}

/// Line and number of a refresh token.
fn name_of(refresh: &Secret) -> (String, u64) {
    let (name, number) = refresh.expose().rsplit_once('.').expect("a token of the model");
    (name.to_owned(), number.parse().expect("a number"))
}

/// Line and number of an access token; `None` for a PAT.
fn access_of(picked: &Picked) -> Option<(String, u64)> {
    let value = picked.authorization.to_str().ok()?.strip_prefix("Bearer at.")?;
    let (name, number) = value.rsplit_once('.')?;
    Some((name.to_owned(), number.parse().ok()?))
}
