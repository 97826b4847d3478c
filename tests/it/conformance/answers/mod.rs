//! Raw HTTP/1.1 answers of an upstream: each is passed on, or is 502 `upstream_invalid`, or breaks off at the client;
//! and the next request, of another tenant, gets its own answer, over another connection where this one is spoilt.

mod bodies;
mod drips;
mod heads;
mod interim;
mod seconds;

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
};

use tokio::sync::Semaphore;

use super::setup::{Setup, bytes, shown};
use crate::support::{Part, Raw, RawReply, Received, Script, Upstream, field, in_time};

/// What an upstream says to one request, and what must come of it.
struct Case {
    family: &'static str,
    name: String,
    asked: Asked,
    said: Said,
    outcome: Outcome,
    next: Next,
}

/// The request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Get,
    Head,
    /// A body of three bytes.
    Post,
    /// A body of ten bytes, of which only three come before the answer.
    Uploading,
}

/// Every character up to U+00FF of the texts is one byte.
#[derive(Debug, Clone)]
enum Said {
    /// All at once, and the connection stays.
    Whole(String),
    /// All at once, and the connection ends.
    Closed(String),
    /// A byte at a time.
    Dripped(String),
    /// The second when the client has the answer to the first.
    Twice(String, String),
    /// This, and nothing more.
    Stalled(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// The client gets this status and this body.
    Passed(u16, String),
    /// The client gets 502 `upstream_invalid`.
    Invalid,
    /// The client gets the status, this much of the body, and the end of its connection in its midst.
    Cut(u16, String),
    /// The client gets 504 `upstream_timeout`.
    Late,
}

use Outcome::{Cut, Invalid, Late, Passed};

/// The connection over which the next request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Same,
    Another,
    /// Whether this one is spoilt is a matter of taste.
    Either,
}

const LIMITS: &str =
    "upstream.response_timeout = \"2s\"\nupstream.body_idle_timeout = \"2s\"\nlimits.header_size = \"64KiB\"";

// === cases ===

fn case(family: &'static str, name: impl Into<String>, said: Said, outcome: Outcome, next: Next) -> Case {
    Case { family, name: name.into(), asked: Asked::Get, said, outcome, next }
}

fn whole(text: impl Into<String>) -> Said {
    Said::Whole(text.into())
}

fn closed(text: impl Into<String>) -> Said {
    Said::Closed(text.into())
}

fn passed(status: u16, body: &str) -> Outcome {
    Passed(status, body.to_owned())
}

fn cut(body: &str) -> Outcome {
    Cut(200, body.to_owned())
}

/// 200 with these fields and this body.
fn ok(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}")
}

/// A good answer.
fn good() -> String {
    ok("Content-Length: 3\r\n", "abc")
}

fn chunked(body: &str) -> String {
    ok("Transfer-Encoding: chunked\r\n", body)
}

// === impl Case ===

impl Case {
    fn to(self, asked: Asked) -> Self {
        Self { asked, ..self }
    }

    fn is_slow(&self) -> bool {
        matches!(self.said, Said::Stalled(_))
    }
}

fn all() -> Vec<Case> {
    [interim::cases(), heads::cases(), bodies::cases(), seconds::cases(), drips::cases()]
        .into_iter()
        .flatten()
        .collect()
}

// === the run ===

/// What an upstream says to a marked request, with what opens the second part and says that it is out.
struct Told {
    asked: Asked,
    parts: Vec<Part>,
    go: Arc<Semaphore>,
    said: Arc<Semaphore>,
}

impl Told {
    fn of(case: &Case) -> Self {
        let (go, said) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let parts = match &case.said {
            Said::Whole(text) => vec![Part::Bytes(bytes(text))],
            Said::Closed(text) => vec![Part::Bytes(bytes(text)), Part::Close],
            Said::Dripped(text) => bytes(text).into_iter().map(|byte| Part::Bytes(vec![byte])).collect(),
            Said::Twice(one, two) => vec![
                Part::Bytes(bytes(one)),
                Part::Wait(Arc::clone(&go)),
                Part::Bytes(bytes(two)),
                Part::Tell(Arc::clone(&said)),
            ],
            Said::Stalled(text) => vec![Part::Bytes(bytes(text)), Part::Wait(Arc::clone(&go))],
        };
        Self { asked: case.asked, parts, go, said }
    }

    fn script(&self) -> Script {
        match self.asked {
            Asked::Uploading => Script::early(self.parts.clone()),
            _ => Script::parts(self.parts.clone()),
        }
    }
}

fn mark(number: usize) -> String {
    format!("k{number:04}k")
}

fn next_body(mark: &str) -> String {
    format!("the next of {mark}")
}

fn request(asked: Asked, tenant: &str, path: &str) -> String {
    let (method, fields, body) = match asked {
        Asked::Get => ("GET", "", ""),
        Asked::Head => ("HEAD", "", ""),
        Asked::Post => ("POST", "Content-Length: 3\r\n", "abc"),
        Asked::Uploading => ("POST", "Content-Length: 10\r\n", "abc"),
    };
    format!(
        "{method} /api/public/v1/cards/{path} HTTP/1.1\r\nHost: localhost\r\nX-Flexslot-Tenant: {tenant}\r\nTE: trailers\r\n\
         {fields}\r\n{body}"
    )
}

/// What the client got. `None` of a connection: it has ended.
struct Got {
    outcome: Result<Outcome, String>,
    reply: Option<RawReply>,
    raw: Option<Raw>,
}

async fn ask(sidecar: SocketAddr, case: &Case, mark: &str) -> Got {
    let mut raw = Raw::connect(sidecar).await;
    raw.send(request(case.asked, "acme", mark)).await;
    match (&case.outcome, case.asked) {
        (Cut(..), _) => {
            let rest = raw.rest().await;
            Got { outcome: broken_off(&rest), reply: None, raw: None }
        }
        (_, Asked::Head) => {
            let head = raw.until("\r\n\r\n").await;
            let length = head.find("\r\n\r\n").expect("the end of a head") + 4;
            raw.exactly(length).await;
            let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
            let outcome = if status == 502 { Invalid } else { Passed(status, String::new()) };
            Got { outcome: Ok(outcome), reply: None, raw: Some(raw) }
        }
        _ => {
            let reply = match raw.try_reply().await {
                Ok(reply) => reply,
                Err(rest) => return Got { outcome: broken_off(&rest), reply: None, raw: None },
            };
            let body = String::from_utf8_lossy(&reply.body).into_owned();
            let outcome = match reply.status {
                502 if body.contains("\"upstream_invalid\"") => Invalid,
                504 if body.contains("\"upstream_timeout\"") => Late,
                status => Passed(status, body),
            };
            // The upload is not over, so that the next request cannot follow it.
            let raw = (case.asked != Asked::Uploading).then_some(raw);
            Got { outcome: Ok(outcome), reply: Some(reply), raw }
        }
    }
}

/// An answer that broke off, or what looks like a whole one.
fn broken_off(rest: &[u8]) -> Result<Outcome, String> {
    let text = String::from_utf8_lossy(rest).into_owned();
    let fault = || format!("no answer that breaks off: {text:?}");
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(fault)?;
    let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(fault)?;
    if let Some(length) = field(head, "content-length") {
        let length: usize = length.parse().map_err(|_| fault())?;
        return if body.len() < length { Ok(Cut(status, body.to_owned())) } else { Err(fault()) };
    }
    if field(head, "transfer-encoding").is_none() {
        return Err(fault());
    }
    let mut data = String::new();
    let mut rest = body;
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).map_err(|_| fault())?;
        if size == 0 {
            return Err(fault());
        }
        let Some(chunk) = after.get(..size) else { break };
        data.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    Ok(Cut(status, data))
}

/// Runs a case; answers what is wrong.
async fn run(sidecar: SocketAddr, upstream: &Upstream, case: &Case, mark: &str, told: &Told) -> Vec<String> {
    let mut faults = Vec::new();
    let Got { outcome, reply, raw } = in_time(&case.name, ask(sidecar, case, mark)).await;
    if outcome.as_ref() != Ok(&case.outcome) {
        faults.push(format!("{outcome:?} instead of {:?}", case.outcome));
    }
    if let Some(reply) = &reply {
        faults.extend(leaks(reply));
    }
    told.go.add_permits(1);
    if matches!(case.said, Said::Twice(..)) {
        in_time("the second answer", told.said.acquire()).await.expect("the gate stays").forget();
    }
    let same_client = raw.is_some();
    let mut raw = match raw {
        Some(raw) => raw,
        None => Raw::connect(sidecar).await,
    };
    raw.send(request(Asked::Get, "beta", &format!("{mark}/next"))).await;
    let reply = in_time(&case.name, raw.try_reply()).await;
    if !reply.as_ref().is_ok_and(|reply| (reply.status, &reply.body[..]) == (200, next_body(mark).as_bytes())) {
        faults.push(format!("the next request got {reply:?}"));
    }
    let seen = upstream.seen();
    let last = |tail: &str| seen.iter().rev().find(|seen| seen.line().contains(&format!("/{mark}{tail} ")));
    let connection = |seen: Option<&Received>| seen.map(|seen| seen.connection);
    let (first, next) = (connection(last("")), connection(last("/next")));
    let is_same = first.is_some() && first == next;
    match case.next {
        Next::Same if !is_same && same_client => faults.push("a good connection was thrown away".to_owned()),
        Next::Another if is_same => faults.push("the next request went over the spoilt connection".to_owned()),
        _ => {}
    }
    let tenant = last("/next").and_then(|seen| seen.field("authorization").map(str::to_owned));
    if tenant.as_deref() != Some("Bearer flx_pat_of_beta_for_this_test") {
        faults.push(format!("the next request went with {tenant:?}"));
    }
    let sends = seen.iter().filter(|seen| seen.line().contains(&format!("/{mark} "))).count();
    // A reused connection that closes without a word may have been closed before the request came.
    let most = if matches!(&case.said, Said::Closed(text) if text.is_empty()) { 2 } else { 1 };
    if sends > most {
        faults.push(format!("the request was sent {sends} times"));
    }
    faults.into_iter().map(|fault| format!("{} / {}: {fault}", case.family, case.name)).collect()
}

/// What must never reach a client, wherever an upstream puts it.
fn leaks(reply: &RawReply) -> Vec<String> {
    let coded = String::from_utf8_lossy(&reply.coded).into_owned();
    let trailers = match field(&reply.head, "transfer-encoding") {
        Some(_) => coded.rsplit_once("\r\n0\r\n").or(coded.split_once("0\r\n")).map_or("", |(_, trailers)| trailers),
        None => "",
    };
    let lines = reply.head.split("\r\n").skip(1).chain(trailers.lines());
    let names = lines.filter_map(|line| line.split_once(':')).map(|(name, _)| name.to_ascii_lowercase());
    let mut faults = Vec::new();
    // RFC 9112 section 2.3: the version is that of whoever sends the message, here the sidecar.
    if !reply.head.starts_with("HTTP/1.1 ") {
        faults.push(format!("the version of another: {:?}", reply.head));
    }
    for name in names {
        if ["set-cookie", "x-hop", "dpop-nonce", "authorization"].contains(&&*name) {
            faults.push(format!("{name} got through"));
        }
    }
    let in_trailers = |name: &str| trailers.to_ascii_lowercase().contains(name);
    if ["content-length", "transfer-encoding", "location", "content-type"].into_iter().any(in_trailers) {
        faults.push(format!("framing in trailers: {trailers:?}"));
    }
    faults
}

#[tokio::test]
async fn every_answer_is_passed_on_or_refused_and_never_becomes_anothers() {
    let cases = all();
    let told: HashMap<_, _> = cases.iter().enumerate().map(|(number, case)| (mark(number), Told::of(case))).collect();
    let told = Arc::new(told);
    let scripts = Arc::clone(&told);
    let upstream = Upstream::start(move |head, _| {
        let target = head.split(' ').nth(1).unwrap_or_default();
        let (mark, next) = target
            .trim_start_matches("/api/public/v1/cards/")
            .split_once('/')
            .map_or_else(|| (target.rsplit('/').next().unwrap_or_default(), false), |(mark, _)| (mark, true));
        let body = next_body(mark);
        match scripts.get(mark) {
            Some(told) if !next => told.script(),
            _ => Script::say(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())),
        }
    })
    .await;
    let setup = Setup::before(&upstream.origin, LIMITS).await;
    let address = setup.sidecar.proxy;
    let mut faults = Vec::new();
    // One after the other, so that it is known which connection is there to be used again.
    for (number, case) in cases.iter().enumerate().filter(|(_, case)| !case.is_slow()) {
        let mark = mark(number);
        faults.extend(run(address, &upstream, case, &mark, &told[&mark]).await);
    }
    let mut slow = Vec::new();
    for (number, case) in cases.iter().enumerate().filter(|(_, case)| case.is_slow()) {
        let mark = mark(number);
        let (upstream, told) = (&upstream, &told);
        slow.push(async move { run(address, upstream, case, &mark, &told[&mark]).await });
    }
    for of_one in join_all(slow).await {
        faults.extend(of_one);
    }
    assert!(faults.is_empty(), "{} faults in {} answers:\n{}", faults.len(), cases.len(), faults.join("\n"));
    let exit = setup.sidecar.stop().await;
    assert!(exit.status.success() && !exit.stderr.contains("panicked"), "{}", exit.stderr);
}

/// Drives all of them at once, in the test's own task.
async fn join_all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in &mut futures {
            if done.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(cx)
            {
                *done = Some(output);
            }
        }
        if futures.iter().all(|(_, done)| done.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    futures.into_iter().filter_map(|(_, done)| done).collect()
}

#[test]
fn there_are_at_least_a_hundred_answers_and_none_is_there_twice() {
    let cases = all();
    let mut families = BTreeMap::<_, usize>::new();
    let (mut texts, mut twice) = (BTreeMap::new(), Vec::new());
    for case in &cases {
        *families.entry(case.family).or_default() += 1;
        if let Some(other) = texts.insert(format!("{:?} {:?}", case.asked, case.said), &case.name) {
            twice.push(format!("{} is the same as {other}", case.name));
        }
    }
    assert!(twice.is_empty(), "{}", twice.join("\n"));
    println!("{} answers: {families:?}", cases.len());
    assert!(cases.len() >= 100, "{}", cases.len());
}
