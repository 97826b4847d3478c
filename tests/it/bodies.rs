//! Bodies stream both ways, and what HTTP says about messages without one holds.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http_body_util::channel::Channel;
use tokio::sync::Semaphore;

use crate::support::{GrantOf, Part, Script, Upstream, World, in_time, sha256, until};
use flexslot_proxy::sandbox::{Canned, Effect, Endpoint, Fault};

async fn world_with_pat() -> World {
    let world = World::start().await;
    world.tenant("acme").with_pat().await;
    world
}

/// A file of the tenant's only deck.
async fn export(world: &World) -> String {
    let decks = world.get("/decks/").tenant("acme").send().await.json();
    format!("/exports/{}.pdf", decks["results"][0]["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_response_reaches_the_client_while_the_upstream_is_still_sending() {
    let gate = Arc::new(Semaphore::new(0));
    let more = Arc::clone(&gate);
    let upstream = Upstream::start(move |_, _| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n";
        let rest = "3\r\ntwo\r\n0\r\n\r\n";
        Script::parts([Part::Bytes(head.into()), Part::Wait(Arc::clone(&more)), Part::Bytes(rest.into())])
    })
    .await;
    let world = World::before(&upstream).await;
    world.tenant("acme").with_this_pat("p").await;
    let mut answering = world.get("/decks/").tenant("acme").begin().await;
    assert_eq!(answering.chunk().await.unwrap(), "one");
    gate.add_permits(1);
    assert_eq!(answering.whole().await.text(), "two");
    world.finish().await;
}

#[tokio::test]
async fn a_request_reaches_the_upstream_while_the_client_is_still_sending() {
    let world = world_with_pat().await;
    let (mut sender, body) = Channel::<Bytes, std::io::Error>::new(1);
    let call = world.post("/sandbox/mirror").tenant("acme").upload(body);
    sender.send_data("one".into()).await.unwrap();
    let mut answering = call.begin().await;
    for piece in ["one", "two", "three"] {
        if piece != "one" {
            sender.send_data(piece.into()).await.unwrap();
        }
        assert_eq!(answering.chunk().await.unwrap(), piece);
    }
    drop(sender);
    assert!(answering.whole().await.body.is_empty());
    world.finish().await;
}

#[tokio::test]
async fn a_body_keeps_its_framing() {
    let upstream = Upstream::content().await;
    let world = World::before(&upstream).await;
    world.tenant("acme").with_this_pat("p").await;
    let post = || world.post("/decks/").tenant("acme");
    post().body("abc").send().await.is(200);
    post().chunked("abc").send().await.is(200);
    post().header("content-length", "0").send().await.is(200);
    world.get("/decks/").tenant("acme").send().await.is(200);
    world.get("/decks/").tenant("acme").body("odd").send().await.is(200);
    let framing: Vec<_> = upstream
        .seen()
        .iter()
        .map(|seen| {
            let field = |name| seen.field(name).map(str::to_owned);
            (field("content-length"), field("transfer-encoding"), seen.body.len())
        })
        .collect();
    let length = |n: &str| (Some(n.to_owned()), None, n.parse().unwrap());
    assert_eq!(
        framing,
        [length("3"), (None, Some("chunked".to_owned()), 3), length("0"), (None, None, 0), length("3")]
    );
    world.finish().await;
}

#[tokio::test]
async fn large_bodies_pass_unchanged_in_both_directions() {
    let world = world_with_pat().await;
    let body: Vec<u8> = (0..3 << 20).map(|n: u32| (n % 251) as u8).collect();
    for http2 in [false, true] {
        let call = world.post("/sandbox/mirror").tenant("acme").body(body.clone());
        let reply = if http2 { call.http2() } else { call }.send().await;
        assert!(reply.body == body, "HTTP/2: {http2}");
    }
    assert!(world.seen().iter().all(|seen| seen.body_sha256 == sha256(&body)));
    world.finish().await;
}

#[tokio::test]
async fn head_says_what_get_says_and_has_no_body() {
    let world = world_with_pat().await;
    let path = export(&world).await;
    let (get, head) =
        (world.get(&path).tenant("acme").send().await, world.call(Method::HEAD, &path).tenant("acme").send().await);
    assert_eq!(head.is(200).header("etag"), get.header("etag"));
    assert_eq!((head.body.len(), get.body.len()), (0, 64 << 10));
    assert_eq!(world.seen().last().unwrap().method, "HEAD");
    world.finish().await;
}

#[tokio::test]
async fn the_length_that_head_announces_is_kept_and_the_connection_goes_on() {
    let upstream = Upstream::start(|head, _| match head.starts_with("HEAD") {
        true => Script::say("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n"),
        false => Script::say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    })
    .await;
    let world = World::before(&upstream).await;
    world.tenant("acme").with_this_pat("p").await;
    let mut raw = world.raw().await;
    let request = |method: &str, rest: &str| {
        format!("{method} /api/public/v1/decks/ HTTP/1.1\r\nHost: localhost\r\nX-Flexslot-Tenant: acme\r\n{rest}\r\n")
    };
    raw.send(request("HEAD", "")).await;
    let head = raw.until("\r\n\r\n").await;
    assert!(head.contains("content-length: 12345"), "{head}");
    raw.send(request("GET", "Connection: close\r\n")).await;
    let text = String::from_utf8(raw.rest().await).unwrap();
    assert_eq!((text.matches("HTTP/1.1 200").count(), text.ends_with("{}")), (2, true), "{text}");
    world.finish().await;
}

#[tokio::test]
async fn answers_without_content_come_without_it() {
    for (status, extra) in [
        ("204 No Content", ""),
        ("304 Not Modified", "ETag: \"e\"\r\n"),
        ("205 Reset Content", "Content-Length: 0\r\n"),
    ] {
        let upstream = Upstream::saying(format!("HTTP/1.1 {status}\r\n{extra}\r\n")).await;
        let world = World::before(&upstream).await;
        world.tenant("acme").with_this_pat("p").await;
        let reply = world.get("/decks/").tenant("acme").send().await;
        assert!(status.starts_with(&reply.status.to_string()), "{reply:?}");
        assert!(reply.body.is_empty() && !reply.headers.contains_key("transfer-encoding"), "{reply:?}");
        world.finish().await;
    }
}

#[tokio::test]
async fn ranges_and_conditions_work() {
    let world = world_with_pat().await;
    let path = export(&world).await;
    let get = || world.get(&path).tenant("acme");
    let whole = get().send().await;
    let etag = whole.header("etag").unwrap();
    let part = get().header("range", "bytes=10-19").send().await;
    assert_eq!(part.is(206).header("content-range"), Some("bytes 10-19/65536"));
    assert_eq!(part.body, whole.body[10..20]);
    assert_eq!(
        get().header("range", "bytes=10-19").header("if-range", "\"other\"").send().await.is(200).body,
        whole.body
    );
    let unchanged = get().header("if-none-match", etag).send().await;
    assert_eq!((unchanged.is(304).header("etag"), unchanged.body.len()), (Some(etag), 0));
    get().header("range", "bytes=99999999-").send().await.is(416);
    world.finish().await;
}

#[tokio::test]
async fn compressed_bodies_pass_as_they_are() {
    let packed = b"\x1f\x8b\x08\0not really gzip\xff\0";
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", packed.len()).into_bytes();
    answer.extend_from_slice(packed);
    let upstream = Upstream::saying(answer).await;
    let world = World::before(&upstream).await;
    world.tenant("acme").with_this_pat("p").await;
    let reply = world.post("/decks/").tenant("acme").header("content-encoding", "gzip").body(&packed[..]).send().await;
    assert_eq!((reply.header("content-encoding"), &reply.body[..]), (Some("gzip"), &packed[..]));
    assert_eq!((upstream.only().field("content-encoding"), &upstream.only().body[..]), (Some("gzip"), &packed[..]));
    world.finish().await;
}

/// Of a request that the sandbox reads to its end before it answers.
const EXPECTING: &str = "POST /api/public/v1/sandbox/echo HTTP/1.1\r\nHost: localhost\r\nX-Flexslot-Tenant: acme\r\n\
                         Expect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_client_that_expects_100_is_told_to_go_on() {
    let world = world_with_pat().await;
    let mut raw = world.raw().await;
    raw.send(EXPECTING).await;
    raw.until("HTTP/1.1 100 Continue\r\n\r\n").await;
    raw.send("hello").await;
    let text = String::from_utf8(raw.rest().await).unwrap();
    assert!(text.contains("HTTP/1.1 200 OK") && text.contains(&sha256(b"hello")), "{text}");
    world.finish().await;
}

#[tokio::test]
async fn a_client_that_expects_100_sends_its_body_once_in_spite_of_a_401() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    world.sandbox.fault(Fault::new(Endpoint::Resource, Effect::Answer(Canned::unauthorized().unread())).once());
    let mut raw = world.raw().await;
    raw.send(EXPECTING).await;
    raw.until("HTTP/1.1 100 Continue\r\n\r\n").await;
    raw.send("hello").await;
    let text = String::from_utf8(raw.rest().await).unwrap();
    assert_eq!(text.matches("100 Continue").count(), 1, "{text}");
    assert!(text.contains("HTTP/1.1 200 OK") && text.contains(&sha256(b"hello")), "{text}");
    let seen = world.seen();
    assert_eq!(seen.iter().map(|seen| seen.status).collect::<Vec<_>>(), [Some(401), Some(200)]);
    world.finish().await;
}

#[tokio::test]
async fn a_client_that_expects_100_keeps_its_body_where_the_upstream_refuses() {
    let world = world_with_pat().await;
    let canned = Canned::new(http::StatusCode::FORBIDDEN).unread();
    world.sandbox.fault(Fault::new(Endpoint::Resource, Effect::Answer(canned)).once());
    let mut raw = world.raw().await;
    raw.send(EXPECTING).await;
    let text = String::from_utf8(raw.rest().await).unwrap();
    assert!(text.starts_with("HTTP/1.1 403"), "{text}");
    world.finish().await;
}

#[tokio::test]
async fn an_upstream_that_breaks_off_breaks_the_response_off() {
    let world = world_with_pat().await;
    let path = export(&world).await;
    world.sandbox.fault(Fault::new(Endpoint::Resource, Effect::Truncate(1000)).after().once());
    let answering = world.get(&path).tenant("acme").begin().await;
    let whole = answering.try_whole().await;
    assert!(whole.is_err(), "a cut body must not look whole: {whole:?}");
    world.finish().await;
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_request_at_the_upstream() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let upstream = Upstream::start(move |_, _| Script::parts([Part::Wait(Arc::clone(&held))])).await;
    let world = World::before(&upstream).await;
    world.tenant("acme").with_this_pat("p").await;
    let call = tokio::spawn(world.get("/decks/").tenant("acme").try_begin());
    upstream.arrived(1).await;
    call.abort();
    let _gone = in_time("the call", call).await;
    until("the end of the request", async || world.metric("flexslot_proxy_in_flight_requests").await == 0.0).await;
    world.finish().await;
}
