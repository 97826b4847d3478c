//! Limits, timeouts and broken connections: contract section 2, `[limits]` and `[upstream]`, and section 3 on transport
//! errors.

use std::sync::Arc;

use flexslot_proxy::sandbox::Endpoint;
use tokio::sync::Semaphore;

use crate::support::{Part, Script, Upstream, World, until};

async fn world(config: &str) -> World {
    let world = World::plan().config("server.default_tenant = \"acme\"").config(config).start().await;
    world.tenant("acme").with_pat().await;
    world
}

/// The statuses of all answers to these bytes, until the sidecar closes.
async fn statuses(world: &World, bytes: impl AsRef<[u8]>) -> Vec<u16> {
    let mut raw = world.raw().await;
    raw.send(bytes).await;
    let (replies, rest) = raw.replies_to_end().await;
    assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    for reply in &replies {
        assert!(reply.status == 200 || reply.body.is_empty(), "a refusal of what is not understood is bare: {reply:?}");
    }
    replies.iter().map(|reply| reply.status).collect()
}

#[tokio::test]
async fn an_upload_that_announces_too_much_is_refused_before_it_is_read() {
    let world = world("limits.request_body = \"1KiB\"").await;
    let mut raw = world.raw().await;
    raw.send("POST /api/public/v1/sandbox/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1025\r\n\r\n").await;
    let reply = raw.reply().await;
    assert_eq!(reply.status, 413);
    assert!(String::from_utf8(reply.body).unwrap().contains("body_too_large"));
    assert!(world.seen().is_empty());
    world.post("/sandbox/echo").body(vec![0; 1024]).send().await.is(200);
    drop(raw);
    world.finish().await;
}

#[tokio::test]
async fn an_upload_that_grows_too_large_is_refused() {
    let world = world("limits.request_body = \"64KiB\"").await;
    world.post("/sandbox/echo").chunked(vec![0; (64 << 10) + 1]).send().await.is_problem(413, "body_too_large");
    world.post("/sandbox/echo").chunked(vec![0; 64 << 10]).send().await.is(200);
    world.post("/sandbox/echo").http2().chunked(vec![0; (64 << 10) + 1]).send().await.is_problem(413, "body_too_large");
    world.finish().await;
}

#[tokio::test]
async fn header_fields_over_the_limit_are_refused() {
    let world = world("limits.header_size = \"8KiB\"").await;
    let with_header = |length: usize| {
        let filler = "x".repeat(length);
        format!(
            "GET /api/public/v1/decks/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Filler: {filler}\r\n\r\n"
        )
    };
    assert_eq!(statuses(&world, with_header(8 << 10)).await, [431]);
    assert_eq!(statuses(&world, with_header(7 << 10)).await, [200]);
    let many: String = (0..101).map(|n| format!("X-{n}: 1\r\n")).collect();
    assert_eq!(statuses(&world, format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n")).await, [431]);
    world.finish().await;
}

#[tokio::test]
async fn a_target_that_is_too_long_is_refused() {
    let world = world("").await;
    let request = format!("GET /api/public/v1/cards/{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(66_000));
    assert_eq!(statuses(&world, request).await, [414]);
    world.finish().await;
}

#[tokio::test]
async fn a_head_that_is_late_is_refused() {
    let world = world("limits.header_timeout = \"150ms\"").await;
    assert_eq!(statuses(&world, "GET /api/public/v1/decks/ HTTP/1.1\r\nHost: local").await, [408]);
    assert!(statuses(&world, "").await.is_empty(), "a caller that says nothing is told nothing");
    world.finish().await;
}

#[tokio::test]
async fn a_body_that_stops_is_refused() {
    let world = world("upstream.body_idle_timeout = \"150ms\"").await;
    let request = "POST /api/public/v1/sandbox/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf";
    assert_eq!(statuses(&world, request).await, [408]);
    world.finish().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let world = world("limits.keep_alive_timeout = \"150ms\"").await;
    assert_eq!(statuses(&world, "GET /api/public/v1/decks/ HTTP/1.1\r\nHost: localhost\r\n\r\n").await, [200]);
    world.finish().await;
}

#[tokio::test]
async fn a_tenant_has_only_so_many_requests_under_way() {
    let world = world("limits.in_flight_per_tenant = 2").await;
    world.tenant("beta").with_pat().await;
    let gate = world.sandbox.hold(Endpoint::Resource);
    let held: Vec<_> = (0..2).map(|_| tokio::spawn(world.get("/decks/").send())).collect();
    gate.arrived(2).await;
    let reply = world.get("/decks/").send().await;
    reply.is_problem(429, "tenant_busy");
    assert!(reply.header("retry-after").is_some());
    let other = tokio::spawn(world.get("/decks/").tenant("beta").send());
    gate.arrived(3).await;
    gate.release();
    for call in held.into_iter().chain([other]) {
        call.await.unwrap().is(200);
    }
    world.get("/decks/").send().await.is(200);
    world.finish().await;
}

#[tokio::test]
async fn a_response_under_way_counts_as_a_request_under_way() {
    let gate = Arc::new(Semaphore::new(0));
    let more = Arc::clone(&gate);
    let upstream = Upstream::start(move |_, number| match number {
        0 => Script::parts([
            Part::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none".to_vec()),
            Part::Wait(Arc::clone(&more)),
            Part::Bytes(b"two".to_vec()),
        ]),
        _ => Script::say("HTTP/1.1 204 No Content\r\n\r\n"),
    })
    .await;
    let plan =
        World::plan().upstream(&upstream).config("server.default_tenant = \"acme\"\nlimits.in_flight_per_tenant = 1");
    let world = plan.start().await;
    world.tenant("acme").with_this_pat("p").await;
    let first = world.get("/decks/").begin().await;
    world.get("/decks/").send().await.is_problem(429, "tenant_busy");
    gate.add_permits(1);
    assert_eq!(first.whole().await.text(), "onetwo");
    until("the turn to end", async || world.get("/decks/").send().await.status == 204).await;
    world.finish().await;
}

#[tokio::test]
async fn over_the_limit_of_connections_callers_wait() {
    let world = world("limits.connections = 1").await;
    let mut first = world.raw().await;
    first.send("GET /api/public/v1/decks/ HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(first.reply().await.status, 200);
    let second = tokio::spawn(world.get("/decks/").send());
    first.send("GET /api/public/v1/decks/ HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(first.reply().await.status, 200);
    assert_eq!((second.is_finished(), world.seen().len()), (false, 2));
    drop(first);
    second.await.unwrap().is(200);
    world.finish().await;
}

#[tokio::test]
async fn an_upstream_that_breaks_off_in_the_middle_of_its_header_is_not_usable() {
    let upstream =
        Upstream::start(|_, _| Script::parts([Part::Bytes(b"HTTP/1.1 200 OK\r\nX-".to_vec()), Part::Close])).await;
    let world = World::before(&upstream).await;
    world.tenant("acme").with_this_pat("p").await;
    world.get("/decks/").tenant("acme").send().await.is_problem(502, "upstream_invalid");
    assert_eq!(upstream.seen().len(), 1, "it is not sent again");
    world.finish().await;
}

#[tokio::test]
async fn a_header_of_the_upstreams_over_the_limit_is_not_usable() {
    let filler = "x".repeat(9 << 10);
    let upstream =
        Upstream::saying(format!("HTTP/1.1 200 OK\r\nX-Filler: {filler}\r\nContent-Length: 0\r\n\r\n")).await;
    let world = World::plan().upstream(&upstream).config("limits.header_size = \"8KiB\"").start().await;
    world.tenant("acme").with_this_pat("p").await;
    world.get("/decks/").tenant("acme").send().await.is_problem(502, "upstream_invalid");
    world.finish().await;
}

#[tokio::test]
async fn a_response_body_that_stops_is_broken_off() {
    let never = Arc::new(Semaphore::new(0));
    let upstream = Upstream::start(move |_, _| {
        Script::parts([
            Part::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none".to_vec()),
            Part::Wait(Arc::clone(&never)),
        ])
    })
    .await;
    let world = World::plan().upstream(&upstream).config("upstream.body_idle_timeout = \"150ms\"").start().await;
    world.tenant("acme").with_this_pat("p").await;
    let mut answering = world.get("/decks/").tenant("acme").begin().await;
    assert_eq!(answering.chunk().await.unwrap(), "one");
    assert!(answering.try_whole().await.is_err());
    world.finish().await;
}

/// An upstream that answers the first request, and closes the connection on the second without a word.
async fn forgetful() -> Upstream {
    Upstream::start(|_, number| match number {
        1 => Script::parts([Part::Close]),
        _ => Script::say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    })
    .await
}

#[tokio::test]
async fn a_bodiless_get_is_sent_once_more_where_a_reused_connection_closes_without_a_word() {
    let upstream = forgetful().await;
    let world = World::before(&upstream).await;
    world.tenant("acme").with_this_pat("p").await;
    world.get("/decks/").tenant("acme").send().await.is(200);
    world.get("/decks/").tenant("acme").send().await.is(200);
    assert_eq!(upstream.seen().iter().map(|seen| seen.connection).collect::<Vec<_>>(), [0, 0, 1]);
    world.finish().await;
}

#[tokio::test]
async fn a_request_with_a_body_is_never_sent_again_after_a_transport_error() {
    let upstream = forgetful().await;
    let world = World::before(&upstream).await;
    world.tenant("acme").with_this_pat("p").await;
    world.get("/decks/").tenant("acme").send().await.is(200);
    world.post("/decks/").tenant("acme").body("{}").send().await.is_problem(502, "upstream_invalid");
    assert_eq!(upstream.seen().len(), 2);
    world.finish().await;
}
