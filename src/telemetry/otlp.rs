//! The messages of OTLP, as opentelemetry-proto has them (`trace.proto`, `trace_service.proto`, version 1). A test reads
//! them with that project's own types.

use super::{
    protobuf::{Field, Message, fields},
    spans::{Attributes, Event, Kind, Span, Status, Value},
};
use crate::model::trace::context::{SpanContext, TraceFlags};

/// Who exports: what is said once for all spans of a request to the receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource(Vec<u8>);

/// What the code that makes spans is called.
const SCOPE: (&str, &str) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));

/// Bits of `Span.flags` and `Link.flags` beyond those of W3C: whether it is known that the context comes from another
/// program, and whether it does.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

// === impl Resource ===

impl Resource {
    pub(super) fn new<'a>(attributes: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut resource = Message::default();
        for (name, value) in attributes {
            resource.message(1, |pair| key_value(pair, name, |any| any.present(1, value.as_bytes())));
        }
        Self(resource.into_bytes())
    }

    /// The whole `ExportTraceServiceRequest` around spans that [`field`] has written.
    pub(super) fn request(&self, spans: &[u8]) -> Vec<u8> {
        let mut scope = Message::default();
        scope.bytes(1, SCOPE.0.as_bytes());
        scope.bytes(2, SCOPE.1.as_bytes());
        let mut scope_spans = Message::default();
        scope_spans.present(1, &scope.into_bytes());
        let scope_spans = [&scope_spans.into_bytes()[..], spans].concat();
        let mut request = Message::default();
        request.message(1, |resource_spans| {
            resource_spans.present(1, &self.0);
            resource_spans.present(2, &scope_spans);
        });
        request.into_bytes()
    }
}

/// One span as a field of `ScopeSpans`. Fields that repeat may simply follow each other.
pub(super) fn field(span: &Span) -> Vec<u8> {
    let mut spans = Message::default();
    spans.message(2, |message| write(message, span));
    spans.into_bytes()
}

fn write(message: &mut Message, span: &Span) {
    message.bytes(1, &span.trace.bytes());
    message.bytes(2, &span.id.bytes());
    if let Some(parent) = span.parent {
        message.bytes(4, &parent.bytes());
    }
    message.bytes(5, span.name.as_bytes());
    message.number(6, span.kind.number());
    message.fixed64(7, span.began);
    message.fixed64(8, span.ended);
    attributes(message, 9, &span.attributes);
    span.events.iter().for_each(|event| message.message(11, |message| event_in(message, event)));
    span.links.iter().for_each(|link| message.message(13, |message| link_in(message, *link)));
    match &span.status {
        Status::Unset => {}
        Status::Error(words) => message.message(15, |status| {
            status.bytes(2, words.as_deref().unwrap_or_default().as_bytes());
            status.number(3, 2);
        }),
    }
    message.fixed32(16, flags(span.flags, span.parent_is_remote));
}

fn event_in(message: &mut Message, event: &Event) {
    message.fixed64(1, event.at);
    message.bytes(2, event.name.as_bytes());
    attributes(message, 3, &event.attributes);
}

/// Links lead to traces of this program.
fn link_in(message: &mut Message, to: SpanContext) {
    message.bytes(1, &to.trace.bytes());
    message.bytes(2, &to.span.bytes());
    message.fixed32(6, flags(to.flags, false));
}

fn flags(flags: TraceFlags, is_remote: bool) -> u32 {
    u32::from(flags.bits()) | HAS_IS_REMOTE | if is_remote { IS_REMOTE } else { 0 }
}

fn attributes(message: &mut Message, field: u32, attributes: &Attributes) {
    for (name, value) in &attributes.0 {
        message.message(field, |pair| {
            key_value(pair, name, |any| match value {
                Value::Text(text) => any.present(1, text.as_bytes()),
                // As an int64; none of these is negative.
                Value::Number(number) => any.present_number(3, number.unsigned_abs()),
            });
        });
    }
}

fn key_value(pair: &mut Message, name: &str, value: impl FnOnce(&mut Message)) {
    pair.bytes(1, name.as_bytes());
    pair.message(2, value);
}

/// How many spans an `ExportTraceServiceResponse` says were not wanted.
pub(super) fn rejected(response: &[u8]) -> u64 {
    let partial_success = fields(response).filter_map(|field| match field {
        (1, Field::Bytes(bytes)) => Some(bytes),
        _ => None,
    });
    let rejected = partial_success.flat_map(fields).filter_map(|field| match field {
        (1, Field::Number(spans)) => Some(spans),
        _ => None,
    });
    rejected.last().unwrap_or(0)
}

// === impl Kind ===

impl Kind {
    const fn number(self) -> u64 {
        match self {
            Self::Internal => 1,
            Self::Server => 2,
            Self::Client => 3,
        }
    }
}

#[cfg(test)]
mod tests;
