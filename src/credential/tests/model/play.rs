//! One seed, from the first request to the last check.

use std::{collections::HashMap, fs::File, path::Path, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::{
    task::{JoinHandle, yield_now},
    time::{advance, sleep},
};

use super::{
    dice::Dice,
    monitor::Monitor,
    neighbours::{Neighbours, Shared},
    stage::{Fate, Kind, Process, at_once},
};
use crate::{
    credential::{
        Ask, Credentials, PathClass, Picked, RefreshPolicy, Refusal, Resend, Settings, Unauthorized,
        background::Background,
        coordinator::Parts,
        tests::world::{CLIENT, ORIGIN, START, tenant},
    },
    model::{
        Clock, CredentialKind, GrantState, Secret, TenantId, Timestamp, clock::TokioClock, observe::Unobserved,
        token::Attempt,
    },
    store::{
        Existing, NewGrant, NewTenant, StoredPat, TokenStore,
        instance::InstanceLock,
        memory::MemoryBackend,
        seal::{KeyRing, Sealer},
        spool::Spool,
    },
};

const TENANTS: [&str; 3] = ["acme", "beta", "gamma"];

/// The one that also has a PAT.
const WITH_PAT: &str = "gamma";

const TOKEN_FAULTS: [Fate; 5] = {
    use Fate::{AnswerLost, Busy, Misconfigured, NotSent, QuestionLost};
    [AnswerLost, QuestionLost, NotSent, Busy, Misconfigured]
};

/// How often a request is tried at the end, minutes apart, before it must have worked.
const LAST_TRIES: usize = 6;

struct Play {
    dice: Dice,
    shared: Arc<Shared>,
    clock: TokioClock,
    dir: TempDir,
    sealer: Sealer,
    sidecars: Vec<Sidecar>,
    born: usize,
    /// Dead processes whose locks must not become free.
    undead: Vec<Credentials>,
    /// How many consents there were.
    consents: usize,
    pats: usize,
    requests: Vec<Request>,
    given: Given,
    hardship: Hardship,
    /// The store takes no writes for now.
    outage: bool,
    trace: Vec<String>,
}

/// A process and its clock, which is wrong.
struct Sidecar {
    process: Process,
    lock: std::path::PathBuf,
    life: Arc<Mutex<Option<(Credentials, Background)>>>,
}

struct SkewedClock(TokioClock, i64);

struct Request {
    process: Process,
    task: JoinHandle<()>,
}

/// Credentials that requests were sent with.
type Given = Arc<Mutex<Vec<(Process, TenantId, Picked)>>>;

/// How bad things are, in percent.
struct Hardship {
    store: usize,
    tokens: usize,
    deaths: usize,
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
            self.settle(4).await;
            if self.shared.monitor.violation().is_some() {
                return step;
            }
        }
        self.finish().await;
        steps
    }

    async fn step(&mut self) {
        let Hardship { store, tokens, deaths } = self.hardship;
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

    fn note(&mut self, what: impl Into<String>) {
        let since = self.clock.now().millis() - START.millis();
        self.trace.push(format!("{:>9}.{:03} {}", since / 1000, since % 1000, what.into()));
    }

    async fn settle(&self, times: usize) {
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

    // --- processes ---

    fn start(&mut self) {
        let process = self.born;
        self.born += 1;
        let random = self.dice.random();
        let instance = InstanceLock::acquire(self.dir.path(), &random).expect("a lock");
        let lock = self.dir.path().join("instances").join(format!("{}.lock", instance.owner().instance));
        self.shared.monitor.born(process, instance.owner().clone());
        let skew = self.dice.one_of(&[0, 0, 3_600_000, -3_600_000, 50]);
        let neighbours = Arc::new(Neighbours { shared: Arc::clone(&self.shared), process });
        let settings = Settings {
            origin: ORIGIN.into(),
            refresh: RefreshPolicy::default(),
            endpoint: neighbours.clone(),
            tenants: HashMap::new(),
        };
        let life = Arc::new(Mutex::new(None));
        let spool = Spool::new(self.dir.path(), self.sealer.clone()).on_this_thread();
        let clock = Arc::new(SkewedClock(self.clock, skew));
        let (sealer, newborn) = (self.sealer.clone(), Arc::clone(&life));
        self.note(format!("{process} starts, its clock {skew} ms off"));
        tokio::spawn(async move {
            let store = loop {
                match TokenStore::open(neighbours.clone(), sealer.clone(), random.clone()).await {
                    Ok(store) => break store,
                    Err(_) => sleep(Duration::from_secs(1)).await,
                }
            };
            let observer = Arc::new(Unobserved);
            let parts =
                Parts { settings, store, spool: Some(spool), instance: Some(instance), clock, random, observer };
            let credentials = Credentials::new(parts);
            loop {
                match credentials.start().await {
                    Ok(background) => break *newborn.lock() = Some((credentials, background)),
                    Err(_) => sleep(Duration::from_secs(1)).await,
                }
            }
        });
        self.sidecars.push(Sidecar { process, lock, life });
    }

    /// A process dies, with or without its lock becoming free, and another takes its place.
    fn somebody_dies(&mut self) {
        // Best of all one that still has something to tell the store.
        let has_news = |sidecar: &Sidecar| sidecar.life.lock().as_ref().is_some_and(|(it, _)| it.health().waiting > 0);
        let at = match self.sidecars.iter().position(has_news) {
            Some(at) if self.dice.percent(70) => at,
            _ => self.dice.below(self.sidecars.len()),
        };
        let Sidecar { process, lock, life } = self.sidecars.swap_remove(at);
        let proof = self.dice.percent(50);
        self.note(format!("{process} dies; provably: {proof}"));
        self.shared.stage.kill(process, &mut self.dice);
        self.shared.monitor.died(process, proof);
        let credentials = life.lock().take().map(|(credentials, _)| credentials);
        self.undead.extend(credentials);
        if proof {
            std::fs::remove_file(&lock).and_then(|()| File::create(&lock)).expect("a lock that is free");
        }
        let (dying, living) = self.requests.drain(..).partition::<Vec<_>, _>(|request| request.process == process);
        self.requests = living;
        dying.iter().for_each(|request| request.task.abort());
        self.given.lock().retain(|(of, ..)| *of != process);
        if self.sidecars.is_empty() || self.dice.percent(30) {
            self.start();
        }
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
            let ask = Ask { tenant: &name, need: None, class: PathClass::Ordinary, resend };
            let answer = credentials.pick(&ask).await;
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
            let ask = Ask { tenant: &name, need: None, class: PathClass::Ordinary, resend: Resend::Possible };
            let Unauthorized::Retry(next) = credentials.unauthorized(&ask, &picked).await else { return };
            if next.at.is_some() && next.at == picked.at {
                shared.monitor.violate(format!("{process} sends a request again with what was refused"));
            }
            let cured = shared.monitor.takes(&next);
            let answer = Ok(next);
            shared.monitor.answered(process, &name, &answer);
            if let Ok(next) = answer {
                credentials.retried(&name, &next, cured);
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
        match self.dice.below(4) {
            0 | 1 => self.connect(name),
            2 => self.set_pat(),
            _ => {
                self.note(format!("{name} is removed"));
                self.with_record(name, |play| {
                    at_once(play.shared.store.remove(&tenant(name))).map(drop).expect("removed")
                });
            }
        }
    }

    fn connect(&mut self, name: &str) {
        self.consents += 1;
        let line = format!("{name}-{}", self.consents);
        let life = Duration::from_secs(self.dice.one_of(&[0, 20, 200, 400, 3600]));
        self.note(format!("{name} is connected as {line}, for {life:?}"));
        let tokens = self.shared.monitor.issue(&line, life);
        let grant = NewGrant { client_id: CLIENT.into(), origin: ORIGIN.into(), tokens };
        let new = NewTenant { tenant: tenant(name), pat: None, grant: Some(grant) };
        self.with_record(name, |play| {
            at_once(play.shared.store.import(vec![new], Existing::Replace)).map(drop).expect("imported");
        });
    }

    fn set_pat(&mut self) {
        self.pats += 1;
        self.note(format!("{WITH_PAT} gets its PAT number {}", self.pats));
        let pat = StoredPat { pat: Secret::new(format!("flx_pat_{}", self.pats)), origin: ORIGIN.into() };
        at_once(self.shared.store.put_pat(&tenant(WITH_PAT), &pat)).expect("stored");
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
        self.shared.monitor.commanded(&before, &self.shared.grant_of(&tenant(name)));
    }

    // --- the end ---

    /// Everything works again. Whatever can be mended must mend itself.
    async fn finish(&mut self) {
        self.note("the play is over");
        self.shared.stage.open();
        self.start();
        for _ in 0..3 {
            sleep(Duration::from_secs(3)).await;
            advance(Duration::from_secs(90)).await;
        }
        sleep(Duration::from_secs(3)).await;
        self.everybody_is_answered();
        let alive: Vec<Process> = self.sidecars.iter().map(|sidecar| sidecar.process).collect();
        for name in TENANTS {
            let state = self.shared.grant_of(&tenant(name));
            if let Some(lost) = state.grant().and_then(|grant| self.shared.monitor.wrongly_lost(grant, &alive)) {
                self.shared.monitor.violate(lost);
            }
        }
        advance(Duration::from_secs(7200)).await;
        sleep(Duration::from_secs(5)).await;
        for name in TENANTS {
            self.last_requests(name).await;
        }
        self.newest_pat().await;
    }

    fn everybody_is_answered(&mut self) {
        if let Some(waiting) = self.requests.iter().find(|request| !request.task.is_finished()) {
            self.shared.monitor.violate(format!("{}: a request waits for ever", waiting.process));
        }
        for sidecar in &self.sidecars {
            match &*sidecar.life.lock() {
                None => self.shared.monitor.violate(format!("{} never starts", sidecar.process)),
                Some((credentials, _)) if credentials.health().waiting > 0 => {
                    self.shared.monitor.violate(format!("{} still has outcomes that were not stored", sidecar.process));
                }
                Some(_) => {}
            }
        }
    }

    fn lives(&self) -> Vec<(Process, Credentials)> {
        let living = |sidecar: &Sidecar| {
            sidecar.life.lock().as_ref().map(|(credentials, _)| (sidecar.process, credentials.clone()))
        };
        self.sidecars.iter().filter_map(living).collect()
    }

    /// At the end, a grant that Flexslot still takes works in every process, and of any other the user is told to connect again.
    async fn last_requests(&mut self, name: &str) {
        let tenant = tenant(name);
        let (may_work, must_work) = match self.shared.grant_of(&tenant) {
            GrantState::Connected(grant) => (self.shared.monitor.is_good(&grant), self.shared.monitor.is_good(&grant)),
            // With two attempts that nobody knows the end of, it is over.
            GrantState::Uncertain(grant, intent) => {
                let good = self.shared.monitor.is_good(&grant);
                (good, good && intent.attempt == Attempt::First)
            }
            GrantState::NeverConnected | GrantState::Disconnected(_) => (false, false),
        };
        for (process, credentials) in self.lives() {
            let answer = persistently(&credentials, &tenant).await;
            self.shared.monitor.answered(process, &tenant, &answer);
            let state = self.shared.grant_of(&tenant);
            let good = match &answer {
                Ok(picked) if picked.kind == CredentialKind::Pat => !must_work && name == WITH_PAT,
                Ok(picked) => may_work && self.shared.monitor.takes(picked),
                Err(Refusal::ReconnectRequired(_)) => !must_work && matches!(state, GrantState::Disconnected(_)),
                Err(Refusal::NotConnected) => state == GrantState::NeverConnected,
                Err(_) => false,
            };
            if !good {
                let what =
                    format!("at the end {process} answers {answer:?} for {name}; must it work: {must_work}; {state:?}");
                self.shared.monitor.violate(what);
            }
        }
    }

    async fn newest_pat(&mut self) {
        let tenant = tenant(WITH_PAT);
        let stored = at_once(self.shared.store.load(&tenant)).expect("readable").pat;
        for (process, credentials) in self.lives() {
            let ask = Ask { tenant: &tenant, need: None, class: PathClass::PatOnly, resend: Resend::Possible };
            let value = match credentials.pick(&ask).await {
                // Of too many 401s, and it says nothing about which one it is.
                Err(Refusal::PatRejected) => continue,
                answer => answer.ok().map(|picked| picked.authorization.to_str().expect("ASCII").to_owned()),
            };
            let right = stored.as_ref().map(|stored| format!("Bearer {}", stored.pat.expose()));
            if value != right {
                self.shared.monitor.violate(format!("at the end {process} has another PAT than the store"));
            }
        }
    }
}

/// A request, and if it is told to try again, another.
async fn persistently(credentials: &Credentials, tenant: &TenantId) -> Result<Picked, Refusal> {
    let ask = Ask { tenant, need: None, class: PathClass::Ordinary, resend: Resend::Possible };
    let mut answer = credentials.pick(&ask).await;
    for _ in 1..LAST_TRIES {
        if matches!(answer, Ok(_) | Err(Refusal::ReconnectRequired(_) | Refusal::NotConnected)) {
            break;
        }
        sleep(Duration::from_secs(130)).await;
        answer = credentials.pick(&ask).await;
    }
    answer
}

fn fate(dice: &mut Dice, percent: usize, faults: &[Fate]) -> Fate {
    if dice.percent(percent) { dice.one_of(faults) } else { Fate::Done }
}

// === impl SkewedClock ===

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.now().millis() + self.1)
    }
}
