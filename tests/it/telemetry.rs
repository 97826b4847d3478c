//! Traces that are exported: what a collector gets of a request and of a refresh, and that nobody waits for it.

use flexslot_proxy::sandbox::Seen;
use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};

use crate::support::{Collector, GrantOf, SeenSpan, Upstream, World, until};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

async fn world(collector: &Collector) -> World {
    World::with(&collector.config()).await
}

/// The one span with this name and kind.
#[track_caller]
fn only<'s>(spans: &'s [SeenSpan], name: &str, kind: SpanKind) -> &'s SeenSpan {
    let found: Vec<_> = spans.iter().filter(|seen| seen.name() == name && seen.kind() == kind).collect();
    let [only] = found[..] else { panic!("{} of {name}: {spans:?}", found.len()) };
    only
}

/// What Flexslot was told, if it was.
fn told<'s>(seen: &'s Seen, name: &str) -> Option<&'s str> {
    seen.headers.iter().find(|(named, _)| named == name).map(|(_, value)| value.as_str())
}

#[tokio::test]
async fn a_request_goes_on_with_the_trace_of_its_caller() {
    let collector = Collector::start().await;
    let world = World::with(&format!(
        "{}\ntraces.service_name = \"sidecar\"\ntraces.resource.zone = \"a\"",
        collector.config()
    ))
    .await;
    world.tenant("acme").with_pat().await;
    let call =
        world.get("/decks/?secret=query").tenant("acme").header("traceparent", PARENT).header("tracestate", "a=1,b=2");
    let reply = call.send().await;
    let id = reply.is(200).header("flexslot-proxy-request-id").unwrap().to_owned();
    let (seen, origin) = (world.seen_once(), world.sidecar_upstream());
    world.finish().await;

    let spans = collector.spans();
    let server = only(&spans, "GET", SpanKind::Server);
    let pick = only(&spans, "pick", SpanKind::Internal);
    let store = only(&spans, "store get", SpanKind::Internal);
    let sent = only(&spans, "GET", SpanKind::Client);
    assert_eq!(spans.len(), 4, "{spans:?}");
    assert_eq!(server.traceparent().split('-').nth(1), Some(TRACE));
    assert_eq!(server.span.parent_span_id, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
    assert!(pick.is_below(server) && store.is_below(pick) && sent.is_below(server));
    assert_eq!(
        (told(&seen, "traceparent"), told(&seen, "tracestate")),
        (Some(sent.traceparent().as_str()), Some("a=1,b=2"))
    );

    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.path", "/api/public/v1/decks/"),
        ("url.scheme", "http"),
        ("network.protocol.version", "1.1"),
        ("flexslot_proxy.request_id", &id),
        ("flexslot_proxy.tenant", "acme"),
        ("flexslot_proxy.tenant_by", "header"),
        ("flexslot_proxy.credential", "pat"),
        ("flexslot_proxy.outcome", "complete"),
    ] {
        assert_eq!(server.attribute(name), value, "{name}");
    }
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("server.address", "127.0.0.1"),
        ("server.port", &origin.port().to_string()),
        ("url.full", &format!("http://{origin}/api/public/v1/decks/")),
    ] {
        assert_eq!(sent.attribute(name), value, "{name}");
    }
    for (name, value) in [("service.name", "sidecar"), ("zone", "a"), ("service.version", env!("CARGO_PKG_VERSION"))] {
        assert_eq!(server.resource.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(server.span.start_time_unix_nano <= sent.span.start_time_unix_nano);
    assert!(sent.span.end_time_unix_nano <= server.span.end_time_unix_nano);
    assert!(!format!("{spans:?}").contains("query"), "nobody knows what is in a query");
}

#[tokio::test]
async fn a_trace_begins_here_where_the_caller_has_none() {
    let collector = Collector::start().await;
    let world = world(&collector).await;
    world.tenant("acme").with_pat().await;
    let invalid = PARENT.replace("4bf9", "4BF9");
    world.get("/decks/").tenant("acme").send().await.is(200);
    world
        .get("/decks/")
        .tenant("acme")
        .header("traceparent", &invalid)
        .header("tracestate", "a=1")
        .send()
        .await
        .is(200);
    let seen = world.seen();
    world.finish().await;
    let spans = collector.spans();
    let servers: Vec<_> = spans.iter().filter(|seen| seen.kind() == SpanKind::Server).collect();
    assert_eq!(servers.len(), 2);
    assert!(servers.iter().all(|server| server.span.parent_span_id.is_empty()));
    assert_ne!(servers[0].span.trace_id, servers[1].span.trace_id);
    for (seen, server) in seen.iter().zip(servers) {
        let sent = spans.iter().find(|sent| sent.kind() == SpanKind::Client && sent.is_below(server)).unwrap();
        assert_eq!(told(seen, "traceparent"), Some(sent.traceparent().as_str()));
        assert_eq!(told(seen, "tracestate"), None, "it spoke of a trace that nobody can read");
    }
}

#[tokio::test]
async fn what_is_not_exported_passes_as_it_came() {
    let collector = Collector::start().await;
    let world = World::with(&format!("{}\ntraces.sample = 0", collector.config())).await;
    world.tenant("acme").with_pat().await;
    for parent in [None, Some(UNSAMPLED), Some("nonsense")] {
        let call = world.get("/decks/").tenant("acme").header("tracestate", "a=1");
        let call = if let Some(parent) = parent { call.header("traceparent", parent) } else { call };
        call.send().await.is(200);
        let seen = world.seen().pop().unwrap();
        assert_eq!((told(&seen, "traceparent"), told(&seen, "tracestate")), (parent, Some("a=1")));
    }
    world.finish().await;
    assert_eq!(collector.http.seen(), []);
}

#[tokio::test]
async fn a_callers_decision_against_a_trace_counts_more_than_the_ratio() {
    let collector = Collector::start().await;
    let world = world(&collector).await;
    world.tenant("acme").with_pat().await;
    world.get("/decks/").tenant("acme").header("traceparent", UNSAMPLED).send().await.is(200);
    assert_eq!(told(&world.seen_once(), "traceparent"), Some(UNSAMPLED));
    world.finish().await;
    assert_eq!(collector.http.seen(), []);
}

#[tokio::test]
async fn a_refresh_has_a_trace_of_its_own_that_is_linked_with_the_request() {
    let collector = Collector::start().await;
    let world = world(&collector).await;
    world.tenant("acme").with_grant(GrantOf::expired()).await;
    world.get("/decks/").tenant("acme").header("traceparent", PARENT).send().await.is(200);
    world.finish().await;
    let spans = collector.spans();
    let (server, pick) = (only(&spans, "GET", SpanKind::Server), only(&spans, "pick", SpanKind::Internal));
    let wait = only(&spans, "wait for refresh", SpanKind::Internal);
    let refresh = only(&spans, "refresh", SpanKind::Internal);
    assert!(wait.is_below(pick) && wait.leads_to(refresh) && refresh.leads_to(server));
    assert_ne!(refresh.span.trace_id, server.span.trace_id, "it belongs to the grant");
    assert!(refresh.span.parent_span_id.is_empty());
    for (name, value) in [
        ("flexslot_proxy.tenant", "acme"),
        ("flexslot_proxy.refresh.cause", "expired"),
        ("flexslot_proxy.result", "renewed"),
    ] {
        assert_eq!(refresh.attribute(name), value, "{name}");
    }
    let asked: Vec<_> = spans.iter().filter(|seen| seen.is_below(refresh)).collect();
    let names: Vec<_> = asked.iter().map(|seen| seen.name()).collect();
    for name in ["store bid", "store get", "store write", "POST", "store release"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let post = only(&spans, "POST", SpanKind::Client);
    assert!(post.attribute("url.full").ends_with("/api/public/v1/oauth/token"), "{post:?}");
    assert_eq!(post.attribute("http.response.status_code"), "200");
}

#[tokio::test]
async fn a_request_that_is_sent_again_says_so_with_another_span() {
    let collector = Collector::start().await;
    let world = world(&collector).await;
    let grant = world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    world.sandbox.expire_access(grant).unwrap();
    world.get("/decks/").tenant("acme").header("traceparent", PARENT).send().await.is(200);
    let seen = world.seen();
    world.finish().await;
    let spans = collector.spans();
    let server = only(&spans, "GET", SpanKind::Server);
    let sent: Vec<_> = spans.iter().filter(|seen| seen.kind() == SpanKind::Client && seen.is_below(server)).collect();
    let told: Vec<_> = seen.iter().map(|seen| told(seen, "traceparent").unwrap().to_owned()).collect();
    assert_eq!(told, sent.iter().map(|seen| seen.traceparent()).collect::<Vec<_>>());
    let of = |name| sent.iter().map(|seen| seen.attribute(name)).collect::<Vec<_>>();
    assert_eq!(of("http.response.status_code"), ["401", "200"]);
    assert_eq!(of("http.request.resend_count"), ["", "1"]);
    assert_eq!((sent[0].span.status.clone().unwrap().code(), &sent[1].span.status), (StatusCode::Error, &None));
    assert_eq!(server.attribute("flexslot_proxy.retry"), "cured");
    let events: Vec<_> = server.span.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(events, ["unauthorized"]);
}

#[tokio::test]
async fn what_the_sidecar_answers_itself_is_exported_too() {
    let collector = Collector::start().await;
    let world = world(&collector).await;
    world.get("/decks/").tenant("nobody").send().await.is_problem(401, "not_connected");
    let mut raw = world.raw().await;
    raw.send("GET / HTTP/1.1\r\nHost : localhost\r\n\r\n").await;
    raw.rest().await;
    world.finish().await;
    let spans = collector.spans();
    let of = |name: &str| {
        spans
            .iter()
            .filter(|seen| seen.kind() == SpanKind::Server)
            .map(|seen| seen.attribute(name).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("http.response.status_code"), ["401", "400"]);
    assert_eq!(of("flexslot_proxy.problem"), ["not_connected", ""]);
}

#[tokio::test]
async fn the_receiver_is_sent_the_headers_that_are_configured() {
    let collector = Collector::start().await;
    let config = format!("{}\ntraces.headers.Authorization = {{ env = \"HEADER\" }}", collector.config());
    let world = World::plan().variable("HEADER", "Basic secret").config(&config).start().await;
    world.get("/decks/").send().await.is_problem(400, "tenant_required");
    world.finish().await;
    assert_eq!(collector.http.only().field("authorization"), Some("Basic secret"));
}

#[tokio::test]
async fn a_receiver_that_refuses_costs_nothing_but_the_traces() {
    let collector = Collector::saying("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    let world = world(&collector).await;
    world.tenant("acme").with_pat().await;
    // As many as are sent without waiting for more.
    for _ in 0..180 {
        world.get("/decks/").tenant("acme").send().await.is(200);
    }
    let refused = async || world.metric("flexslot_proxy_spans_total{outcome=\"refused\"}").await >= 512.0;
    until("spans that were refused", refused).await;
    world.finish().await;
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_is_not_waited_for() {
    let collector = Collector::silent().await;
    let world = World::with(&format!("{}\nserver.drain_timeout = \"1s\"", collector.config())).await;
    world.tenant("acme").with_pat().await;
    for _ in 0..180 {
        world.get("/decks/").tenant("acme").send().await.is(200);
    }
    collector.http.arrived(1).await;
    world.get("/decks/").tenant("acme").send().await.is(200);
    world.finish().await;
}

#[tokio::test]
async fn a_reload_turns_it_on_and_off() {
    let (collector, upstream) = (Collector::start().await, Upstream::content().await);
    let mut world = World::before(&upstream).await;
    world.tenant("acme").with_pat().await;
    let ask = async |world: &World| world.get("/decks/").tenant("acme").send().await;
    ask(&world).await.is(200);
    world.reload(&collector.config()).await;
    ask(&world).await.is(200);
    world.reload("traces.endpoint = \"off\"").await;
    ask(&world).await.is(200);
    let told: Vec<_> = upstream.seen().iter().map(|seen| seen.field("traceparent").is_some()).collect();
    assert_eq!(told, [false, true, false]);
    world.finish().await;
}
