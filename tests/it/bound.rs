//! Tokens that are bound to a key: what an upstream sees of it, and what it costs when it wants another proof.

use std::collections::BTreeSet;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use bytes::Bytes;
use serde_json::Value;

use crate::support::{GrantOf, Received, Reply, Script, Upstream, World};

/// What the proof of a request claims.
fn claims(received: &Received) -> Value {
    let proof = received.field("dpop").expect("a proof");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(proof.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

fn nonces(upstream: &Upstream) -> Vec<Option<String>> {
    let nonce = |received: &Received| claims(received).get("nonce").map(|nonce| nonce.as_str().unwrap().to_owned());
    upstream.seen().iter().map(nonce).collect()
}

fn fine(headers: &str) -> Script {
    Script::say(format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: 2\r\n\r\n{{}}"))
}

fn demanding(nonce: &str) -> Script {
    refusing("use_dpop_nonce", &format!("DPoP-Nonce: {nonce}\r\n"))
}

fn refusing(error: &str, headers: &str) -> Script {
    Script::say(format!(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: DPoP error=\"{error}\", algs=\"ES256\"\r\n{headers}Content-Length: 0\r\n\r\n"
    ))
}

/// An upstream that demands a nonce of who does not bring `n1`.
async fn strict() -> Upstream {
    Upstream::start(|head, _| if has_nonce(head, "n1") { fine("DPoP-Nonce: n1\r\n") } else { demanding("n1") }).await
}

fn has_nonce(head: &str, nonce: &str) -> bool {
    let proof = head.lines().find_map(|line| line.strip_prefix("dpop: ")).expect("a proof");
    let claims = BASE64_URL_SAFE_NO_PAD.decode(proof.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap().get("nonce").is_some_and(|found| found == nonce)
}

async fn decks(world: &World) -> Reply {
    world.get("/decks/?page=2").tenant("acme").send().await
}

async fn world(upstream: &Upstream) -> World {
    let world = World::before(upstream).await;
    world.tenant("acme").with_grant(GrantOf::an_hour().bound()).await;
    world
}

#[tokio::test]
async fn every_request_has_a_proof_of_its_own() {
    let upstream = Upstream::content().await;
    let world = world(&upstream).await;
    for _ in 0..3 {
        let call =
            world.get("/decks/?page=2").tenant("acme").header("dpop", "mine").header("authorization", "Bearer x");
        call.send().await.is(200);
    }
    let seen = upstream.seen();
    let names: BTreeSet<_> = seen.iter().map(|received| claims(received)["jti"].to_string()).collect();
    assert_eq!(names.len(), 3);
    for received in &seen {
        assert!(received.field("authorization").is_some_and(|value| value.starts_with("DPoP ")));
        let claims = claims(received);
        assert_eq!(
            (&claims["htm"], &claims["htu"]),
            (&"GET".into(), &format!("{}/api/public/v1/decks/", upstream.origin).into())
        );
    }
    world.finish().await;
}

#[tokio::test]
async fn a_nonce_that_is_demanded_costs_one_send_more_and_is_kept() {
    let upstream = strict().await;
    let world = world(&upstream).await;
    for _ in 0..2 {
        let reply = decks(&world).await;
        assert_eq!((reply.is(200).header("dpop-nonce"), reply.header("proxy-status")), (None, None));
    }
    assert_eq!(nonces(&upstream), [None, Some("n1".into()), Some("n1".into())]);
    world.finish().await;
}

#[tokio::test]
async fn a_nonce_that_comes_with_an_answer_is_the_next_ones() {
    let upstream = Upstream::start(|_, before| fine(&format!("DPoP-Nonce: n{before}\r\n"))).await;
    let world = world(&upstream).await;
    for _ in 0..3 {
        decks(&world).await.is(200);
    }
    assert_eq!(nonces(&upstream), [None, Some("n0".into()), Some("n1".into())]);
    world.finish().await;
}

#[tokio::test]
async fn a_body_is_sent_again_with_the_nonce() {
    let upstream = strict().await;
    let world = world(&upstream).await;
    let body = Bytes::from(vec![7; 100_000]);
    world.post("/decks/").tenant("acme").body(body.clone()).send().await.is(200);
    let [first, second] = &upstream.seen()[..] else { panic!("two sends") };
    assert_eq!((&first.body[..], &second.body[..]), (&body[..], &body[..]));
    world.finish().await;
}

#[tokio::test]
async fn a_body_that_is_not_kept_is_left_to_the_apps_own_retry() {
    let upstream = strict().await;
    let world = World::plan().upstream(&upstream).config("limits.replay_body = \"1KiB\"").start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour().bound()).await;
    let send = async || world.post("/decks/").tenant("acme").body(Bytes::from(vec![7; 100_000])).send().await;
    let refused = send().await;
    assert_eq!(
        refused.is(401).header("proxy-status"),
        Some("flexslot-proxy; received-status=401; details=\"dpop_proof_refused\"")
    );
    send().await.is(200);
    assert_eq!(upstream.seen().len(), 2);
    world.finish().await;
}

#[tokio::test]
async fn who_is_never_content_is_not_asked_for_ever() {
    let upstream = Upstream::start(|_, before| demanding(&format!("n{before}"))).await;
    let world = world(&upstream).await;
    let refused = decks(&world).await;
    assert!(refused.is(401).header("proxy-status").is_some_and(|status| status.contains("dpop_proof_refused")));
    assert_eq!(nonces(&upstream), [None, Some("n0".into())]);
    world.finish().await;
}

#[tokio::test]
async fn a_refused_proof_that_would_be_the_same_is_not_sent_again() {
    let upstream = Upstream::start(|_, _| refusing("invalid_dpop_proof", "")).await;
    let world = world(&upstream).await;
    decks(&world).await.is(401);
    assert_eq!(upstream.seen().len(), 1);
    world.finish().await;
}

/// The upstream's clock shows another year; its answers say so.
#[tokio::test]
async fn a_proof_follows_the_upstreams_clock() {
    const DATE: &str = "Date: Fri, 20 Nov 2020 18:40:00 GMT\r\n";
    let upstream = Upstream::start(|_, before| match before {
        0 => refusing("invalid_dpop_proof", DATE),
        _ => fine(DATE),
    })
    .await;
    let world = world(&upstream).await;
    decks(&world).await.is(200);
    let dated = claims(&upstream.seen()[1])["iat"].as_i64().unwrap();
    assert!((1_605_897_600..1_605_897_660).contains(&dated), "{dated}");
    world.finish().await;
}

/// A bearer token has nothing to prove: its 401 goes to the app as it is.
#[tokio::test]
async fn a_demand_for_a_proof_of_a_bearer_token_is_passed_on() {
    let upstream = Upstream::start(|_, _| demanding("n1")).await;
    let world = World::before(&upstream).await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    let refused = decks(&world).await;
    assert_eq!((refused.status, refused.header("proxy-status")), (401, None));
    assert_eq!(upstream.only().field("dpop"), None);
    world.finish().await;
}
