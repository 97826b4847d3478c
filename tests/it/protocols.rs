//! HTTP/1.0, HTTP/1.1 and cleartext HTTP/2, the forms of targets, and what is not served.

use http::{Method, Version};

use crate::support::{Upstream, World, field};

async fn world() -> World {
    let world = World::with("server.default_tenant = \"acme\"").await;
    world.tenant("acme").with_pat().await;
    world
}

#[tokio::test]
async fn http1_and_cleartext_http2_are_served_at_one_address() {
    let world = world().await;
    let first = world.get("/decks/").send().await;
    let second = world.get("/decks/").http2().send().await;
    assert_eq!((first.is(200).version, second.is(200).version), (Version::HTTP_11, Version::HTTP_2));
    let body = world.post("/sandbox/mirror").http2().body("abc").send().await;
    assert_eq!(body.is(200).text(), "abc");
    world.finish().await;
}

#[tokio::test]
async fn an_http2_request_names_its_host_by_authority() {
    let world = world().await;
    let reply = world.get("/decks").http2().send().await;
    let host = world.address();
    assert_eq!(reply.is(301).header("location"), Some(&*format!("http://{host}/api/public/v1/decks/")));
    world.finish().await;
}

#[tokio::test]
async fn http10_is_answered_without_chunks_and_closed() {
    let world = world().await;
    let mut raw = world.raw().await;
    raw.send("GET /api/public/v1/sandbox/stream?size=100000 HTTP/1.0\r\nHost: localhost\r\n\r\n").await;
    let answer = raw.rest().await;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    assert!(head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!((field(&head, "transfer-encoding"), answer.len() - end - 4), (None, 100_000), "{head}");
    world.finish().await;
}

#[tokio::test]
async fn http10_without_host_is_refused_as_any_unknown_host() {
    let world = world().await;
    let mut raw = world.raw().await;
    raw.send("GET /api/public/v1/decks/ HTTP/1.0\r\n\r\n").await;
    let (replies, _) = raw.replies_to_end().await;
    assert_eq!(replies[0].status, 421);
    world.finish().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let world = world().await;
    let mut raw = world.raw().await;
    let request = |n: u8| {
        format!("POST /api/public/v1/sandbox/mirror HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n{n}")
    };
    raw.send(request(1) + &request(2) + &request(3)).await;
    for n in ["1", "2", "3"] {
        let reply = raw.reply().await;
        assert_eq!((reply.status, reply.body), (200, n.as_bytes().to_vec()));
    }
    drop(raw);
    world.finish().await;
}

#[tokio::test]
async fn an_upgrade_to_http2_is_ignored_and_the_request_served() {
    let upstream = Upstream::content().await;
    let world = World::plan().upstream(&upstream).config("server.default_tenant = \"acme\"").start().await;
    world.tenant("acme").with_this_pat("p").await;
    let call = world.get("/decks/").header("connection", "Upgrade, HTTP2-Settings").header("upgrade", "h2c");
    let reply = call.header("http2-settings", "AAMAAABkAAQAAP__").send().await;
    assert_eq!(reply.is(200).version, Version::HTTP_11);
    let names = upstream.only().names();
    assert!(!names.iter().any(|name| ["upgrade", "http2-settings", "connection"].contains(&&**name)), "{names:?}");
    world.finish().await;
}

#[tokio::test]
async fn websockets_tunnels_and_traces_are_refused() {
    let world = world().await;
    let upgrade = world.get("/decks/").header("connection", "upgrade").header("upgrade", "h2c, WebSocket");
    upgrade.send().await.is_problem(501, "method_unsupported");
    world.call(Method::TRACE, "/decks/").send().await.is_problem(501, "method_unsupported");
    let mut raw = world.raw().await;
    raw.send("CONNECT api.flexslot.gg:443 HTTP/1.1\r\nHost: api.flexslot.gg:443\r\n\r\n").await;
    raw.finish_sending().await;
    let (replies, _) = raw.replies_to_end().await;
    assert_eq!(replies[0].status, 501, "{replies:?}");
    assert!(world.seen().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn absolute_targets_are_taken_for_an_accepted_host_and_for_the_upstream() {
    let world = world().await;
    let (own, upstream) = (world.address(), world.sandbox.origin().to_owned());
    for origin in [format!("http://{own}"), "http://localhost:1".to_owned(), upstream] {
        let call = world.target(Method::GET, format!("{origin}/api/public/v1/decks/?page=1"));
        call.header("host", "evil.example").send().await.is(200);
    }
    let other = world.target(Method::GET, "http://evil.example/api/public/v1/decks/").send().await;
    other.is_problem(421, "host_denied");
    assert!(world.seen().iter().all(|seen| seen.target == "/api/public/v1/decks/?page=1"), "{:?}", world.seen());
    assert_eq!(world.seen().len(), 3);
    world.finish().await;
}

#[tokio::test]
async fn path_and_query_are_forwarded_byte_for_byte() {
    let world = world().await;
    let targets = [
        "/api/public/v1/cards/Fire%20%2F%2F%20Ice",
        "/api/public/v1/cards/%7Eabc~?a=%zz&b=+&&c",
        "/api/public/v1/decks/?",
        "/api/public/v1/decks/?next=http://x/../y//z",
        "/api/public/v1/cards/caf%C3%A9;v=1",
    ];
    for target in targets {
        let mut raw = world.raw().await;
        raw.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await;
        raw.rest().await;
    }
    let seen: Vec<_> = world.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(seen, targets);
    world.finish().await;
}

#[tokio::test]
async fn paths_that_could_mean_another_are_refused() {
    let world = world().await;
    for path in [
        "/api/public/v1/../v1/decks/",
        "/api/public/v1/./decks/",
        "/api/public/v1/%2e%2e/x",
        "/api/public/v1/%2E/x",
        "/api/public/v1/%252e%252e/x",
        "/api/public/v1/a%2F..%2Fb",
        "/api/public/v1/a%5Cb",
        "/api/public/v1/a\\b",
        "/api/public/v1/a%00b",
        "/api/public/v1/a%0Ab",
        "/api/public/v1//decks/",
        "/api/public/v1/decks//x",
        "/api/public/v1/me%2Fpartner",
        "/api/public/v1/decks%2Foauth/../x",
        "/api/public/v1/decks/#x",
        "/t/acme/api/public/v1/../x",
    ] {
        let mut raw = world.raw().await;
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await;
        let (replies, _) = raw.replies_to_end().await;
        assert_eq!(replies[0].status, 400, "{path}");
        let body = String::from_utf8_lossy(&replies[0].body).into_owned();
        assert!(body.contains("path_invalid"), "{path}: {replies:?}");
    }
    assert!(world.seen().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn only_the_api_is_forwarded() {
    let world = world().await;
    for target in [
        "/",
        "/api",
        "/api/public/v1",
        "/api/public/v2/decks/",
        "/API/public/v1/decks/",
        "/_sandbox/counters",
        "/t/acme/",
    ] {
        world.target(Method::GET, target).send().await.is_problem(404, "not_proxied");
    }
    for path in ["/oauth/token", "/OAuth/token", "/oauth/", "/%6Fauth/revoke"] {
        world.post(path).body("grant_type=refresh_token").send().await.is_problem(403, "path_denied");
    }
    assert!(world.sandbox.requests().is_empty());
    world.finish().await;
}
