//! What many requests came to, and when.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    time::{Duration, Instant},
};

use crate::http::{Answer, Unanswered};

/// How often each outcome was seen, and how long it took.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<String, Vec<Duration>>);

// === impl Tally ===

impl Tally {
    pub(crate) fn add(&mut self, what: impl Into<String>, took: Duration) {
        self.0.entry(what.into()).or_default().push(took);
    }

    pub(crate) fn note(&mut self, (outcome, took): (Result<Answer, Unanswered>, Duration)) {
        match outcome {
            Ok(answer) => self.add(answer.to_string(), took),
            Err(unanswered) => self.add(unanswered.to_string(), took),
        }
    }

    /// How many there are of this outcome.
    pub(crate) fn of(&self, what: &str) -> usize {
        self.0.get(what).map_or(0, Vec::len)
    }

    pub(crate) fn total(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}

/// `990 × 408 after 10.0 to 10.1 s`, the most frequent first.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut outcomes: Vec<_> = self.0.iter().collect();
        outcomes.sort_by_key(|(_, times)| std::cmp::Reverse(times.len()));
        for (place, (what, times)) in outcomes.into_iter().enumerate() {
            if place > 0 {
                f.write_str("; ")?;
            }
            let (first, last) = (times.iter().min(), times.iter().max());
            write!(f, "{} × {what} after ", times.len())?;
            match (first.map(shown), last.map(shown)) {
                (Some(first), Some(last)) if first != last => write!(f, "{first} to {last}")?,
                (first, _) => f.write_str(&first.unwrap_or_default())?,
            }
        }
        Ok(())
    }
}

/// A time for people.
pub(crate) fn shown(time: &Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 0.0995 => format!("{:.1} ms", seconds * 1e3),
        seconds if seconds < 0.9995 => format!("{:.0} ms", seconds * 1e3),
        seconds => format!("{seconds:.1} s"),
    }
}

/// What work comes to, and how long it takes.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let done = work.await;
    (done, began.elapsed())
}
