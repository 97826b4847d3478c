//! From where requests are served to where they are exported.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;
use http::{HeaderMap, uri::Scheme};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use super::{Exporter, Receiver, exporter::Queue, ids::Ids, otlp::Resource, spans};
use crate::model::{
    Observer, Random, SpanContext, Traced, Tracer,
    observe::SpansOutcome,
    trace::{
        Heed, Sampler, Spans,
        context::{Incoming, TraceFlags},
    },
};

/// Decides what is exported, and hands it over. Clones share everything.
#[derive(Clone)]
pub struct Telemetry(Arc<Shared>);

/// Everything of the configuration that the room needs.
#[derive(Debug, Clone)]
pub struct Settings {
    pub receiver: Arc<dyn Receiver>,
    pub sampler: Sampler,
    /// What is said of the process: its name, its version, where it runs.
    pub resource: Vec<(String, String)>,
}

/// What both ends of the queue know.
pub(super) struct Shared {
    /// Absent: nothing is exported.
    pub(super) active: ArcSwapOption<Active>,
    /// That has become another.
    pub(super) reloaded: Notify,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) random: Random,
    ids: Ids,
    queue: mpsc::Sender<Traced>,
}

/// What is done by the configuration in force.
pub(super) struct Active {
    pub(super) receiver: Arc<dyn Receiver>,
    pub(super) resource: Resource,
    sampler: Sampler,
}

/// So many requests and refreshes wait at most; each takes some 2 KiB.
pub(super) const ROOM: usize = 2048;

// === impl Telemetry ===

impl Telemetry {
    /// Both ends. Nothing is exported until [`Telemetry::reload`] says to whom.
    pub fn new(observer: Arc<dyn Observer>, random: &Random) -> (Self, Exporter) {
        let (queue, waiting) = mpsc::channel(ROOM);
        let (active, ids) = (ArcSwapOption::empty(), Ids::new(random));
        let shared = Shared { active, reloaded: Notify::new(), observer, random: random.clone(), ids, queue };
        let telemetry = Self(Arc::new(shared));
        let exporter = Exporter::new(Queue { waiting, shared: Arc::clone(&telemetry.0) });
        (telemetry, exporter)
    }

    /// Takes over a new configuration; `None`: nothing is exported from now on.
    pub fn reload(&self, settings: Option<Settings>) {
        let active = settings.map(|Settings { receiver, sampler, resource }| {
            tracing::info!(receiver = receiver.name(), sample = %sampler.ratio, "traces are exported");
            let resource = Resource::new(resource.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            Arc::new(Active { receiver, resource, sampler })
        });
        self.0.active.store(active);
        self.0.reloaded.notify_one();
    }
}

impl Tracer for Telemetry {
    fn request(&self, headers: Option<&HeaderMap>, scheme: Scheme, since: Instant) -> Option<Box<Spans>> {
        let active = self.0.active.load();
        let sampler = active.as_ref()?.sampler;
        let parent = match headers.map(Incoming::of) {
            Some(Incoming::Parent(parent, state)) => Some((parent, state)),
            Some(Incoming::Nothing) | None => None,
        };
        let context = self.0.context(sampler, parent.map(|(parent, _)| parent))?;
        Some(Box::new(Spans::new(context, parent, scheme, since)))
    }

    /// One that is begun for a request that is exported is exported too; it has a trace of its own all the same.
    fn refresh(&self, led_by: Option<SpanContext>) -> Option<SpanContext> {
        let active = self.0.active.load();
        let sampler = active.as_ref()?.sampler;
        let (trace, span) = self.0.ids.next();
        (led_by.is_some() || sampler.takes(trace, None)).then_some(SpanContext {
            trace,
            span,
            flags: TraceFlags::SAMPLED,
        })
    }

    fn take(&self, traced: Traced) {
        if let Err(mpsc::error::TrySendError::Full(left) | mpsc::error::TrySendError::Closed(left)) =
            self.0.queue.try_send(traced)
        {
            self.0.observer.spans(SpansOutcome::Dropped, spans::count(&left));
        }
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let receiver = self.0.active.load_full().map(|active| Arc::clone(&active.receiver));
        f.debug_struct("Telemetry").field("receiver", &receiver).finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    /// The span of a request whose caller's is `parent`; `None` where it is not exported.
    fn context(&self, sampler: Sampler, parent: Option<SpanContext>) -> Option<SpanContext> {
        // Most requests of a caller that decides are told apart without a name for them.
        if let (Heed::Parent, Some(parent)) = (sampler.heed, parent)
            && !parent.flags.is_sampled()
        {
            return None;
        }
        let (trace, span) = self.ids.next();
        let trace = parent.map_or(trace, |parent| parent.trace);
        let flags = parent.map_or(TraceFlags::SAMPLED, |parent| parent.flags.sampled());
        sampler.takes(trace, parent.map(|parent| parent.flags)).then_some(SpanContext { trace, span, flags })
    }
}

#[cfg(test)]
mod tests;
