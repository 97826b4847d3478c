//! Bodies that are sent again after a 401, and those that cannot be.

use bytes::Bytes;
use flexslot_proxy::sandbox::{Canned, Effect, Endpoint, Fault, Seen};
use http::{HeaderMap, HeaderValue};

use crate::support::{GrantOf, Reply, World, field, sha256};

const KIB: usize = 1024;

#[derive(Debug, Clone, Copy)]
enum Framing {
    Length,
    Chunked,
}

/// Whether the 401 comes after the body was read, or while it is still being sent.
#[derive(Debug, Clone, Copy)]
enum Refused {
    AfterTheBody,
    Early,
}

fn body(length: usize) -> Bytes {
    (0..length).map(|n| (n * 31 % 253) as u8).collect()
}

fn refuse_once(world: &World, tenant: &str, refused: Refused) {
    let canned = match refused {
        Refused::AfterTheBody => Canned::unauthorized(),
        Refused::Early => Canned::unauthorized().unread(),
    };
    world.sandbox.fault(Fault::new(Endpoint::Resource, Effect::Answer(canned)).once().user(tenant));
}

async fn echo(world: &World, tenant: &str, body: Bytes, framing: Framing) -> Reply {
    let call = world.post("/sandbox/echo").tenant(tenant);
    match framing {
        Framing::Length => call.body(body),
        Framing::Chunked => call.chunked(body),
    }
    .send()
    .await
}

fn framed_by(seen: &Seen) -> Vec<(String, String)> {
    let framing = |(name, _): &&(String, String)| name == "content-length" || name == "transfer-encoding";
    seen.headers.iter().filter(framing).cloned().collect()
}

#[tokio::test]
async fn a_body_arrives_byte_for_byte_after_a_401() {
    let world = World::start().await;
    let mut number = 0;
    for length in [0, 1, 64 * KIB, 1024 * KIB] {
        for framing in [Framing::Length, Framing::Chunked] {
            for refused in [Refused::AfterTheBody, Refused::Early] {
                let case = format!("{length} bytes, {framing:?}, {refused:?}");
                number += 1;
                let tenant = format!("t{number}");
                world.tenant(&tenant).with_grant(GrantOf::an_hour()).await;
                refuse_once(&world, &tenant, refused);
                let body = body(length);
                let reply = echo(&world, &tenant, body.clone(), framing).await;
                assert_eq!(reply.status, 200, "{case}: {reply:?}");
                assert_eq!(reply.json()["body"]["sha256"], sha256(&body), "{case}");
                let [first, second] = &world.seen()[..] else { panic!("{case}: {:?}", world.seen()) };
                assert_eq!((first.status, second.status), (Some(401), Some(200)), "{case}");
                assert_eq!((second.body_length, &second.body_sha256), (length as u64, &sha256(&body)), "{case}");
                assert_eq!(framed_by(first), framed_by(second), "{case}");
                world.sandbox.reset_counters();
            }
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn a_body_from_http2_arrives_byte_for_byte_after_a_401() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    refuse_once(&world, "acme", Refused::Early);
    let body = body(1024 * KIB);
    let reply = world.post("/sandbox/echo").tenant("acme").http2().body(body.clone()).send().await;
    assert_eq!(reply.is(200).json()["body"]["sha256"], sha256(&body));
    world.finish().await;
}

#[tokio::test]
async fn trailers_are_sent_again_with_the_body() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    refuse_once(&world, "acme", Refused::AfterTheBody);
    let trailers = HeaderMap::from_iter([("x-checksum".parse().unwrap(), HeaderValue::from_static("1"))]);
    let call = world.post("/sandbox/echo").tenant("acme").header("trailer", "x-checksum");
    let reply = call.chunked_with_trailers(body(100), trailers).send().await;
    assert_eq!(reply.is(200).json()["trailers"], serde_json::json!([["x-checksum", "1"]]));
    world.finish().await;
}

#[tokio::test]
async fn above_the_limit_the_client_gets_the_401_and_its_own_retry_works() {
    let world = World::start().await;
    let body = body(1024 * KIB + 1);
    // A chunked upload that is refused early has not shown yet that it is over the limit, and can be sent again.
    let cases = [
        (Framing::Length, Refused::AfterTheBody),
        (Framing::Length, Refused::Early),
        (Framing::Chunked, Refused::AfterTheBody),
    ];
    for (framing, refused) in cases {
        let tenant = format!("{framing:?}-{refused:?}");
        world.tenant(&tenant).with_grant(GrantOf::an_hour()).await;
        refuse_once(&world, &tenant, refused);
        let reply = echo(&world, &tenant, body.clone(), framing).await;
        assert_eq!((reply.is(401).problem(), reply.header("proxy-status")), (None, None), "{tenant}");
        assert_eq!(
            world.sandbox.counters().token_requests("refresh_token"),
            1,
            "{tenant}: it is refreshed all the same"
        );
        let again = echo(&world, &tenant, body.clone(), framing).await;
        assert_eq!(again.is(200).json()["body"]["sha256"], sha256(&body));
        let versions: Vec<_> = world.seen().iter().map(|seen| seen.credential.version.unwrap()).collect();
        assert_eq!(versions, [1, 2], "{tenant}");
        world.sandbox.reset_counters();
    }
    world.finish().await;
}

#[tokio::test]
async fn a_body_above_the_limit_is_sent_only_with_a_token_outside_its_window() {
    let world = World::with("limits.replay_body = \"1KiB\"").await;
    world.tenant("acme").with_grant(GrantOf::ageing()).await;
    echo(&world, "acme", body(2 * KIB), Framing::Length).await.is(200);
    assert_eq!(world.seen_once().credential.version, Some(2));
    world.finish().await;
}

#[tokio::test]
async fn a_body_of_which_nothing_was_read_is_sent_again_at_any_size() {
    let world = World::with("limits.replay_body = \"1KiB\"").await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    refuse_once(&world, "acme", Refused::Early);
    let body = body(64 * KIB);
    let mut raw = world.raw().await;
    let head = format!(
        "POST /api/public/v1/sandbox/echo HTTP/1.1\r\nHost: localhost\r\nX-Flexslot-Tenant: acme\r\nExpect: 100-continue\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    raw.send(head).await;
    raw.until("100 Continue\r\n\r\n").await;
    raw.send(&body).await;
    let answer = String::from_utf8(raw.rest().await).unwrap();
    assert!(answer.contains("HTTP/1.1 200") && answer.contains(&sha256(&body)), "{answer}");
    world.finish().await;
}

#[tokio::test]
async fn without_memory_for_replay_a_body_counts_as_above_the_limit() {
    let world = World::with("limits.replay_memory = \"1KiB\"").await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    refuse_once(&world, "acme", Refused::AfterTheBody);
    echo(&world, "acme", body(2 * KIB), Framing::Length).await.is(401);
    echo(&world, "acme", body(2 * KIB), Framing::Length).await.is(200);
    world.finish().await;
}

#[tokio::test]
async fn a_bodiless_request_is_sent_again_without_one() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    refuse_once(&world, "acme", Refused::AfterTheBody);
    let mut raw = world.raw().await;
    raw.send("DELETE /api/public/v1/sandbox/echo HTTP/1.1\r\nHost: localhost\r\nX-Flexslot-Tenant: acme\r\n\r\n").await;
    let reply = raw.reply().await;
    assert_eq!((reply.status, field(&reply.head, "flexslot-proxy-credential")), (200, Some("oauth")));
    assert!(world.seen().iter().all(|seen| framed_by(seen).is_empty()));
    drop(raw);
    world.finish().await;
}
