//! What happens, one thing after the other.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::Method;
use tokio::time::{Instant, sleep};

use super::{
    super::{
        bytes::Script,
        stage::{
            Clockwork, START, TENANTS, Which, World,
            caller::Connection,
            flexslot::{Fate, Pair},
            settle,
            sidecar::Sidecar,
            store::Mood,
            upstream::{Arrival, Outcome, Part, Script as Answer, Upstream},
        },
    },
    call::{Call, Upload},
};

/// All there is.
pub struct Play {
    pub world: World,
    pub nodes: Vec<Node>,
    pub calls: Vec<Call>,
    pub lines: Vec<Line>,
    pub barred: Vec<Barred>,
    born: Instant,
}

/// A sidecar and what is around it.
pub struct Node {
    pub sidecar: Sidecar,
    pub upstream: Upstream,
    pub mood: Arc<Mood>,
    clock: Clockwork,
    /// Since when it has been able to read what others write; `None`: it is not.
    pub hears_since: Option<Instant>,
}

/// A caller's connection and the calls on it.
pub struct Line {
    pub connection: Option<Connection>,
    pub which: Which,
    pub calls: Vec<usize>,
    /// How far it had come when it was listened to last, with how many calls.
    pub progress: Option<((usize, bool), usize)>,
}

/// Pairs that nothing may be sent with any more.
pub struct Barred {
    pub tenant: String,
    /// `None`: every one that there was.
    pub consent: Option<u64>,
    pub up_to: u64,
    /// Who knows best.
    pub which: Which,
    /// Since when the store says so, and others can know; `None`: it does not yet.
    pub since: Option<Instant>,
    /// What the store must not hold any more to say so.
    spent: Option<Pair>,
    /// The first call that begins afterwards.
    pub from: usize,
}

const SECOND: Duration = Duration::from_secs(1);

const TIMES: [Duration; 8] = [
    Duration::from_millis(1),
    Duration::from_millis(120),
    SECOND,
    Duration::from_secs(3),
    Duration::from_secs(12),
    Duration::from_secs(35),
    Duration::from_secs(65),
    Duration::from_secs(130),
];

/// Seconds that a token lives.
const LIVES: [u32; 6] = [3600, 20, 200, 320, 1, 0];

// === impl Node ===

impl Node {
    /// Whether it could read the store may have changed.
    pub fn note_hearing(&mut self, heard: bool) {
        match (heard, self.mood.hears()) {
            (_, false) => self.hears_since = None,
            (false, true) => self.hears_since = Some(Instant::now()),
            (true, true) => {}
        }
    }
}

// === impl Line ===

impl Line {
    /// Whether anything has happened on it since this was asked last.
    pub fn has_news(&mut self) -> bool {
        let progress = self.connection.as_ref().map(|connection| (connection.progress(), self.calls.len()));
        std::mem::replace(&mut self.progress, progress) != progress
    }
}

// === impl Play ===

impl Play {
    pub async fn new(script: &mut Script<'_>) -> Self {
        let world = World::new().await;
        for tenant in TENANTS {
            connect(&world, tenant, script).await;
        }
        if script.byte() & 1 == 1 {
            world.flexslot.set_pat(TENANTS[2]).await;
        }
        let mut nodes = Vec::new();
        for which in 0..2 {
            let (clock, mood, upstream) = (Clockwork::new(), Arc::new(Mood::default()), Upstream::default());
            let sidecar = world.sidecar(which, &clock, &mood, &upstream, None).await;
            nodes.push(Node { sidecar, upstream, mood, clock, hears_since: Some(Instant::now()) });
        }
        Self { world, nodes, calls: Vec::new(), lines: Vec::new(), barred: Vec::new(), born: Instant::now() }
    }

    /// The next thing happens, and whoever can go on because of it does.
    pub async fn step(&mut self, script: &mut Script<'_>) {
        let before = *script;
        let since = self.since(Instant::now());
        self.world.flexslot.note(format!("{since:?}, call {}: {:?}", self.calls.len(), before.peek(5)));
        match script.below(24) {
            0..6 => self.request(script),
            6..10 => drop(self.upstream_answers(script)),
            10 => self.upstream_cuts(script),
            11..14 => self.flexslot_answers(script),
            14..16 => sleep(script.one_of(&TIMES)).await,
            16 => self.clock_jumps(script),
            17 => self.store_changes(script),
            18 => self.hang_up(script),
            19 => self.disconnect(script).await,
            20 => {
                let tenant = script.one_of(&TENANTS);
                connect(&self.world, tenant, script).await;
            }
            21 => self.upload(script),
            22 => match script.below(3) {
                0 => self.world.flexslot.set_pat(script.one_of(&TENANTS)).await,
                _ => self.node(script).upstream.refuse(2),
            },
            _ => self.garbage(script),
        }
        settle().await;
        self.note_ends().await;
        self.check_faults();
    }

    /// How far into the play that is.
    pub fn since(&self, at: Instant) -> Duration {
        at - self.born
    }

    fn node(&mut self, script: &mut Script<'_>) -> &mut Node {
        let which = script.below(self.nodes.len());
        &mut self.nodes[which]
    }

    // --- callers ---

    fn request(&mut self, script: &mut Script<'_>) {
        let (which, reuse) = (script.below(8), script.byte());
        // The first has most of the work, so that something comes together there.
        let which = usize::from(which == 7);
        let hears_since = self.nodes[which].hears_since;
        let call = Call::new(self.calls.len(), which, script, (Instant::now(), hears_since));
        self.begin(call, reuse & 1 == 1);
    }

    /// Sends a call's first bytes, on a connection that is free where one is wanted.
    pub fn begin(&mut self, call: Call, reuse: bool) {
        let free = self
            .lines
            .iter()
            .position(|line| reuse && line.which == call.which && !line.calls.is_empty() && self.is_free(line));
        let line = free.unwrap_or_else(|| {
            let connection = Some(self.nodes[call.which].sidecar.call());
            self.lines.push(Line { connection, which: call.which, calls: Vec::new(), progress: None });
            self.lines.len() - 1
        });
        let line = &mut self.lines[line];
        line.calls.push(call.number);
        if let Some(connection) = &line.connection {
            connection.say(call.text());
        }
        self.calls.push(call);
    }

    /// Whether the next request could be sent on it.
    fn is_free(&self, line: &Line) -> bool {
        let Some(connection) = line.connection.as_ref().filter(|connection| !connection.has_ended()) else {
            return false;
        };
        let replies = connection.replies(&self.methods(line)).unwrap_or_default();
        let closes = replies.iter().any(|reply| reply.head.field("connection") == Some("close"));
        let whole = replies.iter().filter(|reply| reply.content.length.is_some()).count();
        !closes && whole == line.calls.len() && line.calls.iter().all(|call| self.calls[*call].whole)
    }

    pub fn methods(&self, line: &Line) -> Vec<Method> {
        line.calls.iter().map(|call| self.calls[*call].method.clone()).collect()
    }

    fn hang_up(&mut self, script: &mut Script<'_>) {
        let open: Vec<_> = (0..self.lines.len()).filter(|line| self.lines[*line].connection.is_some()).collect();
        if !open.is_empty() {
            let line = script.one_of(&open);
            self.collect(line);
            self.lines[line].connection = None;
            for call in self.lines[line].calls.clone() {
                let call = &mut self.calls[call];
                call.hung_up |= call.reply.as_ref().is_none_or(|reply| reply.content.length.is_none());
            }
        }
    }

    /// An upload goes on, or ends.
    fn upload(&mut self, script: &mut Script<'_>) {
        let slow: Vec<_> = self
            .calls
            .iter()
            .filter(|call| call.upload == Upload::Slow && !call.whole)
            .map(|call| call.number)
            .collect();
        if !slow.is_empty() {
            let call = script.one_of(&slow);
            match script.below(4) {
                0 => self.end_upload(call),
                size => self.say(call, |call| call.goes_on([1, 500, 1500][size - 1])),
            }
        }
    }

    pub fn end_upload(&mut self, call: usize) {
        self.say(call, |call| call.ends().to_vec());
    }

    fn say(&mut self, call: usize, what: impl FnOnce(&mut Call) -> Vec<u8>) {
        let line = self.lines.iter().find(|line| line.calls.contains(&call));
        let Some(connection) = line.and_then(|line| line.connection.as_ref()) else { return };
        connection.say(what(&mut self.calls[call]));
    }

    /// Somebody who does not speak HTTP, or not to its end.
    fn garbage(&mut self, script: &mut Script<'_>) {
        let length = script.below(16);
        let bytes: Vec<u8> = (0..length).map(|_| script.byte()).collect();
        let connection = self.node(script).sidecar.call();
        connection.say(bytes);
        self.lines.push(Line { connection: Some(connection), which: 0, calls: Vec::new(), progress: None });
    }

    // --- neighbours ---

    fn upstream_answers(&mut self, script: &mut Script<'_>) -> bool {
        let (which, kind, node) = (script.below(8), script.byte(), self.node(script));
        node.upstream.answer(which, |_, arrival| answer(kind, arrival))
    }

    fn upstream_cuts(&mut self, script: &mut Script<'_>) {
        let (which, node) = (script.below(8), self.node(script));
        node.upstream.answer(which, |_, _| Answer::cut());
    }

    fn flexslot_answers(&mut self, script: &mut Script<'_>) {
        let life = script.one_of(&LIVES);
        let fate = script.one_of(&[
            Fate::Rotate(life),
            Fate::LoseAnswer,
            Fate::End,
            Fate::Busy,
            Fate::Rotate(life),
            Fate::LoseQuestion,
            Fate::NotSent,
            Fate::KeepRefresh,
            Fate::Misconfigured,
            Fate::Broken,
            Fate::Nonsense,
            Fate::Rotate(life),
        ]);
        self.world.flexslot.answer(fate);
    }

    fn clock_jumps(&mut self, script: &mut Script<'_>) {
        let by: i64 =
            script.one_of(&[1_000, -1_000, 290_000, -290_000, 3_600_000, -3_600_000, 86_400_000, -86_400_000]);
        match script.below(3) {
            2 => self.world.clock.jump(by),
            which => self.nodes[which].clock.jump(by),
        }
    }

    fn store_changes(&mut self, script: &mut Script<'_>) {
        let what = script.below(7);
        let node = self.node(script);
        let heard = node.mood.hears();
        match what {
            0 => node.mood.refuses_reads.store(true, Ordering::Relaxed),
            1 => node.mood.refuses_writes.store(true, Ordering::Relaxed),
            2 => {
                node.mood.refuses_reads.store(true, Ordering::Relaxed);
                node.mood.refuses_writes.store(true, Ordering::Relaxed);
            }
            3 | 4 => node.mood.loses_answers.store(what - 2, Ordering::Relaxed),
            _ => node.mood.heal(),
        }
        node.note_hearing(heard);
    }

    // --- what ends a grant ---

    async fn disconnect(&mut self, script: &mut Script<'_>) {
        let (tenant, which) = (script.one_of(&TENANTS), script.below(2));
        let name = tenant.parse().expect("a name");
        let outcome = self.nodes[which].sidecar.credentials.disconnect(&name).await;
        self.world.flexslot.note(format!("{which} disconnects {tenant}: {outcome:?}"));
        if outcome.is_ok() {
            settle().await;
            let consent = Some(self.world.flexslot.consents());
            let (tenant, since, from) = (tenant.to_owned(), Some(Instant::now()), self.calls.len());
            self.barred.push(Barred { tenant, consent, up_to: u64::MAX, which, since, spent: None, from });
        }
    }

    /// Whoever has been told that a pair is of no use any more sends nothing with it; the others as soon as the store says so,
    /// which may take its time where it does not take the end.
    pub async fn note_ends(&mut self) {
        for (which, pair) in self.world.flexslot.told_of_ends() {
            let (tenant, consent, up_to, from) =
                (pair.tenant.clone(), Some(pair.consent), pair.number, self.calls.len());
            self.barred.push(Barred { tenant, consent, up_to, which, since: None, spent: Some(pair), from });
        }
        for barred in &mut self.barred {
            let (None, Some(spent)) = (barred.since, &barred.spent) else { continue };
            let record = self.world.flexslot.store().load(&spent.tenant.parse().expect("a name")).await;
            let grant = record.expect("a record").grant;
            if grant.grant().is_none_or(|grant| grant.tokens.refresh != spent.refresh()) {
                barred.since = Some(Instant::now());
            }
        }
    }
}

/// The tenant gets a new grant, by somebody else's hand.
async fn connect(world: &World, tenant: &str, script: &mut Script<'_>) {
    let life = Duration::from_secs(u64::from(script.one_of(&LIVES)));
    let age = script.one_of(&[Duration::ZERO, Duration::from_secs(60), Duration::from_secs(3000)]);
    world.flexslot.connect(tenant, life, age, START).await;
}

/// What an upstream says, one way or the other.
fn answer(kind: u8, arrival: &Arrival) -> Answer {
    let call = arrival.head.field("x-call").unwrap_or_default();
    let tag = format!("x-answer: {call}\r\n");
    let say = |status, more: &str| Answer::say(status, &format!("{tag}{more}"), b"what was asked for");
    let head = |more: &str| format!("HTTP/1.1 200 OK\r\n{tag}{more}\r\n").into_bytes();
    let answered = |whole| Outcome::Answered { status: 200, whole };
    match kind % 16 {
        0 | 1 => say(401, ""),
        2 => say(401, "www-authenticate: Bearer error=\"invalid_token\"\r\n"),
        3 => say(401, "www-authenticate: Bearer error=\"insufficient_scope\"\r\n"),
        4 => say(403, "www-authenticate: Bearer error=\"insufficient_scope\", scope=\"decks:write\"\r\n"),
        5 => say(429, "retry-after: 3\r\n"),
        6 => say(500, "connection: close\r\n"),
        7 => say(302, "location: https://elsewhere.example/\r\n"),
        8 => {
            let sent = arrival.head.field("authorization").unwrap_or_default();
            say(200, &format!("x-echo: {sent}\r\nset-cookie: a=b\r\n"))
        }
        9 => {
            let chunks = b"4\r\nwhat\r\n4\r\nelse\r\n0\r\nx-trailer: 1\r\n\r\n".to_vec();
            Answer {
                parts: vec![Part::Bytes(head("transfer-encoding: chunked\r\n")), Part::Bytes(chunks)],
                outcome: answered(true),
            }
        }
        10 => {
            let parts = vec![Part::Bytes(head("content-length: 20\r\n")), Part::Bytes(vec![b'x'; 10]), Part::Close];
            Answer { parts, outcome: answered(false) }
        }
        11 => {
            let parts = vec![
                Part::Bytes(head("transfer-encoding: chunked\r\n")),
                Part::Bytes(b"4\r\nwh".to_vec()),
                Part::Close,
            ];
            Answer { parts, outcome: answered(false) }
        }
        12 => {
            let parts =
                vec![Part::Bytes(head("content-length: 4\r\n")), Part::Wait(5 * SECOND), Part::Bytes(b"late".to_vec())];
            Answer { parts, outcome: answered(true) }
        }
        13 => Answer {
            parts: vec![Part::Bytes(b"HTTP/1.1 2".to_vec()), Part::Close],
            outcome: Outcome::Answered { status: 0, whole: false },
        },
        14 => say(204, ""),
        _ => say(200, ""),
    }
}
