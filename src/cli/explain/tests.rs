//! Stories as people read them.

use super::Story;
use crate::admin::client::{StepDocument, TimingsDocument, ToldDocument, TraceDocument};

fn step(at_ms: f64, text: &str) -> StepDocument {
    StepDocument { at_ms, text: text.to_owned(), ..StepDocument::default() }
}

fn trace() -> TraceDocument {
    TraceDocument {
        request_id: "d067bdbd-1f".to_owned(),
        time: "2026-11-20T18:00:00Z".to_owned(),
        method: "GET".to_owned(),
        path: "/api/public/v1/decks/".to_owned(),
        protocol: "HTTP/1.1".to_owned(),
        state: "complete".to_owned(),
        status: Some(200),
        tenant: Some("acme".to_owned()),
        tenant_by: Some("header".to_owned()),
        credential: Some("oauth".to_owned()),
        token_version: Some(7),
        retry: None,
        upstream_status: Some(200),
        replay: Some("no_body".to_owned()),
        steps: vec![
            step(0.04, "oauth: taken, fresh, version 7"),
            step(0.06, "sent to Flexslot with the connection's token: 200 after 12.2 ms"),
        ],
        steps_left_out: 0,
        problem: None,
        cause: None,
        timings: TimingsDocument { duration_ms: 12.6, upstream_ms: 12.2, overhead_ms: 0.2, refresh_wait_ms: 0.0 },
        bytes_sent: 474,
        next_step: None,
    }
}

/// The story without its colours.
fn told(trace: &TraceDocument) -> String {
    anstream::adapter::strip_str(&Story(trace).to_string()).to_string()
}

#[test]
fn a_good_request_is_told_in_order_of_time() {
    let expected = "\
GET /api/public/v1/decks/  d067bdbd-1f
2026-11-20T18:00:00Z, HTTP/1.1, for acme, named by the header

         0.0 ms  oauth: taken, fresh, version 7
         0.1 ms  sent to Flexslot with the connection's token: 200 after 12.2 ms
        12.6 ms  200, handed over whole, 474 bytes

12.2 ms were Flexslot's, and 0.2 ms the sidecar's.";
    assert_eq!(told(&trace()), expected);
}

#[test]
fn a_failure_ends_with_the_next_step() {
    let failed = TraceDocument {
        status: Some(401),
        problem: Some(ToldDocument { code: "not_connected".to_owned(), detail: "d".to_owned() }),
        next_step: Some("connect it".to_owned()),
        ..trace()
    };
    let told = told(&failed);
    assert!(told.contains("ms  answered by the sidecar itself: not_connected\n"), "{told}");
    assert!(told.ends_with("\nnext: connect it"), "{told}");
}

#[test]
fn nothing_in_a_story_is_obeyed_by_a_terminal() {
    let path = "/\u{1b}[2J\u{9b}31m\nnext: nothing".to_owned();
    let told = Story(&TraceDocument { path, ..trace() }).to_string();
    assert!(!told.contains("\u{1b}[2J") && !told.contains('\u{9b}') && !told.contains("\nnext"), "{told}");
}
