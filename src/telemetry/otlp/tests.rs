//! What is written is read by opentelemetry-proto.

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{KeyValue, any_value::Value as AnyValue},
    trace::v1::{span::SpanKind, status::StatusCode},
};
use prost::Message;

use super::{Resource, field, rejected};
use crate::telemetry::{
    spans::{Attributes, Event, Kind, Span, Status, Value},
    testing::{other, parent},
};

fn attributes(named: &[(&'static str, Value)]) -> Attributes {
    Attributes(named.to_vec())
}

fn span() -> Span {
    Span {
        trace: parent().trace,
        id: other().span,
        flags: parent().flags,
        parent: Some(parent().span),
        parent_is_remote: true,
        name: "GET".into(),
        kind: Kind::Server,
        began: 1_795_200_000_000_000_000,
        ended: 1_795_200_000_000_000_300,
        attributes: attributes(&[
            ("a", Value::Text("ä".into())),
            ("n", Value::Number(0)),
            ("empty", Value::Text("".into())),
        ]),
        events: vec![Event {
            at: 1_795_200_000_000_000_100,
            name: "considered",
            attributes: attributes(&[("n", Value::Number(i64::MAX))]),
        }],
        links: vec![other()],
        status: Status::Error(Some("why".to_owned())),
    }
}

fn pairs(attributes: &[KeyValue]) -> Vec<(&str, AnyValue)> {
    attributes.iter().map(|pair| (pair.key.as_str(), pair.value.clone().unwrap().value.unwrap())).collect()
}

fn read(resource: &Resource, spans: &[Span]) -> ExportTraceServiceRequest {
    let written: Vec<u8> = spans.iter().flat_map(field).collect();
    ExportTraceServiceRequest::decode(&resource.request(&written)[..]).unwrap()
}

#[test]
fn a_request_is_read_as_it_is_meant() {
    let resource = Resource::new([("service.name", "flexslot-proxy"), ("zone", "")].into_iter());
    let request = read(
        &resource,
        &[span(), Span { parent: None, parent_is_remote: false, kind: Kind::Client, status: Status::Unset, ..span() }],
    );
    let [of_resource] = &request.resource_spans[..] else { panic!("{request:?}") };
    let text = |text: &str| AnyValue::StringValue(text.to_owned());
    assert_eq!(
        pairs(&of_resource.resource.as_ref().unwrap().attributes),
        [("service.name", text("flexslot-proxy")), ("zone", text(""))]
    );
    let [of_scope] = &of_resource.scope_spans[..] else { panic!("{request:?}") };
    let scope = of_scope.scope.as_ref().unwrap();
    assert_eq!((scope.name.as_str(), scope.version.as_str()), ("flexslot-proxy", env!("CARGO_PKG_VERSION")));
    let [first, second] = &of_scope.spans[..] else { panic!("{request:?}") };
    assert_eq!(first.trace_id, parent().trace.bytes());
    assert_eq!(
        (&first.span_id[..], &first.parent_span_id[..]),
        (&other().span.bytes()[..], &parent().span.bytes()[..])
    );
    assert_eq!((first.name.as_str(), first.kind()), ("GET", SpanKind::Server));
    assert_eq!((first.start_time_unix_nano, first.end_time_unix_nano), (span().began, span().ended));
    assert_eq!(pairs(&first.attributes), [("a", text("ä")), ("n", AnyValue::IntValue(0)), ("empty", text(""))]);
    let [event] = &first.events[..] else { panic!("{first:?}") };
    assert_eq!((event.time_unix_nano, event.name.as_str()), (span().events[0].at, "considered"));
    assert_eq!(pairs(&event.attributes), [("n", AnyValue::IntValue(i64::MAX))]);
    let [link] = &first.links[..] else { panic!("{first:?}") };
    assert_eq!(
        (&link.trace_id[..], &link.span_id[..], link.flags),
        (&other().trace.bytes()[..], &other().span.bytes()[..], 0x101)
    );
    let status = first.status.as_ref().unwrap();
    assert_eq!((status.code(), status.message.as_str()), (StatusCode::Error, "why"));
    assert_eq!((first.flags, second.flags), (0x301, 0x101));
    assert_eq!((second.parent_span_id.len(), second.kind(), &second.status), (0, SpanKind::Client, &None));
}

#[test]
fn what_a_receiver_rejects_is_read() {
    let response = |rejected_spans, error_message: &str| {
        let partial_success = ExportTracePartialSuccess { rejected_spans, error_message: error_message.to_owned() };
        ExportTraceServiceResponse { partial_success: Some(partial_success) }.encode_to_vec()
    };
    assert_eq!(rejected(&response(300, "too large")), 300);
    assert_eq!(rejected(&response(0, "only a word of advice")), 0);
    assert_eq!(rejected(&ExportTraceServiceResponse { partial_success: None }.encode_to_vec()), 0);
    for nonsense in [&b"{}"[..], b"<html>", &[0xff; 30]] {
        assert_eq!(rejected(nonsense), 0);
    }
}
