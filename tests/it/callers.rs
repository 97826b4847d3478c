//! Who may call: the client token, the Host rule and the rules for browsers (contract section 3, "Browsers and hosts").

use base64::{Engine, engine::general_purpose::STANDARD};
use flexslot_proxy::sandbox::Endpoint;
use http::Method;

use crate::support::{Reach, Reply, Upstream, World, http2_over};

const DEFAULT: &str = "server.default_tenant = \"acme\"";
const PAGE: &str = "https://app.example.com";

async fn world(config: &str) -> World {
    let plan = World::plan().config(DEFAULT).variable("CLIENT_TOKEN", "s3cret-token");
    let world = plan.config(config).start().await;
    world.tenant("acme").with_pat().await;
    world
}

async fn guarded() -> World {
    world("server.client_token = { env = \"CLIENT_TOKEN\" }").await
}

#[tokio::test]
async fn a_client_token_is_taken_in_three_forms() {
    let world = guarded().await;
    let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    for (name, value) in [
        ("proxy-authorization", "Bearer s3cret-token".to_owned()),
        ("authorization", "Bearer s3cret-token".to_owned()),
        ("authorization", "bearer s3cret-token".to_owned()),
        ("authorization", basic("x:s3cret-token")),
        ("proxy-authorization", basic("anybody:s3cret-token")),
    ] {
        world.get("/decks/").header(name, &value).send().await.is(200);
    }
    assert!(world.seen().iter().all(|seen| seen.credential.kind == "pat"));
    world.finish().await;
}

#[tokio::test]
async fn without_the_client_token_nobody_gets_through() {
    let world = guarded().await;
    let basic = format!("Basic {}", STANDARD.encode("s3cret-token:x"));
    for value in ["", "Bearer s3cret", "Bearer s3cret-token2", "s3cret-token", "Basic s3cret-token", &basic] {
        let call = world.get("/decks/");
        let reply = if value.is_empty() { call } else { call.header("authorization", value) }.send().await;
        reply.is_problem(407, "client_token_required");
        assert_eq!(reply.header("proxy-authenticate"), Some("Bearer realm=\"flexslot-proxy\""));
        assert!(!reply.text().contains("s3cret"));
    }
    assert!(world.seen().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn the_client_token_goes_no_further() {
    let upstream = Upstream::content().await;
    let plan = World::plan().upstream(&upstream).config(DEFAULT).variable("CLIENT_TOKEN", "s3cret-token");
    let world = plan.config("server.client_token = { env = \"CLIENT_TOKEN\" }").start().await;
    world.tenant("acme").with_this_pat("p").await;
    world.get("/decks/").header("proxy-authorization", "Bearer s3cret-token").send().await.is(200);
    world.get("/decks/").header("authorization", "Bearer s3cret-token").send().await.is(200);
    assert!(upstream.seen().iter().all(|seen| !seen.head.contains("s3cret")));
    world.finish().await;
}

#[tokio::test]
async fn with_the_client_token_any_host_will_do() {
    let world = guarded().await;
    let call =
        world.get("/decks/").header("host", "proxy.internal:3539").header("authorization", "Bearer s3cret-token");
    call.send().await.is(200);
    world.finish().await;
}

const CALLERS: &str = r#"
[[server.callers]]
name = "shop"
token = { env = "SHOP_TOKEN" }
tenants = ["acme"]

[[server.callers]]
name = "ops"
token = { env = "OPS_TOKEN" }
tenants = "*"
"#;

#[tokio::test]
async fn an_app_with_a_token_of_its_own_speaks_for_its_own_tenants_alone() {
    let plan = World::plan().variable("SHOP_TOKEN", "shop-t0ken-of-its-own").variable("OPS_TOKEN", "ops-t0ken-for-all");
    let world = plan.config(CALLERS).start().await;
    world.tenant("acme").with_pat().await;
    world.tenant("beta").with_pat().await;
    let call = |tenant: &str, token: &str| {
        world.get("/decks/").tenant(tenant).header("authorization", &format!("Bearer {token}"))
    };
    call("acme", "shop-t0ken-of-its-own").send().await.is(200);
    for tenant in ["acme", "beta"] {
        call(tenant, "ops-t0ken-for-all").send().await.is(200);
    }
    let refused = call("beta", "shop-t0ken-of-its-own").send().await;
    refused.is_problem(403, "tenant_denied");
    assert!(refused.text().contains("caller shop") && !refused.text().contains("t0ken"), "{}", refused.text());
    // Whether there is such a tenant is not for everybody to know.
    call("nobody", "shop-t0ken-of-its-own").send().await.is_problem(403, "tenant_denied");
    let by_path = world.target(Method::GET, "/t/beta/api/public/v1/decks/");
    let by_path = by_path.header("authorization", "Bearer shop-t0ken-of-its-own");
    by_path.send().await.is_problem(403, "tenant_denied");
    for headers in [&[][..], &["Bearer t0ken"]] {
        let call = headers.iter().fold(world.get("/decks/"), |call, value| call.header("authorization", value));
        call.tenant("acme").send().await.is_problem(407, "client_token_required");
    }
    let both = call("acme", "shop-t0ken-of-its-own").header("proxy-authorization", "Bearer ops-t0ken-for-all");
    both.send().await.is_problem(407, "client_token_required");
    assert_eq!(world.seen().len(), 3);
    world.finish().await;
}

#[tokio::test]
async fn only_hosts_that_can_be_nobody_else_are_accepted() {
    let world = world("server.allowed_hosts = [\"proxy.internal\", \"*.svc\"]").await;
    let with_host = |host: &str| world.get("/decks/").header("host", host).send();
    for host in [
        "localhost",
        "LOCALHOST:1234",
        "acme.localhost",
        "127.0.0.1",
        "127.8.9.10:80",
        "[::1]",
        "[::1]:3539",
        "[::ffff:127.0.0.1]",
        "proxy.internal:3539",
        "Proxy.Internal",
    ] {
        let reply = with_host(host).await;
        assert_eq!(reply.status, 200, "{host}: {reply:?}");
    }
    for host in [
        "evil.example",
        "0.0.0.0",
        "[::]",
        "10.0.0.1",
        "localhost.evil.example",
        "notlocalhost",
        "127.0.0.1.nip.io",
        "other.internal",
        "svc",
        "2130706433",
        "0x7f000001",
        ".localhost",
    ] {
        with_host(host).await.is_problem(421, "host_denied");
    }
    assert_eq!(world.seen().len(), 10);
    world.finish().await;
}

#[tokio::test]
async fn a_pattern_of_allowed_hosts_covers_the_names_below_it() {
    let world = world("server.allowed_hosts = [\"*.svc\"]").await;
    for host in ["proxy.svc", "proxy.team.svc:80", "PROXY.SVC"] {
        let reply = world.get("/decks/").header("host", host).send().await;
        assert_eq!(reply.status, 200, "{host}: {reply:?}");
    }
    world.get("/decks/").header("host", "proxysvc").send().await.is_problem(421, "host_denied");
    world.finish().await;
}

#[tokio::test]
async fn web_pages_are_refused_unless_their_origin_is_allowed() {
    let world = world("").await;
    for (name, value) in [
        ("origin", PAGE),
        ("origin", "null"),
        ("origin", "http://localhost:3539"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let reply = world.get("/decks/").header(name, value).send().await;
        reply.is_problem(403, "origin_denied");
        assert!(reply.headers.keys().all(|name| !name.as_str().starts_with("access-control-")));
    }
    for site in ["none", "same-origin"] {
        world.get("/decks/").header("sec-fetch-site", site).send().await.is(200);
    }
    assert_eq!(world.seen().len(), 2);
    world.finish().await;
}

fn preflight(world: &World, origin: &str) -> crate::support::Call {
    let call =
        world.call(Method::OPTIONS, "/decks/").header("origin", origin).header("access-control-request-method", "POST");
    call.header("access-control-request-headers", "x-flexslot-tenant,content-type")
}

#[tokio::test]
async fn a_preflight_of_an_allowed_origin_is_answered_by_the_sidecar() {
    let world = world(&format!("server.allowed_origins = [{PAGE:?}]")).await;
    let reply: Reply = preflight(&world, PAGE).send().await;
    assert_eq!((reply.is(204).body.len(), world.seen().len()), (0, 0));
    assert_eq!(reply.header("access-control-allow-origin"), Some(PAGE));
    assert_eq!(reply.header("access-control-allow-methods"), Some("POST"));
    assert_eq!(reply.header("access-control-allow-headers"), Some("x-flexslot-tenant,content-type"));
    assert_eq!(reply.header("access-control-allow-credentials"), None);
    assert!(reply.header("flexslot-proxy-request-id").is_some());
    preflight(&world, "https://evil.example").send().await.is_problem(403, "origin_denied");
    world.finish().await;
}

#[tokio::test]
async fn a_preflight_needs_no_client_token() {
    let plan = World::plan().config(DEFAULT).variable("CLIENT_TOKEN", "s3cret-token");
    let config = format!("server.allowed_origins = [{PAGE:?}]\nserver.client_token = {{ env = \"CLIENT_TOKEN\" }}");
    let world = plan.config(&config).start().await;
    preflight(&world, PAGE).send().await.is(204);
    let refused = world.get("/decks/").header("origin", PAGE).send().await;
    refused.is_problem(407, "client_token_required");
    world.finish().await;
}

#[tokio::test]
async fn pages_of_an_allowed_origin_can_read_every_answer() {
    let world = world(&format!("server.allowed_origins = [{PAGE:?}]")).await;
    let good = world.get("/decks/").header("origin", PAGE).header("sec-fetch-site", "cross-site").send().await;
    let bad = world.get("/../x").header("origin", PAGE).send().await;
    bad.is_problem(400, "path_invalid");
    for reply in [good.is(200), &bad] {
        assert_eq!(reply.header("access-control-allow-origin"), Some(PAGE));
        assert!(reply.headers.get_all("vary").iter().any(|vary| vary == "Origin"));
    }
    let seen = world.seen_once();
    assert!(seen.headers.iter().all(|(name, _)| name != "origin" && !name.starts_with("sec-")), "{seen:?}");
    world.finish().await;
}

#[tokio::test]
async fn answers_to_all_vary_by_origin_where_pages_may_read_some() {
    let answer = "HTTP/1.1 200 OK\r\nVary: Accept-Encoding\r\nContent-Length: 0\r\n\r\n";
    let upstream = Upstream::saying(answer).await;
    let plan =
        World::plan().upstream(&upstream).config(DEFAULT).config(&format!("server.allowed_origins = [{PAGE:?}]"));
    let world = plan.start().await;
    world.tenant("acme").with_this_pat("p").await;
    let direct = world.get("/decks/").send().await;
    let invalid = world.get("/../x").send().await;
    let foreign = world.get("/decks/").header("origin", "https://evil.example").send().await;
    assert!(direct.headers.get_all("vary").iter().any(|vary| vary == "Accept-Encoding"), "{direct:?}");
    for reply in [direct.is(200), invalid.is(400), foreign.is(403)] {
        assert!(reply.headers.get_all("vary").iter().any(|vary| vary == "Origin"), "{reply:?}");
        assert_eq!(reply.header("access-control-allow-origin"), None);
    }
    world.finish().await;
}

#[tokio::test]
async fn answers_vary_by_nothing_of_ours_where_no_page_may_read_any() {
    let world = world("").await;
    assert_eq!(world.get("/decks/").send().await.is(200).header("vary"), None);
    world.finish().await;
}

#[tokio::test]
async fn an_options_request_that_is_no_preflight_is_forwarded() {
    let world = world(&format!("server.allowed_origins = [{PAGE:?}]")).await;
    world.call(Method::OPTIONS, "/sandbox/echo").header("origin", PAGE).send().await.is(200);
    assert_eq!(world.seen_once().method, "OPTIONS");
    world.finish().await;
}

/// Callers of a unix socket are told from each other, and those on loopback are not.
#[tokio::test]
async fn one_user_of_a_socket_leaves_requests_to_the_others() {
    let config = "server.listen = [\"127.0.0.1:0\", \"unix:s.sock\"]\nlimits.connections_per_peer = 1";
    let world = world(config).await;
    let gate = world.sandbox.hold(Endpoint::Resource);
    let Reach::Unix(path) = world.reach(1) else { panic!("a socket") };
    let mut connection = http2_over(tokio::net::UnixStream::connect(path).await.unwrap()).await;
    let mut same = connection.clone();
    let held = world.at(1, Method::GET, "/api/public/v1/decks/");
    let held = tokio::spawn(async move { held.send_on(&mut same).await });
    gate.arrived(1).await;
    let more = world.at(1, Method::GET, "/api/public/v1/decks/").send_on(&mut connection).await;
    more.is_problem(503, "overloaded");
    assert!(more.detail().contains("limits.connections_per_peer"), "{}", more.detail());
    let others = [(); 2].map(|()| tokio::spawn(world.get("/decks/").send()));
    gate.arrived(3).await;
    gate.release();
    held.await.unwrap().is(200);
    for other in others {
        other.await.unwrap().is(200);
    }
    world.finish().await;
}
