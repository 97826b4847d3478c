//! The upstream: byte streams in memory, whose other end reads strictly, notes what comes, and answers as it is told.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use flexslot_proxy::proxy::upstream::{BoxedIo, Dial, DialError, Target};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::oneshot,
    time::sleep,
};

use super::super::message::{Framing, Head};

/// All connections together. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Upstream(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    arrivals: Vec<Arrival>,
    waiting: VecDeque<(usize, oneshot::Sender<Script>)>,
    connections: usize,
    /// So many connections are refused from now on.
    refused: usize,
    /// What is said to whatever comes, where nobody is asked.
    answers: Option<Answers>,
    fault: Option<String>,
}

/// Answers a request as soon as its head is there.
pub struct Answers(pub Box<dyn Fn(&Arrival) -> Script + Send>);

/// A request that has come.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub head: Head,
    pub body: Vec<u8>,
    /// The body has come to its end.
    pub whole: bool,
    /// How many had come before it on the same connection.
    pub nth: usize,
    pub outcome: Outcome,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Open,
    /// The connection was closed without a byte.
    Cut,
    /// It was answered with this status, and to the end or not.
    Answered {
        status: u16,
        whole: bool,
    },
    /// The sidecar has hung up before.
    Abandoned,
}

/// What is said to a request, and how the connection goes on.
#[derive(Debug, Clone)]
pub struct Script {
    pub parts: Vec<Part>,
    /// What [`Outcome`] this is.
    pub outcome: Outcome,
}

#[derive(Debug, Clone)]
pub enum Part {
    Bytes(Vec<u8>),
    Wait(Duration),
    Close,
}

// === impl Script ===

impl Script {
    pub fn cut() -> Self {
        Self { parts: vec![Part::Close], outcome: Outcome::Cut }
    }

    /// This, whole.
    pub fn say(status: u16, fields: &str, body: &[u8]) -> Self {
        let head = format!("HTTP/1.1 {status} X\r\n{fields}content-length: {}\r\n\r\n", body.len());
        let bytes = [head.as_bytes(), body].concat();
        Self { parts: vec![Part::Bytes(bytes)], outcome: Outcome::Answered { status, whole: true } }
    }
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answers")
    }
}

// === impl Upstream ===

impl Upstream {
    /// Everything that comes from now on is answered by `answers`, and so is what waits.
    pub fn answer_all(&self, answers: impl Fn(&Arrival) -> Script + Send + 'static) {
        let mut state = self.0.lock();
        state.refused = 0;
        while let Some((at, tell)) = state.waiting.pop_front() {
            let _ = tell.send(answers(&state.arrivals[at]));
        }
        state.answers = Some(Answers(Box::new(answers)));
    }

    /// The next `count` connections are refused.
    pub fn refuse(&self, count: usize) {
        self.0.lock().refused = count;
    }

    /// Answers one of the requests that wait by what `script` makes of it and its number. False where none waits.
    pub fn answer(&self, which: usize, script: impl FnOnce(usize, &Arrival) -> Script) -> bool {
        let mut state = self.0.lock();
        state.waiting.retain(|(_, tell)| !tell.is_closed());
        if state.waiting.is_empty() {
            return false;
        }
        let which = which % state.waiting.len();
        let Some((at, tell)) = state.waiting.remove(which) else { return false };
        let script = script(at, &state.arrivals[at]);
        let _ = tell.send(script);
        true
    }

    /// What has come so far, by their numbers.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.0.lock().arrivals.clone()
    }

    /// Something came that no sidecar may send.
    pub fn fault(&self) -> Option<String> {
        self.0.lock().fault.clone()
    }

    fn violate(&self, what: String) {
        self.0.lock().fault.get_or_insert(what);
    }

    fn note(&self, head: Head, nth: usize) -> (usize, oneshot::Receiver<Script>) {
        let mut state = self.0.lock();
        let arrival = Arrival { head, body: Vec::new(), whole: false, nth, outcome: Outcome::Open };
        let (tell, told) = oneshot::channel();
        let at = state.arrivals.len();
        match &state.answers {
            Some(Answers(answers)) => drop(tell.send(answers(&arrival))),
            None => state.waiting.push_back((at, tell)),
        }
        state.arrivals.push(arrival);
        (at, told)
    }

    fn set(&self, at: usize, set: impl FnOnce(&mut Arrival)) {
        set(&mut self.0.lock().arrivals[at]);
    }

    /// One connection, to its end.
    async fn talk(self, mut stream: DuplexStream) {
        let mut read = Vec::new();
        for nth in 0.. {
            let head = loop {
                match Head::parse(&read) {
                    Ok(Some((head, length))) => {
                        read.drain(..length);
                        break head;
                    }
                    Ok(None) => {}
                    Err(fault) => return self.violate(fault),
                }
                if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                    return;
                }
            };
            let framing = match head.framing(Framing::Length(0)) {
                Ok(framing) => framing,
                Err(fault) => return self.violate(fault),
            };
            let (at, told) = self.note(head, nth);
            if !self.serve(&mut stream, &mut read, framing, (at, told)).await {
                return;
            }
        }
    }

    /// One request whose head has come; false where the connection is over.
    async fn serve(
        &self,
        stream: &mut DuplexStream,
        read: &mut Vec<u8>,
        framing: Framing,
        (at, mut told): (usize, oneshot::Receiver<Script>),
    ) -> bool {
        let mut script = None;
        let length = loop {
            match framing.read(read) {
                Ok(content) => {
                    self.set(at, |arrival| (arrival.body, arrival.whole) = (content.data, content.length.is_some()));
                    match content.length {
                        Some(length) if script.is_some() => break length,
                        Some(length) if read.len() > length => {
                            self.violate("another request before the answer to this one".to_owned());
                            return false;
                        }
                        _ => {}
                    }
                }
                Err(fault) => {
                    self.violate(fault);
                    return false;
                }
            }
            tokio::select! {
                biased;
                said = &mut told, if script.is_none() => match said {
                    Ok(said) => {
                        if !self.say(stream, &said, at).await {
                            return false;
                        }
                        script = Some(said);
                    }
                    Err(_) => return false,
                },
                more = stream.read_buf(read) => if more.unwrap_or(0) == 0 {
                    if script.is_none() {
                        self.set(at, |arrival| arrival.outcome = Outcome::Abandoned);
                    }
                    return false;
                },
            }
        };
        read.drain(..length);
        true
    }

    /// Says all parts; false where the connection ends.
    async fn say(&self, stream: &mut DuplexStream, script: &Script, at: usize) -> bool {
        self.set(at, |arrival| arrival.outcome = script.outcome);
        for part in &script.parts {
            match part {
                Part::Bytes(bytes) => {
                    if stream.write_all(bytes).await.is_err() {
                        return false;
                    }
                }
                Part::Wait(time) => sleep(*time).await,
                Part::Close => return false,
            }
        }
        true
    }
}

#[async_trait]
impl Dial for Upstream {
    async fn dial(&self, _: &Target) -> Result<BoxedIo, DialError> {
        {
            let mut state = self.0.lock();
            state.connections += 1;
            if state.refused > 0 {
                state.refused -= 1;
                return Err(DialError::Connect(std::io::ErrorKind::ConnectionRefused.into()));
            }
        }
        let (ours, theirs) = duplex(64 * 1024);
        tokio::spawn(self.clone().talk(theirs));
        Ok(Box::new(ours))
    }
}
