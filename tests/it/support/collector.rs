//! A receiver of traces that reads them with opentelemetry-proto's own types.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind},
};
use prost::Message;

use super::upstream::{Script, Upstream};

/// A receiver at work; it stops when it is dropped.
pub(crate) struct Collector {
    pub(crate) http: Upstream,
}

/// A span as it was received.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) span: Span,
    pub(crate) attributes: BTreeMap<String, String>,
    /// Of the process that has sent it.
    pub(crate) resource: BTreeMap<String, String>,
}

// === impl Collector ===

impl Collector {
    /// One that takes everything.
    pub(crate) async fn start() -> Self {
        Self::saying("HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n").await
    }

    /// One that answers every batch like this.
    pub(crate) async fn saying(answer: &str) -> Self {
        Self::at(Upstream::saying(answer).await)
    }

    /// One that reads, and never answers.
    pub(crate) async fn silent() -> Self {
        let never = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
        Self::at(Upstream::start(move |_, _| Script::parts([super::Part::Wait(never.clone())])).await)
    }

    fn at(http: Upstream) -> Self {
        Self { http }
    }

    /// What proxy.toml says for it.
    pub(crate) fn config(&self) -> String {
        format!("traces.endpoint = {:?}", self.http.origin)
    }

    /// Everything that has come, in the order of its arrival.
    pub(crate) fn spans(&self) -> Vec<Seen> {
        let mut seen = Vec::new();
        for received in self.http.seen() {
            assert_eq!(received.line(), "POST /v1/traces HTTP/1.1");
            assert_eq!(received.field("content-type"), Some("application/x-protobuf"));
            let request = ExportTraceServiceRequest::decode(&received.body[..]).expect("an ExportTraceServiceRequest");
            for of_resource in request.resource_spans {
                let resource = pairs(&of_resource.resource.expect("a resource").attributes);
                let spans = of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans);
                seen.extend(spans.map(|span| Seen {
                    attributes: pairs(&span.attributes),
                    resource: resource.clone(),
                    span,
                }));
            }
        }
        seen
    }
}

fn pairs(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let value = |pair: &KeyValue| match pair.value.as_ref().and_then(|any| any.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{}: {other:?}", pair.key),
    };
    attributes.iter().map(|pair| (pair.key.clone(), value(pair))).collect()
}

// === impl Seen ===

impl Seen {
    pub(crate) fn name(&self) -> &str {
        &self.span.name
    }

    /// An attribute, as text; empty where it is not there.
    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    pub(crate) fn kind(&self) -> SpanKind {
        self.span.kind()
    }

    pub(crate) fn is_below(&self, parent: &Self) -> bool {
        self.span.trace_id == parent.span.trace_id && self.span.parent_span_id == parent.span.span_id
    }

    /// Whether it is linked with that one.
    pub(crate) fn leads_to(&self, other: &Self) -> bool {
        self.span.links.iter().any(|link| link.trace_id == other.span.trace_id && link.span_id == other.span.span_id)
    }

    /// The `traceparent` that names it.
    pub(crate) fn traceparent(&self) -> String {
        format!("00-{}-{}-01", hex(&self.span.trace_id), hex(&self.span.span_id))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
