use std::time::Duration;

use http::{Method, StatusCode};
use tokio::time::{Instant, advance};

use super::{Kind, Span, Status, Value, count, of};
use crate::{
    model::{
        CredentialKind, Origin, Trace, Traced,
        observe::StoreOutcome,
        refresh::{Cause, FailureClass},
        trace::{
            Considered, Finding, GrantFinding, Outcome, Steps, Told,
            context::TRACEPARENT,
            operations::{Asked, Operations, note, noted},
            spans::RefreshSpans,
            step::{Answer, HeldBack, Landing, Part, Remedy, Step},
        },
    },
    telemetry::testing::{other, parent, refresh, request, steps},
};

const MILLISECOND: Duration = Duration::from_millis(1);

fn origin() -> Origin {
    "https://api.test".parse().unwrap()
}

/// The spans of a request with these steps; there are as many as were counted before.
fn spans(steps: Steps) -> Vec<Span> {
    told(steps, |_| {})
}

/// The same of a request that went another way.
fn told(steps: Steps, change: impl FnOnce(&mut Trace)) -> Vec<Span> {
    let (mut trace, spans) = request(steps);
    change(&mut trace);
    let traced = Traced::Request(Box::new(trace), spans);
    let made = of(&traced);
    assert_eq!(count(&traced), made.len() as u64, "{made:?}");
    made
}

/// From the request's beginning to that of the span, and how long it took, in milliseconds.
fn times(span: &Span) -> (u64, u64) {
    let began = 1_795_200_000_000_000_000;
    ((span.began - began) / 1_000_000, (span.ended - span.began) / 1_000_000)
}

fn text<'s>(span: &'s Span, name: &str) -> &'s str {
    match span.attributes.0.iter().find(|(named, _)| *named == name) {
        Some((_, Value::Text(text))) => text,
        _ => "",
    }
}

fn number(span: &Span, name: &str) -> Option<i64> {
    span.attributes.0.iter().find_map(|(named, value)| match value {
        Value::Number(number) if *named == name => Some(*number),
        _ => None,
    })
}

fn events(span: &Span) -> Vec<&'static str> {
    span.events.iter().map(|event| event.name).collect()
}

async fn asked(operations: std::sync::Arc<Operations>, what: Asked) {
    noted(Some(operations), async {
        let began = Instant::now();
        advance(MILLISECOND).await;
        note(began, || what);
    })
    .await;
}

/// One send, which goes out so many times and takes five milliseconds. Answers what each attempt told Flexslot.
async fn send(steps: &mut Steps, attempts: u32, answer: Result<u16, &'static str>) -> Vec<String> {
    let (mut said, mut wait) = (Vec::new(), steps.send(CredentialKind::OAuth));
    wait.to(&origin(), "/api/public/v1/decks/");
    for _ in 0..attempts {
        let [Some((name, Some(parent))), _] = wait.attempt() else { panic!("no parent") };
        assert_eq!(name, TRACEPARENT);
        said.push(parent.to_str().unwrap().to_owned());
        advance(5 * MILLISECOND / attempts).await;
    }
    match answer {
        Ok(status) => wait.answered(Answer::Status(status)),
        Err(failure) => wait.failed(failure),
    }
    said
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_refresh_and_a_retry() {
    let mut steps = steps();
    steps.begin_pick();
    asked(steps.operations().unwrap(), Asked::Store("get", StoreOutcome::Ok)).await;
    let mut considered = Considered::default();
    considered.push(Finding::OAuth(GrantFinding::NeverConnected));
    steps.considered(&considered);
    let mut wait = steps.await_refresh(Cause::Expired, Part::Joined, Some(other()));
    advance(10 * MILLISECOND).await;
    wait.landed(Landing::Renewed);
    drop(wait);
    steps.end_pick();
    let first = send(&mut steps, 2, Ok(401)).await;
    steps.begin_pick();
    steps.note(Step::HeldBack(Cause::Refused, HeldBack::Failed(FailureClass::NotSent)));
    steps.end_pick();
    steps.note(Step::Unauthorized(Remedy::Retried));
    let second = send(&mut steps, 1, Ok(200)).await;

    let spans = spans(steps);
    let names: Vec<_> = spans.iter().map(|span| (&*span.name, span.kind, times(span))).collect();
    assert_eq!(
        names,
        [
            ("GET", Kind::Server, (0, 1000)),
            ("pick", Kind::Internal, (0, 11)),
            ("pick", Kind::Internal, (16, 0)),
            ("wait for refresh", Kind::Internal, (1, 10)),
            ("GET", Kind::Client, (11, 2)),
            ("GET", Kind::Client, (13, 2)),
            ("GET", Kind::Client, (16, 5)),
            ("store get", Kind::Internal, (0, 1)),
        ]
    );
    let [whole, pick, second_pick, wait, .., get] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((whole.parent, whole.parent_is_remote), (Some(parent().span), true));
    assert!(spans.iter().all(|span| span.trace == parent().trace && span.flags.is_sampled()));
    let parents: Vec<_> = spans[1..].iter().map(|span| span.parent.unwrap()).collect();
    assert_eq!(parents, [whole.id, whole.id, pick.id, whole.id, whole.id, whole.id, pick.id]);
    assert_eq!((wait.links.clone(), text(wait, "flexslot_proxy.result")), (vec![other()], "renewed"));
    assert_eq!(
        (events(pick), events(second_pick), events(whole)),
        (vec!["considered"], vec!["refresh"], vec!["unauthorized"])
    );
    assert_eq!(text(get, "flexslot_proxy.store.operation"), "get");
    let sends = &spans[4..7];
    let said: Vec<_> = [first, second].concat();
    for (span, said) in sends.iter().zip(said) {
        assert!(said.contains(&format!("-{:?}-", span.id)), "Flexslot was told of each attempt: {said}");
        assert_eq!((text(span, "server.address"), number(span, "server.port")), ("api.test", Some(443)));
        assert_eq!(text(span, "url.full"), "https://api.test/api/public/v1/decks/");
    }
    let resends: Vec<_> = sends.iter().map(|span| number(span, "http.request.resend_count")).collect();
    assert_eq!(resends, [None, Some(1), Some(2)]);
    let statuses: Vec<_> = sends.iter().map(|span| number(span, "http.response.status_code")).collect();
    assert_eq!(statuses, [None, Some(401), Some(200)]);
    let errors: Vec<_> = sends.iter().map(|span| (text(span, "error.type"), span.status == Status::Unset)).collect();
    assert_eq!(errors, [("no_answer", false), ("401", false), ("", true)]);
    let mut ids: Vec<_> = spans.iter().map(|span| span.id.bytes()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), spans.len(), "no two spans have the same name");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_in_the_background_is_linked_and_not_waited_for() {
    let mut steps = steps();
    steps.begin_pick();
    steps.leave_refresh(Cause::Ageing, Part::Led, Some(other()));
    steps.end_pick();
    let spans = spans(steps);
    let [_, pick] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((pick.links.clone(), events(pick)), (vec![other()], vec!["refresh"]));
}

#[tokio::test(start_paused = true)]
async fn a_send_without_a_connection_is_told_too() {
    let mut steps = steps();
    let _ = send(&mut steps, 0, Err("connection_refused")).await;
    let spans = told(steps, |trace| {
        trace.end.outcome = Outcome::Complete(502);
        trace.end.cause = Some("nobody listens".to_owned());
        trace.problem = Some(Told { code: "upstream_unreachable", detail: "try again".into() });
    });
    let [whole, sent] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((text(sent, "error.type"), sent.status.clone()), ("connection_refused", Status::Error(None)));
    assert_eq!(text(sent, "server.address"), "api.test");
    assert_eq!(
        (text(whole, "error.type"), text(whole, "flexslot_proxy.problem")),
        ("upstream_unreachable", "upstream_unreachable")
    );
    assert_eq!(
        (whole.status.clone(), number(whole, "http.response.status_code")),
        (Status::Error(Some("nobody listens".into())), Some(502))
    );
}

#[tokio::test(start_paused = true)]
async fn why_an_attempt_failed_is_told_in_the_words_of_rfc_9209() {
    let mut steps = steps();
    send(&mut steps, 1, Err("http_response_timeout")).await;
    assert_eq!(text(&spans(steps)[1], "error.type"), "http_response_timeout");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_is_no_error_of_ours() {
    let mut steps = steps();
    steps.begin_pick();
    let mut wait = steps.send(CredentialKind::Pat);
    wait.attempt();
    drop(wait);
    let spans = told(steps, |trace| trace.end.outcome = Outcome::Unanswered);
    let [whole, pick, sent] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((whole.status.clone(), number(whole, "http.response.status_code")), (Status::Unset, None));
    assert_eq!(
        (text(whole, "error.type"), text(sent, "error.type"), sent.status.clone()),
        ("client_gone", "client_gone", Status::Unset)
    );
    assert_eq!(times(pick), (0, 1000), "what has no end ended with the request");
}

#[tokio::test(start_paused = true)]
async fn statuses_are_those_of_the_semantic_conventions() {
    let status = |outcome, cause: Option<&str>| {
        let cause = cause.map(str::to_owned);
        let spans = told(steps(), |trace| (trace.end.outcome, trace.end.cause) = (outcome, cause));
        (text(&spans[0], "error.type").to_owned(), spans[0].status != Status::Unset)
    };
    assert_eq!(status(Outcome::Complete(200), None), (String::new(), false));
    assert_eq!(status(Outcome::Complete(404), None), (String::new(), false));
    assert_eq!(status(Outcome::Complete(503), None), ("503".into(), true));
    assert_eq!(status(Outcome::Broken(200), Some("it broke off")), ("broken_off".into(), true));
    assert_eq!(status(Outcome::Broken(200), None), ("broken_off".into(), false));
}

#[tokio::test(start_paused = true)]
async fn a_method_of_the_clients_own_making_names_no_span() {
    let spans = told(steps(), |trace| trace.method = Method::from_bytes(b"BREW").unwrap());
    assert_eq!((&*spans[0].name, text(&spans[0], "http.request.method")), ("HTTP", "_OTHER"));
    assert_eq!(text(&spans[0], "http.request.method_original"), "BREW");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_with_what_it_asked() {
    let Traced::Refresh(plain) = refresh() else { unreachable!("it is one") };
    let operations = Operations::since(Instant::now());
    asked(operations.clone(), Asked::Store("bid", StoreOutcome::Error)).await;
    let url = "https://api.test:8443/oauth/token?x=secret".parse().unwrap();
    asked(operations.clone(), Asked::OAuthServer(url, Some(StatusCode::BAD_REQUEST))).await;
    let landing = Landing::Failed(FailureClass::Misconfigured);
    let traced = Traced::Refresh(Box::new(RefreshSpans { led_by: Some(parent()), landing, operations, ..*plain }));
    let spans = of(&traced);
    assert_eq!(count(&traced), spans.len() as u64);
    let [whole, bid, post] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((&*whole.name, whole.parent, whole.links.clone()), ("refresh", None, vec![parent()]));
    assert_eq!(
        (text(whole, "flexslot_proxy.result"), text(whole, "flexslot_proxy.reason")),
        ("failed", "misconfigured")
    );
    assert_eq!((text(whole, "flexslot_proxy.tenant"), times(whole)), ("acme", (0, 7)));
    assert_eq!(
        (&*bid.name, bid.parent, bid.status != Status::Unset, times(bid)),
        ("store bid", Some(whole.id), true, (0, 1))
    );
    assert_eq!((&*post.name, post.kind, times(post)), ("POST", Kind::Client, (1, 1)));
    assert_eq!(text(post, "url.full"), "https://api.test:8443/oauth/token", "without a query");
    assert_eq!(
        (number(post, "server.port"), number(post, "http.response.status_code"), text(post, "error.type")),
        (Some(8443), Some(400), "400")
    );
}
