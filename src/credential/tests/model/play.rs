//! One seed, from the first request to the last check.

use std::{path::Path, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::{
    task::{JoinHandle, yield_now},
    time::advance,
};

use super::{
    cut_off::CutOff,
    dice::Dice,
    monitor::Monitor,
    neighbours::Shared,
    sidecars::Sidecar,
    stage::{Fate, Kind, Process, at_once},
};
use crate::{
    credential::{
        Ask, Credentials, PathClass, Picked, Resend, Unauthorized,
        tests::world::{CLIENT, DECKS, ORIGIN, START, steps, tenant},
    },
    model::{Clock, Secret, TenantId, clock::TokioClock, observe::RetryOutcome},
    store::{
        Connecting, Existing, NewGrant, NewTenant, SessionWish, StoredPat, TokenStore,
        memory::{MemoryBackend, Snapshot},
        seal::{KeyRing, Sealer},
    },
};

pub(super) const TENANTS: [&str; 3] = ["acme", "beta", "gamma"];

/// The one that also has a PAT.
pub(super) const WITH_PAT: &str = "gamma";

pub(super) const TOKEN_FAULTS: [Fate; 5] = {
    use Fate::{AnswerLost, Busy, Misconfigured, NotSent, QuestionLost};
    [AnswerLost, QuestionLost, NotSent, Busy, Misconfigured]
};

pub(super) struct Play {
    pub(super) dice: Dice,
    pub(super) shared: Arc<Shared>,
    pub(super) clock: TokioClock,
    pub(super) dir: TempDir,
    pub(super) sealer: Sealer,
    pub(super) sidecars: Vec<Sidecar>,
    pub(super) born: usize,
    /// Dead processes whose locks must not become free.
    pub(super) undead: Vec<Credentials>,
    /// How many consents there were.
    pub(super) consents: usize,
    pub(super) pats: usize,
    pub(super) requests: Vec<Request>,
    pub(super) given: Given,
    hardship: Hardship,
    /// The store takes no writes for now.
    pub(super) outage: bool,
    /// The store as it was some time ago.
    pub(super) copy: Option<Snapshot>,
    /// Who does not get through to the store.
    pub(super) cut_off: Option<CutOff>,
    pub(super) trace: Vec<String>,
}

pub(super) struct Request {
    pub(super) process: Process,
    pub(super) task: JoinHandle<()>,
}

/// Credentials that requests were sent with.
type Given = Arc<Mutex<Vec<(Process, TenantId, Picked)>>>;

/// How bad things are, in percent.
struct Hardship {
    store: usize,
    tokens: usize,
    deaths: usize,
    /// In a thousand.
    travels: usize,
}

/// Plays `seed`. Answers how many steps it took, or what went wrong and how it came to that.
pub(super) fn play(seed: u64) -> Result<usize, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let mut play = Play::new(seed).await;
        let steps = play.run().await;
        match play.shared.monitor.violation() {
            None => Ok(steps),
            Some(violation) => {
                let from = play.trace.len().saturating_sub(120);
                Err(format!("seed {seed}: {violation}\n{}\nseed {seed}: {violation}", play.trace[from..].join("\n")))
            }
        }
    })
}

// === impl Play ===

impl Play {
    async fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let clock = TokioClock::starting_at(START);
        let memory = Path::new("/dev/shm");
        let dir =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a directory");
        let random = dice.random();
        let sealer = Sealer::new(KeyRing::ephemeral(&random), random.clone());
        let backend = Arc::new(MemoryBackend::new(Arc::new(clock), &random));
        let store = TokenStore::open(backend.clone(), sealer.clone(), random).await.expect("a store");
        let monitor = Monitor::new(clock, dir.path().join("spool"));
        let shared = Arc::new(Shared::new(backend, store, monitor));
        let hardship = Hardship {
            store: dice.one_of(&[0, 3, 10, 30]),
            tokens: dice.one_of(&[0, 10, 40, 70]),
            deaths: dice.one_of(&[0, 2, 8]),
            travels: dice.one_of(&[0, 0, 4, 10]),
        };
        let mut play = Self {
            dice,
            shared,
            clock,
            dir,
            sealer,
            sidecars: Vec::new(),
            born: 0,
            undead: Vec::new(),
            consents: 0,
            pats: 0,
            requests: Vec::new(),
            given: Given::default(),
            hardship,
            outage: false,
            copy: None,
            cut_off: None,
            trace: Vec::new(),
        };
        for name in TENANTS {
            play.connect(name);
        }
        play.set_pat();
        for _ in 0..2 + play.dice.below(2) {
            play.start();
        }
        play
    }

    async fn run(&mut self) -> usize {
        let steps = 100 + self.dice.below(300);
        for step in 0..steps {
            self.step().await;
            self.cut_for_a_step_less().await;
            self.settle(4).await;
            if self.shared.monitor.violation().is_some() {
                return step;
            }
        }
        self.finish().await;
        steps
    }

    async fn step(&mut self) {
        let Hardship { store, tokens, deaths, travels } = self.hardship;
        if self.cut_off.is_none() && self.dice.below(1000) < travels {
            return self.travel().await;
        }
        if travels > 0 && self.dice.percent(2) {
            self.copy();
        }
        match self.dice.below(1000) {
            0..640 => {
                let fates = |dice: &mut Dice, kind| match kind {
                    Kind::Read => fate(dice, store, &[Fate::Refused]),
                    Kind::Write if self.outage => Fate::Refused,
                    Kind::Write => fate(dice, store, &[Fate::Refused, Fate::AnswerLost]),
                    Kind::Token => fate(dice, tokens, &TOKEN_FAULTS),
                };
                match self.shared.stage.give_a_turn(&mut self.dice, fates) {
                    Some(what) => self.note(what),
                    None => self.time_passes().await,
                }
            }
            640..770 => self.request(),
            770..830 => self.refused_request(),
            830..850 => self.hang_up(),
            850..940 => self.time_passes().await,
            940..965 => self.command(),
            965..970 => self.revoke(),
            970..980 if store > 0 => {
                self.outage = !self.outage;
                self.note(format!("the store takes no writes: {}", self.outage));
            }
            _ if self.dice.percent(deaths * 10) => self.somebody_dies(),
            _ if self.sidecars.len() < 3 && self.dice.percent(40) => self.start(),
            _ => self.request(),
        }
    }

    pub(super) fn note(&mut self, what: impl Into<String>) {
        let since = self.clock.now().millis() - START.millis();
        self.trace.push(format!("{:>9}.{:03} {}", since / 1000, since % 1000, what.into()));
    }

    pub(super) async fn settle(&self, times: usize) {
        for _ in 0..times {
            yield_now().await;
        }
    }

    async fn time_passes(&mut self) {
        let (least, most) = match self.dice.below(100) {
            0..30 => (1, 50),
            30..65 => (100, 2_000),
            65..85 => (2_000, 15_000),
            85..96 => (15_000, 150_000),
            _ => (600_000, 4_200_000),
        };
        let by = Duration::from_millis((least + self.dice.below(most - least)) as u64);
        self.note(format!("{by:?} pass"));
        advance(by).await;
    }

    // --- requests ---

    fn somebody(&mut self) -> Option<(Process, Credentials)> {
        let at = self.dice.below(self.sidecars.len());
        let Sidecar { process, life, .. } = &self.sidecars[at];
        life.lock().as_ref().map(|(credentials, _)| (*process, credentials.clone()))
    }

    fn request(&mut self) {
        let Some((process, credentials)) = self.somebody() else { return };
        let name = tenant(self.dice.one_of(&TENANTS));
        let resend = self.dice.one_of(&[Resend::Possible, Resend::Possible, Resend::Impossible]);
        self.note(format!("{process}: a request for {name}"));
        let (shared, given) = (Arc::clone(&self.shared), Arc::clone(&self.given));
        let task = tokio::spawn(async move {
            let ask = Ask { tenant: &name, need: None, class: PathClass::Ordinary, resend, resource: DECKS };
            let answer = credentials.pick(&ask, &mut steps()).await;
            shared.monitor.answered(process, &name, &answer);
            if let Ok(picked) = answer {
                given.lock().push((process, name, picked));
            }
        });
        self.requests.push(Request { process, task });
    }

    /// A request is answered with 401, soon or late.
    fn refused_request(&mut self) {
        let (process, name, picked) = {
            let given = self.given.lock();
            let latest = given.len().min(10);
            if latest == 0 {
                return;
            }
            given[given.len() - 1 - self.dice.below(latest)].clone()
        };
        let sidecar = self.sidecars.iter().find(|sidecar| sidecar.process == process);
        let life = sidecar.and_then(|sidecar| sidecar.life.lock().as_ref().map(|(credentials, _)| credentials.clone()));
        let Some(credentials) = life else { return };
        self.note(format!("{process}: 401 for {name} {:?}", picked.at));
        if let Some(at) = picked.at {
            self.shared.monitor.answered_401(at);
        }
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move {
            let ask = Ask {
                tenant: &name,
                need: None,
                class: PathClass::Ordinary,
                resend: Resend::Possible,
                resource: DECKS,
            };
            let Unauthorized::Retry(next) = credentials.unauthorized(&ask, &picked, &mut steps()).await else { return };
            if next.at.is_some() && next.at == picked.at {
                shared.monitor.violate(format!("{process} sends a request again with what was refused"));
            }
            let outcome = match shared.monitor.takes(&next) {
                true => RetryOutcome::Cured,
                false => RetryOutcome::StillUnauthorized,
            };
            let answer = Ok(next);
            shared.monitor.answered(process, &name, &answer);
            if let Ok(next) = answer {
                credentials.retried(&ask, &next, outcome);
            }
        });
        self.requests.push(Request { process, task });
    }

    fn hang_up(&mut self) {
        self.requests.retain(|request| !request.task.is_finished());
        if !self.requests.is_empty() {
            let at = self.dice.below(self.requests.len());
            let Request { process, task } = self.requests.swap_remove(at);
            self.note(format!("{process}: a client hangs up"));
            task.abort();
        }
    }

    // --- what others do ---

    fn command(&mut self) {
        let name = self.dice.one_of(&TENANTS);
        match self.dice.below(8) {
            0 | 1 => self.connect(name),
            2 | 3 => self.consent(name),
            4 | 5 => self.disconnect(name),
            6 => self.set_pat(),
            _ => {
                self.note(format!("{name} is removed"));
                self.shared.monitor.replaced(&tenant(name), None);
                self.with_record(name, |play| {
                    at_once(play.shared.store.remove(&tenant(name))).map(drop).expect("removed")
                });
                if let Some(cut_off) = self.cut_off.as_mut().filter(|_| name == WITH_PAT) {
                    cut_off.commanded_pat = true;
                }
            }
        }
    }

    fn connect(&mut self, name: &str) {
        self.consents += 1;
        let line = format!("{name}-{}", self.consents);
        let life = Duration::from_secs(self.dice.one_of(&[0, 20, 200, 400, 3600]));
        self.note(format!("{name} is connected as {line}, for {life:?}"));
        let tokens = self.shared.monitor.issue(&line, life);
        let grant = NewGrant { client_id: CLIENT.into(), origin: ORIGIN.parse().unwrap(), tokens };
        let new = NewTenant { tenant: tenant(name), pat: None, grant: Some(grant) };
        self.shared.monitor.replaced(&tenant(name), None);
        self.with_record(name, |play| {
            at_once(play.shared.store.import(vec![new], Existing::Replace)).map(drop).expect("imported");
        });
    }

    /// A user consents, and nobody is revoking an earlier grant of theirs just then.
    fn consent(&mut self, name: &str) {
        self.consents += 1;
        let line = format!("{name}-{}", self.consents);
        let tokens = self.shared.monitor.issue(&line, Duration::from_secs(3600));
        let grant = NewGrant { client_id: CLIENT.into(), origin: ORIGIN.parse().unwrap(), tokens };
        let wish = SessionWish { tenant: tenant(name), scopes: None, return_to: None, client: None };
        let mut came = None;
        self.with_record(name, |play| {
            let store = &play.shared.store;
            let id = at_once(store.open_session(wish)).expect("opened").id;
            let outset = at_once(store.outset(&tenant(name))).expect("read");
            let new = store.new_consent(grant, None, outset);
            came = Some(at_once(store.connect(&id, &new)));
        });
        self.note(format!("{name} consents to {line}: {came:?}"));
        if let Some(Ok(Connecting::Connected(_))) = came {
            self.shared.monitor.replaced(&tenant(name), Some(line));
        }
    }

    fn disconnect(&mut self, name: &str) {
        self.note(format!("{name} is disconnected"));
        let before = self.shared.grant_of(&tenant(name));
        self.with_record(name, |play| {
            at_once(play.shared.store.disconnect(&tenant(name))).map(drop).expect("disconnected")
        });
        if let Some(grant) = before.grant() {
            self.shared.monitor.disconnected(&tenant(name), grant);
        }
    }

    fn set_pat(&mut self) {
        self.pats += 1;
        self.note(format!("{WITH_PAT} gets its PAT number {}", self.pats));
        let pat = StoredPat { pat: Secret::new(format!("flx_pat_{}", self.pats)), origin: ORIGIN.parse().unwrap() };
        at_once(self.shared.store.put_pat(&tenant(WITH_PAT), &pat)).expect("stored");
        if let Some(cut_off) = &mut self.cut_off {
            cut_off.commanded_pat = true;
        }
    }

    fn revoke(&mut self) {
        let name = self.dice.one_of(&TENANTS);
        if let Some(grant) = self.shared.grant_of(&tenant(name)).grant() {
            self.shared.monitor.revoke(grant);
            self.note(format!("{name} revokes at Flexslot"));
        }
    }

    fn with_record(&mut self, name: &str, change: impl FnOnce(&mut Self)) {
        let before = self.shared.grant_of(&tenant(name));
        change(self);
        if let Some(cut_off) = &mut self.cut_off {
            cut_off.commanded.insert(name.to_owned());
        }
        self.shared.monitor.commanded(&before, &self.shared.grant_of(&tenant(name)));
    }
}

fn fate(dice: &mut Dice, percent: usize, faults: &[Fate]) -> Fate {
    if dice.percent(percent) { dice.one_of(faults) } else { Fate::Done }
}
