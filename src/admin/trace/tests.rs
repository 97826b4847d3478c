//! What is kept of how many requests, and how it is found again.

use http::{Method, Version};
use tokio::time::Instant;

use super::{FAILED, RECENT, Traces};
use crate::model::{
    CredentialKind, RequestId, Timestamp, Trace,
    observe::RequestTimes,
    trace::{End, Outcome, Steps, step::Answer},
};

const PROCESS: u32 = 7;

fn id(number: usize) -> RequestId {
    RequestId::new(PROCESS, number as u64)
}

fn end(outcome: Outcome) -> End {
    End { outcome, took: RequestTimes::default(), bytes_sent: 0, cause: None }
}

/// Answered by Flexslot.
fn answered(number: usize, status: u16) -> Trace {
    let mut steps = Steps::since(Instant::now());
    steps.send(CredentialKind::OAuth).answered(Answer::Status(status));
    Trace {
        id: id(number),
        at: Timestamp::from_secs(0),
        method: Method::GET,
        path: "/".into(),
        protocol: Version::HTTP_11,
        tenant: None,
        named_by: None,
        credential: None,
        version: None,
        retry: None,
        steps,
        replay: None,
        problem: None,
        end: end(Outcome::UnderWay(status)),
    }
}

fn outcome(traces: &Traces, number: usize) -> Option<Outcome> {
    traces.find(id(number)).map(|trace| trace.end.outcome)
}

#[test]
fn a_trace_is_found_by_its_id_and_by_no_other() {
    let traces = Traces::default();
    traces.keep(answered(1, 200));
    assert_eq!(outcome(&traces, 1), Some(Outcome::UnderWay(200)));
    assert_eq!(outcome(&traces, 1 + RECENT), None);
    assert!(traces.find(RequestId::new(PROCESS + 1, 1)).is_none());
}

#[test]
fn the_end_of_a_request_is_added_to_its_trace() {
    let traces = Traces::default();
    traces.keep(answered(1, 200));
    traces.end(id(1), end(Outcome::Complete(200)));
    traces.end(id(2), end(Outcome::Complete(200)));
    assert_eq!((outcome(&traces, 1), outcome(&traces, 2)), (Some(Outcome::Complete(200)), None));
}

#[test]
fn the_last_requests_are_kept_and_a_failure_outlives_as_many_good_ones() {
    let traces = Traces::default();
    traces.keep(answered(1, 502));
    traces.keep(answered(2, 200));
    for number in 3..=RECENT + 2 {
        traces.keep(answered(number, 200));
    }
    assert_eq!(outcome(&traces, 1), Some(Outcome::UnderWay(502)));
    assert_eq!(outcome(&traces, 2), None);
    assert_eq!(outcome(&traces, 3), Some(Outcome::UnderWay(200)));
    traces.end(id(1), end(Outcome::Complete(502)));
    assert_eq!(outcome(&traces, 1), Some(Outcome::Complete(502)), "also where it ends that late");
}

#[test]
fn both_rings_are_bounded_and_the_oldest_go_first() {
    let traces = Traces::default();
    let all = 2 * RECENT + FAILED;
    for number in 1..=all {
        traces.keep(answered(number, 503));
    }
    let (oldest, kept) = (all - RECENT - FAILED + 1, RECENT + FAILED);
    assert_eq!((1..=all).filter(|&number| outcome(&traces, number).is_some()).count(), kept);
    assert!(outcome(&traces, oldest).is_some() && outcome(&traces, oldest - 1).is_none());
    let rings = traces.rings.lock();
    assert_eq!((rings.recent.len(), rings.failed.traces.len(), rings.failed.order.len()), (RECENT, FAILED, FAILED));
}

#[test]
fn one_that_is_answered_late_takes_nobodys_place() {
    let traces = Traces::default();
    traces.keep(answered(5 + RECENT, 200));
    traces.keep(answered(5, 200));
    assert_eq!(outcome(&traces, 5), None);
    traces.keep(answered(5, 504));
    assert_eq!(outcome(&traces, 5), Some(Outcome::UnderWay(504)));
    assert_eq!(outcome(&traces, 5 + RECENT), Some(Outcome::UnderWay(200)));
}
