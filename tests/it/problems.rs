//! Every code of the error table, provoked through a whole sidecar: contract section 3, "Errors made by the proxy".

use std::{collections::HashSet, sync::Arc};

use flexslot_proxy::{
    proxy::error::Code,
    sandbox::{Canned, Effect, Endpoint, Fault},
};
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::support::{ClosedPort, GrantOf, Part, Raw, Reply, Script, Upstream, World, http2_connection};

/// A problem as it must look.
struct Expected {
    code: Code,
    status: u16,
    action: &'static str,
    /// The `error` of `Proxy-Status`.
    error: &'static str,
    tenant: Option<&'static str>,
}

const DENIED: &str = "http_request_denied";

const fn expected(
    code: Code,
    status: u16,
    action: &'static str,
    error: &'static str,
    tenant: Option<&'static str>,
) -> Expected {
    Expected { code, status, action, error, tenant }
}

/// The members of RFC 9457 and ours, the header fields of RFC 9209, RFC 9111 and RFC 9110, and nothing else in the
/// body.
#[track_caller]
fn check(expected: &Expected, reply: &Reply) {
    let code = expected.code.as_str();
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (expected.status, Some("application/problem+json")),
        "{code}: {reply:?}"
    );
    let status = format!("flexslot-proxy; error={}; details=\"{code}\"", expected.error);
    assert_eq!(reply.header("proxy-status"), Some(&*status), "{code}");
    assert_eq!(reply.header("cache-control"), Some("no-store"), "{code}");
    let challenge = "Bearer realm=\"flexslot-proxy\"";
    assert_eq!(reply.header("www-authenticate"), (expected.status == 401).then_some(challenge), "{code}");
    assert_eq!(reply.header("proxy-authenticate"), (expected.status == 407).then_some(challenge), "{code}");
    assert_eq!(reply.header("content-length").and_then(|length| length.parse().ok()), Some(reply.body.len()), "{code}");
    let id = reply.header("flexslot-proxy-request-id").expect("a request id");
    let Value::Object(mut body) = reply.json() else { panic!("{code}: {reply:?}") };
    let mut member =
        |name: &str| body.remove(name).map(|value| value.as_str().map_or(value.to_string(), str::to_owned));
    assert_eq!(member("type"), Some(format!("urn:flexslot-proxy:problem:{code}")));
    assert_eq!(member("status"), Some(expected.status.to_string()), "{code}");
    assert_eq!(member("code").as_deref(), Some(code));
    assert_eq!(member("action").as_deref(), Some(expected.action), "{code}");
    assert_eq!(member("request_id").as_deref(), Some(id), "{code}");
    assert_eq!(member("tenant").as_deref(), expected.tenant, "{code}");
    let page = member("connections_url");
    let tenant = expected.tenant.unwrap_or_default();
    match expected.action {
        "reconnect" => assert!(page.is_some_and(|page| page.ends_with(&format!("/?q={tenant}"))), "{code}"),
        _ => assert_eq!(page, None, "{code}"),
    }
    assert!(member("title").is_some_and(|title| !title.is_empty()), "{code}");
    assert!(member("detail").is_some_and(|detail| detail.len() > 20), "{code}");
    assert!(body.is_empty(), "{code} has more to say than the contract lists: {body:?}");
}

async fn decks(world: &World) -> Reply {
    world.get("/decks/").tenant("acme").send().await
}

/// What a whole world answers to a request for the tenant `acme`.
async fn ask(config: &str, upstream: Option<&Upstream>, with: impl AsyncFnOnce(&World) -> Reply) -> Reply {
    let plan = World::plan().config(config).variable("CLIENT_TOKEN", "s3cret-token");
    let plan = match upstream {
        Some(upstream) => plan.upstream(upstream),
        None => plan,
    };
    let world = plan.start().await;
    let reply = with(&world).await;
    world.finish().await;
    reply
}

/// Callers that are somebody, and may not.
async fn callers() -> Vec<(Expected, Reply)> {
    let somebody_else = rustix::process::geteuid().as_raw() + 1;
    let socket = format!("server.listen = {{ address = \"unix:proxy.sock\", uids = [{somebody_else}] }}");
    let shop = "[[server.callers]]\nname = \"shop\"\ntoken = { env = \"CLIENT_TOKEN\" }\ntenants = [\"beta\"]";
    let with_token = async |world: &World| {
        world.get("/decks/").tenant("acme").header("authorization", "Bearer s3cret-token").send().await
    };
    vec![
        (expected(Code::CallerDenied, 403, "fix_config", DENIED, None), ask(&socket, None, decks).await),
        (expected(Code::TenantDenied, 403, "fix_request", DENIED, Some("acme")), ask(shop, None, with_token).await),
    ]
}

async fn requests() -> Vec<(Expected, Reply)> {
    let acme = Some("acme");
    let world = World::start().await;
    world.tenant("acme").with_pat().await;
    world.tenant("beta").with_grant(GrantOf::an_hour()).await;
    let target = async |target: &str| world.target(Method::GET, target).tenant("acme").send().await;
    let cases = vec![
        (expected(Code::TenantRequired, 400, "fix_request", DENIED, None), world.get("/decks/").send().await),
        (
            expected(Code::TenantInvalid, 400, "fix_request", DENIED, None),
            world.get("/decks/").tenant("a b").send().await,
        ),
        (expected(Code::PathInvalid, 400, "fix_request", DENIED, acme), target("/api/public/v1/%2e%2e/x").await),
        (
            expected(Code::RequestInvalid, 400, "fix_request", DENIED, None),
            world.get("/decks/").tenant("acme").header("x_flexslot_tenant", "beta").send().await,
        ),
        (
            expected(Code::NotConnected, 401, "reconnect", DENIED, Some("nobody")),
            world.get("/decks/").tenant("nobody").send().await,
        ),
        (
            expected(Code::PatRequired, 403, "fix_config", DENIED, Some("beta")),
            world.get("/me/partner").tenant("beta").send().await,
        ),
        (expected(Code::PathDenied, 403, "fix_request", DENIED, acme), target("/api/public/v1/oauth/token").await),
        (
            expected(Code::PathDenied, 403, "fix_request", DENIED, acme),
            world.post("/me/partner/x").tenant("acme").send().await,
        ),
        (
            expected(Code::OriginDenied, 403, "fix_config", DENIED, None),
            world.get("/decks/").tenant("acme").header("origin", "https://evil.example").send().await,
        ),
        (expected(Code::NotProxied, 404, "fix_request", DENIED, acme), target("/elsewhere").await),
        (
            expected(Code::HostDenied, 421, "fix_config", DENIED, None),
            world.get("/decks/").tenant("acme").header("host", "evil.example").send().await,
        ),
        (
            expected(Code::MethodUnsupported, 501, "fix_request", DENIED, None),
            world.call(Method::TRACE, "/decks/").tenant("acme").send().await,
        ),
    ];
    assert!(world.sandbox.requests().is_empty(), "none of these leaves the sidecar");
    world.finish().await;
    cases
}

async fn credentials() -> Vec<(Expected, Reply)> {
    let acme = Some("acme");
    let reconnect = ask("", None, async |world| {
        let grant = world.tenant("acme").with_grant(GrantOf::expired()).await;
        world.sandbox.expire_refresh(grant).unwrap();
        decks(world).await
    });
    let rejected = ask("", None, async |world| {
        let pat = world.tenant("acme").with_pat().await;
        world.sandbox.revoke_pat(&pat);
        for _ in 0..3 {
            decks(world).await.is(401);
        }
        decks(world).await
    });
    let unavailable = ask("", None, async |world| {
        world.tenant("acme").with_grant(GrantOf::expired()).await;
        let busy = Canned::new(StatusCode::TOO_MANY_REQUESTS).retry_after(7);
        world.sandbox.fault(Fault::new(Endpoint::Token, Effect::Answer(busy)));
        let reply = decks(world).await;
        assert!(reply.header("retry-after").is_some());
        reply
    });
    let misconfigured = ask("", None, async |world| {
        world.tenant("acme").with_grant(GrantOf::an_hour().client("flx_client_other")).await;
        decks(world).await
    });
    let frail = World::plan().frail().start().await;
    frail.frailty.out_of_reach();
    let out_of_reach = decks(&frail).await;
    frail.frailty.back();
    frail.finish().await;
    assert!(out_of_reach.header("retry-after").is_some());
    vec![
        (expected(Code::ReconnectRequired, 401, "reconnect", DENIED, acme), reconnect.await),
        (expected(Code::PatRejected, 401, "fix_config", DENIED, acme), rejected.await),
        (expected(Code::RefreshUnavailable, 503, "retry", "proxy_internal_error", acme), unavailable.await),
        (expected(Code::OAuthMisconfigured, 503, "fix_config", "proxy_configuration_error", acme), misconfigured.await),
        (expected(Code::StoreUnavailable, 503, "retry", "proxy_internal_error", acme), out_of_reach),
    ]
}

async fn limits() -> Vec<(Expected, Reply)> {
    let acme = Some("acme");
    let token = ask("server.client_token = { env = \"CLIENT_TOKEN\" }", None, decks);
    let too_large = ask("limits.request_body = \"1KiB\"", None, async |world| {
        world.tenant("acme").with_pat().await;
        world.post("/decks/").tenant("acme").body(vec![0; 2000]).send().await
    });
    let busy = ask("limits.in_flight_per_tenant = 1", None, async |world| {
        world.tenant("acme").with_pat().await;
        let gate = world.sandbox.hold(Endpoint::Resource);
        let held = tokio::spawn(world.get("/decks/").tenant("acme").send());
        gate.arrived(1).await;
        let reply = decks(world).await;
        gate.release();
        held.await.unwrap().is(200);
        assert_eq!(reply.header("retry-after"), Some("1"));
        reply
    });
    let overloaded = ask("limits.connections = 1", None, async |world| {
        world.tenant("acme").with_pat().await;
        let gate = world.sandbox.hold(Endpoint::Resource);
        let mut connection = http2_connection(world.address()).await;
        let mut same = connection.clone();
        let held = world.get("/decks/").tenant("acme");
        let held = tokio::spawn(async move { held.send_on(&mut same).await });
        gate.arrived(1).await;
        let reply = world.get("/decks/").tenant("acme").send_on(&mut connection).await;
        gate.release();
        held.await.unwrap().is(200);
        assert_eq!(reply.header("retry-after"), Some("1"));
        reply
    });
    vec![
        (expected(Code::ClientTokenRequired, 407, "fix_request", DENIED, None), token.await),
        (expected(Code::BodyTooLarge, 413, "fix_request", DENIED, acme), too_large.await),
        (expected(Code::TenantBusy, 429, "retry", DENIED, acme), busy.await),
        (expected(Code::Overloaded, 503, "retry", "proxy_internal_error", None), overloaded.await),
    ]
}

async fn upstreams() -> Vec<(Expected, Reply)> {
    let acme = Some("acme");
    let through = async |upstream: &Upstream, config: &str| {
        ask(config, Some(upstream), async |world| {
            world.tenant("acme").with_this_pat("p").await;
            decks(world).await
        })
        .await
    };
    let silence = Arc::new(Semaphore::new(0));
    let silent = Upstream::start(move |_, _| Script::parts([Part::Wait(Arc::clone(&silence))])).await;
    let closing = Upstream::start(|_, _| Script::parts([Part::Close])).await;
    let garbled = Upstream::saying("HTTP/1.1 two hundred\r\n\r\n").await;
    let closed = ClosedPort::new();
    let closed = format!("upstream.url = \"http://{}\"", closed.address);
    let unreachable = ask(&closed, None, async |world| {
        world.tenant("acme").with_this_pat("p").await;
        decks(world).await
    });
    vec![
        (expected(Code::UpstreamUnreachable, 502, "retry", "connection_refused", acme), unreachable.await),
        (expected(Code::UpstreamInvalid, 502, "retry", "connection_terminated", acme), through(&closing, "").await),
        (expected(Code::UpstreamInvalid, 502, "retry", "http_protocol_error", acme), through(&garbled, "").await),
        (
            expected(Code::UpstreamTimeout, 504, "retry", "http_response_timeout", acme),
            through(&silent, "upstream.response_timeout = \"100ms\"").await,
        ),
    ]
}

/// What an HTTP/2 client is told that sends a request after it was told to go away (RFC 9113 section 6.8), and before
/// it says that it has heard. hyper's client does not do that, so the frames are made by hand; the header of the answer
/// is left packed.
async fn draining() -> Value {
    let mut world = World::start().await;
    world.tenant("acme").with_pat().await;
    let gate = world.sandbox.hold(Endpoint::Resource);
    let mut raw = world.raw().await;
    let first = request(1, "/api/public/v1/decks/");
    let window = frame(WINDOW_UPDATE, 0, 0, &0x7ffe_0000_u32.to_be_bytes());
    raw.send([&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[]), &window, &first].concat()).await;
    gate.arrived(1).await;
    let stopping = world.begin_stop();
    while next_frame(&mut raw).await.0 != GOAWAY {}
    // For a second requests are still served: these get 404, which needs no upstream, until the first is told that we
    // drain.
    let mut stream = 1;
    let told = async {
        loop {
            stream += 2;
            raw.send(request(stream, "/elsewhere")).await;
            let answer = loop {
                match next_frame(&mut raw).await {
                    (DATA, of, data) if of == stream => break data,
                    _ => {}
                }
            };
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            if answer["code"] != "not_proxied" {
                break answer;
            }
        }
    };
    let answer = crate::support::in_time("that nothing more is served", told).await;
    gate.release();
    drop(raw);
    crate::support::in_time("the end of the sidecar", stopping).await.unwrap().unwrap();
    world.finish().await;
    answer
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

/// RFC 9113 section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

async fn next_frame(raw: &mut Raw) -> (u8, u32, Vec<u8>) {
    let head = raw.exactly(9).await;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
    (head[3], stream, raw.exactly(length).await)
}

/// A GET of the tenant `acme`, in HPACK without Huffman coding and without the dynamic table (RFC 7541 section 6.2.2).
fn request(stream: u32, target: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let (get, http, path, authority, new_name) = ([0x82], [0x86], [0x04], [0x01], [0x00]);
    let block = [
        &get[..],
        &http,
        &path,
        &text(target),
        &authority,
        &text("localhost"),
        &new_name,
        &text("x-flexslot-tenant"),
        &text("acme"),
    ];
    let (end_stream, end_headers) = (0x1, 0x4);
    frame(HEADERS, end_stream | end_headers, stream, &block.concat())
}

#[tokio::test]
async fn every_code_is_provoked_and_has_its_exact_shape() {
    let mut provoked = HashSet::new();
    for cases in [requests().await, callers().await, credentials().await, limits().await, upstreams().await] {
        for (expected, reply) in cases {
            check(&expected, &reply);
            provoked.insert(expected.code.as_str());
        }
    }
    let told = draining().await;
    assert_eq!(
        (told["code"].as_str(), &told["status"], &told["action"]),
        (Some("draining"), &503.into(), &"retry".into())
    );
    provoked.insert("draining");
    let missing: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).filter(|code| !provoked.contains(code)).collect();
    assert!(missing.is_empty(), "nothing provokes {missing:?}");
}

#[tokio::test]
async fn a_problem_answers_head_without_a_body() {
    let world = World::start().await;
    let reply = world.call(Method::HEAD, "/decks/").send().await;
    assert_eq!((reply.is(400).body.len(), reply.header("content-type")), (0, Some("application/problem+json")));
    world.finish().await;
}

#[tokio::test]
async fn every_request_has_an_id_of_its_own() {
    let world = World::start().await;
    let mut ids = HashSet::new();
    for _ in 0..20 {
        ids.insert(decks(&world).await.header("flexslot-proxy-request-id").unwrap().to_owned());
    }
    assert_eq!(ids.len(), 20);
    world.finish().await;
}
