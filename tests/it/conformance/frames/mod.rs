//! Hostile HTTP/2 frames against the data plane: each fault ends the stream or the connection that RFC 9113 says, nothing
//! is forwarded that is no whole request, memory stays bounded, and a good request on another connection is answered.

mod blocks;
mod fields;
mod floods;
mod openings;
mod streams;
mod wire;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use tokio::sync::Semaphore;

use self::wire::{Client, Code, END_STREAM, Heard, block, headers, opening};
use super::setup::{Setup, marked};
use crate::support::{Part, Script, Upstream};

/// What a client does on one connection. `{mark}` in its bytes becomes a name of its own of the same length.
struct Case {
    family: &'static str,
    name: String,
    steps: Vec<Step>,
    /// Requests that reach the upstream whole.
    whole: usize,
    /// Requests that may reach it besides, whole or in part, before the fault is seen.
    begun: usize,
    after: After,
}

enum Step {
    Send(Vec<u8>),
    HangUp,
    /// What must be heard before the next step.
    Hear(Event),
}

#[derive(Debug, Clone)]
enum Event {
    /// The stream gets an answer.
    Status(u32, u16),
    /// So many bytes of the answer.
    Data(u32, usize),
    /// The answer on the stream is over.
    End(u32),
    /// The stream is reset, and the connection stays.
    Reset(u32, Code),
    /// The connection is given up.
    Goaway(Code),
    /// The same; h2, the library that reads frames, has PROTOCOL_ERROR for much that RFC 9113 has a name of its own for.
    Given(Code),
    /// The connection ends, with or without a word.
    Closed,
    /// An answer in HTTP/1.1.
    Text(&'static str),
    Pong,
    /// One of these.
    Any(Vec<Event>),
}

use Event::{Closed, End, Given, Goaway, Pong, Reset, Status, Text};

/// Whether the connection can still be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    GoesOn,
    Over,
}

/// A stream that no case uses.
const NEXT: u32 = 0x3fff_fff1;

/// As long as a mark.
const MARK: &str = "{mark}";

const LIMITS: &str =
    "limits.header_timeout = \"6s\"\nlimits.header_size = \"64KiB\"\nupstream.body_idle_timeout = \"3s\"";

/// More than the program may come to need while it is tried. Twice what it was seen to.
const MEMORY: u64 = 64 << 20;

// === cases ===

fn case(family: &'static str, name: impl Into<String>, bytes: Vec<u8>, event: Event) -> Case {
    steps(family, name, vec![Step::Send([opening(), bytes].concat()), Step::Hear(event)])
}

fn steps(family: &'static str, name: impl Into<String>, steps: Vec<Step>) -> Case {
    let over = match steps.last() {
        Some(Step::Hear(event)) => event.ends(),
        _ => false,
    };
    let after = if over { After::Over } else { After::GoesOn };
    Case { family, name: name.into(), steps, whole: 0, begun: 0, after }
}

/// The fields of a good request.
fn good() -> Vec<(&'static str, &'static str)> {
    vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/api/public/v1/decks/{mark}"),
        (":authority", "localhost"),
        ("x-flexslot-tenant", "acme"),
    ]
}

/// A good request without a body.
fn get(stream: u32) -> Vec<u8> {
    headers(END_STREAM, stream, &block(&good()))
}

/// The same, of another path.
fn get_of(stream: u32, path: &str) -> Vec<u8> {
    let path = format!("/api/public/v1/decks/{path}");
    let fields: Vec<_> =
        good().into_iter().map(|(name, value)| (name, if name == ":path" { &*path } else { value })).collect();
    headers(END_STREAM, stream, &block(&fields))
}

/// The head of a good request with a body.
fn post(stream: u32) -> Vec<u8> {
    let mut fields = good();
    fields[0].1 = "POST";
    headers(0, stream, &block(&fields))
}

/// The same request, with another field besides.
fn with(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    let mut fields = good();
    fields.push((name, value));
    fields
}

// === impl Case ===

impl Case {
    /// So many requests reach the upstream.
    fn forwards(self, whole: usize) -> Self {
        Self { whole, ..self }
    }

    /// So many more may.
    fn begins(self, begun: usize) -> Self {
        Self { begun, ..self }
    }

    fn over(self) -> Self {
        Self { after: After::Over, ..self }
    }
}

// === impl Event ===

impl Event {
    fn is(&self, heard: &Heard) -> bool {
        match (self, heard) {
            (Status(stream, status), Heard::Status(on, said)) => (stream, status) == (on, said),
            (Self::Data(stream, length), Heard::Data(on, heard)) => (stream, length) == (on, heard),
            (End(stream), Heard::End(on)) => stream == on,
            (Reset(stream, code), Heard::Reset(on, said)) => (stream, *code as u32) == (on, *said),
            (Goaway(code), Heard::Goaway(said)) => *code as u32 == *said,
            (Given(code), Heard::Goaway(said)) => [*code as u32, Code::Protocol as u32].contains(said),
            (Closed, Heard::Closed) | (Pong, Heard::Pong) => true,
            (Text(text), Heard::Text(said)) => said.starts_with(text),
            (Self::Any(events), heard) => events.iter().any(|event| event.is(heard)),
            _ => false,
        }
    }

    fn ends(&self) -> bool {
        match self {
            Goaway(_) | Given(_) | Closed | Text(_) => true,
            Self::Any(events) => events.iter().any(Self::ends),
            _ => false,
        }
    }
}

fn all() -> Vec<Case> {
    [openings::cases(), streams::cases(), blocks::cases(), fields::cases(), floods::cases()]
        .into_iter()
        .flatten()
        .collect()
}

// === the run ===

fn mark(number: usize) -> String {
    format!("k{number:04}k")
}

/// Runs a case; answers what is wrong.
async fn run(sidecar: SocketAddr, upstream: &Upstream, case: &Case, mark: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut client = Client::connect(sidecar).await;
    for step in &case.steps {
        match step {
            Step::Send(bytes) => client.send(marked(bytes, mark)),
            Step::HangUp => client.hang_up(),
            Step::Hear(event) => {
                if !client.hears(|heard| event.is(heard)).await {
                    let heard: Vec<_> = client.heard.iter().filter(|heard| **heard != Heard::Pong).take(20).collect();
                    faults.push(format!("no {event:?}, but {heard:?}"));
                    break;
                }
            }
        }
    }
    let over = case.after == After::Over || !faults.is_empty();
    if over
        && faults.is_empty()
        && case.steps.last().is_some_and(|step| matches!(step, Step::Hear(event) if event.ends()))
    {
        // A connection that is given up ends, whatever the client still holds open.
        client.hang_up();
        client.hears(|heard| *heard == Heard::Closed).await;
    }
    if !over {
        client.send(get_of(NEXT, &format!("{mark}/next")));
        if !client.hears(|heard| Status(NEXT, 200).is(heard)).await {
            let heard: Vec<_> = client.heard.iter().take(20).collect();
            faults.push(format!("the connection does not go on: {heard:?}"));
        }
        if let Some(goaway) = client.heard.iter().find(|heard| matches!(heard, Heard::Goaway(_))) {
            faults.push(format!("{goaway:?} on a connection that goes on"));
        }
    }
    let mut other = Client::connect(sidecar).await;
    other.send([opening(), get_of(1, &format!("{mark}/other"))].concat());
    if !other.hears(|heard| Status(1, 200).is(heard)).await {
        faults.push(format!("another connection: {:?}", other.heard));
    }
    let target = format!("/decks/{mark} ");
    let whole = upstream.seen().iter().filter(|seen| seen.line().contains(&target)).count();
    let heads = upstream.heads().iter().filter(|head| head.contains(&target)).count();
    if whole < case.whole || heads > case.whole + case.begun {
        faults.push(format!(
            "the upstream saw {whole} whole of {heads}, instead of {} and at most {} more",
            case.whole, case.begun
        ));
    }
    faults.into_iter().map(|fault| format!("{} / {}: {fault}", case.family, case.name)).collect()
}

#[tokio::test]
async fn hostile_frames_end_what_rfc_9113_says_and_harm_nobody_else() {
    let cases = all();
    let never = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&never);
    let upstream = Upstream::start(move |head, _| {
        let answer = Part::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec());
        match head.contains("x-wait: yes") {
            true => Script::parts([Part::Wait(Arc::clone(&gate)), answer]),
            false => Script::parts([answer]),
        }
    })
    .await;
    let setup = Setup::before(&upstream.origin, LIMITS).await;
    let process = &setup.sidecar.process;
    process.forget_peak();
    let before = process.memory("VmRSS");
    let mut faults = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        faults.extend(run(setup.sidecar.proxy, &upstream, case, &mark(number)).await);
    }
    let peak = process.memory("VmHWM").saturating_sub(before);
    println!("{} sequences; memory grew by {} KiB at most", cases.len(), peak >> 10);
    assert!(faults.is_empty(), "{} faults in {} sequences:\n{}", faults.len(), cases.len(), faults.join("\n"));
    assert!(peak < MEMORY, "memory grew by {} KiB", peak >> 10);
    assert!(!upstream.heads().iter().any(|head| head.contains("smuggled")), "{:?}", upstream.heads());
    never.add_permits(10_000);
    let exit = setup.sidecar.stop().await;
    assert!(exit.status.success() && !exit.stderr.contains("panicked"), "{}", exit.stderr);
    let others = exit.stderr.lines().filter(|line| !line.contains("\"target\":\"access\"")).count();
    assert!(others < 100, "{others} lines that are about no request");
}

#[test]
fn there_are_at_least_sixty_sequences_and_none_has_the_name_of_another() {
    let cases = all();
    let mut families = BTreeMap::<_, usize>::new();
    let mut names = BTreeMap::new();
    for case in &cases {
        *families.entry(case.family).or_default() += 1;
        assert!(names.insert((case.family, case.name.clone()), ()).is_none(), "{} is there twice", case.name);
    }
    println!("{} sequences: {families:?}", cases.len());
    assert!(cases.len() >= 60, "{}", cases.len());
    assert_eq!(MARK.len(), mark(0).len());
}
