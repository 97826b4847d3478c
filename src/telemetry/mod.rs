//! Exports traces to whoever collects them: OTLP over HTTP, in protobuf's binary form
//! (<https://opentelemetry.io/docs/specs/otlp/>).
//!
//! A request leaves a [`Trace`](crate::model::Trace) in any case. Of those that are exported some more is noted on their
//! way; when they have ended, both go into a queue, and everything else happens in a task of its own:
//!
//! - `queue`: which requests and refreshes are exported, and their way to that task. What there is no room for is dropped
//!   and counted. `ids`: the names of their traces and spans.
//! - `spans`: the spans of a request, and of a refresh. `otlp` and `protobuf`: how they are written.
//! - [`exporter`]: batches, and patience with a receiver that does not take them.
//!
//! Nothing in here knows HTTP: who takes a batch is handed in ([`exporter::Receiver`]).

pub mod exporter;
mod ids;
mod otlp;
mod protobuf;
mod queue;
mod spans;
#[cfg(test)]
mod testing;

pub use exporter::{Exporter, Receiver, Refusal, Taken};
pub use queue::{Settings, Telemetry};
