//! Hands batches of spans to their receiver, and is patient where it does not take them.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{otlp, queue::Shared, spans};
use crate::model::{Random, Traced, observe::SpansOutcome};

/// Whoever takes spans.
#[async_trait]
pub trait Receiver: fmt::Debug + Send + Sync + 'static {
    /// Hands over an `ExportTraceServiceRequest`. Answers the response's body.
    async fn take(&self, request: Bytes) -> Result<Taken, Refusal>;

    /// Its scheme, host and port, for the log.
    fn name(&self) -> &str;
}

/// It has taken them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// An `ExportTraceServiceResponse`.
    pub response: Vec<u8>,
}

/// It has not. Both say why, in words that are fit for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It may another time, after the wait that it asks for.
    ForNow(String, Option<Duration>),
    /// It would not take the same another time either.
    ForGood(String),
}

/// The far end of the queue.
pub struct Exporter {
    queue: Queue,
    batch: Batch,
    patience: Patience,
}

/// What has been told and not been exported.
pub(super) struct Queue {
    pub(super) waiting: mpsc::Receiver<Traced>,
    pub(super) shared: Arc<Shared>,
}

/// Spans that go together.
#[derive(Default)]
struct Batch {
    /// Written already.
    spans: Vec<u8>,
    count: u64,
    /// When it goes, whether or not it is full.
    due: Option<Instant>,
}

/// How it stands with a receiver.
#[derive(Default)]
struct Patience {
    /// With which: what it has asked for says nothing of another one.
    receiver: Option<String>,
    /// How often in a row it has not taken anything.
    failures: u32,
    /// When it is tried again.
    not_before: Option<Instant>,
}

/// A batch with so many spans goes at once (as with OpenTelemetry's own exporters).
const FULL: u64 = 512;

/// How long the first span of a batch waits for others.
const GATHER: Duration = Duration::from_secs(5);

/// The pause after a batch that was not taken, and the longest that it grows to; half of it is at random.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The longest that a receiver can ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

// === impl Exporter ===

impl Exporter {
    pub(super) fn new(queue: Queue) -> Self {
        Self { queue, batch: Batch::default(), patience: Patience::default() }
    }

    /// Exports what is told until `stop`; then what is left, each batch once.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let due = self.due();
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = self.queue.shared.reloaded.notified() => self.turn(),
                () = until(due) => {
                    self.send().await;
                }
                told = self.queue.waiting.recv(), if !self.batch.is_full() => match told {
                    Some(told) => self.batch.add(&told),
                    None => break,
                },
            }
        }
        self.finish().await;
    }

    /// The configuration has become another: with another receiver it begins anew.
    fn turn(&mut self) {
        let active = self.queue.shared.active.load();
        let receiver = active.as_ref().map(|active| active.receiver.name());
        if receiver != self.patience.receiver.as_deref() {
            self.patience = Patience::default();
        }
    }

    /// When the batch goes next: when it is full or has waited long enough, and its receiver may be tried.
    fn due(&self) -> Option<Instant> {
        let due = self.batch.due?;
        let due = if self.batch.is_full() { Instant::now() } else { due };
        Some(self.patience.not_before.map_or(due, |not_before| not_before.max(due)))
    }

    async fn finish(&mut self) {
        while self.batch.is_full() || self.fill() {
            if !self.send().await {
                break;
            }
        }
        // Those that nobody has taken, and nobody will.
        self.over_with(SpansOutcome::Dropped, 0);
        while let Ok(left) = self.queue.waiting.try_recv() {
            self.queue.shared.observer.spans(SpansOutcome::Dropped, spans::count(&left));
        }
    }

    /// Takes what waits, as far as it goes into one batch. Whether there is anything in it.
    fn fill(&mut self) -> bool {
        while !self.batch.is_full() {
            match self.queue.waiting.try_recv() {
                Ok(told) => self.batch.add(&told),
                Err(_) => break,
            }
        }
        self.batch.count > 0
    }

    /// Whether it makes sense to go on with another batch. One that is to be tried again stays.
    async fn send(&mut self) -> bool {
        let Some(active) = self.queue.shared.active.load_full() else {
            // It was turned off meanwhile.
            self.over_with(SpansOutcome::Dropped, 0);
            return true;
        };
        let request = Bytes::from(active.resource.request(&self.batch.spans));
        let (receiver, count) = (active.receiver.name(), self.batch.count);
        match active.receiver.take(request).await {
            Ok(Taken { response }) => {
                let rejected = otlp::rejected(&response).min(count);
                self.over_with(SpansOutcome::Sent, rejected);
                match rejected {
                    0 => self.patience.taken(receiver),
                    _ => self.patience.failed(receiver, &format!("{rejected} of {count} spans were not wanted")),
                }
                true
            }
            Err(Refusal::ForGood(why)) => {
                self.over_with(SpansOutcome::Refused, 0);
                self.patience.failed(receiver, &why);
                true
            }
            Err(Refusal::ForNow(why, asked)) => {
                self.patience.failed(receiver, &why);
                self.patience.wait(asked, &self.queue.shared.random);
                false
            }
        }
    }

    /// This has become of the batch, but for so many of its spans that were rejected.
    fn over_with(&mut self, outcome: SpansOutcome, rejected: u64) {
        let Batch { count, .. } = std::mem::take(&mut self.batch);
        for (outcome, spans) in [(outcome, count - rejected), (SpansOutcome::Refused, rejected)] {
            if spans > 0 {
                self.queue.shared.observer.spans(outcome, spans);
            }
        }
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("spans", &self.batch.count).finish_non_exhaustive()
    }
}

/// Never, where there is no time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

// === impl Batch ===

impl Batch {
    fn add(&mut self, told: &Traced) {
        for span in spans::of(told) {
            self.spans.extend(otlp::field(&span));
            self.count += 1;
        }
        self.due.get_or_insert_with(|| Instant::now() + GATHER);
    }

    fn is_full(&self) -> bool {
        self.count >= FULL
    }
}

// === impl Patience ===

impl Patience {
    /// Tells the operator where it had not.
    fn taken(&mut self, receiver: &str) {
        if std::mem::take(self).failures > 0 {
            tracing::info!(receiver, "traces are taken again");
        }
    }

    /// Tells the operator, once.
    fn failed(&mut self, receiver: &str, error: &str) {
        if self.failures == 0 {
            tracing::warn!(receiver, error, "traces are not taken; they are dropped where too many wait");
        }
        self.receiver = Some(receiver.to_owned());
        self.failures = self.failures.saturating_add(1);
        self.not_before = None;
    }

    /// Twice as long each time, and no less than was asked for.
    fn wait(&mut self, asked: Option<Duration>, random: &Random) {
        let pause = PAUSE.saturating_mul(1 << self.failures.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
        let pause = pause / 2 + random.below(pause / 2);
        self.not_before = Some(Instant::now() + pause.max(asked.unwrap_or_default().min(LONGEST_ASKED)));
    }
}

#[cfg(test)]
mod tests;
