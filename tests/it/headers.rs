//! What is taken from messages and what is added.

use http::{HeaderMap, HeaderValue};

use crate::support::{Reply, Script, Upstream, World};

async fn world_before(upstream: &Upstream) -> World {
    let world = World::before(upstream).await;
    world.tenant("acme").with_this_pat("flx_pat_canary").await;
    world
}

async fn reply_to(answer: &str) -> Reply {
    let upstream = Upstream::saying(answer).await;
    let world = world_before(&upstream).await;
    let reply = world.get("/decks/").tenant("acme").send().await;
    world.finish().await;
    reply
}

#[tokio::test]
async fn headers_that_are_not_the_callers_to_send_are_taken_out() {
    let upstream = Upstream::content().await;
    let world = world_before(&upstream).await;
    let removed = [
        ("authorization", "Bearer mine"),
        ("proxy-authorization", "Basic eDp5"),
        ("dpop", "proof"),
        ("cookie", "a=b"),
        ("forwarded", "for=1.2.3.4"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-host", "evil"),
        ("x-forwarded-anything", "x"),
        ("x-real-ip", "1.2.3.4"),
        ("x-http-method-override", "DELETE"),
        ("x-http-method", "DELETE"),
        ("x-method-override", "DELETE"),
        ("x-original-url", "/other"),
        ("x-rewrite-url", "/other"),
        ("referer", "http://page/"),
        ("sec-fetch-mode", "cors"),
        ("sec-ch-ua", "x"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
    ];
    let call = removed.iter().fold(world.get("/decks/").tenant("acme"), |call, (name, value)| call.header(name, value));
    call.send().await.is(200);
    let names = upstream.only().names();
    for (name, _) in removed.iter().filter(|(name, _)| *name != "authorization").chain([&("x-flexslot-tenant", "")]) {
        assert!(!names.contains(&(*name).to_owned()), "{name} went upstream: {names:?}");
    }
    world.finish().await;
}

#[tokio::test]
async fn every_other_header_passes_unchanged() {
    let upstream = Upstream::content().await;
    let world = world_before(&upstream).await;
    let passed = [
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate", "a=1"),
        ("user-agent", "legacy/1.0 (x; y)"),
        ("accept-encoding", "gzip, br"),
        ("x-api-key", "theirs"),
        ("x-securities", "not sec-"),
        ("idempotency-key", "k"),
        ("if-none-match", "\"a\""),
    ];
    let call = passed.iter().fold(world.get("/decks/").tenant("acme"), |call, (name, value)| call.header(name, value));
    call.header("x-list", "1").header("x-list", "2").send().await.is(200);
    let seen = upstream.only();
    for (name, value) in passed {
        assert_eq!(seen.field(name), Some(value), "{name}");
    }
    assert!(seen.head.contains("x-list: 1\r\nx-list: 2"), "{}", seen.head);
    assert!(!seen.names().contains(&"accept".to_owned()), "nothing is made up: {}", seen.head);
    world.finish().await;
}

#[tokio::test]
async fn credential_host_and_via_are_added() {
    let upstream = Upstream::content().await;
    let world = world_before(&upstream).await;
    world
        .get("/decks/")
        .tenant("acme")
        .header("via", "1.0 edge")
        .header("authorization", "Bearer mine")
        .send()
        .await
        .is(200);
    let seen = upstream.only();
    assert_eq!(seen.field("authorization"), Some("Bearer flx_pat_canary"));
    assert_eq!(seen.field("host"), upstream.origin.strip_prefix("http://"));
    assert!(seen.head.contains("via: 1.0 edge\r\nvia: 1.1 flexslot-proxy"), "{}", seen.head);
    world.finish().await;
}

#[tokio::test]
async fn via_names_the_protocol_in_which_the_request_came() {
    let upstream = Upstream::content().await;
    let world = world_before(&upstream).await;
    world.get("/decks/").tenant("acme").http2().send().await.is(200);
    assert_eq!(upstream.only().field("via"), Some("2 flexslot-proxy"));
    world.finish().await;
}

#[tokio::test]
async fn headers_named_in_any_connection_line_are_taken_out() {
    let upstream = Upstream::content().await;
    let world = world_before(&upstream).await;
    let call = world
        .get("/decks/")
        .tenant("acme")
        .header("connection", "x-one, X-Two")
        .header("connection", "keep-alive, x-three");
    let call = call.header("x-one", "1").header("x-two", "2").header("x-three", "3").header("x-four", "4");
    call.send().await.is(200);
    let names = upstream.only().names();
    for name in ["x-one", "x-two", "x-three", "connection"] {
        assert!(!names.contains(&name.to_owned()), "{name} went upstream: {names:?}");
    }
    assert!(names.contains(&"x-four".to_owned()));
    world.finish().await;
}

#[tokio::test]
async fn what_a_browser_shows_is_inert() {
    let world = World::with("server.default_tenant = \"acme\"").await;
    world.tenant("acme").with_pat().await;
    let going_to = |destination: &str| world.get("/decks/").header("sec-fetch-dest", destination).send();
    let shown = going_to("document").await;
    assert_eq!(shown.is(200).header("content-security-policy"), Some("default-src 'none'; sandbox allow-downloads"));
    assert_eq!(shown.header("x-content-type-options"), Some("nosniff"));
    let by_plain_http = world.get("/decks/").header("upgrade-insecure-requests", "1").send().await;
    assert!(by_plain_http.is(200).header("content-security-policy").is_some_and(|policy| policy.contains("sandbox")));
    for fetched in [going_to("empty").await, world.get("/decks/").send().await] {
        assert_eq!(fetched.is(200).header("content-security-policy"), None);
    }
    world.finish().await;
}

#[tokio::test]
async fn connection_cannot_take_out_what_the_sidecar_adds() {
    let upstream = Upstream::content().await;
    let world = world_before(&upstream).await;
    world.get("/decks/").tenant("acme").header("connection", "authorization, host, via").send().await.is(200);
    let seen = upstream.only();
    assert_eq!(seen.field("authorization"), Some("Bearer flx_pat_canary"));
    assert!(seen.field("host").is_some() && seen.field("via").is_some(), "{}", seen.head);
    world.finish().await;
}

#[tokio::test]
async fn response_headers_for_another_hop_or_host_are_taken_out() {
    let reply = reply_to(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nAlt-Svc: h3=\":443\"\r\n\
         Strict-Transport-Security: max-age=1\r\nClear-Site-Data: \"*\"\r\nNEL: {}\r\nReport-To: {}\r\n\
         Reporting-Endpoints: a=\"https://a.example/\"\r\nAccess-Control-Allow-Origin: *\r\n\
         Access-Control-Expose-Headers: *\r\nDPoP-Nonce: n\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n\
         Connection: x-hop\r\nX-Hop: 1\r\nX-End: 2\r\nETag: \"e\"\r\nX-List: 1\r\nX-List: 2\r\n\r\n{}",
    )
    .await;
    for name in [
        "set-cookie",
        "alt-svc",
        "strict-transport-security",
        "clear-site-data",
        "nel",
        "report-to",
        "reporting-endpoints",
        "access-control-allow-origin",
        "access-control-expose-headers",
        "dpop-nonce",
        "keep-alive",
        "proxy-authenticate",
        "x-hop",
    ] {
        assert_eq!(reply.headers.get(name), None, "{name} came through");
    }
    assert_eq!((reply.header("x-end"), reply.header("etag")), (Some("2"), Some("\"e\"")));
    assert_eq!(reply.headers.get_all("x-list").iter().collect::<Vec<_>>(), ["1", "2"]);
}

#[tokio::test]
async fn every_response_names_its_request_and_its_credential() {
    let reply = reply_to("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nVia: 1.1 edge\r\n\r\n").await;
    assert!(!reply.is(503).header("flexslot-proxy-request-id").unwrap().is_empty());
    assert_eq!(reply.header("flexslot-proxy-credential"), Some("pat"));
    assert_eq!(reply.headers.get_all("via").iter().collect::<Vec<_>>(), ["1.1 edge", "1.1 flexslot-proxy"]);
}

#[tokio::test]
async fn an_upstream_cannot_forge_what_the_sidecar_says() {
    let reply = reply_to(
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nFlexslot-Proxy-Request-Id: forged\r\nFlexslot-Proxy-Credential: oauth\r\n\
         Proxy-Status: edge, flexslot-proxy; error=http_request_denied; details=\"not_connected\"\r\n\r\n",
    )
    .await;
    assert_eq!(reply.header("proxy-status"), Some("edge"));
    assert_ne!(reply.header("flexslot-proxy-request-id"), Some("forged"));
    assert_eq!(reply.header("flexslot-proxy-credential"), Some("pat"));
}

#[tokio::test]
async fn trailers_of_a_request_pass_by_the_same_rules() {
    let upstream = Upstream::content().await;
    let world = world_before(&upstream).await;
    let mut trailers = HeaderMap::new();
    for name in ["x-checksum", "authorization", "cookie", "x-forwarded-for", "content-length", "x_flexslot_tenant"] {
        trailers.insert(name, HeaderValue::from_static("1"));
    }
    let names = "x-checksum, authorization, cookie, x-forwarded-for, content-length, x_flexslot_tenant";
    let call = world.post("/decks/").tenant("acme").header("trailer", names);
    call.chunked_with_trailers("abc", trailers).send().await.is(200);
    let seen = upstream.only();
    assert_eq!(seen.body, b"abc");
    assert!(seen.coded.ends_with(b"0\r\nx-checksum: 1\r\n\r\n"), "{:?}", String::from_utf8_lossy(&seen.coded));
    world.finish().await;
}

#[tokio::test]
async fn trailers_of_a_response_pass_by_the_same_rules() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-checksum\r\n\r\n\
                  3\r\nabc\r\n0\r\nx-checksum: 1\r\nset-cookie: a=b\r\nalt-svc: x\r\naccess-control-allow-origin: *\r\n\r\n";
    let upstream = Upstream::saying(answer).await;
    let world = world_before(&upstream).await;
    for http2 in [false, true] {
        let call = world.get("/decks/").tenant("acme").header("te", "trailers");
        let reply = if http2 { call.http2() } else { call }.send().await;
        assert_eq!(reply.text(), "abc");
        assert_eq!(
            reply.trailers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(),
            ["x-checksum"],
            "HTTP/2: {http2}"
        );
    }
    assert!(upstream.seen().iter().all(|seen| seen.field("te") == Some("trailers")));
    world.finish().await;
}

#[tokio::test]
async fn interim_responses_end_at_the_sidecar() {
    let upstream = Upstream::start(|_, _| {
        Script::say("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    })
    .await;
    let world = world_before(&upstream).await;
    let mut raw = world.raw().await;
    raw.send(
        "GET /api/public/v1/decks/ HTTP/1.1\r\nHost: localhost\r\nX-Flexslot-Tenant: acme\r\nConnection: close\r\n\r\n",
    )
    .await;
    let text = String::from_utf8(raw.rest().await).unwrap();
    assert!(text.starts_with("HTTP/1.1 200") && !text.contains("103"), "{text}");
    world.finish().await;
}
