//! What the reader of a connection and the service that answers on it tell each other.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use http::HeaderValue;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Refusal;

/// One connection's notes. Requests are counted from zero in the order in which their heads arrive, which is the order
/// of their answers.
#[derive(Debug, Default)]
pub struct WireState {
    notes: Mutex<Notes>,
    /// Whether it is noted what hyper holds of answers.
    counts_unsent: AtomicBool,
}

#[derive(Debug, Default)]
struct Notes {
    refused: Option<(u64, Refusal)>,
    /// In the order of their requests.
    upgrades: VecDeque<(u64, HeaderValue)>,
    body_fault: bool,
    begun: u64,
    finished: u64,
    finished_at: Option<Instant>,
    reader: Option<Waker>,
    /// What hyper holds of answers, in no order. No more entries than there are streams, and the room for them stays.
    unsent: Vec<Backlog>,
    /// When the last of them was gone.
    sent_at: Option<Instant>,
}

/// What hyper holds of one answer, because the client does not take it yet.
#[derive(Debug)]
struct Backlog {
    /// Of the request.
    number: u64,
    chunks: usize,
    /// The client's last sign of taking it; at first, when there began to be something to take.
    since: Instant,
}

/// A request that is being answered; dropped with the last byte of the answer's body, or when the answer is given up.
#[derive(Debug)]
pub struct Answering {
    wire: Arc<WireState>,
    number: u64,
}

/// A chunk of an answer on its way to the client; dropped once it is written, or given up with its stream.
#[derive(Debug)]
pub(in crate::server) struct Unsent {
    /// Where that is noted.
    wire: Option<Arc<WireState>>,
    number: u64,
}

/// What the reader noted of one request.
#[derive(Debug)]
pub(in crate::server) struct Begun {
    pub(in crate::server) answering: Answering,
    /// What the request must be answered with, if it was not let through.
    pub(in crate::server) refusal: Option<Refusal>,
    /// The values of `Upgrade`, which hyper did not see.
    pub(in crate::server) upgrades: Vec<HeaderValue>,
}

/// Whether a connection has nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Something is being answered, or has not reached the client yet.
    No,
    /// Since the end of the last answer.
    Since(Instant),
    /// There was no request yet.
    Always,
}

// === impl WireState ===

impl WireState {
    /// Called before the service, for each request in turn.
    pub(in crate::server) fn begin(self: &Arc<Self>) -> Begun {
        let mut notes = self.notes.lock();
        let number = notes.begun;
        notes.begun += 1;
        let refusal = notes.refused.filter(|(refused, _)| *refused == number).map(|(_, refusal)| refusal);
        let mut upgrades = Vec::new();
        while notes.upgrades.front().is_some_and(|(of, _)| *of == number) {
            upgrades.extend(notes.upgrades.pop_front().map(|(_, value)| value));
        }
        Begun { answering: Answering { wire: Arc::clone(self), number }, refusal, upgrades }
    }

    /// Whether the body of the last request broke its framing. Its reader got an I/O error, and owes the client a bare
    /// 400.
    pub fn is_body_fault(&self) -> bool {
        self.notes.lock().body_fault
    }

    /// From now on it is noted what hyper holds of answers. Where there is one answer at a time, its writer knows.
    pub(in crate::server) fn count_unsent(&self) {
        self.counts_unsent.store(true, Ordering::Relaxed);
    }

    /// Whether nothing is being answered.
    pub fn idle(&self) -> Idle {
        let notes = self.notes.lock();
        match notes.finished_at.max(notes.sent_at) {
            _ if notes.finished < notes.begun || !notes.unsent.is_empty() => Idle::No,
            None => Idle::Always,
            Some(at) => Idle::Since(at),
        }
    }

    /// Since when the client has taken nothing of an answer that is ready for it: of several, the one that waits
    /// longest. An answer whose next chunk is still awaited from elsewhere does not count.
    pub(in crate::server) fn unsent_since(&self) -> Option<Instant> {
        self.notes.lock().unsent.iter().map(|backlog| backlog.since).min()
    }

    pub(super) fn refuse(&self, number: u64, refusal: Refusal) {
        self.notes.lock().refused = Some((number, refusal));
    }

    pub(super) fn note_upgrade(&self, number: u64, value: HeaderValue) {
        self.notes.lock().upgrades.push_back((number, value));
    }

    pub(super) fn note_body_fault(&self) {
        self.notes.lock().body_fault = true;
    }

    /// When the answer to the last of `released` requests ended; until then, `reader` is woken by it.
    pub(super) fn answered(&self, released: u64, reader: &Waker) -> Option<Instant> {
        let mut notes = self.notes.lock();
        if notes.finished == released {
            return notes.finished_at;
        }
        notes.reader = Some(reader.clone());
        None
    }
}

// === impl Notes ===

impl Notes {
    /// Where the backlog of this request stands.
    fn backlog(&self, number: u64) -> Option<usize> {
        self.unsent.iter().position(|backlog| backlog.number == number)
    }
}

// === impl Answering ===

impl Answering {
    /// Notes that a chunk of the answer was handed to hyper.
    pub(in crate::server) fn hand_out(&self) -> Unsent {
        if !self.wire.counts_unsent.load(Ordering::Relaxed) {
            return Unsent { wire: None, number: self.number };
        }
        let mut notes = self.wire.notes.lock();
        match notes.backlog(self.number) {
            Some(at) => notes.unsent[at].chunks += 1,
            None => notes.unsent.push(Backlog { number: self.number, chunks: 1, since: Instant::now() }),
        }
        Unsent { wire: Some(Arc::clone(&self.wire)), number: self.number }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut notes = self.wire.notes.lock();
        notes.finished += 1;
        notes.finished_at = Some(Instant::now());
        if let Some(reader) = notes.reader.take() {
            reader.wake();
        }
    }
}

// === impl Unsent ===

impl Unsent {
    /// Notes that a part of the chunk was written.
    pub(in crate::server) fn progressed(&self) {
        let Some(wire) = &self.wire else { return };
        let mut notes = wire.notes.lock();
        if let Some(at) = notes.backlog(self.number) {
            notes.unsent[at].since = Instant::now();
        }
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        let Some(wire) = &self.wire else { return };
        let mut notes = wire.notes.lock();
        let Some(at) = notes.backlog(self.number) else { return };
        notes.unsent[at].chunks -= 1;
        if notes.unsent[at].chunks == 0 {
            notes.unsent.swap_remove(at);
            notes.sent_at = Some(Instant::now());
        }
    }
}
