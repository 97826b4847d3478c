//! What a trace may cost, and what counts as a failure.

use std::{sync::Arc, time::Duration};

use http::{Method, Version};
use tokio::time::Instant;

use super::{End, LONGEST, LONGEST_METHOD, Outcome, Steps, Told, Trace, step::Answer};
use crate::model::{CredentialKind, RequestId, Timestamp, observe::RequestTimes};

fn trace(outcome: Outcome) -> Trace {
    Trace {
        id: RequestId::new(7, 1),
        at: Timestamp::from_secs(1_795_200_000),
        method: Method::GET,
        path: "/api/public/v1/decks/".into(),
        protocol: Version::HTTP_11,
        tenant: None,
        named_by: None,
        credential: None,
        version: None,
        retry: None,
        steps: Steps::since(Instant::now()),
        replay: None,
        problem: None,
        end: End { outcome, took: RequestTimes::default(), bytes_sent: 0, cause: None },
    }
}

/// The same, answered by Flexslot.
fn answered(status: u16) -> Trace {
    let mut trace = trace(Outcome::Complete(status));
    trace.steps.send(CredentialKind::Pat).answered(Answer::Status(status));
    trace
}

#[test]
fn a_trace_is_small() {
    // docs/operations.md says what all of them take together.
    let bytes = size_of::<Trace>();
    println!("a trace takes {bytes} bytes and its path, {} of them its steps", size_of::<Steps>());
    assert!(bytes <= 648, "{bytes}");
}

#[test]
fn what_others_have_made_up_is_cut() {
    let mut long = trace(Outcome::Complete(200));
    long.method = Method::from_bytes(&[b'A'; 5000]).unwrap();
    long.path = "/ä".repeat(5000).into();
    long.end.cause = Some("ö".repeat(5000));
    let detail = "ü".repeat(5000).into();
    let cut = Trace { problem: Some(Told { code: "store_unavailable", detail }), ..long }.bounded();
    assert_eq!(cut.method.as_str(), "A".repeat(LONGEST_METHOD));
    assert!(cut.path.len() <= LONGEST && cut.path.starts_with("/ä") && cut.path.ends_with('…'));
    let (cause, detail) = (cut.end.cause.unwrap(), cut.problem.unwrap().detail);
    assert!(cause.len() <= LONGEST && cause.ends_with('…'));
    assert!(detail.len() <= 1024 && detail.ends_with('…'));
}

#[test]
fn what_is_short_stays_as_it_is() {
    let short = trace(Outcome::Complete(200));
    let path = Arc::clone(&short.path);
    assert!(Arc::ptr_eq(&short.bounded().path, &path));
}

#[test]
fn failures_are_what_somebody_will_ask_about() {
    for status in [401, 500, 503] {
        assert!(answered(status).is_failure(), "{status}");
    }
    for status in [200, 304, 403, 404, 429] {
        assert!(!answered(status).is_failure(), "{status}");
    }
    let problem = Some(Told { code: "path_denied", detail: "d".into() });
    assert!(Trace { problem, ..trace(Outcome::Complete(403)) }.is_failure(), "of our own");
    assert!(trace(Outcome::Complete(431)).is_failure(), "a bare one");
    assert!(!trace(Outcome::Complete(204)).is_failure(), "a preflight");
    assert!(!trace(Outcome::Unanswered).is_failure());
    let mut broken = answered(200);
    broken.end.outcome = Outcome::Broken(200);
    assert!(!broken.is_failure(), "its client has gone");
    broken.end.cause = Some("the connection was reset".to_owned());
    assert!(broken.is_failure(), "Flexslot broke off");
}

#[test]
fn a_time_that_is_too_long_is_as_long_as_fits() {
    let micros = super::step::Micros::of(Duration::from_secs(1 << 40));
    assert_eq!(micros.duration(), Duration::from_micros(u64::from(u32::MAX)));
}
