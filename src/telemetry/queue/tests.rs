use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, uri::Scheme};
use tokio::time::Instant;

use super::{Receiver, Settings, Telemetry};
use crate::{
    model::{
        Random, SpanContext, Tracer,
        trace::{Heed, Ratio, Sampler, context::TRACEPARENT},
    },
    telemetry::{
        Refusal, Taken,
        testing::{counts, parent},
    },
};

#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Receiver for Nobody {
    async fn take(&self, _: Bytes) -> Result<Taken, Refusal> {
        Ok(Taken { response: Vec::new() })
    }

    fn name(&self) -> &str {
        "nobody"
    }
}

fn telemetry(sampler: Option<Sampler>) -> Telemetry {
    let (telemetry, _) = Telemetry::new(counts().1, &Random::system());
    telemetry.reload(sampler.map(|sampler| Settings { receiver: Arc::new(Nobody), sampler, resource: Vec::new() }));
    telemetry
}

fn of(heed: Heed, ratio: Ratio) -> Telemetry {
    telemetry(Some(Sampler { heed, ratio }))
}

/// The span of a request whose caller says this, and what it says its parent is.
fn request(telemetry: &Telemetry, traceparent: Option<&str>) -> Option<(SpanContext, Option<SpanContext>)> {
    let headers: HeaderMap = traceparent.map(|value| (TRACEPARENT, value.parse().unwrap())).into_iter().collect();
    let spans = telemetry.request(Some(&headers), Scheme::HTTP, Instant::now())?;
    Some((spans.context, spans.parent))
}

fn says(context: SpanContext) -> String {
    context.traceparent().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_trace_that_the_caller_records_goes_on() {
    let telemetry = of(Heed::Parent, Ratio::NONE);
    let (context, said) = request(&telemetry, Some(&says(parent()))).unwrap();
    assert_eq!((context.trace, context.flags, said), (parent().trace, parent().flags, Some(parent())));
    assert_ne!(context.span, parent().span);
}

#[tokio::test]
async fn a_trace_that_the_caller_does_not_record_is_left_alone() {
    let unsampled = says(parent()).replace("-01", "-00");
    assert_eq!(request(&of(Heed::Parent, Ratio::ALL), Some(&unsampled)), None);
    let (context, _) = request(&of(Heed::Nobody, Ratio::ALL), Some(&unsampled)).unwrap();
    assert!(context.flags.is_sampled() && context.trace == parent().trace, "unless nobody is heeded");
}

#[tokio::test]
async fn a_trace_begins_where_the_caller_has_none_that_can_be_read() {
    let telemetry = of(Heed::Parent, Ratio::ALL);
    let unreadable = says(parent()).replace("00-", "0-");
    for said in [None, Some(unreadable.as_str())] {
        let (context, parent) = request(&telemetry, said).unwrap();
        assert!(context.flags.is_sampled() && parent.is_none(), "{said:?}");
    }
    let spans = telemetry.request(None, Scheme::HTTPS, Instant::now()).unwrap();
    assert_eq!((spans.parent, &spans.scheme), (None, &Scheme::HTTPS));
}

#[tokio::test]
async fn a_ratio_of_none_leaves_those_alone_that_begin_here() {
    assert_eq!(request(&of(Heed::Parent, Ratio::NONE), None), None);
    assert_eq!(of(Heed::Parent, Ratio::NONE).refresh(None), None);
}

#[tokio::test]
async fn a_refresh_has_a_trace_of_its_own() {
    let telemetry = of(Heed::Parent, Ratio::NONE);
    let led = telemetry.refresh(Some(parent())).expect("its request is exported");
    assert!(led.trace != parent().trace && led.flags.is_sampled());
    assert!(of(Heed::Parent, Ratio::ALL).refresh(None).is_some());
}

#[tokio::test]
async fn nothing_is_exported_while_nobody_says_to_whom() {
    let telemetry = telemetry(None);
    assert_eq!(request(&telemetry, Some(&says(parent()))), None);
    assert_eq!(telemetry.refresh(Some(parent())), None);
}
