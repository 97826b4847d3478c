//! The traces of recent requests, kept for whoever asks why one went as it did.

mod advice;
mod document;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
};

use parking_lot::Mutex;

pub use document::document;

use crate::model::{RequestId, Trace, trace::End};

/// The last [`RECENT`] requests of the process, and of those before them the last [`FAILED`] that failed: a failure is
/// still found when many good requests have come after it.
#[derive(Default)]
pub struct Traces {
    rings: Mutex<Rings>,
}

/// So many requests are kept, whatever became of them.
pub const RECENT: usize = 10_000;

/// So many of those that are too long ago, and failed.
pub const FAILED: usize = 1000;

#[derive(Default)]
struct Rings {
    /// Request number *n* of the process stands at *n* modulo [`RECENT`].
    recent: Vec<Option<Trace>>,
    failed: Failed,
}

/// The failures among what is no longer in the ring of recent requests.
#[derive(Default)]
struct Failed {
    traces: HashMap<RequestId, Trace>,
    /// The oldest first.
    order: VecDeque<RequestId>,
}

// === impl Traces ===

impl Traces {
    /// Keeps the trace of a request that has been answered, or will not be.
    pub fn keep(&self, trace: Trace) {
        let trace = trace.bounded();
        // What is let go is freed once the lock is.
        let _gone = self.rings.lock().keep(trace);
    }

    /// The request has ended like this, as far as its trace is still kept.
    pub fn end(&self, id: RequestId, end: End) {
        let end = end.bounded();
        if let Some(trace) = self.rings.lock().find(id) {
            trace.end = end;
        }
    }

    /// The trace of a request.
    pub fn find(&self, id: RequestId) -> Option<Trace> {
        self.rings.lock().find(id).cloned()
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Traces")
    }
}

// === impl Rings ===

impl Rings {
    /// Answers what is let go for it.
    fn keep(&mut self, trace: Trace) -> Option<Trace> {
        let place = place(trace.id);
        if self.recent.capacity() == 0 {
            // Once, and not by growing under the lock; memory that nothing was written to costs nothing.
            self.recent.reserve_exact(RECENT);
        }
        while self.recent.len() <= place {
            self.recent.push(None);
        }
        let held = &mut self.recent[place];
        let is_late = held.as_ref().is_some_and(|held| held.id.number() > trace.id.number());
        let older = if is_late { Some(trace) } else { held.replace(trace) };
        match older {
            Some(older) if older.is_failure() => self.failed.keep(older),
            older => older,
        }
    }

    fn find(&mut self, id: RequestId) -> Option<&mut Trace> {
        let recent = self.recent.get_mut(place(id)).and_then(Option::as_mut).filter(|trace| trace.id == id);
        recent.or_else(|| self.failed.traces.get_mut(&id))
    }
}

fn place(id: RequestId) -> usize {
    usize::try_from(id.number() % RECENT as u64).unwrap_or(0)
}

// === impl Failed ===

impl Failed {
    /// Answers what is let go for it.
    fn keep(&mut self, trace: Trace) -> Option<Trace> {
        let oldest = if self.order.len() < FAILED { None } else { self.order.pop_front() };
        self.order.push_back(trace.id);
        let gone = oldest.and_then(|oldest| self.traces.remove(&oldest));
        self.traces.insert(trace.id, trace);
        gone
    }
}

#[cfg(test)]
mod tests;
