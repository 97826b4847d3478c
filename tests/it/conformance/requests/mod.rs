//! Raw HTTP/1.1 requests, most of them made by a rule: a spelling in a place, a cut at a boundary. Each is refused, or
//! forwarded as exactly as many requests as a strict reader sees in it, to upstreams of different make.
//!
//! `{mark}` in a request becomes a name of its own, so that what the upstreams were sent can be told apart. What must
//! never be seen as a request of its own asks for `/smuggled`.

mod chunks;
mod codings;
mod connections;
mod controls;
pub(super) mod cuts;
mod hosts;
mod lengths;
mod lines;
mod paths;
mod pipelines;
mod sizes;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use tokio::sync::Semaphore;

use super::{
    setup::{Setup, bytes, marked},
    strict,
};
use crate::{
    servers::nginx::{Nginx, Noted},
    support::{Raw, Received, Script, Upstream, field, in_time, until},
};

/// What a client sends on one connection, and what must come of it.
struct Case {
    family: &'static str,
    name: String,
    bytes: Vec<u8>,
    end: End,
    fate: Fate,
    /// What nginx answers to what is forwarded, where it takes less than HTTP allows.
    nginx: u16,
}

/// What follows the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing, until the sidecar closes.
    Silence,
    /// The client says that it has no more to say.
    HangUp,
}

#[derive(Debug, Clone)]
struct Fate {
    /// Of all answers on the connection.
    statuses: Vec<u16>,
    /// The bodies of the requests that reach the upstreams whole, in their order.
    forwarded: Vec<Vec<u8>>,
    /// A part of one more may have reached an upstream before the fault was seen.
    broken: bool,
}

/// Of an answer of either upstream.
const ANSWERED: u16 = 204;

const SMUGGLED: &str = "GET /api/public/v1/smuggled HTTP/1.1\r\nHost: localhost\r\nX-Flexslot-Tenant: acme\r\n\r\n";

const TARGET: &str = "/api/public/v1/decks/{mark}";

/// So many connections at a time.
const CROWD: usize = 150;

// === cases ===

/// A request line and the fields that every good request has. Every character up to U+00FF is one byte.
fn head(line: &str, fields: &str) -> String {
    format!("{line}\r\nHost: localhost\r\nX-Flexslot-Tenant: acme\r\n{fields}\r\n")
}

fn get(fields: &str) -> String {
    head(&format!("GET {TARGET} HTTP/1.1"), fields)
}

fn post(fields: &str, body: &str) -> String {
    head(&format!("POST {TARGET} HTTP/1.1"), fields) + body
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

fn case(family: &'static str, name: impl Into<String>, text: &str, fate: Fate) -> Case {
    Case { family, name: name.into(), bytes: bytes(text), end: End::Silence, fate, nginx: ANSWERED }
}

/// Nothing reaches an upstream.
fn refused(status: u16) -> Fate {
    Fate { statuses: vec![status], forwarded: Vec::new(), broken: false }
}

/// One request reaches the upstream, with this body.
fn forwarded(body: &str) -> Fate {
    several(&[body])
}

/// So many requests.
fn several(bodies: &[&str]) -> Fate {
    let forwarded: Vec<_> = bodies.iter().map(|body| bytes(body)).collect();
    Fate { statuses: vec![ANSWERED; forwarded.len()], forwarded, broken: false }
}

/// A request begins, and is never whole.
fn broken(status: u16) -> Fate {
    Fate { statuses: vec![status], forwarded: Vec::new(), broken: true }
}

// === impl Fate ===

impl Fate {
    /// And what follows is refused.
    fn then(mut self, status: u16) -> Self {
        self.statuses.push(status);
        self
    }
}

// === impl Case ===

impl Case {
    fn ends(self, end: End) -> Self {
        Self { end, ..self }
    }

    fn nginx(self, status: u16) -> Self {
        Self { nginx: status, ..self }
    }
}

fn all() -> Vec<Case> {
    [
        lines::cases(),
        controls::cases(),
        hosts::cases(),
        sizes::cases(),
        lengths::cases(),
        codings::cases(),
        chunks::cases(),
        connections::cases(),
        pipelines::cases(),
        paths::cases(),
        cuts::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

// === the run ===

/// What a client got on its connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Got {
    statuses: Vec<u16>,
    /// The targets that the answers say they are for.
    targets: Vec<String>,
    rest: Vec<u8>,
}

/// Sends a case and reads until the sidecar closes: every deadline of the sidecar is short here.
async fn put(sidecar: SocketAddr, bytes: Vec<u8>, end: End) -> Got {
    let mut raw = Raw::connect(sidecar).await;
    raw.send(bytes).await;
    if end == End::HangUp {
        raw.finish_sending().await;
    }
    let (replies, rest) = raw.replies_to_end().await;
    // Who has sent the body already may be told to go on, or not (RFC 9110 section 10.1.1).
    let replies: Vec<_> = replies.into_iter().filter(|reply| reply.status >= 200).collect();
    let targets = replies.iter().filter_map(|reply| field(&reply.head, "x-target")).map(str::to_owned).collect();
    Got { statuses: replies.iter().map(|reply| reply.status).collect(), targets, rest }
}

fn mark(number: usize) -> String {
    format!("k{number:04}k")
}

/// Puts all cases, so many at a time, and the last request of all when they are over.
async fn run(setup: &Setup, cases: &[Case]) -> Vec<Got> {
    let (address, places) = (setup.sidecar.proxy, Arc::new(Semaphore::new(CROWD)));
    let tasks: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(number, case)| {
            let (bytes, end, places) = (marked(&case.bytes, &mark(number)), case.end, Arc::clone(&places));
            tokio::spawn(async move {
                let _place = places.acquire_owned().await.unwrap();
                put(address, bytes, end).await
            })
        })
        .collect();
    let mut got = Vec::new();
    for task in tasks {
        got.push(task.await.unwrap());
    }
    let last = marked(&bytes(&get("Connection: close\r\n")), LAST);
    assert_eq!(put(address, last, End::Silence).await.statuses, [ANSWERED]);
    got
}

/// The mark of the request by which is known that all before it has been noted.
const LAST: &str = "the-last";

/// The limits that every sidecar here has.
const SHORT: &str =
    "limits.header_timeout = \"3s\"\nlimits.keep_alive_timeout = \"1s\"\nupstream.body_idle_timeout = \"3s\"";

/// A request as an upstream read it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Read {
    target: String,
    body: String,
}

/// By mark, what an upstream read whole, and how many more requests it saw begin.
#[derive(Debug, Default)]
struct Seen {
    whole: BTreeMap<String, Vec<Read>>,
    begun: BTreeMap<String, usize>,
    /// Request lines that have no mark.
    unknown: Vec<String>,
}

// === impl Seen ===

impl Seen {
    fn note(&mut self, line: &str, whole: Option<Read>) {
        match (mark_of(line), whole) {
            (None, _) => self.unknown.push(line.to_owned()),
            (Some(mark), Some(read)) => self.whole.entry(mark).or_default().push(read),
            (Some(mark), None) => *self.begun.entry(mark).or_default() += 1,
        }
    }

    fn by_nginx(lines: &[Noted], statuses: &BTreeMap<String, u16>) -> Self {
        let mut seen = Self::default();
        for line in lines {
            let expected = mark_of(&line.request).and_then(|mark| statuses.get(&mark).copied()).unwrap_or(ANSWERED);
            // What it refuses to read, it has seen all the same; it says no target of that.
            let target = match line.status {
                ANSWERED => line.target.clone(),
                _ => line.request.split(' ').nth(1).unwrap_or_default().to_owned(),
            };
            let whole = (line.status == expected).then(|| Read { target, body: line.body.clone() });
            seen.note(&line.request, whole);
        }
        seen
    }

    fn by_strict(whole: &[Received], heads: &[String]) -> Self {
        let mut seen = Self::default();
        for received in whole {
            let target = received.line().split(' ').nth(1).unwrap_or_default().to_owned();
            let read = Read { target, body: String::from_utf8_lossy(&received.body).into_owned() };
            seen.note(received.line(), Some(read));
        }
        for head in heads {
            let line = head.split("\r\n").next().unwrap_or_default();
            seen.note(line, None);
        }
        for (mark, whole) in &seen.whole {
            *seen.begun.entry(mark.clone()).or_default() -= whole.len();
        }
        seen
    }

    fn whole(&self, mark: &str) -> &[Read] {
        self.whole.get(mark).map_or(&[], Vec::as_slice)
    }

    fn begun(&self, mark: &str) -> usize {
        self.begun.get(mark).copied().unwrap_or_default()
    }
}

fn mark_of(line: &str) -> Option<String> {
    let at = line.match_indices('k').map(|(at, _)| at).find(|&at| {
        line.get(at + 1..at + 6)
            .is_some_and(|tail| tail.as_bytes()[..4].iter().all(u8::is_ascii_digit) && tail.ends_with('k'))
    })?;
    Some(line[at..at + 6].to_owned())
}

/// The faults of what came of a case before one upstream.
fn judge(case: &Case, mark: &str, got: &Got, seen: &Seen, logged: usize, upstream: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let said = |&status: &u16| if (status, upstream) == (ANSWERED, "nginx") { case.nginx } else { status };
    let statuses: Vec<u16> = case.fate.statuses.iter().map(said).collect();
    if got.statuses != statuses || !got.rest.is_empty() {
        let rest = String::from_utf8_lossy(&got.rest);
        faults.push(format!("the client got {:?} and {rest:?} instead of {statuses:?}", got.statuses));
    }
    let read = seen.whole(mark);
    let bodies: Vec<_> = read.iter().map(|read| read.body.as_bytes()).collect();
    if bodies != case.fate.forwarded.iter().map(|body| &body[..]).collect::<Vec<_>>() {
        faults.push(format!("{upstream} read {read:?} instead of {} requests", case.fate.forwarded.len()));
    }
    if seen.begun(mark) > usize::from(case.fate.broken) {
        faults.push(format!("{upstream} saw {} more begin", seen.begun(mark)));
    }
    if logged != case.fate.forwarded.len() {
        faults.push(format!("the sidecar says that it forwarded {logged}"));
    }
    let sent = marked(&case.bytes, mark);
    for Read { target, .. } in read {
        if !sent.windows(target.len()).any(|window| window == target.as_bytes()) {
            faults.push(format!("{upstream} read the target {target:?}, which was not sent"));
        }
    }
    for target in &got.targets {
        if mark_of(target).as_deref() != Some(mark) {
            faults.push(format!("the client got an answer for {target:?}"));
        }
    }
    faults.into_iter().map(|fault| format!("{} / {}: {fault}", case.family, case.name)).collect()
}

#[tokio::test]
async fn every_request_is_refused_or_seen_alike_by_upstreams_of_different_make() {
    let cases = all();
    let nginx = Nginx::start();
    let strict = Upstream::start(|head, _| {
        let target = head.split(' ').nth(1).unwrap_or_default();
        Script::say(format!("HTTP/1.1 204 No Content\r\nX-Target: {target}\r\n\r\n"))
    })
    .await;
    let before_nginx = Setup::before(&nginx.origin(), SHORT).await;
    let before_strict = Setup::before(&strict.origin, SHORT).await;
    let (got_nginx, got_strict) = tokio::join!(run(&before_nginx, &cases), run(&before_strict, &cases));
    until("the last line of nginx", async || nginx.noted().iter().any(|noted| noted.request.contains(LAST))).await;
    let statuses = cases.iter().enumerate().map(|(number, case)| (mark(number), case.nginx)).collect();
    let seen_nginx = Seen::by_nginx(&nginx.noted(), &statuses);
    let seen_strict = Seen::by_strict(&strict.seen(), &strict.heads());
    let mut logged = Vec::new();
    for setup in [before_nginx, before_strict] {
        let mut by_mark = BTreeMap::<String, usize>::new();
        for line in in_time("the end of the sidecar", setup.lines()).await {
            assert!(!line.path.contains("smuggled"), "{line:?}");
            if let (Some(mark), Some(_)) = (mark_of(&line.path), line.upstream_status) {
                *by_mark.entry(mark).or_default() += 1;
            }
        }
        logged.push(by_mark);
    }
    let mut faults = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let mark = mark(number);
        let count = |at: usize| logged[at].get(&mark).copied().unwrap_or_default();
        faults.extend(judge(case, &mark, &got_nginx[number], &seen_nginx, count(0), "nginx"));
        faults.extend(judge(case, &mark, &got_strict[number], &seen_strict, count(1), "the strict one"));
        if seen_nginx.whole(&mark) != seen_strict.whole(&mark) {
            faults.push(format!("{} / {}: the upstreams saw different requests", case.family, case.name));
        }
    }
    faults.extend(strict.seen().iter().flat_map(strict::faults));
    assert!(faults.is_empty(), "{} faults in {} cases:\n{}", faults.len(), cases.len(), faults.join("\n"));
    for seen in [&seen_nginx, &seen_strict] {
        assert!(seen.unknown.iter().all(|line| line.contains(LAST)), "{:?}", seen.unknown);
    }
    let lines = nginx.noted().into_iter().map(|noted| noted.request).chain(strict.heads());
    assert!(!lines.into_iter().any(|line| line.split("\r\n").next().unwrap_or_default().contains("smuggled")));
}

#[test]
fn there_are_at_least_five_hundred_requests_and_none_is_there_twice() {
    let cases = all();
    let mut families = BTreeMap::<_, usize>::new();
    let (mut texts, mut twice) = (BTreeMap::new(), Vec::new());
    for case in &cases {
        *families.entry(case.family).or_default() += 1;
        if let Some(other) = texts.insert((case.bytes.clone(), case.end == End::HangUp), &case.name) {
            twice.push(format!("{} is the same as {other}", case.name));
        }
    }
    assert!(twice.is_empty(), "{}", twice.join("\n"));
    println!("{} requests: {families:?}", cases.len());
    assert!(cases.len() >= 500, "{}", cases.len());
}
