//! The admin listener: contract section 4, as far as it exists.

use flexslot_proxy::sandbox::Endpoint;

use http::Method;

use crate::support::{GrantOf, Raw, Reply, World, in_time, until};

async fn readiness(world: &World, query: &str) -> (u16, String, String) {
    let reply = world.admin(&format!("/readyz{query}")).send().await;
    let json = reply.json();
    (reply.status, json["status"].as_str().unwrap().to_owned(), json["reasons"].to_string())
}

#[tokio::test]
async fn a_running_sidecar_is_alive_and_ready() {
    let world = World::start().await;
    let alive = world.admin("/healthz").send().await;
    assert_eq!(alive.is(200).header("x-content-type-options"), Some("nosniff"));
    for query in ["", "?strict=1"] {
        assert_eq!(readiness(&world, query).await, (200, "ready".to_owned(), "null".to_owned()));
    }
    world.finish().await;
}

#[tokio::test]
async fn trouble_of_the_store_degrades_and_passes() {
    let world = World::plan().frail().start().await;
    world.frailty.out_of_reach();
    until("the trouble to be seen", async || readiness(&world, "").await.1 != "ready").await;
    let degraded = ("degraded".to_owned(), "[\"store_unreachable\"]".to_owned());
    for (query, status) in [("", 200), ("?strict=1", 503), ("?strict=0", 200)] {
        let (got, word, reasons) = readiness(&world, query).await;
        assert_eq!((got, (word, reasons)), (status, degraded.clone()), "{query}");
    }
    world.frailty.back();
    until("the recovery", async || readiness(&world, "").await.1 == "ready").await;
    world.finish().await;
}

#[tokio::test]
async fn a_sidecar_that_stops_is_not_ready() {
    let mut world = World::start().await;
    world.tenant("acme").with_pat().await;
    let gate = world.sandbox.hold(Endpoint::Resource);
    let call = tokio::spawn(world.get("/decks/").tenant("acme").send());
    gate.arrived(1).await;
    let (readyz, healthz) = (world.admin("/readyz"), world.admin("/healthz"));
    let stopping = world.begin_stop();
    let reply: Reply = readyz.send().await;
    assert_eq!((reply.status, reply.json()["status"].as_str()), (503, Some("draining")));
    healthz.send().await.is(200);
    gate.release();
    call.await.unwrap().is(200);
    in_time("the end of the sidecar", stopping).await.unwrap().unwrap();
    world.finish().await;
}

#[tokio::test]
async fn the_metrics_have_their_names() {
    let world = World::start().await;
    world.tenant("acme").with_pat().await;
    world.tenant("acme").with_grant(GrantOf::expired().scopes("cards:read")).await;
    let grant = world.tenant("beta").with_grant(GrantOf::an_hour()).await;
    world.sandbox.expire_access(grant).unwrap();
    for tenant in ["acme", "beta", "nobody"] {
        world.get("/decks/").tenant(tenant).send().await;
    }
    let reply = world.admin("/metrics").send().await;
    assert!(reply.is(200).header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = reply.text();
    for line in [
        "requests_total{credential=\"pat\",method=\"GET\",status=\"200\"} 1",
        "requests_total{credential=\"oauth\",method=\"GET\",status=\"200\"} 1",
        "requests_total{credential=\"none\",method=\"GET\",status=\"401\"} 1",
        "request_duration_seconds_count 3",
        "upstream_duration_seconds_count 2",
        "overhead_duration_seconds_count 3",
        "refreshes_total{outcome=\"refreshed\"} 1",
        "retries_total{outcome=\"cured\"} 1",
        "unauthorized_after_refresh_total 0",
        "pat_fallbacks_total{cause=\"scope\"} 1",
        "in_flight_requests 0",
        "spooled_pairs 0",
    ] {
        assert!(text.contains(&format!("\nflexslot_proxy_{line}\n")), "{line} is not in\n{text}");
    }
    for name in ["store_operations_total{", "store_duration_seconds_count{", "build_info{"] {
        assert!(text.contains(&format!("\nflexslot_proxy_{name}")), "{name} is not in\n{text}");
    }
    for tenant in ["acme", "beta", "nobody"] {
        assert!(!text.contains(tenant), "no tenant is named");
    }
    world.finish().await;
}

#[tokio::test]
async fn the_admin_listener_keeps_web_pages_and_strange_hosts_out() {
    let world = World::with(
        "server.allowed_origins = [\"https://app.example.com\"]\nserver.allowed_hosts = [\"proxy.internal\"]",
    )
    .await;
    for origin in ["https://app.example.com", "https://evil.example"] {
        world.admin("/metrics").header("origin", origin).send().await.is_problem(403, "origin_denied");
    }
    world.admin("/readyz").header("host", "evil.example").send().await.is_problem(421, "host_denied");
    world.admin("/readyz").header("host", "proxy.internal").send().await.is(200);
    world.finish().await;
}

#[tokio::test]
async fn the_listener_for_metrics_has_nothing_but_health_and_metrics() {
    let world = World::with("admin.metrics_listen = \"127.0.0.1:0\"").await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        world.probe(path).send().await.is(200);
        world.probe(path).header("sec-fetch-site", "cross-site").send().await.is_problem(403, "origin_denied");
    }
    for path in ["/", "/connect/x", "/oauth/callback", "/v1/tenants"] {
        world.probe(path).send().await.is_problem(404, "not_found");
    }
    world.probe("/readyz").header("host", "evil.example").send().await.is_problem(421, "host_denied");
    world.finish().await;
}

#[tokio::test]
async fn the_admin_listener_answers_for_nothing_else() {
    let world = World::start().await;
    world.tenant("acme").with_pat().await;
    world.admin("/api/public/v1/decks/").tenant("acme").send().await.is_problem(404, "not_found");
    world.get("/decks/").header("x-a", "1").send().await.is_problem(400, "tenant_required");
    world.target(Method::GET, "/healthz").send().await.is_problem(404, "not_proxied");
    assert!(world.seen().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn every_error_of_the_admin_listener_is_a_problem_document() {
    let world = World::start().await;
    for (method, target, (status, code)) in [
        (Method::GET, "/readyz?strict=1&strict=2", (422, "invalid")),
        (Method::GET, "/readyz?strict=yes", (422, "invalid")),
        (Method::GET, "/readyz?strict", (422, "invalid")),
        (Method::GET, "/readyz?strict=%ff", (422, "invalid")),
        (Method::GET, "/readyz/", (404, "not_found")),
        (Method::GET, "/%ff", (404, "not_found")),
        (Method::OPTIONS, "*", (404, "not_found")),
        (Method::POST, "/readyz", (405, "method_not_allowed")),
        (Method::DELETE, "/metrics?x", (405, "method_not_allowed")),
        (Method::from_bytes(b"BREW").unwrap(), "/healthz", (405, "method_not_allowed")),
    ] {
        let reply = world.admin(target).method(method).send().await;
        reply.is_problem(status, code);
        assert_eq!(reply.header("allow"), (status == 405).then_some("GET,HEAD"), "{target}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{target}");
    }
    let mut raw = Raw::connect(world.admin_address()).await;
    raw.send("GET /readyz#top HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let reply = raw.reply().await;
    assert!(reply.status == 422 && reply.head.contains("application/problem+json"), "{}", reply.head);
    for harmless in ["/readyz?", "/readyz?probe=7", "/healthz?strict=2"] {
        world.admin(harmless).send().await.is(200);
    }
    world.finish().await;
}

#[tokio::test]
async fn requests_go_on_from_memory_while_the_store_is_out_of_reach() {
    let world = World::plan().frail().start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    world.tenant("beta").with_pat().await;
    world.get("/decks/").tenant("acme").send().await.is(200);
    world.frailty.out_of_reach();
    world.get("/decks/").tenant("acme").send().await.is(200);
    world.get("/decks/").tenant("beta").send().await.is_problem(503, "store_unavailable");
    world.frailty.back();
    world.get("/decks/").tenant("beta").send().await.is(200);
    world.finish().await;
}

#[tokio::test]
async fn without_the_store_no_token_request_is_sent() {
    let world = World::plan().frail().start().await;
    let grant = world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    world.get("/decks/").tenant("acme").send().await.is(200);
    world.frailty.out_of_reach();
    world.sandbox.expire_access(grant).unwrap();
    let reply = world.get("/decks/").tenant("acme").send().await;
    let marked = "flexslot-proxy; received-status=401; details=\"refresh_unavailable\"";
    assert_eq!(reply.is(401).header("proxy-status"), Some(marked));
    assert_eq!(world.sandbox.counters().token_requests("refresh_token"), 0);
    world.frailty.back();
    until("the recovery", async || world.get("/decks/").tenant("acme").send().await.status == 200).await;
    assert_eq!(world.sandbox.counters().token_requests("refresh_token"), 1);
    world.finish().await;
}
